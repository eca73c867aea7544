//! `cargo xtask chaos`: the fault battery of `tests/faults`. What CI does of it, its short form, is among the tests.

use crate::workspace::{binary, cargo, root};
use crate::{Result, command, tools, typescript, venv};
use std::env;
use std::process::Command;

/// What only tells, and needs nothing built but the battery itself.
const TELLING: [&str; 4] = ["--list", "--table", "--write-table", "--help"];

/// Runs it with these arguments.
pub fn run(args: &[String]) -> Result<()> {
    let callboard = binary()?;
    let battery = callboard.with_file_name(format!("callboard-chaos{}", env::consts::EXE_SUFFIX));
    let tells = args.iter().any(|arg| TELLING.contains(&arg.as_str()));
    // All at once, with the features that the tests have: another selection of packages would be built apart.
    command::quiet(cargo().args(["build", "--workspace", "--bins"]))?;
    let mut chaos = Command::new(battery);
    chaos.current_dir(root()).args(args).env("CALLBOARD_BIN", &callboard);
    // Without git there is no ledger to write to.
    if let Ok(commit) = command::output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root())) {
        // Programs that lie beside the battery may be older than it; a run that is recorded must be of this commit.
        chaos.env("CALLBOARD_BUILT_FROM", commit.trim());
    }
    if !tells {
        typescript::build(&typescript::install()?)?;
        chaos.env("CALLBOARD_POSTGRES_BIN", tools::postgres()?);
        if args.iter().any(|arg| arg == "link-loss") {
            tools::network()?;
        }
        if env::var_os("CALLBOARD_PYTHON").is_none() {
            chaos.env("CALLBOARD_PYTHON", venv::sdk(true)?);
        }
    }
    if chaos.status()?.success() { Ok(()) } else { Err("not everything was kept: see above".into()) }
}
