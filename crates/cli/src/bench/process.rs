//! One process of the measurement: a server, or an agent. It is killed when it is dropped, and by the guard when we were.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::error::Error;
use crate::work::guard::Guard;

/// How long a process may take to say its line.
const START: Duration = Duration::from_secs(120);
/// How long one may take to end.
const FAREWELL: Duration = Duration::from_secs(15);
/// Bytes at the end of a log that are shown when something failed.
const LOG_TAIL: usize = 2_000;

/// A process that was started.
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this very program with these arguments and variables, in this folder, where its log goes, too.
    pub fn start(
        name: &str,
        args: &[String],
        variables: &[(&str, OsString)],
        folder: &Path,
        guard: &Guard,
    ) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(|source| Error::Start { name: name.to_owned(), source })?;
        let mut command = Command::new(program);
        command.args(args).current_dir(folder);
        Self::spawn(name, command, variables, folder, guard)
    }

    /// Starts a shell's command with these variables, where we are; its log goes into the folder.
    pub fn start_worker(
        command: &str,
        variables: &[(&str, OsString)],
        folder: &Path,
        guard: &Guard,
    ) -> Result<Self, Error> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        Self::spawn("worker", shell, variables, folder, guard)
    }

    fn spawn(
        name: &str,
        mut command: Command,
        variables: &[(&str, OsString)],
        folder: &Path,
        guard: &Guard,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Start { name: name.to_owned(), source };
        let log = folder.join(format!("{name}.log"));
        let stderr = File::create(&log).map_err(failed)?;
        // The user's own settings are for the user's own server.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("CALLBOARD_") {
                command.env_remove(variable);
            }
        }
        command.envs(variables.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
        let ended = || failed(std::io::Error::other("it ended at once"));
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or_else(ended)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(ended)?);
        guard.register(group);
        Ok(Self { name: name.to_owned(), child, group, log, output })
    }

    /// Its next line that begins like this, without the beginning.
    pub async fn says(&mut self, beginning: &str) -> Result<String, Error> {
        let mut line = String::new();
        let reason = match timeout(START, self.output.read_line(&mut line)).await {
            Ok(Ok(_)) => match line.trim().strip_prefix(beginning) {
                Some(rest) => return Ok(rest.to_owned()),
                None => format!("it said `{}`", line.trim()),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it said nothing for {} s", START.as_secs()),
        };
        Err(Error::Silent { name: self.name.clone(), reason, log: self.log_tail() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks it to end, and kills it if it doesn't.
    pub async fn end(mut self, guard: &Guard) {
        self.signal(Signal::TERM);
        if timeout(FAREWELL, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
        guard.unregister(self.group);
    }

    fn signal(&self, signal: Signal) {
        // Nobody may be left in it: what was wanted.
        let _ = kill_process_group(self.group, signal);
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).trim_end().to_owned()
    }
}
