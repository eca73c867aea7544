//! The runs of a client that have no outcome yet: what goes into the next frame, what an outcome means, and what a break does. Without
//! I/O and clock, so that every rule can be tested by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;
use tokio::time::Instant;
use tonic::{Code, Status};
use v1::task_outcome::Outcome;

use crate::error::CallError;
use crate::planted::{self, Defect};

/// The most runs, and the most ids of forgotten ones, in a frame.
const MAX_RUNS: usize = 1_000;

/// A frame takes no further run behind so many bytes. One always fits.
const MAX_BYTES: usize = 1 << 20;

/// The most runs without an outcome on a stream, by the protocol.
const MAX_ON_STREAM: usize = 4_096;

/// The most characters of a request id, by the protocol.
const MAX_REQUEST_ID: usize = 128;

/// Room for what a run has beside its task and its id, and the frame around it.
const RUN_BYTES: usize = 32;

/// What became of a run.
#[derive(Debug)]
pub(super) enum Answer {
    /// Its task has ended.
    Ended(Box<v1::Task>),
    /// It was refused. Its task comes back: it may be asked for again.
    Refused(CallError, Box<v1::TaskSpec>),
    /// There was no stream for too long, or will be none.
    Failed(CallError),
    /// The server has no such streams. Its task comes back, to be run by calls.
    NotTaken(Box<v1::TaskSpec>),
}

/// Runs, each with what answers its caller.
#[derive(Debug)]
pub(super) struct Book<R> {
    runs: HashMap<Arc<str>, Run<R>>,
    /// Those of them that are to be sent, by number: in the order in which they were asked.
    unsent: BTreeMap<u64, Arc<str>>,
    /// Those that are on the stream, and that nobody waits for any more.
    forgotten: Vec<Arc<str>>,
    last_number: u64,
    /// When the last run went, if there is none.
    empty_since: Option<Instant>,
}

#[derive(Debug)]
struct Run<R> {
    number: u64,
    task: Box<v1::TaskSpec>,
    bytes: usize,
    asked_at: Instant,
    reply: R,
}

impl<R> Default for Book<R> {
    fn default() -> Self {
        Self { runs: HashMap::new(), unsent: BTreeMap::new(), forgotten: Vec::new(), last_number: 0, empty_since: None }
    }
}

impl<R> Book<R> {
    /// Writes a run down, and gives its number. One that a stream can't have is given back: its id is too long, or is that of another
    /// that is on the stream, so that nobody could tell whose the outcome is; or the task is too large for a frame.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        id: &Arc<str>,
        task: Box<v1::TaskSpec>,
        reply: R,
    ) -> Result<u64, Box<v1::TaskSpec>> {
        let bytes = task.encoded_len() + id.len() + RUN_BYTES;
        let is_named = (1..=MAX_REQUEST_ID).contains(&id.chars().count());
        if !is_named || bytes > MAX_FRAME_BYTES || self.runs.contains_key(id) || self.forgotten.contains(id) {
            return Err(task);
        }
        self.last_number += 1;
        self.empty_since = None;
        self.unsent.insert(self.last_number, id.clone());
        let run = Run { number: self.last_number, task, bytes, asked_at: now, reply };
        self.runs.insert(id.clone(), run);
        Ok(self.last_number)
    }

    /// The caller of this run gave it up. Its task goes on.
    pub(super) fn forget(&mut self, now: Instant, id: &Arc<str>, number: u64) {
        if self.runs.get(id).is_none_or(|run| run.number != number) {
            return;
        }
        if !self.unsent.contains_key(&number) {
            self.forgotten.push(id.clone());
        }
        self.remove(now, id);
    }

    /// The next frame, without its namespace. `None`: there is nothing to say now.
    pub(super) fn next_frame(&mut self) -> Option<v1::RunTasksRequest> {
        // The server may count runs before it forgets: those to be forgotten have their place until then.
        let on_stream = self.runs.len() - self.unsent.len() + self.forgotten.len();
        let runs = self.next_runs(MAX_RUNS.min(MAX_ON_STREAM.saturating_sub(on_stream)));
        let told = self.forgotten.len().min(MAX_RUNS);
        let forgotten_ids: Vec<String> = self.forgotten.drain(..told).map(|id| id.to_string()).collect();
        let says_something = !runs.is_empty() || !forgotten_ids.is_empty();
        says_something.then_some(v1::RunTasksRequest { namespace: String::new(), runs, forgotten_ids })
    }

    fn next_runs(&mut self, most: usize) -> Vec<v1::TaskRun> {
        let mut runs = Vec::with_capacity(most.min(self.unsent.len()));
        let mut bytes = 0;
        while runs.len() < most
            && let Some(next) = self.unsent.first_entry()
        {
            let Some(run) = self.runs.get(next.get()) else {
                next.remove();
                continue;
            };
            bytes += run.bytes;
            if !runs.is_empty() && bytes > MAX_BYTES {
                break;
            }
            let request_id = next.remove().to_string();
            runs.push(v1::TaskRun { request_id, task: Some(run.task.as_ref().clone()) });
        }
        runs
    }

    /// Takes an outcome; `None` when nobody waits for it any more.
    pub(super) fn take(&mut self, now: Instant, outcome: v1::TaskOutcome) -> Option<(R, Answer)> {
        let run = self.remove(now, &outcome.request_id)?;
        let answer = match outcome.outcome {
            Some(Outcome::Task(task)) => Answer::Ended(Box::new(task)),
            Some(Outcome::Status(status)) => Answer::Refused(refusal(status), run.task),
            None => Answer::Failed(Status::internal("the outcome of the run is of a newer protocol").into()),
        };
        Some((run.reply, answer))
    }

    /// The stream is gone: what was on it is to be sent again, in its old place.
    pub(super) fn send_again(&mut self) {
        self.forgotten.clear();
        if planted::has(Defect::RunsNotAskedAgain) {
            return;
        }
        self.unsent = self.runs.iter().map(|(id, run)| (run.number, id.clone())).collect();
    }

    /// Takes out the runs that were asked for at such a time.
    pub(super) fn take_asked(&mut self, now: Instant, at: impl Fn(Instant) -> bool) -> Vec<(R, Box<v1::TaskSpec>)> {
        let ids: Vec<Arc<str>> =
            self.runs.iter().filter(|(_, run)| at(run.asked_at)).map(|(id, _)| id.clone()).collect();
        let taken = ids.iter().filter_map(|id| self.remove(now, id));
        taken.map(|run| (run.reply, run.task)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Since when there has been nothing to run.
    pub(super) fn empty_since(&self) -> Option<Instant> {
        self.empty_since
    }

    fn remove(&mut self, now: Instant, id: &str) -> Option<Run<R>> {
        let run = self.runs.remove(id)?;
        self.unsent.remove(&run.number);
        if self.runs.is_empty() {
            self.empty_since = Some(now);
        }
        Some(run)
    }
}

/// Why a run was refused, if that is for who asked.
pub(super) fn unauthenticated(outcome: &v1::TaskOutcome) -> Option<CallError> {
    let Some(Outcome::Status(status)) = &outcome.outcome else { return None };
    Some(refusal(status.clone())).filter(|fault| fault.code == Code::Unauthenticated)
}

/// The status of a refused run, as a call would have had it.
fn refusal(bytes: prost::bytes::Bytes) -> CallError {
    match tonic_types::Status::decode(bytes.clone()) {
        Ok(status) => Status::with_details(Code::from(status.code), status.message, bytes).into(),
        Err(fault) => Status::internal(format!("the status of a refused run can't be read: {fault}")).into(),
    }
}

#[cfg(test)]
mod tests;
