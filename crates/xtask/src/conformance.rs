//! `cargo xtask conformance`: every scenario with every SDK. What CI does of it is among the tests.

use crate::workspace::{binary, cargo, root};
use crate::{Result, command, golang, tools, typescript, venv};
use std::env;
use std::process::Command;

/// What only tells, and needs nothing built but the runner itself.
const TELLING: [&str; 2] = ["--list", "--help"];

/// Runs it with these arguments.
pub fn run(args: &[String]) -> Result<()> {
    let callboard = binary()?;
    let runner = callboard.with_file_name(format!("callboard-conformance{}", env::consts::EXE_SUFFIX));
    // All at once, with the features that the tests have: another selection of packages would be built apart.
    command::quiet(cargo().args(["build", "--workspace", "--bins"]))?;
    let mut conformance = Command::new(runner);
    conformance.current_dir(root()).args(args).env("CALLBOARD_BIN", &callboard);
    if !args.iter().any(|arg| TELLING.contains(&arg.as_str())) {
        set_up(&mut conformance, args)?;
    }
    if conformance.status()?.success() { Ok(()) } else { Err("not every scenario passed: see above".into()) }
}

/// What the asked-for drivers and stores need.
fn set_up(conformance: &mut Command, args: &[String]) -> Result<()> {
    let is_asked_for = |sdk: &str| !args.iter().any(|arg| arg.starts_with("--sdk")) || names(args, sdk);
    if is_asked_for("python") && env::var_os("CALLBOARD_PYTHON").is_none() {
        conformance.env("CALLBOARD_PYTHON", venv::sdk(true)?);
    }
    if is_asked_for("typescript") && is_there("sdk/typescript/conformance") {
        typescript::build(&typescript::install()?)?;
    }
    if is_asked_for("go") && is_there("sdk/go/internal/conformance") {
        golang::driver()?;
    }
    if args.iter().any(|arg| arg.contains("postgres")) {
        conformance.env("CALLBOARD_POSTGRES_BIN", tools::postgres()?);
    }
    Ok(())
}

/// Whether an argument is a list with this SDK.
fn names(args: &[String], sdk: &str) -> bool {
    args.iter().any(|arg| arg.trim_start_matches("--sdk=").split(',').any(|name| name == sdk))
}

fn is_there(driver: &str) -> bool {
    root().join(driver).is_dir()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn an_sdk_is_named_alone_or_in_a_list() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(names(&args("--sdk go"), "go"));
        assert!(names(&args("--sdk=rust,go"), "go"));
        assert!(!names(&args("--sdk rust"), "go"));
    }
}
