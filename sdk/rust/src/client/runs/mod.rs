//! Running tasks over the client's stream of `RunTasks`, as `sdk/SPEC.md` section 3 has it: many tasks and many outcomes in a frame.
//!
//! The [`book`] has the rules, the [`mover`] opens streams and takes what comes in, [`outgoing`] is a stream's sending side. A caller
//! writes its run into the book, wakes the sending side, and waits for its answer: nothing stands between them.

mod book;
mod mover;
mod outgoing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use callboard_proto::v1;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;

use super::{Client, ConnectionInUse};
use crate::error::CallError;
use crate::retry::Backoff;
use crate::{Error, Result, entropy};
use book::{Answer, Book};
use mover::Mover;

/// The runs of a client, and the stream that it has for them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    shared: Arc<Shared>,
}

/// What callers, the mover and the stream's sending side have in common.
#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    book: Book<oneshot::Sender<Answer>>,
    /// The stream that runs are sent on. An older one gets none any more.
    stream: u64,
    /// Wakes its sending side.
    sender: Option<Waker>,
    /// Who opens streams, while there is something to run.
    mover: Option<JoinHandle<()>>,
    /// The connection whose server has no such streams. It is asked again when the client has connected anew, or gone on.
    without: Option<ConnectionInUse>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // The client has gone, and nobody waits any more. The transport has the sending side: it ends by itself.
        let mut state = self.shared.lock();
        state.next_stream();
        if let Some(mover) = state.mover.take() {
            mover.abort();
        }
    }
}

/// A run that was written down.
struct Asked<'a> {
    shared: &'a Shared,
    id: Arc<str>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
    is_answered: bool,
}

impl Asked<'_> {
    /// Waits for what becomes of it, until this time. It is forgotten when nobody waits for it any more.
    async fn answer(mut self, until: Option<Instant>) -> Result<Answer> {
        let answered = match until {
            Some(until) => timeout_at(until, &mut self.answer).await.map_err(|_| too_late(&self.id))?,
            None => (&mut self.answer).await,
        };
        self.is_answered = true;
        answered.map_err(|_| Status::unavailable("the client has ended").into())
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut state = self.shared.lock();
        state.book.forget(Instant::now(), &self.id, self.number);
        state.wake_sender();
    }
}

fn too_late(id: &str) -> Error {
    Error::deadline(format!("the task of run {id} had not ended when the time was over: it goes on, if it was created"))
}

impl State {
    fn wake_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Gives the number of a new stream, and ends the sending side of the one before.
    fn next_stream(&mut self) -> u64 {
        self.stream += 1;
        self.wake_sender();
        self.stream
    }
}

impl Client {
    /// Creates a task and waits for its end, over the stream; by calls, when the server or the run has none.
    pub(super) async fn run_task(
        &self,
        task: v1::TaskSpec,
        request_id: String,
        until: Option<Instant>,
    ) -> Result<Box<v1::Task>> {
        let id: Arc<str> = if request_id.is_empty() { entropy::unique_id().into() } else { request_id.into() };
        let mut task = Box::new(task);
        let mut refusals = Refusals::default();
        loop {
            let answer = match self.ask(&id, task) {
                Ok(asked) => asked.answer(until).await?,
                Err(task) => Answer::NotTaken(task),
            };
            match answer {
                Answer::Ended(ended) => return Ok(ended),
                Answer::Failed(fault) => return Err(fault.into()),
                // Boxed: it is rare and large, and every run would be as large.
                Answer::NotTaken(task) => {
                    return Box::pin(self.run_by_calls(*task, &id, until)).await.map(Box::new);
                }
                Answer::Refused(refused, again) => {
                    refusals.pause_after(refused, self, until).await?;
                    task = again;
                }
            }
        }
    }

    /// Writes a run down, and sees to it that there is a stream. Gives the task back when it can't go over one.
    fn ask(&self, id: &Arc<str>, task: Box<v1::TaskSpec>) -> Result<Asked<'_>, Box<v1::TaskSpec>> {
        let shared = &self.inner.runs.shared;
        let (reply, answer) = oneshot::channel();
        let mut state = shared.lock();
        if state.without.as_ref().is_some_and(|connection| *connection == self.connection_in_use(self.turn())) {
            return Err(task);
        }
        if state.without.take().is_some() {
            tracing::info!("the client has connected anew: the server is asked for streams of runs again");
        }
        let number = state.book.ask(Instant::now(), id, task, reply)?;
        state.wake_sender();
        // It ended without saying so when its runtime did.
        if state.mover.as_ref().is_none_or(JoinHandle::is_finished) {
            let mover = Mover::new(Arc::downgrade(&self.inner), shared.clone());
            state.mover = Some(Handle::current().spawn(mover.run()));
        }
        drop(state);
        Ok(Asked { shared, id: id.clone(), number, answer, is_answered: false })
    }
}

/// How often a run was refused, and since when.
#[derive(Default)]
struct Refusals {
    backoff: Backoff,
    since: Option<Instant>,
}

impl Refusals {
    /// Waits until the run is to be asked for again.
    ///
    /// # Errors
    ///
    /// The refusal, when that can't help, or the client's timeout would be over by then; that the run's own time is over.
    async fn pause_after(&mut self, refused: CallError, client: &Client, until: Option<Instant>) -> Result<()> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let again_at = now + self.backoff.next(refused.retry_after, entropy::fraction());
        let is_late = again_at - since >= client.timeout() || until.is_some_and(|until| until <= again_at);
        if !refused.is_retryable() || is_late {
            return Err(refused.into());
        }
        tracing::debug!(code = ?refused.code, error = %refused, "a run was refused, trying again");
        sleep_until(again_at).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
