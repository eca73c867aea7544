//! The SDKs, and how their drivers are started.

use callboard_tests::program;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// An SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Sdk {
    /// `sdk/rust`.
    Rust,
    /// `sdk/python`.
    Python,
    /// `sdk/typescript`.
    Typescript,
    /// `sdk/go`.
    Go,
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
            Self::Go => "go",
        })
    }
}

impl Sdk {
    /// What starts its driver: see DRIVER.md. The driver of Go can plant defects only when it is built for that.
    ///
    /// # Errors
    ///
    /// When it is not there, with how to get it.
    pub fn command(self, with_defect: bool) -> Result<Command, String> {
        let root = program::root();
        if let Some(line) = std::env::var_os(self.elsewhere()) {
            let line = line.into_string().map_err(|_| format!("{} is no text", self.elsewhere()))?;
            let mut words = line.split_whitespace();
            let mut command = program::command(words.next().ok_or_else(|| format!("{} is empty", self.elsewhere()))?);
            command.args(words);
            return Ok(command);
        }
        match self {
            Self::Rust => Ok(program::command(built(
                &program::target().join("debug/callboard-driver"),
                "cargo build -p callboard-driver",
            )?)),
            Self::Python => {
                let mut command = program::command(program::python());
                command.current_dir(root.join("sdk/python")).args(["-u", "-m", "conformance"]);
                Ok(command)
            }
            Self::Typescript => {
                let folder = root.join("sdk/typescript");
                built(&folder.join("conformance/driver.mjs"), "the driver is not written yet")?;
                let mut command = program::command("node");
                command.current_dir(folder).arg("conformance/driver.mjs");
                Ok(command)
            }
            Self::Go => {
                let name = if with_defect { "driver-go-defects" } else { "driver-go" };
                let driver = program::target().join("conformance").join(name);
                Ok(program::command(built(&driver, "cargo xtask conformance --sdk go")?))
            }
        }
    }
}

impl Sdk {
    /// Names a driver from elsewhere: a command line, whose words are separated by spaces.
    fn elsewhere(self) -> String {
        format!("CALLBOARD_DRIVER_{self}").to_ascii_uppercase()
    }
}

fn built(path: &std::path::Path, remedy: &str) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path.to_owned()) } else { Err(format!("{} is not there: {remedy}", path.display())) }
}
