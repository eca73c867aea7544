//! `cargo xtask throughput`: how many durable tasks a second go through each SDK, by the program that each has for that.

use crate::command::{output, quiet};
use crate::workspace::{cargo, root, target};
use crate::{Result, golang, typescript, venv};
use serde_json::Value;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// The SDKs that have such a program.
pub const SDKS: [&str; 4] = ["rust", "python", "typescript", "go"];

/// How many tasks an agent takes at once.
const SLOTS: [u32; 2] = [1, 100];

/// How long a server may take to listen, and an agent to attach: so many times so long.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Only these, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = SDKS)]
    sdk: Vec<String>,
    /// How many tasks.
    #[arg(long, default_value_t = 20_000)]
    tasks: u32,
    /// How many of them are under way at any time.
    #[arg(long, default_value_t = 64)]
    in_flight: u32,
    /// How many tasks that have the system for themselves.
    #[arg(long, default_value_t = 200)]
    idle: u32,
}

/// Measures each SDK with an agent of one slot, and one of a hundred, each on a server of its own.
pub fn run(args: &Args) -> Result<()> {
    let callboard = callboard()?;
    let asked_for = |sdk: &str| args.sdk.is_empty() || args.sdk.iter().any(|name| name == sdk);
    println!("{:<12}{:>6}{:>12}{:>14}{:>14}", "sdk", "slots", "tasks/s", "idle p50 ms", "idle p99 ms");
    for sdk in SDKS.into_iter().filter(|sdk| asked_for(sdk)) {
        let program = Program::build(sdk)?;
        for slots in SLOTS {
            let figures = measure(&callboard, &program, slots, args)?;
            let figure = |name: &str| figures[name].as_f64().unwrap_or_default();
            println!(
                "{sdk:<12}{slots:>6}{:>12.0}{:>14.2}{:>14.2}",
                figure("tasks_per_second"),
                figure("idle_p50_ms"),
                figure("idle_p99_ms")
            );
        }
    }
    Ok(())
}

/// The binary that `CALLBOARD_BIN` names, or that of the release profile, brought up to date.
fn callboard() -> Result<PathBuf> {
    if let Some(given) = env::var_os("CALLBOARD_BIN") {
        return Ok(given.into());
    }
    quiet(cargo().args(["build", "--release", "--package", "callboard-cli"]))?;
    Ok(target().join(format!("release/callboard{}", env::consts::EXE_SUFFIX)))
}

fn measure(callboard: &Path, program: &Program, slots: u32, args: &Args) -> Result<Value> {
    let server = Server::start(callboard)?;
    let _agent = Process(program.command(&server.address).args(["agent", "--slots", &slots.to_string()]).spawn()?);
    server.wait_for_agent(callboard)?;
    let numbers = [("--tasks", args.tasks), ("--in-flight", args.in_flight), ("--idle", args.idle)];
    let mut client = program.command(&server.address);
    client.arg("client").args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
    Ok(serde_json::from_str(&output(&mut client)?)?)
}

/// An SDK's program.
struct Program {
    program: PathBuf,
    args: Vec<PathBuf>,
    directory: PathBuf,
}

impl Program {
    fn build(sdk: &str) -> Result<Self> {
        let directory = root().join("sdk").join(sdk);
        let (program, args) = match sdk {
            "rust" => {
                let example = ["build", "--release", "--package", "callboard", "--example", "throughput"];
                quiet(cargo().args(example))?;
                (target().join(format!("release/examples/throughput{}", env::consts::EXE_SUFFIX)), Vec::new())
            }
            "python" => (venv::sdk(true)?, vec!["benchmarks/throughput.py".into()]),
            "typescript" => {
                typescript::build(&typescript::install()?)?;
                ("node".into(), vec!["benchmarks/throughput.mjs".into()])
            }
            _ => (golang::throughput()?, Vec::new()),
        };
        Ok(Self { program, args, directory })
    }

    fn command(&self, address: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.directory).env("CALLBOARD_ADDRESS", address);
        command
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with a new file.
struct Server {
    address: String,
    // In the order in which they are to go.
    _process: Process,
    _directory: TempDir,
}

impl Server {
    fn start(callboard: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let database = format!("sqlite://{}", directory.path().join("callboard.db").display());
        let mut command = Command::new(callboard);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--database", &database]);
        let mut process = Process(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut said = String::new();
        if let Some(stdout) = &mut process.0.stdout {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let address =
            said.trim().strip_prefix("listening on ").ok_or("the server did not begin to listen: see above")?;
        Ok(Self { address: address.to_owned(), _process: process, _directory: directory })
    }

    fn wait_for_agent(&self, callboard: &Path) -> Result<()> {
        for _ in 0..TRIES {
            let list = ["--address", &self.address, "--output", "json", "agent", "list", "--state", "attached"];
            let agents: Value = serde_json::from_str(&output(Command::new(callboard).args(list))?)?;
            if agents["agents"].as_array().is_some_and(|agents| !agents.is_empty()) {
                return Ok(());
            }
            sleep(PAUSE);
        }
        Err("the agent did not attach".into())
    }
}
