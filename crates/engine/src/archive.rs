//! Who keeps finished tasks before retention forgets them. A task is handed over in pieces, so that none is too large for memory:
//! it may have any number of events.

use crate::error::Result;
use crate::shared::Shared;
use callboard_core::model::{Edge, Event, NamespaceId, Timestamp};
use callboard_core::working_set::TaskRef;
use callboard_store::{Error as StoreError, TaskView};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many events are read at a time. An ordinary task has fewer; each may carry a failure with details of 1 MiB.
const EVENTS: usize = 16;
/// How many tasks are read beside each other.
const TASKS: usize = 2;
/// How many pieces may wait to be written.
const PIECES: usize = 2;

/// A place for finished tasks outside of the store.
pub trait Archive: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps tasks, as they come in pieces: each a [`Piece::Task`], its events, and a [`Piece::End`]. Answers when all of them
    /// outlive a crash of the machine, since then they are forgotten. When it fails, or the pieces break off before an end, none
    /// of them is forgotten, and all come again. A task that was kept may come again, too.
    fn keep(&self, now: Timestamp, pieces: mpsc::Receiver<Piece>) -> BoxFuture<'_, std::io::Result<()>>;
}

/// What an archive is handed, in this order.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A task begins.
    Task(Box<ArchivedTask>),
    /// Some of its events, in their order.
    Events(Vec<Event>),
    /// It was whole.
    End,
}

/// A finished task, without its events.
#[derive(Clone, Debug)]
pub struct ArchivedTask {
    /// The name of its namespace.
    pub namespace: Arc<str>,
    /// The task with what is kept beside it.
    pub view: TaskView,
    /// Its dependencies, as far as they are not forgotten themselves.
    pub dependencies: Vec<Edge>,
}

/// A task as it was read, with its first events.
struct Beginning {
    task: TaskRef,
    archived: ArchivedTask,
    events: Vec<Event>,
}

/// Hands those of the tasks to the archive that would be forgotten; gives them when it has them for good. `None`: it failed.
pub(crate) async fn keep(
    shared: &Shared,
    archive: &dyn Archive,
    tasks: &[TaskRef],
    before: Timestamp,
) -> Result<Option<Vec<TaskRef>>> {
    let tasks = shared.store.forgettable_tasks(tasks, before).await?;
    if tasks.is_empty() {
        return Ok(Some(tasks));
    }
    let (pieces, received) = mpsc::channel(PIECES);
    let (kept, sent) = tokio::join!(archive.keep(shared.clock.now(), received), send(shared, tasks, pieces));
    match (kept, sent) {
        (Ok(()), Ok(Some(tasks))) => {
            shared.metrics.archived.inc_by(tasks.len() as u64);
            Ok(Some(tasks))
        }
        // The archive can only say then that the pieces broke off.
        (_, Err(error)) => Err(error),
        (kept, Ok(_)) => {
            let error = kept.err().unwrap_or_else(|| std::io::Error::other("it ended before it had all"));
            shared.metrics.archive_failures.inc();
            tracing::warn!(%error, "finished tasks can't be archived; they are kept, and archived when it can be done");
            Ok(None)
        }
    }
}

/// Reads tasks and hands them over; gives those that went whole. `None`: nobody takes them any more.
async fn send(shared: &Shared, tasks: Vec<TaskRef>, pieces: mpsc::Sender<Piece>) -> Result<Option<Vec<TaskRef>>> {
    let mut sent = Vec::with_capacity(tasks.len());
    let mut reading = futures::stream::iter(tasks).map(|task| begin(shared, task)).buffered(TASKS);
    while let Some(read) = reading.try_next().await? {
        let Some(beginning) = read else { continue };
        let task = beginning.task;
        if !send_one(shared, beginning, &pieces).await? {
            return Ok(None);
        }
        sent.push(task);
    }
    Ok(Some(sent))
}

/// False when nobody takes it.
async fn send_one(shared: &Shared, beginning: Beginning, pieces: &mpsc::Sender<Piece>) -> Result<bool> {
    let Beginning { task, archived, mut events } = beginning;
    let mut taken = pieces.send(Piece::Task(Box::new(archived))).await.is_ok();
    while taken {
        let behind = events.last().filter(|_| events.len() == EVENTS).map(|event| event.sequence);
        taken = pieces.send(Piece::Events(events)).await.is_ok();
        let Some(behind) = behind else { break };
        events = shared.store.task_events(task, behind, EVENTS).await?;
    }
    Ok(taken && pieces.send(Piece::End).await.is_ok())
}

/// `None` when it is to stay: it lives again, another replica has forgotten it, or it can't be read.
async fn begin(shared: &Shared, task: TaskRef) -> Result<Option<Beginning>> {
    let read = match read(shared, task).await {
        // It must not keep all others from being forgotten.
        Err(error @ (StoreError::Corrupt(_) | StoreError::Data(_))) => {
            shared.metrics.archive_failures.inc();
            tracing::warn!(%error, task = %task.1, "a finished task can't be read, and so not be archived; it is kept");
            None
        }
        read => read?,
    };
    let Some((view, dependencies, events)) = read else { return Ok(None) };
    let Some(namespace) = name(shared, task.0).await? else { return Ok(None) };
    let archived = ArchivedTask { namespace, view, dependencies };
    Ok(Some(Beginning { task, archived, events }))
}

type Read = (TaskView, Vec<Edge>, Vec<Event>);

async fn read(shared: &Shared, task: TaskRef) -> callboard_store::Result<Option<Read>> {
    let view = shared.store.task(task).await?;
    let Some(view) = view.filter(|view| !view.task.is_live()) else { return Ok(None) };
    let dependencies = match view.task.dependencies {
        0 => Vec::new(),
        _ => shared.store.dependencies(task).await?,
    };
    let events = shared.store.task_events(task, 0, EVENTS).await?;
    Ok(Some((view, dependencies, events)))
}

/// The name of a namespace, though another replica has just made it.
async fn name(shared: &Shared, namespace: NamespaceId) -> Result<Option<Arc<str>>> {
    if let Some(name) = shared.names.name(namespace) {
        return Ok(Some(name));
    }
    shared.names.refresh(&*shared.store).await?;
    Ok(shared.names.name(namespace))
}
