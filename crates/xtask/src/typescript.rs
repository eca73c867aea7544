//! The TypeScript SDK: what its packages are, its checks of form, and its tests.

use crate::Result;
use crate::command::{output, quiet, watched};
use crate::workspace::{root, target};
use std::fs;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In `node_modules`: the lock file that it was made from. Written last, so that one that was left half made is made again.
const STAMP: &str = "node_modules/.callboard-made-from";

/// Installs what the SDK's lock file says, in the SDK: Node looks for packages nowhere else. Returns the SDK's folder.
pub fn install() -> Result<PathBuf> {
    let sdk = root().join("sdk/typescript");
    let lock = fs::read_to_string(sdk.join("package-lock.json"))?;
    if fs::read_to_string(sdk.join(STAMP)).is_ok_and(|made_from| made_from == lock) {
        return Ok(sdk);
    }
    output(npm(&sdk).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    fs::write(sdk.join(STAMP), lock)?;
    Ok(sdk)
}

/// Builds it, its conformance driver included.
pub fn build(sdk: &Path) -> Result<()> {
    quiet(npm(sdk).args(["run", "--silent", "build"]))
}

/// Types, eslint and prettier.
pub fn lint(sdk: &Path) -> Result<()> {
    quiet(npm(sdk).args(["run", "--silent", "lint"]))
}

/// The SDK's own tests, most of them against the real server; among them one that packs the SDK and installs it elsewhere.
/// Returns how many passed and failed.
pub fn test(sdk: &Path, binary: &Path) -> Result<String> {
    let (mut passed, mut failed) = (String::new(), String::new());
    let mut command = npm(sdk);
    command.args(["test", "--silent"]).env("CALLBOARD_BIN", binary);
    let succeeded = watched(&mut command, stdout(), |line| {
        for (mark, count) in [(" pass ", &mut passed), (" fail ", &mut failed)] {
            // `# pass 3` or, in the form for people, `ℹ pass 3`.
            if let Some((_, number)) = line.split_once(mark).filter(|(head, _)| head.chars().count() == 1) {
                number.clone_into(count);
            }
        }
    })?;
    let counts = format!("{passed} passed, {failed} failed");
    match (succeeded, passed.as_str()) {
        (true, "" | "0") => Err("the TypeScript SDK's tests ran none".into()),
        (true, _) => Ok(counts),
        (false, _) => Err(format!("the TypeScript SDK's tests failed: {counts}").into()),
    }
}

fn npm(sdk: &Path) -> Command {
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.current_dir(sdk).env("npm_config_cache", target().join("npm"));
    npm
}
