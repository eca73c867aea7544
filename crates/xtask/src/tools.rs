//! What must be on the machine. A tool that is missing is an error that says how to get it, never a reason to skip.

use crate::Result;
use crate::command;
use crate::golang;
use crate::venv;
use crate::workspace::cargo;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Looks for everything that `lint` and `test` need, and names all that is missing at once.
pub fn check() -> Result<()> {
    let mut missing = Vec::new();
    for component in ["fmt", "clippy"] {
        if command::output(cargo().args([component, "--version"])).is_err() {
            missing.push(format!("`cargo {component}` doesn't run: `rustup component add rustfmt clippy`"));
        }
    }
    for program in ["git", "node", "npm"] {
        if let Err(error) = command::output(Command::new(program).arg("--version")) {
            missing.push(error.to_string());
        }
    }
    let node = command::output(Command::new("node").arg("--version")).unwrap_or_default();
    if is_old(&node) {
        let version = node.trim();
        missing.push(format!(
            "node is {version}, and the TypeScript SDK needs 20.19 or newer: {}",
            command::remedy("node")
        ));
    }
    if let Err(error) = venv::interpreter() {
        missing.push(error.to_string());
    }
    if let Err(error) = golang::check() {
        missing.push(error.to_string());
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

/// Whether a program runs.
pub fn has(program: &str) -> bool {
    command::output(Command::new(program).arg("--version")).is_ok()
}

/// Whether this version of Node.js, `v20.19.0`, is one that the TypeScript SDK's tools don't run on.
fn is_old(node: &str) -> bool {
    let mut parts = node.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    !node.is_empty() && (major, minor) < (20, 19)
}

/// How to get PostgreSQL's server and PgBouncer, which tests start for themselves.
const POSTGRES: &str = "`initdb`, `postgres` and `pg_basebackup` in one folder, or `pgbouncer`, were not found: install PostgreSQL 14 or newer and PgBouncer (Debian, \
     Ubuntu: `apt-get install postgresql pgbouncer`; macOS: `brew install postgresql@17 pgbouncer`); CALLBOARD_POSTGRES_BIN may \
     name that folder";

/// The folder of PostgreSQL's server programs. What is missing, PgBouncer too, is installed, by root and where there is apt-get.
pub fn postgres() -> Result<PathBuf> {
    if let Some(folder) = find_postgres() {
        return Ok(folder);
    }
    install(&["postgresql", "pgbouncer"])?;
    find_postgres().ok_or_else(|| POSTGRES.into())
}

/// `systemd-analyze`, which says whether the unit in `deploy/` is one. It needs no systemd that runs. Installed like PostgreSQL.
pub fn systemd_analyze() -> Result<&'static str> {
    const PROGRAM: &str = "systemd-analyze";
    let runs = || command::output(Command::new(PROGRAM).arg("--version")).map(|_| PROGRAM);
    if runs().is_err() {
        install(&["systemd"])?;
    }
    runs()
}

/// `ip` and `nft`, with which tests make networks that lose packets, where the system lets them. Installed like PostgreSQL. Without
/// them those tests fail.
pub fn network() -> Result<()> {
    let runs = |program: &str| {
        let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        command::output(Command::new(program).arg("-V").env("PATH", path)).is_ok()
    };
    let may_have_one = || command::output(Command::new("unshare").args(["--net", "true"])).is_ok();
    if cfg!(target_os = "linux") && may_have_one() && !(runs("ip") && runs("nft")) {
        install(&["iproute2", "nftables"])?;
    }
    Ok(())
}

/// Installs packages, by root and where there is apt-get; elsewhere nothing happens.
fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        command::output(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(|_| ())
    };
    let is_root = command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if is_root && apt(&["--version"]).is_ok() {
        apt(&["-q", "update"])?;
        apt(&[&["-q", "install", "--yes", "--no-install-recommends"], packages].concat())?;
    }
    Ok(())
}

fn find_postgres() -> Option<PathBuf> {
    let programs = ["initdb", "postgres", "pg_basebackup"];
    let has_all = |folder: &Path| programs.iter().all(|program| folder.join(program).is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian puts what is for root elsewhere.
    let for_root = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut folders = env::split_paths(&path).chain(for_root);
    folders.find(|folder| folder.join("pgbouncer").is_file())?;
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = packaged.map(|version| version.path().join("bin"));
    match env::var_os("CALLBOARD_POSTGRES_BIN") {
        Some(named) => Some(PathBuf::from(named)).filter(|folder| has_all(folder)),
        None => env::split_paths(&path).chain(packaged).find(|folder| has_all(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_old;

    #[test]
    fn node_may_be_new_but_not_old() {
        assert!(is_old("v18.19.1\n") && is_old("v20.18.3"));
        assert!(!is_old("v20.19.0") && !is_old("v22.0.0\n") && !is_old(""));
    }
}
