//! The version before this one: what an upgrade begins with, and a rollback ends with. It is built from the repository's history.
//!
//! `CALLBOARD_PREVIOUS_BIN` names a binary to be taken instead, of a release, say.

mod compiled;

use crate::program;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What serves: versions that differ elsewhere alone are the same server.
const SERVES: [&str; 7] = [
    "proto",
    "crates/core",
    "crates/engine",
    "crates/proto",
    "crates/server",
    "crates/store",
    ":(exclude)crates/*/tests",
];
/// Names a binary.
const NAMED: &str = "CALLBOARD_PREVIOUS_BIN";
/// A test that is compiled soon, and needs nothing of the server.
const SOME_TEST: &str = "shim";
/// How far back it is looked for.
const COMMITS: &str = "200";
const REMEDY: &str =
    "Get the history (`git fetch --unshallow`), or set CALLBOARD_PREVIOUS_BIN to the `callboard` of an older version";

/// The older `callboard`, built once. Fails the test when there is none, and says what to do. None where it is known that there can't be
/// one, which `cargo xtask test` finds out, and reports.
pub fn callboard() -> Option<PathBuf> {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let can_be = std::env::var_os("CALLBOARD_WITHOUT_HISTORY").is_none();
    can_be.then(|| BINARY.get_or_init(find).clone())
}

/// Whether it is one that somebody named, and may be as old as they like.
pub fn is_named() -> bool {
    std::env::var_os(NAMED).is_some()
}

fn find() -> PathBuf {
    if let Some(path) = std::env::var_os(NAMED) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CALLBOARD_PREVIOUS_BIN: {} is not a file", path.display());
        return path;
    }
    let place = program::target().join("previous");
    let commit =
        commit().unwrap_or_else(|| panic!("the last {COMMITS} commits have no other server than this. {REMEDY}"));
    check_out(&commit, &place);
    build(&place)
}

/// The newest commit whose server differs from the one that lies here.
fn commit() -> Option<String> {
    let listed = git(&["rev-list", "--first-parent", "--max-count", COMMITS, "HEAD"]);
    assert!(listed.status.success(), "the repository has no history: {}. {REMEDY}", said(&listed.stderr));
    said(&listed.stdout).lines().find(|commit| differs(commit)).map(str::to_owned)
}

fn differs(commit: &str) -> bool {
    let compared = git(&[&["diff", "--quiet", commit, "--"][..], &SERVES].concat());
    match compared.status.code() {
        Some(0) => false,
        Some(1) => true,
        _ => panic!("git can't compare with {commit}: {}", said(&compared.stderr)),
    }
}

/// Writes the sources of a commit, with an index of their own: what is the same as the last time is left as it is.
fn check_out(commit: &str, place: &Path) {
    let source = place.join("source");
    let index = place.join("index");
    if !source.join("Cargo.toml").is_file() {
        let _ = std::fs::remove_file(&index);
    }
    std::fs::create_dir_all(&source).expect("a folder for the older version's sources");
    let mut command = in_git();
    command.arg("--work-tree").arg(&source).args(["read-tree", "--reset", "-u", commit]).env("GIT_INDEX_FILE", &index);
    let written = command.output().expect("git runs");
    assert!(written.status.success(), "the sources of {commit} can't be written: {}", said(&written.stderr));
}

/// Builds it in a folder of its own: cargo takes packages at the same place of two workspaces for the same one, so that in a common
/// folder this version's binary would come to have the older one's code. What others wrote it takes from this version's build, as far as
/// the older one wants the same of it.
fn build(place: &Path) -> PathBuf {
    let source = place.join("source");
    if !place.join("debug").exists() {
        compiled::copy(&program::target().join("debug"), &place.join("debug")).expect("what is compiled can be copied");
    }
    // Of all packages, and with a test among them: then cargo chooses the features that it chose when it built this version.
    let wanted = ["--workspace", "--bin", "callboard", "--test", SOME_TEST];
    let as_here = cargo(place, &source, &wanted);
    let built = match as_here.status.success() {
        true => as_here,
        // An older one may not have the test.
        false => cargo(place, &source, &["--package", "callboard-cli", "--bin", "callboard"]),
    };
    assert!(built.status.success(), "the version before this one can't be built: {}", said(&built.stderr));
    let binary = place.join("debug/callboard");
    assert!(binary.is_file(), "cargo did not build {}", binary.display());
    binary
}

fn cargo(place: &Path, source: &Path, wanted: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked"]).args(wanted);
    command.current_dir(source).env("CARGO_TARGET_DIR", place).env_remove("CARGO_BUILD_BUILD_DIR");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    command.output().expect("cargo can be run")
}

fn in_git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(program::root());
    command
}

fn git(args: &[&str]) -> Output {
    in_git().args(args).output().expect("git runs: the version before this one is built from the history")
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}
