//! What cargo has compiled of packages that others wrote, taken from one target folder to another.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Where a profile's folder has it: the state of each package, what its build script wrote, and its libraries.
const FOLDERS: [&str; 3] = [".fingerprint", "build", "deps"];
/// What the names of our own packages and libraries begin with. They differ between versions under the same names.
const OURS: [&str; 3] = ["callboard", "libcallboard", "xtask"];

/// Copies it. Cargo compares with its own records what it may take of that.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for folder in FOLDERS {
        let (from, to) = (from.join(folder), to.join(folder));
        if !from.is_dir() {
            continue;
        }
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            let text = name.to_string_lossy();
            let is_ours = OURS.iter().any(|ours| text.starts_with(ours));
            // What is no library there is a test or a program, of ours.
            let is_program = folder == "deps" && !text.starts_with("lib");
            if !is_ours && !is_program {
                copy_tree(&from.join(&name), &to.join(&name))?;
            }
        }
    }
    Ok(())
}

/// Copies a file, or a folder with all that is in it. What is newer than what it was made of stays so: cargo compares times.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let name = entry?.file_name();
            copy_tree(&from.join(&name), &to.join(&name))
        });
    }
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    File::options().write(true).open(to)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_others_wrote_is_copied_with_its_times() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let files = [
            (".fingerprint/tonic-1/lib-tonic", true),
            (".fingerprint/callboard-core-1/lib-callboard_core", false),
            ("build/ring-1/out/libring.a", true),
            ("deps/libtonic-1.rlib", true),
            ("deps/libcallboard_core-1.rlib", false),
            ("deps/short-1", false),
        ];
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(3_600);
        for (file, _) in files {
            let path = from.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        }
        copy(&from, &to).unwrap();
        for (file, is_copied) in files {
            let copied = fs::metadata(to.join(file)).ok();
            assert_eq!(copied.map(|copied| copied.modified().unwrap()), is_copied.then_some(long_ago), "{file}");
        }
    }
}
