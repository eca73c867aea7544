//! `ListOutput` and `WatchOutput`: the store has the output; a signal says when to look.

use super::reading::{self, Reading};
use super::{Answer, Host, check};
use crate::convert::{output, task_id};
use crate::{caller, page, status};
use callboard_core::model::{OutputChunk, Task, TaskId};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_core::working_set::TaskRef;
use callboard_engine::Watch;
use callboard_proto::v1;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Response, Status};

/// How many chunks are read at a time for a watch, and how many bytes of a run's output a message or page has.
const READ: usize = 500;
const BYTES: usize = 2 << 20;
/// How long nothing happens before the place is told again.
const QUIET: Duration = Duration::from_secs(10);

type Chunks = Pin<Box<dyn Stream<Item = Result<v1::WatchOutputResponse, Status>> + Send>>;

/// Which run's output, and from where.
struct Asked {
    task: TaskId,
    /// 0: the latest.
    run: u32,
    offset: u64,
}

impl Asked {
    fn read(task: &str, run: i32, offset: i64) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let task = task_id("task_id", task, &mut faults);
        let run = u32::try_from(run).unwrap_or_else(|_| {
            faults.add("run", format!("is {run}; give a run's number, from 1, or 0 for the latest"));
            0
        });
        let offset = u64::try_from(offset).unwrap_or_else(|_| {
            faults.add("offset", format!("is {offset}; give a byte of the run's output, from 0"));
            0
        });
        check(faults)?;
        Ok(Self { task, run, offset })
    }

    /// The run that is meant.
    fn run_of(&self, task: &Task) -> u32 {
        if self.run == 0 { task.run } else { self.run }
    }
}

async fn row(host: &Host, task: TaskRef) -> Result<Task, Status> {
    let row = host.engine.store().task_row(task).await.map_err(status::of_store)?;
    row.ok_or_else(|| status::of_rejection(Rejection::task_not_found(task.1)))
}

/// Gives a page.
pub(super) async fn list(host: &Host, mut request: v1::ListOutputRequest) -> Answer<v1::ListOutputResponse> {
    let size = page::size(std::mem::take(&mut request.page_size))?;
    let token = std::mem::take(&mut request.page_token);
    let query = page::Query::of("ListOutput", &request);
    // The run too: a task that lives again meanwhile has another latest one.
    let place: Option<(u32, u64)> = query.place("page_token", &token)?;
    let asked = Asked::read(&request.task_id, request.run, request.offset)?;
    let namespace = host.engine.namespace(&caller::namespace(&request.namespace)).await.map_err(status::of_engine)?;
    // That the task is there is looked at for every page: one that was forgotten meanwhile has not ended its output.
    let task = row(host, (namespace, asked.task)).await?;
    let (run, offset) = place.unwrap_or_else(|| (asked.run_of(&task), asked.offset));
    let found = host.engine.store().output((namespace, asked.task, run), offset, size, BYTES).await;
    let found = found.map_err(status::of_store)?;
    let (chunks, end) = fitting(&found.chunks);
    let next = end.filter(|end| *end < found.bytes).map(|end| query.token(&(run, end)));
    Ok(Response::new(v1::ListOutputResponse { chunks, next_page_token: next.unwrap_or_default() }))
}

/// Those that one answer has room for, and where they end.
fn fitting(chunks: &[OutputChunk]) -> (Vec<v1::OutputChunk>, Option<u64>) {
    let mut room = page::Room::new();
    let messages: Vec<_> = chunks.iter().map(output::to_chunk).take_while(|chunk| room.takes(chunk)).collect();
    let end = messages.len().checked_sub(1).and_then(|last| chunks.get(last)).map(OutputChunk::end);
    (messages, end)
}

/// A watch at work.
struct Watching {
    host: Host,
    task: TaskRef,
    run: u32,
    offset: u64,
    signal: Watch,
    ready: Option<v1::WatchOutputResponse>,
    /// When something is told again, though nothing happens.
    quiet_until: Instant,
    /// The run has ended, and what is read from now on is all.
    ended: bool,
    over: bool,
}

/// Begins to watch.
pub(super) async fn watch(host: &Host, request: v1::WatchOutputRequest) -> Result<Chunks, Status> {
    let asked = Asked::read(&request.task_id, request.run, request.offset)?;
    let namespace = host.engine.namespace(&caller::namespace(&request.namespace)).await.map_err(status::of_engine)?;
    // Before the first read: what is committed in between is signalled.
    let signal = host.engine.watch_output(asked.task);
    let task = row(host, (namespace, asked.task)).await?;
    let run = asked.run_of(&task);
    if run > task.run {
        let remedy = format!("its latest run is {}: run {run} has not begun", task.run);
        return Err(status::of_rejection(Rejection::task_state(task.id, task.state.name(), &remedy)));
    }
    let task = (namespace, asked.task);
    let host = host.clone();
    let mut watching = Watching {
        host,
        task,
        run,
        offset: asked.offset,
        signal,
        ready: None,
        quiet_until: Instant::now(),
        ended: false,
        over: false,
    };
    watching.tell(Vec::new());
    Ok(Box::pin(reading::to_end(watching)))
}

impl Reading for Watching {
    type Message = v1::WatchOutputResponse;

    fn take(&mut self) -> Option<Self::Message> {
        self.ready.take()
    }

    fn is_over(&self) -> bool {
        self.over
    }

    async fn advance(&mut self) -> Result<(), Status> {
        let run = (self.task.0, self.task.1, self.run);
        let found = self.host.engine.store().output(run, self.offset, READ, BYTES).await.map_err(status::of_store)?;
        if let (chunks, Some(end)) = fitting(&found.chunks) {
            self.offset = end;
            self.tell(chunks);
            return Ok(());
        }
        if self.ended {
            self.over = true;
            self.tell(Vec::new());
            return Ok(());
        }
        // Asked before output is read once more: then all of an ended run is among it.
        self.ended = self.has_ended().await?;
        if self.ended {
            return Ok(());
        }
        let drain = self.host.drain.clone();
        let changed = tokio::time::timeout_at(self.quiet_until, self.signal.changed());
        if drain.unless(changed).await?.is_err() {
            self.tell(Vec::new());
        }
        Ok(())
    }
}

impl Watching {
    /// Whether nothing more can come of the run: the task has ended, or is in a later one. Fails when the task was forgotten.
    async fn has_ended(&self) -> Result<bool, Status> {
        let task = row(&self.host, self.task).await?;
        Ok(task.run > self.run || !task.is_live())
    }

    fn tell(&mut self, chunks: Vec<v1::OutputChunk>) {
        self.quiet_until = Instant::now() + QUIET;
        self.ready = Some(v1::WatchOutputResponse {
            chunks,
            next_offset: output::to_offset(self.offset),
            run: i32::try_from(self.run).unwrap_or(i32::MAX),
            ended: self.over,
        });
    }
}
