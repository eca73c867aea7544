//! What must be on the machine. A tool that is missing is an error that says how to get it, never a reason to skip.

use crate::Result;
use crate::command;
use crate::venv;
use crate::workspace::cargo;
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
    if let Err(error) = venv::interpreter() {
        missing.push(error.to_string());
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}
