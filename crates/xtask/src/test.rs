//! Every check and every test, and all the set-up that they need. `.ci/run` runs this.

use crate::command::{quiet, watched, watched_apart};
use crate::steps::Steps;
use crate::tally::{Running, Tally};
use crate::workspace::{binary, cargo, root, target};
use crate::{Result, buf, deploy, generate, golang, history, lint, python, tools, typescript, venv};
use std::env;
use std::io::{stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// `cargo xtask test`. With `long`, the fault tests run their long form.
pub fn run(long: bool) -> Result<()> {
    let mut steps = Steps::new(stdout());
    let Some(()) = steps.run("tools", tools::check) else { return steps.finish() };
    let python = steps.run("python environment", || venv::sdk(true));
    let buf = steps.run("buf", buf::ensure);
    let deploys = steps.run("deploy environment", deploy::environment);
    lint::add(&mut steps, python.as_ref(), buf.as_ref(), deploys.as_ref());
    steps.run("generate --check", || generate::run(true));
    steps.run_with(python.as_ref(), "pip install ./sdk/python", |python| python::installs(python));
    steps.run("python on protobuf 5.29, 6, 7", python::loads_on_each_protobuf);
    let built = steps.run("cargo build", build);
    let settings = deploys.zip(built.clone());
    steps.run_with(settings.as_ref(), "deploy settings", |(python, binary)| deploy::settings(python, binary));
    let sdk_needs = python.clone().zip(built.clone());
    let sdk = steps.run_with(sdk_needs.as_ref(), "pytest", |(python, binary)| pytest(python, binary));
    steps.note(sdk.clone().unwrap_or_default());
    let typescript_needs = typescript::install().ok().zip(built.clone());
    let typescript =
        steps.run_with(typescript_needs.as_ref(), "typescript test", |(sdk, binary)| typescript::test(sdk, binary));
    steps.note(typescript.clone().unwrap_or_default());
    let go = steps.run_with(built.as_ref(), "go test", |binary| golang::test(binary));
    steps.note(go.clone().unwrap_or_default());
    let postgres = steps.run("postgresql", tools::postgres);
    // Where none are to be had, the tests that need them say what it means.
    steps.run("network tools", tools::network);
    let lacking = history::lacking();
    let history = lacking.is_none();
    let drivers =
        steps.run("conformance drivers", || golang::driver().and_then(|()| typescript::build(&typescript::install()?)));
    let needs = built.zip(python).zip(buf).zip(postgres).zip(drivers);
    let needs =
        needs.map(|((((binary, python), buf), postgres), ())| Needs { binary, python, buf, postgres, history, long });
    let mut tally = Tally::default();
    steps.run_with(needs.as_ref(), "cargo test", |needs| cargo_test(needs, &mut tally));
    steps.note(tally.counts());
    let verdict = steps.finish();
    println!("{}", tally.slowest());
    // The last lines are the test runners' own: who looks only there sees what ran.
    if let Some(lacking) = lacking {
        println!("{lacking}");
    }
    tally.not_run.iter().for_each(|said| println!("{said}"));
    println!("pytest: {}", sdk.as_deref().unwrap_or("FAILED or not run"));
    println!("typescript: {}", typescript.as_deref().unwrap_or("FAILED or not run"));
    println!("go test: {}", go.as_deref().unwrap_or("FAILED or not run"));
    println!("{}", tally.line());
    verdict
}

/// What the Rust tests are given through the environment.
struct Needs {
    binary: PathBuf,
    python: PathBuf,
    buf: PathBuf,
    postgres: PathBuf,
    history: bool,
    long: bool,
}

/// Builds the binary and all tests at once, with the features that `cargo test` uses: another selection of packages
/// would build most dependencies a second time.
fn build() -> Result<PathBuf> {
    quiet(cargo().args(["build", "--workspace", "--all-targets"]))?;
    let binary = binary()?;
    if binary.is_file() { Ok(binary) } else { Err(format!("cargo did not build {}", binary.display()).into()) }
}

fn cargo_test(needs: &Needs, tally: &mut Tally) -> Result<()> {
    let mut command = without_settings(cargo());
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.env("CALLBOARD_BIN", &needs.binary);
    command.env("CALLBOARD_PYTHON", &needs.python);
    command.env("CALLBOARD_BUF", &needs.buf);
    command.env("CALLBOARD_POSTGRES_BIN", &needs.postgres);
    if let Some(previous) = env::var_os(history::INSTEAD) {
        command.env(history::INSTEAD, previous);
    }
    if !needs.history {
        command.env("CALLBOARD_WITHOUT_HISTORY", "1");
    }
    if needs.long {
        command.env("CALLBOARD_LONG", "1");
    }
    let running = Mutex::new(Running::default());
    let locked = || running.lock().unwrap_or_else(PoisonError::into_inner);
    let said = |line: &str| tally.see(line, &locked());
    let succeeded = watched_apart(&mut command, (stdout(), said), (stderr(), |line: &str| locked().see(line)))?;
    tally.succeeded = succeeded;
    if !tally.failures.is_empty() {
        return Err(format!("failed tests:\n  {}", tally.failures.join("\n  ")).into());
    }
    if !tally.succeeded {
        return Err("cargo test failed: see above".into());
    }
    if tally.passed == 0 { Err("cargo test ran no tests".into()) } else { Ok(()) }
}

/// The Python SDK's own tests, some of them against the real server. Returns pytest's last line: `58 passed in 9.1s`.
fn pytest(python: &Path, binary: &Path) -> Result<String> {
    let mut last = String::new();
    let mut command = without_settings(Command::new(python));
    command.current_dir(root().join("sdk/python")).args(["-m", "pytest", "-q", "-ra", "--color=no"]);
    command.env("CALLBOARD_BIN", binary);
    command.arg("-o").arg(format!("cache_dir={}", target().join("pytest").display()));
    let succeeded = watched(&mut command, stdout(), |line| line.clone_into(&mut last))?;
    if succeeded { Ok(last) } else { Err(format!("pytest failed: {last}").into()) }
}

/// A developer's own settings, such as the address of a server, must not reach the tests.
fn without_settings(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CALLBOARD_") {
            command.env_remove(name);
        }
    }
    command
}
