//! `buf`, in the one version that everybody uses. Its npm package ships the binary.

use crate::Result;
use crate::command;
use crate::workspace::target;
use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "1.75.0";

/// The path of `buf` under the target directory, where it is put when it's missing or has another version.
pub fn ensure() -> Result<PathBuf> {
    let place = target().join("buf");
    let program = place.join(if cfg!(windows) { "node_modules/.bin/buf.cmd" } else { "node_modules/.bin/buf" });
    if is_right(&program) {
        return Ok(program);
    }
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    command::output(npm.arg(&place).arg(format!("@bufbuild/buf@{VERSION}")))?;
    if is_right(&program) {
        return Ok(program);
    }
    let program = program.display();
    Err(format!("npm installed buf {VERSION}, but {program} doesn't run: is npm told to leave out optional packages?")
        .into())
}

fn is_right(program: &PathBuf) -> bool {
    command::output(Command::new(program).arg("--version")).is_ok_and(|version| version.trim() == VERSION)
}
