//! Checks of form, over every language in the repository.

use crate::Result;
use crate::command::quiet;
use crate::steps::Steps;
use crate::workspace::{cargo, root, target};
use crate::{buf, deploy, golang, tidy, tools, typescript, venv};
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo xtask lint`.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(stdout());
    if steps.run("tools", tools::check).is_some() {
        let python = steps.run("python environment", || venv::sdk(true));
        let buf = steps.run("buf", buf::ensure);
        let deploys = steps.run("deploy environment", deploy::environment);
        add(&mut steps, python.as_ref(), buf.as_ref(), deploys.as_ref());
    }
    steps.finish()
}

/// Runs the steps of `lint` among others.
pub fn add(steps: &mut Steps, python: Option<&PathBuf>, buf: Option<&PathBuf>, deploys: Option<&PathBuf>) {
    steps.run("tidy", tidy::run);
    steps.run_with(buf, "buf lint", |buf| quiet(Command::new(buf).arg("lint").current_dir(root())));
    steps.run_with(deploys, "deploy", |python| deploy::lint(python));
    steps.run("cargo fmt", || quiet(cargo().args(["fmt", "--all", "--check", "--", "--color=never"])));
    steps.run_with(python, "ruff check", |python| quiet(&mut tool(python, &["ruff", "check"])));
    steps.run_with(python, "ruff format", |python| quiet(&mut tool(python, &["ruff", "format", "--check"])));
    steps.run_with(python, "mypy", |python| quiet(&mut tool(python, &["mypy"])));
    golang::lint(steps);
    let sdk = steps.run("typescript packages", typescript::install);
    steps.run_with(sdk.as_ref(), "typescript lint", |sdk| typescript::lint(sdk));
    steps.run("cargo clippy", || {
        quiet(cargo().args(["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"]))
    });
}

/// A tool of the SDK's environment, run in the SDK. Its cache is kept out of the source tree.
fn tool(python: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.current_dir(root().join("sdk/python")).arg("-m").args(words);
    command.env("RUFF_CACHE_DIR", target().join("ruff")).env("MYPY_CACHE_DIR", target().join("mypy"));
    command
}
