//! Checks of `deploy/`: `deploy/check.py` does them, in a Python environment of its own.

use crate::Result;
use crate::command::{output, quiet};
use crate::workspace::{root, target};
use crate::{tools, venv};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of an environment with the linters and their schemas.
pub fn environment() -> Result<PathBuf> {
    let requirements = root().join("deploy/requirements.txt");
    let listed = fs::read_to_string(&requirements)?;
    venv::make(
        &target().join("venv-deploy"),
        &["--requirement".to_owned(), requirements.display().to_string()],
        &listed,
    )
}

/// Form and schemas, and what must fit together.
pub fn lint(python: &Path) -> Result<()> {
    let mut check = script(python);
    if cfg!(target_os = "linux") {
        check.arg("--systemd-analyze").arg(tools::systemd_analyze()?);
    }
    quiet(&mut check)
}

/// Whether the settings exist in this binary, and a server would start with them.
pub fn settings(python: &Path, binary: &Path) -> Result<()> {
    output(script(python).arg("--binary").arg(binary)).map(|_| ())
}

fn script(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1").arg("deploy/check.py");
    command
}
