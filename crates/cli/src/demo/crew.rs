//! The processes of the demo: a server and its agents, each as a user would start it.
//!
//! They end with the demo, however it ends: in an orderly way by [`Crew::dismiss`]; killed when the crew is dropped;
//! and by the guard when the demo itself was killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Error;
use super::language::Analyser;
use crate::work::guard::Guard;

/// How long the server may take to say where it listens. It may have to create its database on a busy disk.
const SERVER_START: Duration = Duration::from_secs(30);
/// How long Python may take to import the SDK.
const PYTHON_START: Duration = Duration::from_secs(60);
/// How long processes may take to end when they are asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes at the end of a log that are shown when something failed.
const LOG_TAIL: usize = 2_000;

const ANNOUNCEMENT: &str = "listening on ";

/// What a member of the crew is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Creates the tasks of the others.
    Supervisor,
    /// Analyses Rust files.
    Rust,
    /// Analyses Python files.
    Python,
    /// Analyses all other files, by a shell script.
    Shell,
    /// Writes the report.
    Reviewer,
}

impl Role {
    /// Who does the work of an analyser.
    pub fn of(analyser: Analyser) -> Self {
        match analyser {
            Analyser::Rust => Self::Rust,
            Analyser::Python => Self::Python,
            Analyser::Other => Self::Shell,
        }
    }

    /// What the names of such agents begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Shell => "shell",
            Self::Reviewer => "reviewer",
        }
    }
}

/// The processes, and the folder that they live in.
pub struct Crew {
    members: Vec<Member>,
    /// Dropped after the members and before the folder: kills what is left.
    guard: Guard,
    binary: PathBuf,
    python: PathBuf,
    address: String,
    folder: TempDir,
}

struct Member {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Kept open, so that a server that says more does not fail.
    _output: Option<BufReader<ChildStdout>>,
}

impl Crew {
    /// A crew without members, in a new folder. Python is checked, so that its absence is told before any work is done.
    pub async fn gather(python: &Path) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("callboard-demo-").tempdir();
        let folder = folder.map_err(Error::io("cannot make a temporary folder"))?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        write("analyse.py", include_str!("analyse.py")).map_err(Error::io("cannot write the Python agent"))?;
        write("analyst.py", include_str!("analyst.py")).map_err(Error::io("cannot write the Python agent"))?;
        write("analyse.sh", include_str!("analyse.sh")).map_err(Error::io("cannot write the shell agent"))?;
        let python = resolve_program(python);
        check_python(&python, folder.path()).await?;
        let binary = std::env::current_exe().map_err(Error::io("cannot find this program's own file"))?;
        let guard = Guard::start().map_err(Error::io("cannot start the guard of the demo's processes"))?;
        Ok(Self { members: Vec::new(), guard, binary, python, address: String::new(), folder })
    }

    /// Starts the server; gives its address.
    pub async fn start_server(&mut self) -> Result<String, Error> {
        let mut command = Command::new(&self.binary);
        // The folder is where it runs, so that no path of ours has to be written as a URL.
        command.args(["serve", "--listen", "127.0.0.1:0", "--database", "sqlite://demo.db", "--log-format", "json"]);
        self.spawn("server", command, Stdio::piped())?;
        let announced = timeout(SERVER_START, self.announcement()).await;
        let line =
            announced.map_err(|_| Error::Server(format!("it said nothing for {} s", SERVER_START.as_secs())))??;
        let address = line.trim().strip_prefix(ANNOUNCEMENT);
        self.address = address.ok_or_else(|| Error::Server(format!("it said `{}`", line.trim())))?.to_owned();
        Ok(self.address.clone())
    }

    async fn announcement(&mut self) -> Result<String, Error> {
        let Some(server) = self.members.last_mut() else { return Ok(String::new()) };
        let Some(stdout) = server.child.stdout.take() else { return Ok(String::new()) };
        let mut output = BufReader::new(stdout);
        let mut line = String::new();
        output.read_line(&mut line).await.map_err(Error::io("cannot read what the server says"))?;
        server._output = Some(output);
        Ok(line)
    }

    /// Starts an agent. One that lingers waits in its first task, so that it can be killed there.
    pub fn start_agent(&mut self, role: Role, name: &str, linger: Option<Duration>) -> Result<(), Error> {
        let linger = linger.unwrap_or_default().as_secs().to_string();
        let command = match role {
            Role::Supervisor | Role::Rust | Role::Reviewer => {
                let mut command = Command::new(&self.binary);
                command.args(["demo-agent", role.name(), "--name", name, "--linger", &linger]);
                command
            }
            Role::Python => {
                let mut command = Command::new(&self.python);
                command.args(["analyst.py", name, "--linger", &linger]);
                command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Role::Shell => {
                let mut command = Command::new(&self.binary);
                command.args(["work", "--type", Analyser::Other.task_type(), "--name", name, "--agent-type", "shell"]);
                command.args(["--role", "analyst", "--slots", "2", "--", "sh", "analyse.sh"]);
                command.env("CALLBOARD_DEMO_LINGER", &linger);
                command
            }
        };
        self.spawn(name, command, Stdio::null())
    }

    fn spawn(&mut self, name: &str, mut command: Command, stdout: Stdio) -> Result<(), Error> {
        let failed = |source| Error::Start { name: name.to_owned(), source };
        let log = self.folder.path().join(format!("{name}.log"));
        let stderr = File::create(&log).map_err(failed)?;
        // The user's own settings are for the user's own server.
        for (variable, _) in std::env::vars_os() {
            let ours = variable.to_string_lossy().starts_with("CALLBOARD_");
            if ours && !command.as_std().get_envs().any(|(set, _)| set == variable) {
                command.env_remove(variable);
            }
        }
        if !self.address.is_empty() {
            command.env("CALLBOARD_ADDRESS", &self.address);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = group.ok_or_else(|| failed(io::Error::other("it ended at once")))?;
        self.guard.register(group);
        self.members.push(Member { name: name.to_owned(), child, group, log, _output: None });
        Ok(())
    }

    /// `kill -9`, and nothing else: what the process leaves behind is what a crash would leave.
    pub async fn kill(&mut self, name: &str) -> Result<(), Error> {
        let Some(place) = self.members.iter().position(|member| member.name == name) else { return Ok(()) };
        let mut member = self.members.remove(place);
        member.child.kill().await.map_err(Error::io("cannot kill an agent"))?;
        self.guard.unregister(member.group);
        Ok(())
    }

    /// Fails if a member has ended.
    pub fn check(&mut self) -> Result<(), Error> {
        for member in &mut self.members {
            if let Ok(Some(status)) = member.child.try_wait() {
                return Err(Error::Ended { name: member.name.clone(), status: status.to_string() });
            }
        }
        Ok(())
    }

    /// Asks all to end, the server last, and kills those who don't. Removes the folder.
    pub async fn dismiss(mut self) {
        let agents = self.members.split_off(self.members.len().min(1));
        self.end(agents).await;
        let server = std::mem::take(&mut self.members);
        self.end(server).await;
    }

    async fn end(&self, mut members: Vec<Member>) {
        members.iter().for_each(|member| signal(member.group, Signal::TERM));
        let deadline = Instant::now() + FAREWELL;
        for member in &mut members {
            if timeout_at(deadline, member.child.wait()).await.is_err() {
                signal(member.group, Signal::KILL);
                let _ = member.child.wait().await;
            }
            self.guard.unregister(member.group);
        }
    }

    /// The last lines of every member that said something.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            let log = fs::read(&member.log).unwrap_or_default();
            let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
            if !tail.trim().is_empty() {
                text.push_str(&format!("--- the log of {}:\n{}\n", member.name, tail.trim_end()));
            }
        }
        text
    }
}

fn signal(group: Pid, signal: Signal) {
    // Nobody may be left in it: what was wanted.
    let _ = kill_process_group(group, signal);
}

/// A program given by a path is to be found from another folder, too. Links stay: a virtual environment's Python is
/// one.
fn resolve_program(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        std::path::absolute(program).unwrap_or_else(|_| program.to_owned())
    } else {
        program.to_owned()
    }
}

/// Checks that a Python can import the SDK, from a folder where nothing else can pass for it.
async fn check_python(python: &Path, folder: &Path) -> Result<(), Error> {
    let refused = |reason: String| Error::Python { python: python.to_owned(), reason };
    let mut command = Command::new(python);
    command.args(["-c", "from callboard import Agent"]).current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PYTHON_START, command.output()).await;
    let output = output.map_err(|_| refused("it took too long".to_owned()))?;
    let output = output.map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(said.trim().lines().last().unwrap_or("it failed and said nothing").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_python_without_the_sdk_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let without = folder.path().join("python");
        fs::write(&without, "#!/bin/sh\necho 'Traceback' >&2\necho 'ModuleNotFoundError: No module' >&2\nexit 1\n")
            .unwrap();
        fs::set_permissions(&without, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = check_python(&without, folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("ModuleNotFoundError") && error.contains("pip install ./sdk/python"), "{error}");
        let error = check_python(Path::new("/no/such/python"), folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/python") && error.contains("--python"), "{error}");
    }

    #[test]
    fn programs_are_found_from_another_folder() {
        assert_eq!(resolve_program(Path::new("python3")), Path::new("python3"));
        assert!(resolve_program(Path::new("./venv/bin/python")).is_absolute());
    }
}
