//! Where PostgreSQL's programs are, and who may run them.

use std::fs;
use std::path::{Path, PathBuf};

/// How to get what is missing.
pub const INSTALL: &str = "install PostgreSQL 14 or newer (Debian, Ubuntu: `apt-get install postgresql`; macOS: `brew install \
     postgresql@17`), or name the folder of its programs in CALLBOARD_POSTGRES_BIN";

/// What is used of it. Some of them alone, linked to another folder, are not enough.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

/// The folder of PostgreSQL's programs.
///
/// # Errors
///
/// Says how to get them.
pub fn find() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("CALLBOARD_POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        let missing = format!("CALLBOARD_POSTGRES_BIN: {PROGRAMS:?} are not all in {}", folder.display());
        return if has_all(&folder) { Ok(folder) } else { Err(missing) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| has_all(folder));
    on_path.or_else(packaged).ok_or_else(|| format!("no PostgreSQL was found: {INSTALL}"))
}

fn has_all(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

/// Where Debian's packages put them, which is not on the path: the newest version.
fn packaged() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin")).filter(|folder| has_all(folder));
    folders.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        version.and_then(|version| version.parse::<u32>().ok())
    })
}

/// The user that runs it: root may not. `None`: whoever we are.
pub fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    // Who we are, without unsafe code: the owner of our own entry.
    let us = fs::metadata("/proc/self").map(|entry| entry.uid()).unwrap_or(1);
    if us != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).unwrap_or((65_534, 65_534)))
}
