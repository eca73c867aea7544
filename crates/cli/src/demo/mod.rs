//! `callboard demo`: a crew of agents reviews a source tree.
//!
//! It shows Callboard at real work, by its public API alone. [`run`] starts a server and the agents (`crew`), creates
//! one task, watches (`progress`), kills an agent on the way (`chaos`), and tells what happened (`timeline`). The
//! agents' work is apart: `agents` are the Rust ones, around `plan`, `rust_review` and `report`; `analyst.py` and
//! `analyse.sh` are the others. They share `findings`.

mod agents;
mod args;
mod chaos;
mod comments;
mod crew;
mod error;
mod findings;
mod language;
mod nesting;
mod plan;
mod portable_path;
mod progress;
mod report;
mod rust_review;
mod rust_visitor;
mod source_text;
mod stage;
mod timeline;

#[cfg(test)]
mod script_tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

pub use agents::run as run_agent;
pub use args::{AgentArgs, Args};
pub use error::Error;

use crew::Crew;
use stage::{Outcome, Stage};

/// Runs the demo.
///
/// # Errors
///
/// When there is no report in the end, or no takeover was seen though one was to be. Every process that was started has
/// ended then, too.
pub async fn run(args: Args) -> Result<(), Error> {
    let began = Instant::now();
    let job = Job::check(&args)?;
    let mut crew = Crew::gather(&args.python).await?;
    let limit = Duration::from_secs(args.give_up_after);
    let outcome = tokio::select! {
        outcome = timeout(limit, review(&mut crew, &job)) => outcome.unwrap_or(Err(Error::TooLong(limit))),
        interrupted = interrupted() => interrupted,
    };
    if outcome.as_ref().is_err_and(|error| !matches!(error, Error::Interrupted)) {
        let _ = write!(std::io::stderr().lock(), "{}", crew.logs());
    }
    crew.dismiss().await;
    tell(&outcome?, &job, began.elapsed())
}

/// What is to be reviewed, and how. Paths are absolute: the agents work in a folder of their own.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    root: PathBuf,
    out: PathBuf,
    chaos: bool,
}

impl Job {
    fn check(args: &Args) -> Result<Self, Error> {
        let refused = |reason: String| Error::Path { path: args.path.clone(), reason };
        let root = args.path.canonicalize().map_err(|error| refused(error.to_string()))?;
        if !root.is_dir() {
            return Err(refused("it is not a folder".to_owned()));
        }
        std::fs::read_dir(&root).map_err(|error| refused(error.to_string()))?;
        let out = check_out(&args.out).map_err(|reason| Error::Out { path: args.out.clone(), reason })?;
        Ok(Self { root, out, chaos: !args.no_chaos })
    }
}

/// The report's absolute path, if it can be written there.
fn check_out(out: &Path) -> Result<PathBuf, String> {
    let absolute = std::path::absolute(out).map_err(|error| error.to_string())?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err("it is not a file's name".to_owned());
    };
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let path = folder.join(name);
    if path.is_dir() {
        return Err("it is a folder".to_owned());
    }
    // A trial, so that nobody waits for a review that then can't be written.
    tempfile::tempfile_in(&folder).map_err(|error| error.to_string())?;
    Ok(path)
}

/// Completes when the user or the system wants the demo to end.
async fn interrupted() -> Result<Outcome, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("cannot listen for SIGTERM"))?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(Error::io("cannot listen for Ctrl-C"))?,
        _ = terminate.recv() => {}
    }
    Err(Error::Interrupted)
}

async fn review(crew: &mut Crew, job: &Job) -> Result<Outcome, Error> {
    let address = crew.start_server().await?;
    // Said in full: the environment is that of the user's own server.
    let client = Client::builder().address(address).namespace("default").build()?;
    Stage::new(crew, client).play(job).await
}

/// Tells what happened, on standard output.
fn tell(outcome: &Outcome, job: &Job, took: Duration) -> Result<(), Error> {
    let report = std::fs::read_to_string(&job.out).map_err(Error::io("cannot read the report back"))?;
    let head = report.split("\n## Size").next().unwrap_or(&report);
    let mut text = format!("\n{}\n\nWho did what:\n\n{}\n", head.trim_end(), outcome.timeline.trim_end());
    if let Some(story) = &outcome.story {
        text.push_str(&format!("\n{story}\n"));
    }
    let summary = &outcome.report;
    text.push_str(&format!(
        "\n{}, {}, {}; {} by {} in {:.1} s. The report: {}\n",
        report::count(summary.files, "file"),
        report::count(summary.lines, "line"),
        report::count(summary.findings, "finding"),
        report::count(outcome.tasks as u64, "task"),
        report::count(outcome.agents as u64, "agent"),
        took.as_secs_f64(),
        job.out.display(),
    ));
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Nobody reads on; the report is written.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::io("cannot write to standard output")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(path: &Path, out: &Path) -> Args {
        let (path, out) = (path.to_owned(), out.to_owned());
        Args { path, out, no_chaos: true, python: "python3".into(), give_up_after: 1 }
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let out = folder.path().join("review.md");
        let refusal = |path: &Path, out: &Path| Job::check(&args(path, out)).unwrap_err().to_string();
        assert!(refusal(&folder.path().join("missing"), &out).contains("missing"));
        assert!(refusal(&file, &out).contains("not a folder"));
        assert!(refusal(folder.path(), folder.path()).contains("it is a folder"));
        assert!(refusal(folder.path(), &folder.path().join("no/review.md")).contains("--out"));
        let job = Job::check(&args(folder.path(), &out)).unwrap();
        assert_eq!(job.out, folder.path().canonicalize().unwrap().join("review.md"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the trial leaves nothing");
    }
}
