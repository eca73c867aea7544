//! Sets up what the demo needs, and becomes it.

use crate::Result;
use crate::venv;
use crate::workspace::{binary, cargo};
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask demo`: builds `callboard`, and runs `callboard demo` with a Python that has the SDK, where we were called.
pub fn run(args: &[String]) -> Result<()> {
    let mut demo = Command::new(build()?);
    demo.arg("demo");
    let chosen = args.iter().any(|arg| arg == "--python" || arg.starts_with("--python="));
    if !chosen && env::var_os("CALLBOARD_DEMO_PYTHON").is_none() {
        eprintln!("== python environment");
        demo.arg("--python").arg(venv::sdk(false)?);
    }
    become_it(demo.args(args))
}

/// In the dev profile: whoever runs the demo on a fresh clone waits for this build. From scratch it took 240 seconds of
/// processor time, a release build 420.
fn build() -> Result<PathBuf> {
    eprintln!("== cargo build");
    let mut build = cargo();
    let status = build.args(["build", "--package", "callboard-cli"]).status()?;
    if status.success() { binary() } else { Err("cargo could not build callboard: see above".into()) }
}

/// Replaces this process, so that Ctrl-C and the exit code are the demo's alone.
#[cfg(unix)]
fn become_it(demo: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = demo.exec();
    Err(format!("{} could not be started: {error}", demo.get_program().display()).into())
}

#[cfg(not(unix))]
fn become_it(demo: &mut Command) -> Result<()> {
    let status = demo.status()?;
    if status.success() { Ok(()) } else { std::process::exit(status.code().unwrap_or(1)) }
}
