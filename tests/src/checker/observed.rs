//! What the server says: every task, and the whole history of each.

use crate::load::history::History;
use crate::load::work::Work;
use callboard::{Client, OutputChunk, OutputQuery, v1};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// How many tasks are read at the same time.
const READERS: usize = 16;

/// A task and its history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// With its input and result.
    pub task: v1::Task,
    /// Oldest first.
    pub events: Vec<v1::Event>,
    /// The output of its latest run.
    pub output: Vec<OutputChunk>,
}

/// Everything, by task id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// By id.
    pub tasks: BTreeMap<String, Seen>,
    /// Workflows, by id.
    pub workflows: BTreeMap<String, v1::Workflow>,
    /// By how much times of different tasks may be off: replicas have clocks of their own, and each looks at its clock before it
    /// waits for the locks of what others change. What one server decided has times in order.
    pub apart: Duration,
    /// By how much more events' times may be off from what the clocks said by which rates are kept: those of commits are later, and not
    /// all by as much.
    pub late: Duration,
}

impl Observed {
    /// Reads everything in the client's namespace.
    pub async fn read(client: &Client) -> Result<Self, callboard::Error> {
        let listed = client.list(v1::ListTasksRequest { page_size: 1_000, ..Default::default() });
        let ids: Vec<String> = listed.map_ok(|task| task.id).try_collect().await?;
        let read = |id: String| async move {
            let task = client.get(&id).await?;
            let events = client.history(&id).await?;
            let output = match Work::asked(task.spec.as_ref()).output {
                0 => Vec::new(),
                _ => client.output(OutputQuery::task(&id)).try_collect().await?,
            };
            Ok::<_, callboard::Error>((id, Seen { task, events, output }))
        };
        let tasks = futures::stream::iter(ids).map(read).buffer_unordered(READERS);
        let tasks = tasks.try_collect().await?;
        Ok(Self { tasks, workflows: workflows(client).await?, apart: Duration::ZERO, late: Duration::ZERO })
    }

    /// A task's history and what is known of its handlers, for people.
    pub(super) fn tell(&self, task_id: &str, history: &History) -> String {
        let Some(seen) = self.tasks.get(task_id) else { return String::new() };
        let mut told = String::new();
        for event in &seen.events {
            let at = event.at.map(|at| format!("{}.{:06}", at.seconds, at.nanos / 1_000)).unwrap_or_default();
            told += &format!(
                "    {at} {} {} run {} attempt {} {} {}\n",
                event.sequence,
                event.r#type().as_str_name(),
                event.run,
                event.attempt,
                event.agent,
                event.reason
            );
        }
        for run in history.runs.iter().filter(|run| run.task_id == task_id) {
            told += &format!("    {run:?}\n");
        }
        for report in history.reports.iter().filter(|report| report.attempt.task_id == task_id) {
            told += &format!("    {report:?}\n");
        }
        told
    }
}

impl Observed {
    /// Whether something was decided before something else, of another task, as far as times tell.
    pub(super) fn is_before(&self, earlier: i128, later: i128) -> bool {
        earlier <= later + self.apart.as_nanos().cast_signed()
    }
}

impl Observed {
    /// Takes the times at which events were committed for theirs, as far as they are known, and notes how much later they are, some more
    /// than others.
    pub fn go_by_commits(&mut self, committed: impl Fn(&str, i64) -> Option<Duration>) {
        let mut later = Vec::new();
        for (id, seen) in &mut self.tasks {
            for event in &mut seen.events {
                let Some(committed) = committed(id, event.sequence) else { continue };
                let decided = at(event);
                event.at = Some((UNIX_EPOCH + committed).into());
                later.push(at(event) - decided);
            }
        }
        let least_and_most = later.iter().min().zip(later.iter().max());
        let spread = least_and_most.map_or(0, |(least, most)| most - least);
        self.late = Duration::from_nanos(u64::try_from(spread).unwrap_or(u64::MAX));
    }
}

impl Seen {
    /// The events that end runs.
    pub(super) fn ends(&self) -> impl Iterator<Item = &v1::Event> {
        self.events.iter().filter(|event| is_end(event))
    }

    /// How a run ended.
    pub(super) fn end_of(&self, run: i32) -> Option<&v1::Event> {
        self.ends().find(|event| event.run == run)
    }

    /// The event of a type about an attempt.
    pub(super) fn has(&self, event_type: v1::EventType, attempt: i32) -> bool {
        self.events.iter().any(|event| event.r#type() == event_type && event.attempt == attempt)
    }
}

/// Every workflow. A server of a version before them has none.
async fn workflows(client: &Client) -> Result<BTreeMap<String, v1::Workflow>, callboard::Error> {
    let listed = client.list_workflows(v1::ListWorkflowsRequest { page_size: 1_000, ..Default::default() });
    match listed.map_ok(|workflow| (workflow.id.clone(), workflow)).try_collect().await {
        Err(error) if error.code() == Some(tonic::Code::Unimplemented) => Ok(BTreeMap::new()),
        answer => answer,
    }
}

/// Whether an event ends a run.
pub(super) fn is_end(event: &v1::Event) -> bool {
    use v1::EventType as E;
    matches!(event.r#type(), E::Completed | E::Failed | E::Cancelled | E::Skipped)
}

/// Whether an event ends an attempt, and the attempt alone.
pub(super) fn is_attempt_end(event: &v1::Event) -> bool {
    use v1::EventType as E;
    matches!(event.r#type(), E::HandedBack | E::AttemptFailed | E::AttemptTimedOut | E::AttemptLost)
}

/// When an event was decided, in nanoseconds.
pub(super) fn at(event: &v1::Event) -> i128 {
    event.at.map_or(0, |at| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos))
}
