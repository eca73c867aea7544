//! Opens the stream of a client's runs, hands out what comes in, and opens it again when it breaks.

use std::error::Error as _;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use callboard_proto::v1;
use callboard_proto::v1::task_service_client::TaskServiceClient;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::codegen::http::HeaderValue;
use tonic::{Code, Status, Streaming};

use super::Shared;
use super::book::{Answer, unauthenticated};
use super::outgoing::Outgoing;
use crate::client::call::out_of_time;
use crate::client::resume::{ended_early, silent};
use crate::client::{Client, ConnectionInUse, Inner};
use crate::entropy;
use crate::error::{CallError, reason_name};
use crate::retry::Backoff;

/// A stream is ended when there was nothing to run for so long.
const IDLE: Duration = Duration::from_secs(10);

/// The server says something every 10 s: a stream that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// How long the server may take to end a stream whose other side has ended.
const CLOSING: Duration = Duration::from_secs(1);

/// One for each client, while it has something to run.
pub(super) struct Mover {
    /// Weak: a client that nobody has any more ends it.
    client: Weak<Inner>,
    shared: Arc<Shared>,
    backoff: Backoff,
    /// Since when no stream could be opened.
    unopened_since: Option<Instant>,
}

/// What a stream was opened with.
struct Opened {
    turn: usize,
    authorization: Option<HeaderValue>,
}

/// Why a stream is gone.
enum Gone {
    /// There was nothing to run.
    Idle,
    /// It broke, or was not to be had.
    Broken(CallError),
    /// The server doesn't want it, and says so itself.
    Refused(CallError),
}

impl Mover {
    pub(super) fn new(client: Weak<Inner>, shared: Arc<Shared>) -> Self {
        Self { client, shared, backoff: Backoff::default(), unopened_since: None }
    }

    /// Has a stream for as long as there is something to run.
    pub(super) async fn run(mut self) {
        while let Some(client) = self.client().filter(|_| self.shared.has_work()) {
            let opened = Opened { turn: client.turn(), authorization: client.identity().authorization() };
            let (opening, limit) = (self.open(&client, opened.turn), client.timeout());
            drop(client);
            let gone = self.serve(&opened, opening, limit).await;
            self.shared.end_stream();
            match gone {
                Gone::Idle => {}
                Gone::Broken(fault) => self.pause(&opened, fault).await,
                Gone::Refused(fault) => self.give_up(&opened, fault),
            }
        }
    }

    fn client(&self) -> Option<Client> {
        self.client.upgrade().map(|inner| Client { inner })
    }

    fn open(
        &self,
        client: &Client,
        turn: usize,
    ) -> impl Future<Output = Result<Streaming<v1::RunTasksResponse>, Status>> + use<> {
        let outgoing = Outgoing::begin(&self.shared, client.namespace());
        let mut tasks = TaskServiceClient::new(client.channel_in_turn(turn))
            .max_decoding_message_size(callboard_proto::MAX_MESSAGE_BYTES);
        async move { Ok(tasks.run_tasks(outgoing).await?.into_inner()) }
    }

    /// Hands out outcomes until the stream is gone.
    async fn serve(
        &mut self,
        opened: &Opened,
        opening: impl Future<Output = Result<Streaming<v1::RunTasksResponse>, Status>>,
        limit: Duration,
    ) -> Gone {
        self.unopened_since.get_or_insert_with(Instant::now);
        let mut frames = match timeout(limit, opening).await {
            Ok(Ok(frames)) => frames,
            Ok(Err(status)) => return Gone::by(status),
            Err(_elapsed) => return Gone::Broken(out_of_time()),
        };
        self.unopened_since = None;
        let mut heard_at = Instant::now();
        let mut look = pin!(sleep(IDLE));
        loop {
            tokio::select! {
                biased;
                frame = frames.message() => match frame {
                    Ok(Some(frame)) => {
                        heard_at = Instant::now();
                        self.backoff.reset();
                        if let Some(fault) = self.take(opened, heard_at, frame) {
                            return Gone::Refused(fault);
                        }
                    }
                    Ok(None) => return Gone::Broken(ended_early()),
                    Err(status) => return Gone::by(status),
                },
                () = &mut look => {
                    let now = Instant::now();
                    let Some(idle_at) = self.shared.next_look(now) else {
                        // A stream that was ended in order is no cancelled one to the server.
                        let _ = timeout(CLOSING, async { while let Ok(Some(_)) = frames.message().await {} }).await;
                        return Gone::Idle;
                    };
                    if heard_at + SILENCE <= now {
                        return Gone::Broken(silent());
                    }
                    look.as_mut().reset(idle_at.min(heard_at + SILENCE));
                }
            }
        }
    }

    /// Hands out the outcomes of a frame. A run that was refused for a token that has been changed since stays, for a stream with the new
    /// one: then this gives why.
    fn take(&self, opened: &Opened, now: Instant, mut frame: v1::RunTasksResponse) -> Option<CallError> {
        let refused = frame.outcomes.iter().find_map(unauthenticated).filter(|fault| self.is_renewed(opened, fault));
        if refused.is_some() {
            frame.outcomes.retain(|outcome| unauthenticated(outcome).is_none());
        }
        self.shared.take(now, frame);
        refused
    }

    /// Whether there is another token now than the stream was opened with.
    fn is_renewed(&self, opened: &Opened, fault: &CallError) -> bool {
        self.client().is_some_and(|client| client.identity().is_renewed(fault, opened.authorization.as_ref()))
    }

    /// Waits until a stream is to be opened again. Runs for which the client's timeout is over by then end with the fault.
    async fn pause(&mut self, opened: &Opened, fault: CallError) {
        let Some(client) = self.client() else { return };
        tracing::debug!(error = %fault, "the stream of runs is gone, opening another");
        client.leave(opened.turn);
        let now = Instant::now();
        let again_at = now + self.backoff.next(fault.retry_after, entropy::fraction());
        let unopened_since = self.unopened_since.unwrap_or(now);
        let waits = |asked_at: Instant| again_at.saturating_duration_since(asked_at.max(unopened_since));
        self.shared.fail(now, &fault, |asked_at| waits(asked_at) >= client.timeout());
        drop(client);
        sleep_until(again_at).await;
    }

    /// Ends the runs, unless the server is to be asked again with another token.
    fn give_up(&self, opened: &Opened, fault: CallError) {
        let Some(client) = self.client() else { return };
        if self.is_renewed(opened, &fault) {
            return;
        }
        if fault.code == Code::Unimplemented {
            tracing::info!("the server takes no streams of runs: they are run by calls");
            self.shared.hand_back(Instant::now(), client.connection_in_use(opened.turn));
        } else {
            self.shared.fail(Instant::now(), &fault, |_| true);
        }
    }
}

impl Gone {
    /// A status with a source was made on this side, of a connection that broke, whatever its code. Servers and proxies that lost a
    /// stream call that by codes which say nothing of what was asked for.
    fn by(status: Status) -> Self {
        let is_ours = status.source().is_some();
        let fault = CallError::from(status);
        let of_the_asker = matches!(
            fault.code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::ResourceExhausted
                | Code::Unimplemented
        );
        let slow_reader = fault.reason == reason_name(v1::ErrorReason::SlowReader);
        if of_the_asker && !is_ours && !fault.is_retryable() && !slow_reader {
            Self::Refused(fault)
        } else {
            Self::Broken(fault)
        }
    }
}

impl Shared {
    /// Whether a stream is needed. If not, the next run has to see to a mover.
    fn has_work(&self) -> bool {
        let mut state = self.lock();
        let has_work = !state.book.is_empty();
        if !has_work {
            state.mover = None;
        }
        has_work
    }

    fn take(&self, now: Instant, frame: v1::RunTasksResponse) {
        let mut state = self.lock();
        let answers = frame.outcomes.into_iter().filter_map(|outcome| state.book.take(now, outcome));
        let answers: Vec<_> = answers.collect();
        // There may be room on the stream for those that wait.
        if state.book.has_unsent() {
            state.wake_sender();
        }
        drop(state);
        for (reply, answer) in answers {
            // The caller may have gone meanwhile.
            let _ = reply.send(answer);
        }
    }

    /// When the stream has been idle for long enough, if nothing is run till then; `None` when it has: then its sending side has ended.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let idle_at = state.book.empty_since().unwrap_or(now) + IDLE;
        if idle_at <= now {
            state.next_stream();
            return None;
        }
        Some(idle_at)
    }

    /// The stream is gone. What was on it will go on the next.
    fn end_stream(&self) {
        let mut state = self.lock();
        state.next_stream();
        state.book.send_again();
    }

    /// Ends those runs that were asked for at such a time.
    fn fail(&self, now: Instant, fault: &CallError, asked_at: impl Fn(Instant) -> bool) {
        let failed = self.lock().book.take_asked(now, asked_at);
        for (reply, _task) in failed {
            // The caller may have gone meanwhile.
            let _ = reply.send(Answer::Failed(fault.clone()));
        }
    }

    /// The server of this connection has no such streams.
    fn hand_back(&self, now: Instant, connection: ConnectionInUse) {
        let mut state = self.lock();
        state.without = Some(connection);
        let runs = state.book.take_asked(now, |_| true);
        drop(state);
        for (reply, task) in runs {
            // The caller may have gone meanwhile.
            let _ = reply.send(Answer::NotTaken(task));
        }
    }
}
