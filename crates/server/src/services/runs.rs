//! `RunTasks`: many tasks created over one stream, and their ends told, many in a frame.
//!
//! One task of the runtime has it all: it takes frames in, waits for what they asked, and gives frames out when the transport has
//! room. It reads on while nobody reads what it gives. So what waits to be given is bounded: results that there is no room for are
//! read again when their turn comes, and a stream that has let too much lie is ended.

use super::check;
use super::run;
use super::tasks::{Named, Tasks};
use crate::identity::Caller;
use crate::status;
use callboard_core::limits::{MAX_BATCH, MAX_REQUEST_ID};
use callboard_core::model::TaskId;
use callboard_core::validate::Faults;
use callboard_proto::v1;
use callboard_proto::v1::task_outcome::Outcome as Told;
use futures::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

/// How long a new stream may take to send its first frame.
const FIRST: Duration = Duration::from_secs(10);
/// How many runs without an outcome a stream has at most.
const MAX_UNDER_WAY: usize = 4_096;
/// How many outcomes wait for a reader that doesn't read: all that were under way, and as many refusals.
const MAX_READY: usize = 2 * MAX_UNDER_WAY;
/// How many bytes of results all streams keep for readers that are behind.
const KEPT: usize = 64 << 20;
/// What a frame has: at most so many outcomes, and none behind so many bytes.
const MOST: usize = 1_000;
const LARGE: usize = 1 << 20;
/// How long nothing happens before a sign of life.
const QUIET: Duration = Duration::from_secs(10);

pub(super) type Outcomes = Pin<Box<dyn Stream<Item = Result<v1::RunTasksResponse, Status>> + Send>>;

/// Room for the results that wait for their readers, in bytes, of all streams together.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KEPT)))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// Runs tasks.
pub(super) async fn run(tasks: &Tasks, request: Request<Streaming<v1::RunTasksRequest>>) -> Result<Outcomes, Status> {
    let caller = Caller::of(&request)?;
    let mut frames = request.into_inner();
    let first = timeout(FIRST, frames.message()).await;
    let first = first.map_err(|_| status::protocol("runs: no frame came within 10 s; send one with the namespace"))?;
    let first = first.map_err(|broken| status::of_transport(broken, "frame"))?;
    let first = first.ok_or_else(|| status::protocol("runs: the stream ended before its first frame; send one"))?;
    caller.check(&first)?;
    let (sender, outcomes) = mpsc::channel(1);
    let mut running = Running {
        namespace: tasks.namespace(&first.namespace).await?,
        asked_namespace: first.namespace.clone(),
        tasks: tasks.clone(),
        principal: caller.principal(),
        under_way: FuturesUnordered::new(),
        last_run: 0,
        forget: BTreeMap::new(),
        ready: VecDeque::new(),
    };
    running.take(first)?;
    tasks.0.tasks.spawn(running.serve(frames, sender));
    Ok(Box::pin(ReceiverStream::new(outcomes)))
}

/// Which run of a stream: its id, and a number, for an id may be asked for again while it is under way.
type RunKey = (String, u64);

/// What became of a run.
struct Ended {
    run: RunKey,
    outcome: Result<(TaskId, v1::Task), Status>,
}

/// An outcome that waits for its reader.
enum Ready {
    /// With the room that it takes, and gives back when it goes.
    Kept(Box<v1::TaskOutcome>, #[allow(dead_code)] Option<OwnedSemaphorePermit>),
    /// There was no room for its result.
    ToRead { request_id: String, task: TaskId },
}

/// A stream at work.
struct Running {
    tasks: Tasks,
    principal: Arc<str>,
    namespace: Named,
    /// As it was asked: what a repetition is compared by has the request as it came.
    asked_namespace: String,
    under_way: FuturesUnordered<Abortable<BoxFuture<'static, Ended>>>,
    last_run: u64,
    /// What ends each run that is under way, and wanted.
    forget: BTreeMap<RunKey, AbortHandle>,
    ready: VecDeque<Ready>,
}

impl Running {
    async fn serve(
        mut self,
        mut frames: Streaming<v1::RunTasksRequest>,
        sender: mpsc::Sender<Result<v1::RunTasksResponse, Status>>,
    ) {
        let drain = self.tasks.0.drain.clone();
        let (mut asks, mut spoke) = (true, Instant::now());
        let verdict = loop {
            if !asks && self.under_way.is_empty() && self.ready.is_empty() {
                return;
            }
            // What ended comes before what is sent: then one frame has all that ended meanwhile.
            tokio::select! {
                biased;
                () = drain.begun.cancelled() => break status::draining(),
                () = sender.closed() => return,
                Some(ended) = self.under_way.next(), if !self.under_way.is_empty() => self.note(ended),
                Ok(room) = sender.reserve(), if !self.ready.is_empty() => {
                    room.send(Ok(self.frame().await));
                    spoke = Instant::now();
                }
                frame = frames.message(), if asks => match frame {
                    Ok(Some(frame)) => if let Err(status) = self.take(frame) { break status },
                    Ok(None) => asks = false,
                    Err(broken) => break status::of_transport(broken, "frame"),
                },
                () = sleep_until(spoke + QUIET) => {
                    // One that waits to be read is a sign of life, too.
                    let _ = sender.try_send(Ok(v1::RunTasksResponse::default()));
                    spoke = Instant::now();
                }
            }
            if self.ready.len() > MAX_READY {
                break status::slow_reader();
            }
        };
        // Nobody listens when it is gone already.
        let _ = sender.send(Err(verdict)).await;
    }

    /// Takes a frame in: all of its runs, or none if it can't be read.
    fn take(&mut self, frame: v1::RunTasksRequest) -> Result<(), Status> {
        check_frame(&frame)?;
        for request_id in frame.forgotten_ids {
            self.forget_all(request_id);
        }
        for v1::TaskRun { request_id, task } in frame.runs {
            if self.under_way.len() >= MAX_UNDER_WAY {
                self.ready
                    .push_back(Ready::Kept(refused(request_id, &status::too_many_runs(MAX_UNDER_WAY)).into(), None));
                continue;
            }
            let (abort, registration) = AbortHandle::new_pair();
            self.last_run += 1;
            let run = (request_id, self.last_run);
            self.forget.insert(run.clone(), abort);
            self.under_way.push(Abortable::new(self.until_ended(run, task), registration));
        }
        Ok(())
    }

    /// Nobody wants the outcomes any more of what was asked for under this id till now.
    fn forget_all(&mut self, request_id: String) {
        let all = (request_id.clone(), 0)..=(request_id, u64::MAX);
        self.forget.extract_if(all, |_, _| true).for_each(|(_, run)| run.abort());
    }

    /// Creates a task and waits for its end.
    fn until_ended(&self, run: RunKey, task: Option<v1::TaskSpec>) -> BoxFuture<'static, Ended> {
        let (tasks, principal, namespace) = (self.tasks.clone(), self.principal.clone(), self.namespace.clone());
        // As RunTask has it: the same run may be asked for by either.
        let request = v1::RunTaskRequest { namespace: self.asked_namespace.clone(), task, ..Default::default() };
        Box::pin(async move {
            let created = run::create(&tasks, principal, namespace, run.0.clone(), request).await;
            let outcome = match created {
                Ok(created) => created.ended(&tasks).await,
                Err(status) => Err(status),
            };
            Ended { run, outcome }
        })
    }

    fn note(&mut self, ended: Result<Ended, Aborted>) {
        // Nobody wants to know of one that was forgotten.
        let Ok(Ended { run, outcome }) = ended else { return };
        self.forget.remove(&run);
        let (request_id, _) = run;
        let ready = match outcome {
            Err(status) => Ready::Kept(refused(request_id, &status).into(), None),
            Ok((id, task)) => match self.tasks.0.results.take(task.encoded_len()) {
                Some(room) => Ready::Kept(told(request_id, task).into(), Some(room)),
                None => Ready::ToRead { request_id, task: id },
            },
        };
        self.ready.push_back(ready);
    }

    /// The next frame.
    async fn frame(&mut self) -> v1::RunTasksResponse {
        let (mut outcomes, mut bytes) = (Vec::new(), 0);
        while bytes < LARGE && outcomes.len() < MOST {
            let outcome = match self.ready.pop_front() {
                None => break,
                Some(Ready::Kept(outcome, _)) => *outcome,
                Some(Ready::ToRead { request_id, task }) => self.read(request_id, task).await,
            };
            bytes += outcome.encoded_len();
            outcomes.push(outcome);
        }
        v1::RunTasksResponse { outcomes }
    }

    async fn read(&mut self, request_id: String, task: TaskId) -> v1::TaskOutcome {
        match self.tasks.wait(self.namespace.clone(), task, Duration::ZERO).await {
            Ok((task, _)) => told(request_id, task),
            Err(status) => refused(request_id, &status),
        }
    }
}

/// A frame that breaks the protocol ends the stream: without a name nobody could be told what became of a run.
fn check_frame(frame: &v1::RunTasksRequest) -> Result<(), Status> {
    let mut faults = Faults::default();
    let count = frame.runs.len();
    if count > MAX_BATCH {
        faults.add("runs", format!("has {count} entries; at most {MAX_BATCH} in a frame"));
    }
    for (index, run) in frame.runs.iter().enumerate().take(MAX_BATCH) {
        let length = run.request_id.chars().count();
        if !(1..=MAX_REQUEST_ID).contains(&length) {
            let fault = format!("has {length} characters; give 1 to {MAX_REQUEST_ID}: a UUID is enough");
            faults.add(format!("runs[{index}].request_id"), fault);
        }
    }
    check(faults)
}

fn told(request_id: String, task: v1::Task) -> v1::TaskOutcome {
    v1::TaskOutcome { request_id, outcome: Some(Told::Task(task)) }
}

fn refused(request_id: String, status: &Status) -> v1::TaskOutcome {
    v1::TaskOutcome { request_id, outcome: Some(Told::Status(status::to_bytes(status).into())) }
}
