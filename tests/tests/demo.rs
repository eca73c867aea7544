//! `callboard demo` on a tree that it does not know, with an agent killed on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_tests::program;
use std::fs;
use std::path::Path;

fn plant(tree: &Path) {
    let write = |path: &str, content: &[u8]| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    };
    write("src/lib.rs", b"pub fn risky(x: Option<u8>) -> u8 {\n    // TODO: say why\n    x.unwrap()\n}\n");
    write("src/broken.rs", b"fn {{{ this does not parse");
    write("tool.py", b"import os\n\ndef run(text):\n    return eval(text)\n");
    write("odd/latin1.py", b"# -*- coding: latin-1 -*-\nname = '\xe9'\n");
    write("odd/syntax.py", b"def f(:\n");
    write("odd/name with 'quotes' and spaces.sh", b"echo hi   \n");
    write("odd/binary.bin", &[0, 159, 146, 150, 0, 255]);
    fs::create_dir_all(tree.join("empty")).expect("a folder");
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", tree.join("odd/loop")).expect("a link");
}

#[test]
fn a_crew_reviews_a_tree_though_an_agent_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (tree, report) = (folder.path().join("tree"), folder.path().join("review.md"));
    plant(&tree);
    let output = program::command(program::callboard())
        .args(["demo"])
        .arg(&tree)
        .arg("--out")
        .arg(&report)
        .arg("--python")
        .arg(program::python())
        .current_dir(folder.path())
        .output()
        .expect("the demo can be run");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("was killed with `kill -9`"), "{said}");
    assert!(said.contains("completed it in attempt 2"), "{said}");
    let review = fs::read_to_string(&report).expect("a report");
    for finding in ["src/lib.rs:3", "tool.py:4", "src/broken.rs", "odd/syntax.py"] {
        assert!(review.contains(finding), "{finding} is not in the report:\n{review}");
    }
}
