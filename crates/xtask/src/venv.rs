//! Python environments under the target directory, made when they are missing or out of date.

use crate::Result;
use crate::command;
use crate::workspace::{root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In an environment: what it was made from. Written last, so that one that was left half made is made again.
const STAMP: &str = "callboard-made-from";

/// Ends with an error unless this Python is new enough and can make environments.
const PROBE: &str = "import sys, venv, ensurepip; assert sys.version_info >= (3, 10); print(sys.version)";

/// The Python of `target/venv`, which has the Python SDK from the source tree; with `dev` also its test tools.
pub fn sdk(dev: bool) -> Result<PathBuf> {
    let project = fs::read_to_string(root().join("sdk/python/pyproject.toml"))?;
    let directory = root().join("sdk/python");
    let requirement = |extra: &str| ["--editable".to_owned(), format!("{}{extra}", directory.display())];
    let (full, bare) = (requirement("[dev]"), requirement(""));
    let place = target().join("venv");
    // The demo is as happy with the developer's environment, and must not take its tools away.
    if dev || current(&place, &stamp(&full, &project)?) {
        make(&place, &full, &project)
    } else {
        make(&place, &bare, &project)
    }
}

/// The Python of the environment at `place` that has these requirements. `basis`: what else it depends on.
pub fn make(place: &Path, requirements: &[String], basis: &str) -> Result<PathBuf> {
    let stamp = stamp(requirements, basis)?;
    let python = python_of(place);
    if current(place, &stamp) {
        return Ok(python);
    }
    let mut venv = Command::new(interpreter()?.0);
    command::output(venv.args(["-m", "venv", "--clear"]).arg(place))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(requirements);
    command::output(&mut pip)?;
    fs::write(place.join(STAMP), stamp)?;
    Ok(python)
}

/// A Python that is new enough, and its version. Its names in the order in which people expect them to win.
pub fn interpreter() -> Result<(&'static str, String)> {
    for name in ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"] {
        if let Ok(version) = command::output(Command::new(name).args(["-c", PROBE])) {
            return Ok((name, version));
        }
    }
    Err(format!("no usable Python was found: {}", command::remedy("python3")).into())
}

fn stamp(requirements: &[String], basis: &str) -> Result<String> {
    Ok(format!("{}\n{}\n{basis}", interpreter()?.1.trim_end(), requirements.join("\n")))
}

fn current(place: &Path, stamp: &str) -> bool {
    fs::read_to_string(place.join(STAMP)).is_ok_and(|made_from| made_from == stamp) && python_of(place).is_file()
}

fn python_of(place: &Path) -> PathBuf {
    place.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}
