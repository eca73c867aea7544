//! The crew's Rust agents: the supervisor, the Rust analyst, the reviewer. Each runs in a process of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard::{Agent, Context, Dependency, NewTask, Receipt, TaskError};
use serde::{Deserialize, Serialize};

use super::args::{AgentArgs, AgentKind};
use super::error::Error;
use super::findings::GroupReview;
use super::language::Analyser;
use super::plan::{self, Group, GroupInput, Skipped};
use super::portable_path;
use super::report::{self, ReportInput, ReportResult};
use super::rust_review;

/// The task type of the plan.
pub const PLAN: &str = "review.plan";
/// The task type of the report.
pub const REPORT: &str = "review.report";
/// The tag that all tasks of the demo have.
pub const TAG: &str = "demo";

/// Bytes and tasks of a batch. The server takes 3 MiB and 1,000; half of it leaves room for all that isn't input.
const BATCH_BYTES: usize = 1536 * 1024;
const BATCH_TASKS: usize = 500;
/// How often the Rust analyst says how far it is.
const TICK: Duration = Duration::from_millis(200);

/// The input of `review.plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInput {
    /// The tree's root, as `portable_path` writes it.
    pub root: String,
    /// Where the report is to go, likewise.
    pub out: String,
}

/// The result of `review.plan`: the tasks created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanResult {
    /// The task of the report.
    pub report: String,
    /// The tasks of the groups.
    pub groups: Vec<PlannedGroup>,
    /// Files in the groups.
    pub files: u64,
}

/// A group's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGroup {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// What it is about, for people.
    pub description: String,
}

/// Runs an agent until it is told to stop.
///
/// # Errors
///
/// When the server won't have it.
pub async fn run(args: AgentArgs) -> Result<(), Error> {
    let agent = |agent_type: &str, role: &str| Agent::builder(agent_type).name(args.name.clone()).role(role);
    let linger = Linger::new(args.linger());
    match args.kind {
        AgentKind::Supervisor => agent("supervisor", "supervisor").handle(PLAN, plan).run().await?,
        AgentKind::Rust => {
            let linger = std::sync::Arc::new(linger);
            let handler = move |context: Context, input: GroupInput| {
                let linger = std::sync::Arc::clone(&linger);
                async move { review_rust(&context, input, &linger).await }
            };
            agent("rust", "analyst").skill("rust").handle(Analyser::Rust.task_type(), handler).run().await?;
        }
        AgentKind::Reviewer => {
            let linger = std::sync::Arc::new(linger);
            let handler = move |context: Context, input: ReportInput| {
                let linger = std::sync::Arc::clone(&linger);
                async move { write_report(&context, input, &linger).await }
            };
            agent("reviewer", "reviewer").handle(REPORT, handler).run().await?;
        }
    }
    Ok(())
}

/// Makes the first task wait, once it has begun: so that this agent can be killed while it has one.
struct Linger(Mutex<Option<Duration>>);

impl Linger {
    fn new(delay: Duration) -> Self {
        Self(Mutex::new(Some(delay).filter(|delay| !delay.is_zero())))
    }

    async fn wait(&self, context: &Context) {
        let delay = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(delay) = delay {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = context.cancelled() => {}
            }
        }
    }
}

/// Runs what blocks away from the threads that handlers share.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

// The supervisor.

/// Lists the tree and creates the other tasks. A second attempt finds the tasks of the first by their request ids.
async fn plan(context: Context, input: PlanInput) -> Result<PlanResult, TaskError> {
    context.progress(0.0, "executing", "listing the tree");
    let root = portable_path::decode(&input.root);
    let out = portable_path::decode(&input.out);
    let listed = root.clone();
    let (groups, files, skipped) = blocking(move || list(&listed, &out)).await?;
    context.progress(0.5, "executing", format!("creating {}", report::count(groups.len() as u64 + 1, "task")));
    let mut planned = Vec::new();
    let batches = batches(&groups, &root)?;
    for (number, batch) in batches.into_iter().enumerate() {
        let descriptions: Vec<_> = batch.iter().map(|task| task.spec().clone()).collect();
        let tasks = batch.into_iter().map(|task| task.request_id(format!("plan/{}/{number}", context.task_id())));
        let receipts = context.client().create_all(tasks).await?;
        planned.extend(receipts.into_iter().zip(descriptions).map(|(receipt, spec)| PlannedGroup {
            id: receipt.task_id,
            task_type: spec.r#type,
            description: spec.description,
        }));
    }
    let report = create_report(&context, &input, skipped, &planned).await?;
    Ok(PlanResult { report: report.task_id, groups: planned, files })
}

/// The groups of a tree. The report itself is left out: a second review of the same tree is to be the same.
fn list(root: &Path, out: &Path) -> (Vec<Group>, u64, Skipped) {
    let mut tree = plan::list_tree(root);
    tree.files.retain(|file| root.join(&file.path) != out);
    (plan::group(&tree.files), tree.files.len() as u64, tree.skipped)
}

fn batches(groups: &[Group], root: &Path) -> Result<Vec<Vec<NewTask>>, TaskError> {
    let mut batches: Vec<Vec<NewTask>> = vec![Vec::new()];
    let mut bytes = 0;
    for group in groups {
        let (task, size) = group_task(group, root)?;
        if let Some(batch) = batches.last()
            && !batch.is_empty()
            && (bytes + size > BATCH_BYTES || batch.len() == BATCH_TASKS)
        {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(task);
        }
    }
    batches.retain(|batch| !batch.is_empty());
    Ok(batches)
}

fn group_task(group: &Group, root: &Path) -> Result<(NewTask, usize), TaskError> {
    let task_type = group.analyser.task_type();
    let folder = group.folder();
    let task = NewTask::new(task_type)
        .tag(TAG)
        .description(format!("{folder}: {}", report::count(group.files.len() as u64, "file")));
    let task = match group.analyser {
        Analyser::Rust | Analyser::Python => task.input(&group.input(root))?,
        // Lines of text are what a shell script can read.
        Analyser::Other => task.input(&group.shell_input(root))?,
    };
    let content = task.spec().input.as_ref().and_then(|input| input.content.as_ref());
    let size = match content {
        Some(callboard::v1::payload::Content::Text(text)) => text.len(),
        Some(callboard::v1::payload::Content::Binary(binary)) => binary.len(),
        None => 0,
    };
    Ok((task, size))
}

async fn create_report(
    context: &Context,
    input: &PlanInput,
    skipped: Skipped,
    groups: &[PlannedGroup],
) -> Result<Receipt, TaskError> {
    let input = ReportInput { root: input.root.clone(), out: input.out.clone(), skipped };
    let report = NewTask::new(REPORT).tag(TAG).description("the report").input(&input)?;
    let report = report.request_id(format!("plan/{}/report", context.task_id()));
    let report = groups.iter().fold(report, |task, group| task.depends_on(&group.id));
    Ok(context.client().create(report).await?)
}

// The Rust analyst.

async fn review_rust(context: &Context, input: GroupInput, linger: &Linger) -> Result<GroupReview, TaskError> {
    let total = input.files.len();
    context.progress(0.0, "executing", format!("{total} files"));
    linger.wait(context).await;
    let done = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&done);
    let review = blocking(move || rust_review::review_group(&input, |files| counter.store(files, Ordering::Relaxed)));
    tokio::pin!(review);
    loop {
        tokio::select! {
            review = &mut review => return Ok(review??),
            () = tokio::time::sleep(TICK) => {
                let done = done.load(Ordering::Relaxed);
                context.progress(done as f64 / total.max(1) as f64, "executing", format!("{done} of {total} files"));
            }
        }
    }
}

// The reviewer.

async fn write_report(context: &Context, input: ReportInput, linger: &Linger) -> Result<ReportResult, TaskError> {
    context.progress(0.0, "reasoning", "reading the results");
    linger.wait(context).await;
    let results: Result<Vec<GroupReview>, _> = context.dependencies().await?.iter().map(group_review).collect();
    let results = results?;
    context.progress(0.5, "executing", "writing the report");
    blocking(move || {
        let review = report::merge(results);
        let text = report::markdown(&review, &tree_name(&input.root), &made(), &input.skipped);
        let out = portable_path::decode(&input.out);
        write_whole(&out, &text)?;
        let size = review.size();
        Ok(ReportResult { out: input.out, files: size.files, lines: size.lines, findings: review.finding_count() })
    })
    .await?
}

/// The result of a group. A program's output comes as JSON or as text.
fn group_review(dependency: &Dependency) -> Result<GroupReview, TaskError> {
    let value = dependency.value::<GroupReview>().or_else(|error| {
        let text = dependency.value::<String>().map_err(|_| error.clone())?;
        serde_json::from_str(&text).map_err(|_| error)
    });
    value.map_err(|error| {
        let (id, kind) = (dependency.task_id(), dependency.task_type());
        TaskError::new(format!("the result of task {id} ({kind}) is not a review: {error}"))
            .of_type("BadResult")
            .permanent()
    })
}

fn tree_name(root: &str) -> String {
    let root = portable_path::decode(root);
    root.file_name().map_or_else(|| "/".to_owned(), |name| portable_path::encode(Path::new(name)))
}

/// The only line of a report that another run changes.
fn made() -> String {
    // A report's date is for people; nothing depends on it.
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("Made by `callboard demo` {} on {now}.", env!("CARGO_PKG_VERSION"))
}

/// Writes a file so that nobody sees half of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let is_special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        return fs::write(path, text);
    }
    let half = half_written(path);
    let written = fs::write(&half, text).and_then(|()| fs::rename(&half, path));
    if written.is_err() {
        let _ = fs::remove_file(&half);
    }
    written
}

fn half_written(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::plan::SourceFile;

    #[test]
    fn batches_are_small_enough_for_a_request() {
        let files = (0..1_000).map(|n| SourceFile { path: format!("{}/{n}.c", "d".repeat(900)).into(), bytes: 1 });
        let group = Group { analyser: Analyser::Other, files: files.collect() };
        let groups = vec![group; 7];
        let batches = batches(&groups, Path::new("/root")).unwrap();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 1]);
        let small = Group { analyser: Analyser::Rust, files: vec![SourceFile { path: "a.rs".into(), bytes: 1 }] };
        let batches = super::batches(&vec![small; 1_100], Path::new("/root")).unwrap();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 100]);
    }

    #[test]
    fn no_groups_make_no_batch() {
        assert!(batches(&[], Path::new("/root")).unwrap().is_empty());
    }

    #[test]
    fn the_report_is_not_reviewed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.md", "review.md"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let (groups, files, _) = list(folder.path(), &folder.path().join("review.md"));
        assert_eq!((groups.len(), files), (1, 1));
    }

    #[test]
    fn a_report_is_written_whole_and_over_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("review.md");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("missing/review.md"), "x").is_err());
    }
}
