use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

fn write(root: &Path, path: impl AsRef<Path>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x\n").unwrap();
}

fn names(tree: &Tree) -> Vec<String> {
    tree.files.iter().map(|file| portable_path::encode(&file.path)).collect()
}

#[test]
fn built_hidden_and_ignored_files_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in [
        "src/main.rs",
        "src/target/kept.rs",
        "Cargo.toml",
        "target/debug/x.rs",
        "node_modules/a/b.js",
        ".git/config",
        ".hidden/a.rs",
        "sub/.gitignore",
        "sub/ignored.py",
        "sub/kept.py",
        "__pycache__/a.pyc",
    ] {
        write(root, path);
    }
    fs::write(root.join("sub/.gitignore"), "ignored.py\n").unwrap();
    fs::create_dir_all(root.join("empty/emptier")).unwrap();
    assert_eq!(names(&list_tree(root)), ["Cargo.toml", "src/main.rs", "src/target/kept.rs", "sub/kept.py"]);
}

#[test]
fn links_are_counted_and_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a/b/c.rs");
    symlink(root, root.join("a/b/loop")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink(root.join("a/b/c.rs"), root.join("d.rs")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let tree = list_tree(root);
    assert_eq!(names(&tree), ["a/b/c.rs"]);
    assert_eq!(tree.skipped, Skipped { links: 3, special: 1, ..Skipped::default() });
}

#[test]
fn odd_names_survive_the_way_to_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let odd: Vec<&OsStr> = [&b"a\nb.rs"[..], b"sp ace\t'\"$(x).rs", b"\xff\xfe.rs", b"-n.rs", b"%41.rs"]
        .into_iter()
        .map(OsStr::from_bytes)
        .collect();
    for name in &odd {
        write(folder.path(), Path::new(name));
    }
    let tree = list_tree(folder.path());
    let groups = group(&tree.files);
    let input = groups[0].input(folder.path());
    let back: std::collections::BTreeSet<PathBuf> =
        input.files.iter().map(|path| portable_path::decode(path)).collect();
    assert_eq!(back, odd.iter().map(PathBuf::from).collect());
}

#[test]
fn a_large_tree_has_a_bounded_number_of_bounded_groups() {
    let folder = "x".repeat(180);
    let files: Vec<SourceFile> = (0..50_000)
        .map(|n| SourceFile {
            path: PathBuf::from(format!("{folder}/d{}/f{n}.{}", n / 10, ["rs", "py", "c"][n % 3])),
            bytes: (n as u64 % 100) * 1_000,
        })
        .collect();
    let groups = group(&files);
    assert!(groups.len() <= MAX_GROUPS, "{}", groups.len());
    assert_eq!(groups.iter().map(|group| group.files.len()).sum::<usize>(), files.len());
    for one in &groups {
        let input = serde_json::to_string(&one.input(Path::new("/r"))).unwrap();
        assert!(input.len() < 1_000_000 && one.shell_input(Path::new("/r")).len() < 1_000_000);
    }
    assert_eq!(groups, group(&files));
}

#[test]
fn small_trees_keep_folders_together() {
    let file = |path: &str| SourceFile { path: path.into(), bytes: 10 };
    let files: Vec<_> =
        (0..30).map(|n| file(&format!("a/{n:02}.rs"))).chain((0..30).map(|n| file(&format!("b/{n:02}.rs")))).collect();
    let groups = group(&files);
    let folders: Vec<_> = groups.iter().map(Group::folder).collect();
    assert_eq!(folders, ["a", "b"]);
    assert!(group(&[]).is_empty());
}

#[test]
fn unreadable_folders_are_counted() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "shut/a.rs");
    write(folder.path(), "b.rs");
    let shut = folder.path().join("shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything; then there is nothing to be seen here.
    let is_shut = fs::read_dir(&shut).is_err();
    let tree = list_tree(folder.path());
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    if is_shut {
        assert_eq!(names(&tree), ["b.rs"]);
        assert_eq!(tree.skipped.unreadable, 1);
    }
}
