//! What is measured: a server, agents, and a namespace of our own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard::{Client, Credentials, v1};
use tempfile::TempDir;
use uuid::Uuid;

use super::agent::{ATTACHED, TASK};
use super::args::SetupArgs;
use super::clock;
use super::error::Error;
use super::process::Process;
use super::usage::{self, Usage};
use crate::args::Global;
use crate::credentials;
use crate::work::guard::Guard;

/// The file of a server of our own.
const DATABASE: &str = "bench.db";
/// How long a call may take, retries included: the server is busy on purpose.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long the first call may take: a server that is not there should be told soon.
const GREETING: Duration = Duration::from_secs(10);

/// Which server is measured, and who we are to it.
pub struct Target {
    /// Where it listens; without one we start our own.
    address: Option<String>,
    credentials: Credentials,
    /// The same for agents, which are processes of their own.
    variables: Vec<(&'static str, OsString)>,
}

impl Target {
    /// By the command line.
    pub fn of(global: &Global) -> Self {
        Self {
            address: global.address_said.then(|| global.address.clone()),
            credentials: credentials::credentials(global),
            variables: credentials::variables(global),
        }
    }

    /// As it is reported.
    pub fn name(&self) -> &str {
        self.address.as_deref().unwrap_or("own")
    }
}

/// A server with agents. Processes that were started are killed when this is dropped.
pub struct World {
    /// In our namespace.
    pub client: Client,
    agents: Vec<Process>,
    server: Option<Process>,
    server_pid: Option<u32>,
    /// What agents are told about who they are.
    variables: Vec<(&'static str, OsString)>,
    /// After the processes and before the folder: kills what is left.
    guard: Guard,
    folder: TempDir,
}

/// The processor time and memory of everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usages {
    /// Of the server, when its process is known.
    pub server: Option<Usage>,
    /// Of this process.
    pub client: Option<Usage>,
    /// Of all agents.
    pub agents: Option<Usage>,
}

impl World {
    /// A server without agents, and a new namespace.
    pub async fn start(target: &Target, setup: &SetupArgs) -> Result<Self, Error> {
        let guard = Guard::start().map_err(Error::io("cannot start the guard of the processes"))?;
        let folder = folder(setup.data.as_deref())?;
        let (server, address) = match &target.address {
            Some(address) => (None, address.clone()),
            None => {
                let (server, address) = serve(folder.path(), setup, &guard).await?;
                (Some(server), address)
            }
        };
        let server_pid = server.as_ref().map(Process::pid).or(setup.server_pid);
        let namespace = format!("bench-{}", unique());
        let builder = Client::builder().address(address).namespace(&namespace);
        let builder = builder.credentials(target.credentials.clone());
        let client = builder.clone().timeout(TIMEOUT).build()?;
        // With the fill of `growth` and many dependents more may be live than the default allows.
        let settings = v1::NamespaceSettings { max_live_tasks: 10_000_000, ..Default::default() };
        builder.timeout(GREETING).build()?.create_namespace(&namespace, settings).await?;
        let variables = target.variables.clone();
        Ok(Self { client, agents: Vec::new(), server, server_pid, variables, guard, folder })
    }

    /// Starts agents, and waits until they are attached.
    pub async fn add_agents(&mut self, setup: &SetupArgs) -> Result<(), Error> {
        self.add_agents_for("worker", TASK, setup).await
    }

    /// The same for other task types, separated by commas.
    pub async fn add_agents_for(&mut self, name: &str, types: &str, setup: &SetupArgs) -> Result<(), Error> {
        for number in 1..=setup.agents {
            let slots = setup.slots.to_string();
            self.start_agent(&format!("{name}-{number}"), &["--slots", &slots, "--handles", types]).await?;
        }
        Ok(())
    }

    /// Starts many agents that take one task at a time, in processes of so many.
    pub async fn add_crowds(&mut self, agents: u64, per_process: u64) -> Result<(), Error> {
        for from in (0..agents).step_by(usize::try_from(per_process).unwrap_or(usize::MAX)) {
            let crowd = per_process.min(agents - from).to_string();
            let args = ["--slots", "1", "--handles", TASK, "--crowd", &crowd];
            self.start_agent(&format!("crowd-{from}"), &args).await?;
        }
        Ok(())
    }

    /// Starts a program of the user's that does tasks, and waits until it says that it is attached.
    pub async fn add_worker(&mut self, command: &str) -> Result<(), Error> {
        let mut variables = self.variables.clone();
        variables.push(("CALLBOARD_ADDRESS", self.client.addresses().join(",").into()));
        variables.push(("CALLBOARD_NAMESPACE", self.client.namespace().into()));
        let mut worker = Process::start_worker(command, &variables, self.folder.path(), &self.guard)?;
        worker.says(ATTACHED).await?;
        self.agents.push(worker);
        Ok(())
    }

    /// Ends the agents, and waits until they have detached.
    pub async fn end_agents(&mut self) {
        for agent in std::mem::take(&mut self.agents) {
            agent.end(&self.guard).await;
        }
    }

    async fn start_agent(&mut self, name: &str, args: &[&str]) -> Result<(), Error> {
        let mut all = vec!["bench-agent".to_owned(), "--name".to_owned(), format!("bench-{name}-{}", unique())];
        let addresses = self.client.addresses().join(",");
        all.extend(["--address".to_owned(), addresses, "--namespace".to_owned(), self.client.namespace().to_owned()]);
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let mut agent = Process::start(name, &all, &self.variables, self.folder.path(), &self.guard)?;
        agent.says(ATTACHED).await?;
        self.agents.push(agent);
        Ok(())
    }

    /// What everybody has used so far.
    pub fn usages(&self) -> Usages {
        let agents: Vec<u32> = self.agents.iter().map(Process::pid).collect();
        Usages {
            server: self.server_pid.and_then(|pid| usage::of(&[pid])),
            client: usage::of(&[std::process::id()]),
            agents: usage::of(&agents),
        }
    }

    /// The sizes of the database and of its write-ahead log, of a server of our own.
    pub fn file_sizes(&self) -> Option<(u64, u64)> {
        self.server.as_ref()?;
        let size = |name: &str| std::fs::metadata(self.folder.path().join(name)).map_or(0, |data| data.len());
        Some((size(DATABASE), size(&format!("{DATABASE}-wal"))))
    }

    /// The end of the log of a server of our own.
    pub fn server_log(&self) -> String {
        self.server.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// Ends everything that was started, the server last.
    pub async fn end(mut self) {
        self.end_agents().await;
        if let Some(server) = self.server {
            server.end(&self.guard).await;
        }
    }
}

/// A folder that is removed with its owner.
pub fn folder(within: Option<&Path>) -> Result<TempDir, Error> {
    let within = within.map_or_else(std::env::temp_dir, PathBuf::from);
    let made = tempfile::Builder::new().prefix("callboard-bench-").tempdir_in(within);
    made.map_err(Error::io("cannot make a folder for the database; say where with --data"))
}

async fn serve(folder: &Path, setup: &SetupArgs, guard: &Guard) -> Result<(Process, String), Error> {
    // The folder is where it runs, so that no path of ours has to be written as a URL.
    let database = format!("sqlite://{DATABASE}");
    let mut args: Vec<String> =
        ["serve", "--listen", "127.0.0.1:0", "--database", &database].map(str::to_owned).to_vec();
    args.extend(setup.serve_arg.iter().cloned());
    let mut server = Process::start("server", &args, &[], folder, guard)?;
    let address = server.says("listening on ").await?;
    Ok((server, address))
}

/// Tells runs apart on a server that goes on running.
fn unique() -> String {
    format!("{:x}-{:x}", std::process::id(), clock::nanoseconds())
}

/// A task's id as it is kept by the thousand.
pub fn parse(id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(id).map_err(|_| Error::Outcome { task: id.to_owned(), fault: "its id is no UUID".to_owned() })
}
