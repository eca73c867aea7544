//! `callboard work`: an agent that runs a program per task, so that any executable in any language is an agent.
//!
//! `runner` runs one program and knows nothing of tasks; `environment`, `control`, `result` and `outcome` translate
//! between a program and a task; this module is the agent.

mod control;
mod environment;
mod group;
pub mod guard;
mod lines;
mod outcome;
mod pipe;
mod result;
mod runner;
mod tail;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use callboard::v1::{Payload, payload::Content};
use callboard::{Agent, Context, Dependency, TaskError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::work::{OutputType, WorkArgs};
use crate::commands::Session;
use crate::error::Error;
use crate::ids;
use crate::output::{self, names};
use control::Control;
use environment::Attempt;
use guard::Guard;
use runner::{Job, Program};

/// How many lines of descriptor 3 wait to be sent on; a program that says more waits.
const CONTROLS: usize = 16;

/// What all tasks of this agent share.
struct Worker {
    program: Program,
    output_type: OutputType,
    address: String,
}

/// Attaches and works until it is drained by SIGTERM or SIGINT, or can't go on.
pub async fn run(session: &Session, args: WorkArgs) -> Result<(), Error> {
    check_program(&args.command)?;
    let mut agent = Agent::builder(&args.agent_type)
        .client(&session.client)
        .slots(i32::from(args.slots))
        .drain_timeout(args.drain_timeout)
        .drain_on_signals(true);
    if let Some(name) = args.name.filter(|name| !name.is_empty()) {
        agent = agent.name(name);
    }
    if let Some(role) = args.role {
        agent = agent.role(role);
    }
    if let Some(health) = args.health {
        agent = agent.health(health);
    }
    agent = args.skill.into_iter().fold(agent, |agent, skill| agent.skill(skill));
    agent = args.tool.into_iter().fold(agent, |agent, tool| agent.tool(tool));
    agent = args.label.into_iter().fold(agent, |agent, (key, value)| agent.label(key, value));

    let command = args.command.into_iter().map(OsString::from).collect();
    let worker = Arc::new(Worker {
        program: Program { command, kill_after: args.kill_after, guard: start_guard() },
        output_type: args.output_type,
        address: session.client.addresses().join(","),
    });
    for task_type in args.task_types {
        let worker = Arc::clone(&worker);
        agent = agent.handle_payload(task_type, move |context, input| {
            let worker = Arc::clone(&worker);
            async move { worker.perform(&context, input).await }
        });
    }

    let agent = agent.spawn()?;
    tracing::info!("agent {} begins; SIGTERM or Ctrl-C drains it", agent.name());
    Ok(agent.join().await?)
}

impl Worker {
    /// Runs the program for one attempt.
    async fn perform(&self, context: &Context, input: Payload) -> Result<Payload, TaskError> {
        let files = Files::write(context).await?;
        let job = self.job(context, input, &files);
        let cancel = CancellationToken::new();
        let (sender, receiver) = mpsc::channel(CONTROLS);
        let work = async { tokio::join!(self.program.run(&job, &cancel, sender), obey(context, &cancel, receiver)) };
        let pass_cancellation_on = async {
            context.cancelled().await;
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let (finished, ()) = tokio::select! {
            done = work => done,
            () = pass_cancellation_on => return Err(TaskError::cancelled()),
        };
        let finished = finished.map_err(|error| {
            TaskError::new(format!("the program could not be run: {error}")).of_type("ProgramNotStarted")
        })?;
        outcome::of(finished, self.output_type).map_err(|failed| {
            tracing::warn!("{}{}: {}", job.label, failed.kind, failed.message.lines().next().unwrap_or_default());
            let error = TaskError::new(failed.message).of_type(failed.kind);
            if failed.retryable { error } else { error.permanent() }
        })
    }

    fn job(&self, context: &Context, input: Payload, files: &Files) -> Job {
        let deadline = context.deadline().and_then(|at| jiff::Timestamp::try_from(at).ok());
        let attempt = Attempt {
            address: self.address.clone(),
            namespace: context.namespace().to_owned(),
            task_id: context.task_id().to_owned(),
            task_type: context.task_type().to_owned(),
            run: context.run(),
            attempt: context.attempt(),
            deadline: deadline.map(|at| at.to_string()),
            input_type: input.content_type.clone(),
            checkpoint_file: files.checkpoint.clone(),
            dependencies_file: files.dependencies.clone(),
            metadata: context.metadata().clone(),
            headers: context.headers().clone(),
        };
        Job {
            input: bytes_of(input),
            environment: environment::variables(attempt),
            label: format!("[{}] ", ids::short(context.task_id())),
        }
    }
}

/// Sends on what the program says, until its descriptor 3 ends. Once the attempt is cancelled nothing more is wanted.
async fn obey(context: &Context, cancel: &CancellationToken, mut controls: mpsc::Receiver<Control>) {
    while let Some(control) = controls.recv().await {
        if let Some(progress) = control.progress {
            context.progress(progress.fraction, progress.phase, progress.message);
        }
        let Some(checkpoint) = control.checkpoint else { continue };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            saved = context.save_checkpoint(&checkpoint) => {
                if let Err(error) = saved {
                    tracing::warn!(task = context.task_id(), "the checkpoint was not saved: {error}");
                }
            }
        }
    }
}

/// What a program is given in files. They are gone when this is dropped.
struct Files {
    checkpoint: Option<OsString>,
    dependencies: Option<OsString>,
    /// Only when there is something to put into it.
    _folder: Option<TempDir>,
}

impl Files {
    async fn write(context: &Context) -> Result<Self, TaskError> {
        let checkpoint = context.checkpoint_payload().cloned().map(bytes_of);
        let dependencies = context.dependencies().await?;
        if checkpoint.is_none() && dependencies.is_empty() {
            return Ok(Self { checkpoint: None, dependencies: None, _folder: None });
        }
        let folder = tempfile::Builder::new().prefix("callboard-").tempdir()?;
        let checkpoint = match checkpoint {
            Some(content) => Some(write(&folder, "checkpoint", &content).await?),
            None => None,
        };
        let dependencies = match dependencies.as_slice() {
            [] => None,
            results => {
                let content: Value = results.iter().map(dependency).collect();
                Some(write(&folder, "dependencies.json", content.to_string().as_bytes()).await?)
            }
        };
        Ok(Self { checkpoint, dependencies, _folder: Some(folder) })
    }
}

async fn write(folder: &TempDir, name: &str, content: &[u8]) -> std::io::Result<OsString> {
    let path = folder.path().join(name);
    tokio::fs::write(&path, content).await?;
    Ok(path.into_os_string())
}

/// The value is what JSON gives, a text as a string, bytes as base64; null when the dependency gave none.
fn dependency(dependency: &Dependency) -> Value {
    let payload = dependency.payload().map(output::json::payload);
    let value =
        payload.as_ref().and_then(|payload| ["json", "text", "base64"].iter().find_map(|form| payload.get(form)));
    json!({
        "task_id": dependency.task_id(),
        "type": dependency.task_type(),
        "key": dependency.key(),
        "name": dependency.name(),
        "state": names::task_state(dependency.state().into()),
        "content_type": payload.as_ref().and_then(|payload| payload.get("content_type")),
        "value": value,
        "failure": dependency.failure().map(output::json::failure),
    })
}

fn bytes_of(payload: Payload) -> Vec<u8> {
    match payload.content {
        Some(Content::Text(text)) => text.into_bytes(),
        Some(Content::Binary(bytes)) => bytes.into(),
        None => Vec::new(),
    }
}

/// Without a guard everything works, but programs outlive a `kill -9` of this process.
fn start_guard() -> Option<Arc<Guard>> {
    match Guard::start() {
        Ok(guard) => Some(Arc::new(guard)),
        Err(error) => {
            tracing::warn!(%error, "no guard: programs will outlive a kill of this process");
            None
        }
    }
}

/// Finds the program before the agent attaches: a misspelt one would take tasks and fail them all.
fn check_program(command: &[String]) -> Result<(), Error> {
    let name = command.first().map(String::as_str).unwrap_or_default();
    let found = if name.contains('/') {
        is_executable(Path::new(name))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| is_executable(&folder.join(name)))
    };
    if found {
        Ok(())
    } else {
        Err(Error::Usage(format!("there is no program `{name}`: give a path, or a name on the PATH")))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    #[test]
    fn a_program_is_found_by_path_or_on_the_path() {
        assert!(check_program(&command("/bin/sh")).is_ok());
        assert!(check_program(&command("sh")).is_ok());
        for missing in ["no-such-program-here", "/bin", "/etc/passwd", ""] {
            let error = check_program(&command(missing)).unwrap_err();
            assert!(error.to_string().contains("give a path"), "{error}");
        }
    }
}
