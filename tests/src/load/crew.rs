//! Agents in processes of their own, of each kind, that can be killed. What their handlers did stands in a diary: a file that
//! outlives them.

use super::history::{HandlerRun, Said};
use super::work::{SDK, result_of};
use crate::program;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A task whose handler kills its own agent.
pub const POISON: &str = "crew.poison";
/// The variable with the agent's name.
pub const AGENT: &str = "CREW_AGENT";
/// The variable with the diary.
pub const DIARY: &str = "CREW_DIARY";

const SHELL: &str = include_str!("agent.sh");
const PYTHON: &str = include_str!("agent.py");
const TYPESCRIPT: &str = include_str!("agent.mjs");
/// The variable with the TypeScript SDK's module.
const TYPESCRIPT_SDK: &str = "CREW_SDK";
const SIGKILL: i32 = 9;

/// A kind of agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `callboard work` with a shell script.
    Shell,
    /// Of the Python SDK.
    Python,
    /// Of the Rust SDK.
    Rust,
    /// Of the Go SDK.
    Go,
    /// Of the TypeScript SDK.
    TypeScript,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Shell, Self::Python, Self::Rust, Self::Go, Self::TypeScript];

    /// What the names of its agents begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Shell => "shell-",
            Self::Python => "python-",
            Self::Rust => "rust-",
            Self::Go => "go-",
            Self::TypeScript => "typescript-",
        }
    }
}

/// What handlers note, one line each.
#[derive(Debug)]
pub struct Diary(PathBuf);

impl Diary {
    /// The one that this process was started with.
    pub fn from_env() -> Self {
        Self(std::env::var_os(DIARY).map(PathBuf::from).expect("CREW_DIARY: names the diary's file"))
    }

    /// Notes what a handler does. One write: a kill leaves the whole line, or nothing.
    pub fn note(&self, what: &str, task_id: &str, attempt: i32, agent: &str) {
        let line = format!("{what} {task_id} {attempt} {agent}\n");
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the diary can be written");
    }

    /// What handlers ran, by what they noted.
    pub fn read(&self) -> Vec<HandlerRun> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut runs: Vec<HandlerRun> = Vec::new();
        let mut latest: BTreeMap<(String, i32, String), usize> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, task_id, attempt, agent] = words[..] else { panic!("the diary has the line {line:?}") };
            let attempt: i32 = attempt.parse().expect("an attempt is a number");
            let key = (task_id.to_owned(), attempt, agent.to_owned());
            if what == "begin" {
                latest.insert(key, runs.len());
                runs.push(begun(task_id, attempt, agent));
                continue;
            }
            let run = latest.get(&key).map(|index| &mut runs[*index]).expect("a handler begins before it ends");
            run.ended = Some(Duration::ZERO);
            run.gave = Some(match what {
                "completed" => Said::Completed(result_of(task_id, attempt, agent)),
                failure => Said::Failed(failure.to_owned()),
            });
        }
        runs
    }
}

fn begun(task_id: &str, attempt: i32, agent: &str) -> HandlerRun {
    HandlerRun {
        task_id: task_id.to_owned(),
        attempt,
        agent: agent.to_owned(),
        began: Duration::ZERO,
        ended: None,
        gave: None,
        output: String::new(),
        dependencies: Vec::new(),
    }
}

struct Member {
    name: String,
    kind: Kind,
    child: Child,
}

/// Agents that are replaced when they die.
pub struct Crew {
    address: String,
    directory: PathBuf,
    rust_agent: PathBuf,
    /// Of each agent, beside what it must have.
    environment: Vec<(String, String)>,
    members: Vec<Member>,
    hired: u32,
    /// The names of all that died of SIGKILL.
    pub killed: BTreeSet<String>,
}

impl Crew {
    /// Starts agents of these kinds. `rust_agent` is the program of this crate's own.
    pub fn start(address: &str, directory: &Path, rust_agent: impl Into<PathBuf>, kinds: &[Kind]) -> Self {
        Self::start_in(address, directory, rust_agent, kinds, Vec::new())
    }

    /// The same with something in the agents' environment: a library that is loaded in front of them, say.
    pub fn start_in(
        address: &str,
        directory: &Path,
        rust_agent: impl Into<PathBuf>,
        kinds: &[Kind],
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut crew = Self {
            address: address.to_owned(),
            directory: directory.to_owned(),
            rust_agent: rust_agent.into(),
            environment,
            members: Vec::new(),
            hired: 0,
            killed: BTreeSet::new(),
        };
        for kind in kinds {
            crew.hire(*kind, None);
        }
        crew
    }

    /// What handlers noted.
    pub fn diary(&self) -> Diary {
        Diary(self.directory.join("diary"))
    }

    /// Starts an agent: with a new name, or with one that died.
    fn hire(&mut self, kind: Kind, name: Option<String>) {
        self.hired += 1;
        let name = name.unwrap_or_else(|| format!("{}{}", kind.prefix(), self.hired));
        let mut command = match kind {
            Kind::Shell => self.shell(&name),
            Kind::Python => script(program::python(), &["-c", PYTHON]),
            Kind::Rust => Command::from(program::command(&self.rust_agent)),
            Kind::Go => Command::from(program::command(program::go_crew())),
            Kind::TypeScript => {
                let mut command = script("node", &["--input-type=module", "--eval", TYPESCRIPT]);
                command.env(TYPESCRIPT_SDK, program::typescript());
                command
            }
        };
        let log = OpenOptions::new().create(true).append(true).open(self.directory.join("agents.log"));
        command
            .env("CALLBOARD_ADDRESS", &self.address)
            .env(AGENT, &name)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(DIARY, self.directory.join("diary"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .kill_on_drop(true);
        let child = command.spawn().expect("an agent can be started");
        self.members.push(Member { name, kind, child });
    }

    fn shell(&self, name: &str) -> Command {
        let mut command = Command::from(program::command(program::callboard()));
        command.args(["work", "--type", SDK, "--type", POISON, "--slots", "2", "--name", name]);
        command.args(["--", "sh", "-c", SHELL]);
        command
    }

    /// Kills one of a kind, and starts another in its place: half of the time under its name.
    pub async fn kill_one(&mut self, kind: Kind, random: &mut StdRng) {
        let of_kind = (0..self.members.len()).filter(|index| self.members[*index].kind == kind);
        let index = of_kind.choose(random).expect("an agent of the kind");
        let mut member = self.members.swap_remove(index);
        member.child.kill().await.expect("an agent can be killed");
        let status = member.child.wait().await.expect("its end can be awaited");
        assert_eq!(status.signal(), Some(SIGKILL), "agent {} ended by itself: {status}", member.name);
        self.killed.insert(member.name.clone());
        let again = random.random_bool(0.5).then_some(member.name);
        self.hire(member.kind, again);
    }

    /// The process of one.
    pub fn process(&self, name: &str) -> u32 {
        let member = self.members.iter().find(|member| member.name == name);
        member.and_then(|member| member.child.id()).expect("an agent of the crew runs")
    }

    /// How many tasks agents of a kind have done.
    pub fn done(&self, kind: Kind) -> usize {
        let runs = self.diary().read();
        runs.iter().filter(|run| run.ended.is_some() && run.agent.starts_with(kind.prefix())).count()
    }

    /// Replaces those that died by themselves; gives how many did.
    pub fn replace_dead(&mut self) -> usize {
        let mut dead = Vec::new();
        for index in (0..self.members.len()).rev() {
            if let Ok(Some(status)) = self.members[index].child.try_wait() {
                let member = self.members.swap_remove(index);
                assert_eq!(status.signal(), Some(SIGKILL), "agent {} ended by itself: {status}", member.name);
                self.killed.insert(member.name);
                dead.push(member.kind);
            }
        }
        let count = dead.len();
        for kind in dead {
            self.hire(kind, None);
        }
        count
    }

    /// What the agents said.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.directory.join("agents.log")).unwrap_or_default()
    }
}

fn script(language: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::from(program::command(language));
    command.args(arguments);
    command
}

impl Drop for Crew {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the agents' log:\n{}---", self.logs());
        }
    }
}
