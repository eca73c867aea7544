//! What is measured: a server, agents, and a namespace of our own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard::{Client, v1};
use tempfile::TempDir;
use uuid::Uuid;

use super::agent::ATTACHED;
use super::args::SetupArgs;
use super::clock;
use super::error::Error;
use super::process::Process;
use super::usage::{self, Usage};
use crate::work::guard::Guard;

/// How long a call may take, retries included: the server is busy on purpose.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the server is.
#[derive(Debug, Clone)]
pub enum Target {
    /// One that we start.
    Own,
    /// One that runs already.
    Running {
        /// Where it listens.
        address: String,
    },
}

/// A server with agents. Processes that were started are killed when this is dropped.
pub struct World {
    /// In our namespace.
    pub client: Client,
    agents: Vec<Process>,
    server: Option<Process>,
    server_pid: Option<u32>,
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
        let (server, address) = match target {
            Target::Running { address } => (None, address.clone()),
            Target::Own => {
                let (server, address) = serve(folder.path(), setup, &guard).await?;
                (Some(server), address)
            }
        };
        let server_pid = server.as_ref().map(Process::pid).or(setup.server_pid);
        let namespace = format!("bench-{}", unique());
        let client = Client::builder().address(address).namespace(&namespace).timeout(TIMEOUT).build()?;
        // With the fill of `growth` and many dependents more may be live than the default allows.
        let settings = v1::NamespaceSettings { max_live_tasks: 10_000_000, ..Default::default() };
        client.create_namespace(&namespace, settings).await?;
        Ok(Self { client, agents: Vec::new(), server, server_pid, guard, folder })
    }

    /// Starts agents, and waits until they are attached.
    pub async fn add_agents(&mut self, setup: &SetupArgs) -> Result<(), Error> {
        for number in 1..=setup.agents {
            let slots = setup.slots.to_string();
            self.start_agent(&format!("worker-{number}"), &["--slots", &slots]).await?;
        }
        Ok(())
    }

    async fn start_agent(&mut self, name: &str, args: &[&str]) -> Result<(), Error> {
        let mut all = vec!["bench-agent".to_owned(), "--name".to_owned(), format!("bench-{name}-{}", unique())];
        let addresses = self.client.addresses().join(",");
        all.extend(["--address".to_owned(), addresses, "--namespace".to_owned(), self.client.namespace().to_owned()]);
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let mut agent = Process::start(name, &all, self.folder.path(), &self.guard)?;
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

    /// Ends everything that was started, the server last.
    pub async fn end(self) {
        for agent in self.agents {
            agent.end(&self.guard).await;
        }
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
    let mut args: Vec<String> =
        ["serve", "--listen", "127.0.0.1:0", "--database", "sqlite://bench.db"].map(str::to_owned).to_vec();
    args.extend(setup.serve_arg.iter().cloned());
    let mut server = Process::start("server", &args, folder, guard)?;
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
