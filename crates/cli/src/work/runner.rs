//! Running one program: standard input, output and error, descriptor 3, and an end that leaves nothing behind. No
//! network here.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use callboard_proto::MAX_PAYLOAD_BYTES;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::control::{self, Control};
use super::group;
use super::guard::Guard;
use super::lines::{Line, Lines};
use super::pipe::{Exit, ProgramPipe};
use super::tail::Tail;

/// The descriptor on which programs say progress and checkpoints.
const CONTROL_FD: i32 = 3;

/// The longest line of standard error that is passed on in one piece.
const MAX_STDERR_LINE: usize = 8 * 1024;

/// How much of the output is read at once.
const CHUNK: usize = 64 * 1024;

/// What to run, for every task alike.
pub struct Program {
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
    /// How long after SIGTERM it is killed.
    pub kill_after: Duration,
    /// Kills what runs when this process is killed.
    pub guard: Option<Arc<Guard>>,
}

/// What to give it, for one task.
pub struct Job {
    /// Its standard input.
    pub input: Vec<u8>,
    /// Variables to set (`Some`) or to take away (`None`).
    pub environment: Vec<(String, Option<OsString>)>,
    /// What begins each line of its standard error.
    pub label: String,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: Output,
    /// The end of what it wrote to standard error.
    pub stderr_tail: String,
    /// It was told to stop, because of the cancellation.
    pub cancelled: bool,
}

/// What a program wrote to standard output.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// All of it.
    Bytes(Vec<u8>),
    /// More than a payload may have; the program was stopped.
    TooLarge,
}

impl Program {
    /// Runs it to its end. `controls` gets what it says on descriptor 3, in order; a slow reader slows the program
    /// down. When this future is dropped, the program and its process group are killed.
    pub async fn run(
        &self,
        job: &Job,
        cancel: &CancellationToken,
        controls: mpsc::Sender<Control>,
    ) -> io::Result<Finished> {
        let Started { mut child, leash, control } = self.start(job)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let exit = Exit::new();
        let overflow = CancellationToken::new();

        let end = async {
            let end = self.end(&mut child, leash.group, cancel, &overflow).await;
            drop(leash);
            exit.announce();
            end
        };
        let (end, (), output, stderr_tail, ()) = tokio::join!(
            end,
            feed(stdin, &job.input, &exit),
            gather(stdout.map(|stdout| exit.pipe(stdout, 0)), &overflow),
            pass_on(stderr.map(|stderr| exit.pipe(stderr, 0)), &job.label),
            listen(exit.pipe(control, control::MAX_LINE), &job.label, controls),
        );
        let (status, cancelled) = end?;
        Ok(Finished { status, output: output?, stderr_tail, cancelled })
    }

    fn start(&self, job: &Job) -> io::Result<Started> {
        let (name, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(writer), child_fd: CONTROL_FD }])
            .map_err(io::Error::other)?;
        for (variable, value) in &job.environment {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        let child = command.spawn()?;
        // The command owns our copy of the writing end: with it, the pipe would never end.
        drop(command);
        let leash = Leash::new(&child, self.guard.clone())?;
        let control = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok(Started { child, leash, control })
    }

    /// Waits for the end, or brings it about. The flag says whether the cancellation did.
    async fn end(
        &self,
        child: &mut Child,
        group: Pid,
        cancel: &CancellationToken,
        overflow: &CancellationToken,
    ) -> io::Result<(ExitStatus, bool)> {
        let cancelled = tokio::select! {
            biased;
            status = child.wait() => return Ok((status?, false)),
            () = cancel.cancelled() => true,
            () = overflow.cancelled() => false,
        };
        group::terminate(group);
        if let Ok(status) = tokio::time::timeout(self.kill_after, child.wait()).await {
            return Ok((status?, cancelled));
        }
        group::kill(group);
        Ok((child.wait().await?, cancelled))
    }
}

struct Started {
    child: Child,
    leash: Leash,
    control: pipe::Receiver,
}

/// Holds a program's process group. Dropped, it kills what is left of it.
struct Leash {
    group: Pid,
    guard: Option<Arc<Guard>>,
}

impl Leash {
    /// The child leads its group, so the group has its id.
    fn new(child: &Child, guard: Option<Arc<Guard>>) -> io::Result<Self> {
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or(io::ErrorKind::NotFound)?;
        if let Some(guard) = &guard {
            guard.register(group);
        }
        Ok(Self { group, guard })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        group::kill(self.group);
        if let Some(guard) = &self.guard {
            guard.unregister(self.group);
        }
    }
}

/// Writes the input and closes the pipe. A program that doesn't read all of it is none the worse.
async fn feed(stdin: Option<ChildStdin>, input: &[u8], exit: &Exit) {
    let Some(mut stdin) = stdin else { return };
    tokio::select! {
        written = stdin.write_all(input) => {
            if let Err(error) = written {
                tracing::debug!(%error, "the program did not read all of its input");
            }
        }
        () = exit.announced() => {}
    }
}

/// Reads the output, up to what a payload may have. What is more sets off `overflow`, and is dropped, so that the
/// program isn't stuck in a write while it is told to stop.
async fn gather<R: AsyncRead + Unpin>(
    stdout: Option<ProgramPipe<R>>,
    overflow: &CancellationToken,
) -> io::Result<Output> {
    let mut output = Vec::new();
    let Some(mut stdout) = stdout else { return Ok(Output::Bytes(output)) };
    let mut chunk = vec![0; CHUNK];
    loop {
        match stdout.read(&mut chunk).await? {
            0 if overflow.is_cancelled() => return Ok(Output::TooLarge),
            0 => return Ok(Output::Bytes(output)),
            _ if overflow.is_cancelled() => {}
            count if output.len() + count > MAX_PAYLOAD_BYTES => {
                overflow.cancel();
                output = Vec::new();
            }
            count => output.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Passes standard error on, line by line, and gives its end.
async fn pass_on<R: AsyncRead + Unpin>(stderr: Option<ProgramPipe<R>>, label: &str) -> String {
    let mut tail = Tail::default();
    let Some(stderr) = stderr else { return tail.text() };
    let mut lines = Lines::new(stderr, MAX_STDERR_LINE);
    let mut ours = tokio::io::stderr();
    while let Ok(Some(Line::Whole(line) | Line::Cut(line))) = lines.next().await {
        tail.push(&line);
        let labelled = [label.as_bytes(), &line, b"\n"].concat();
        // Whoever read our standard error may be gone: the tail is still wanted.
        let _ = ours.write_all(&labelled).await;
    }
    tail.text()
}

/// Understands what comes on descriptor 3.
async fn listen<R: AsyncRead + Unpin>(control: ProgramPipe<R>, label: &str, controls: mpsc::Sender<Control>) {
    let mut lines = Lines::new(control, control::MAX_LINE);
    loop {
        let line = match lines.next().await {
            Ok(Some(Line::Whole(line))) => line,
            Ok(Some(Line::Cut(_))) => {
                tracing::warn!("{label}a line of more than 1 MiB on descriptor 3 was ignored");
                if lines.skip_rest().await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) | Err(_) => return,
        };
        match control::parse(&line) {
            Ok(control) => {
                if controls.send(control).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!("{label}a line on descriptor 3 was ignored: {error}"),
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
