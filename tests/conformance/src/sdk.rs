//! The SDKs, and how their drivers are started.

use callboard_tests::program;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// Names the Rust driver, which cargo builds.
pub const RUST_DRIVER: &str = "CALLBOARD_RUST_DRIVER";

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
    /// What starts its driver: see DRIVER.md.
    ///
    /// # Errors
    ///
    /// When it is not there, with how to get it.
    pub fn command(self) -> Result<Command, String> {
        let root = program::root();
        match self {
            Self::Rust => Ok(program::command(built(&rust_driver(), "cargo build -p callboard-driver")?)),
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
                let driver = program::target().join("conformance/driver-go");
                Ok(program::command(built(&driver, "cargo xtask conformance --sdk go")?))
            }
        }
    }
}

fn rust_driver() -> PathBuf {
    std::env::var_os(RUST_DRIVER).map_or_else(|| program::target().join("debug/callboard-driver"), PathBuf::from)
}

fn built(path: &std::path::Path, remedy: &str) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path.to_owned()) } else { Err(format!("{} is not there: {remedy}", path.display())) }
}
