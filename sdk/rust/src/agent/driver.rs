//! Gives the session a thread, a clock and a connection, and runs its handlers.
//!
//! The thread has a runtime of its own, so that nothing that a handler does on the program's runtime delays a heartbeat. A program that
//! wants no second thread has it all on its runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callboard_proto::v1;
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Uri;

use super::children::Waits;
use super::connection::{Connection, Incoming};
use super::context::{Cancellation, Context, Link};
use super::handle::{AgentHandle, Status, Wish};
use super::handlers::Handlers;
use super::health::Health;
use super::message::{Message, MessageHandler};
use super::runner::{self, HandlerEvent};
use super::session::{Action, Awaited, Config, HandlerId, Moment, Session, Target, Ticket, WaitId};
use super::signals::Signals;
use crate::interceptor::Interceptors;
use crate::{Client, Error, Result, entropy};

/// Handlers wait when this many of their words have not been taken.
const EVENTS: usize = 1024;

/// At most this much is taken at once before frames are sent again.
const BURST: usize = 256;

/// How many messages may be on their way to the server; handlers that send more wait.
const SENDS: usize = 64;

/// How long a stream may take to end after the agent closed its side.
const CLOSING: Duration = Duration::from_secs(1);

/// An agent that is about to begin.
pub(super) struct Plan {
    pub(super) addresses: Vec<Uri>,
    pub(super) namespace: String,
    pub(super) health: Option<String>,
    pub(super) profile: v1::AgentProfile,
    pub(super) handlers: Handlers,
    pub(super) on_message: Option<MessageHandler>,
    pub(super) client: Client,
    pub(super) drain_timeout: Duration,
    pub(super) drain_on_signals: bool,
    pub(super) own_thread: bool,
}

/// Starts the agent: on its thread, if it is to have one. Handlers will run on the given runtime.
pub(super) fn spawn(plan: Plan, program: runtime::Handle) -> Result<AgentHandle> {
    let name = plan.profile.name.clone();
    let health = plan.health.as_deref().map(Health::listen).transpose()?;
    let health_address = health.as_ref().map(Health::address);
    let (wish, wishes) = watch::channel(Wish::Run);
    let (status, statuses) = watch::channel(Status::default());
    let (end, ended) = oneshot::channel();
    let own_thread = plan.own_thread;
    let handlers = program.clone();
    let told = statuses.clone();
    let work = async move {
        let agent = async { Driver::new(plan, handlers, wishes, status)?.run().await };
        let result = match health {
            Some(health) => health.answer_during(told, agent).await,
            None => agent.await,
        };
        // Nobody may be waiting any more.
        let _ = end.send(result);
    };
    if own_thread {
        let own = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| no_thread(&error))?;
        let run = move || own.block_on(work);
        std::thread::Builder::new().name("callboard-agent".to_owned()).spawn(run).map_err(|error| no_thread(&error))?;
    } else {
        // Whoever has the handle waits for the end; without the handle it ends.
        program.spawn(work);
    }
    Ok(AgentHandle { name, health_address, wish, status: statuses, ended, outcome: None })
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::invalid("agent", format!("the agent's thread can't be started: {error}"))
}

struct Driver {
    session: Session,
    began: Instant,
    addresses: Vec<Uri>,
    connection: Connection,
    handlers: Handlers,
    interceptors: Interceptors,
    on_message: Option<MessageHandler>,
    running: HashMap<HandlerId, Running>,
    /// Ends the handler of the message that is being handled.
    handling: Option<CancellationToken>,
    tracker: TaskTracker,
    program: runtime::Handle,
    events: mpsc::Receiver<HandlerEvent>,
    link: Link,
    replies: HashMap<Ticket, (oneshot::Sender<Result<()>>, Option<OwnedSemaphorePermit>)>,
    waits: HashMap<WaitId, Waiter>,
    given_up: mpsc::UnboundedReceiver<WaitId>,
    sends: HashMap<Ticket, (oneshot::Sender<Result<v1::MessageReceipt>>, OwnedSemaphorePermit)>,
    last_ticket: Ticket,
    wishes: watch::Receiver<Wish>,
    status: watch::Sender<Status>,
    signals: Signals,
    result: Option<Result<()>>,
}

/// How a handler that runs is steered.
struct Running {
    context: Context,
    cancellation: Cancellation,
    abort: CancellationToken,
}

/// Who waits for children.
struct Waiter {
    reply: oneshot::Sender<Result<Awaited>>,
    rest: Option<oneshot::Sender<Vec<String>>>,
}

/// What woke the driver.
enum Event {
    Handlers,
    GivenUp(WaitId),
    Incoming(Incoming),
    Room,
    Wished(Wish),
    Signal,
    Time,
}

impl Driver {
    fn new(
        plan: Plan,
        program: runtime::Handle,
        wishes: watch::Receiver<Wish>,
        status: watch::Sender<Status>,
    ) -> Result<Self> {
        let (events, words) = mpsc::channel(EVENTS);
        // Bounded by the waits, which handlers begin by events.
        let (give_up, given_up) = mpsc::unbounded_channel();
        // Of the `slots` x 4 reports that may wait, acceptances and ends take half.
        let saves = usize::try_from(plan.profile.slots).unwrap_or(1).max(1) * 2;
        let agent = Arc::from(plan.profile.name.as_str());
        let config = Config {
            namespace: plan.namespace,
            profile: plan.profile,
            instance_id: entropy::unique_id(),
            addresses: plan.addresses.len(),
            drain_timeout: plan.drain_timeout,
            takes_messages: plan.on_message.is_some(),
            seed: entropy::seed(),
        };
        Ok(Self {
            session: Session::new(config),
            began: Instant::now(),
            addresses: plan.addresses,
            connection: Connection::new(plan.client.identity().clone(), plan.client.connector().cloned()),
            handlers: plan.handlers,
            interceptors: plan.client.interceptors().clone(),
            on_message: plan.on_message,
            running: HashMap::new(),
            handling: None,
            tracker: TaskTracker::new(),
            program,
            events: words,
            link: Link {
                events,
                saves: Arc::new(Semaphore::new(saves)),
                sends: Arc::new(Semaphore::new(SENDS)),
                waits: Waits::new(give_up),
                takes_children: Arc::default(),
                agent,
                client: plan.client,
            },
            replies: HashMap::new(),
            waits: HashMap::new(),
            given_up,
            sends: HashMap::new(),
            last_ticket: 0,
            wishes,
            status,
            signals: Signals::listen(plan.drain_on_signals)?,
            result: None,
        })
    }

    async fn run(mut self) -> Result<()> {
        let mut words = Vec::with_capacity(BURST);
        loop {
            self.session.advance(self.now());
            self.tell_readiness();
            while let Some(action) = self.session.poll_action() {
                self.act(action);
            }
            if let Some(result) = self.result.take() {
                self.close().await;
                return result;
            }
            self.send_frames();
            let event = self.next_event(&mut words).await;
            self.take(event, &mut words);
        }
    }

    async fn next_event(&mut self, words: &mut Vec<HandlerEvent>) -> Event {
        let wake = self.wake_at();
        let room = self.connection.room();
        tokio::select! {
            incoming = self.connection.next() => Event::Incoming(incoming),
            _ = self.events.recv_many(words, BURST) => Event::Handlers,
            Some(wait) = self.given_up.recv() => Event::GivenUp(wait),
            () = room => Event::Room,
            changed = self.wishes.changed() => {
                // Nobody holds the handle any more.
                Event::Wished(if changed.is_ok() { *self.wishes.borrow_and_update() } else { Wish::Stop })
            }
            () = self.signals.next() => Event::Signal,
            () = sleep_until(wake) => Event::Time,
        }
    }

    fn take(&mut self, event: Event, words: &mut Vec<HandlerEvent>) {
        let now = self.now();
        match event {
            Event::Handlers => words.drain(..).for_each(|word| self.hear(now, word)),
            Event::GivenUp(wait) => {
                self.waits.remove(&wait);
                self.session.on_wait_given_up(now, wait);
            }
            Event::Incoming(Incoming::Frame(frame)) => self.session.on_frame(now, *frame),
            Event::Incoming(Incoming::Ended(refused)) => {
                self.set_attached(false);
                self.session.on_disconnected(now, refused);
            }
            Event::Wished(Wish::Stop) => self.session.stop(),
            Event::Wished(Wish::Drain) => self.session.drain(now),
            Event::Signal if self.signals.heard() > 1 => self.session.stop(),
            Event::Signal => self.session.drain(now),
            Event::Wished(Wish::Run) | Event::Room | Event::Time => {}
        }
    }

    fn hear(&mut self, now: Moment, word: HandlerEvent) {
        match word {
            HandlerEvent::Finished { handler, outcome } => {
                self.running.remove(&handler);
                self.session.on_finished(now, handler, outcome);
            }
            HandlerEvent::Progress { handler, slot } => {
                if let Some(progress) = slot.take() {
                    self.session.on_progress(now, handler, progress);
                }
            }
            HandlerEvent::Checkpoint { handler, data, reply, permit } => {
                self.last_ticket += 1;
                self.replies.insert(self.last_ticket, (reply, Some(permit)));
                self.session.on_checkpoint(now, handler, data, self.last_ticket);
            }
            HandlerEvent::Step { handler, record, reply, permit } => {
                self.last_ticket += 1;
                self.replies.insert(self.last_ticket, (reply, Some(permit)));
                self.session.on_step(now, handler, record, self.last_ticket);
            }
            HandlerEvent::Output { handler, piece, reply } => {
                self.last_ticket += 1;
                self.replies.insert(self.last_ticket, (reply, None));
                self.session.on_output(now, handler, piece, self.last_ticket);
            }
            // One that was given up meanwhile said so before.
            HandlerEvent::Wait { reply, .. } if reply.is_closed() => {}
            HandlerEvent::Wait { handler, quorum, wait, reply, rest } => {
                self.waits.insert(wait, Waiter { reply, rest });
                self.session.on_wait(handler, quorum, wait);
            }
            HandlerEvent::Send { send, reply, permit } => {
                self.last_ticket += 1;
                self.sends.insert(self.last_ticket, (reply, permit));
                self.session.on_send(*send, self.last_ticket);
            }
            HandlerEvent::Handled { id, error } => {
                self.handling = None;
                self.session.on_handled(now, &id, error.as_deref());
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(target) => self.connect(&target),
            Action::Disconnect => {
                self.connection.cut();
                self.set_attached(false);
            }
            Action::Attached { agent_id, epoch, takes_children } => {
                self.link.takes_children.store(takes_children, Ordering::Relaxed);
                self.status.send_modify(|status| {
                    *status = Status { agent_id, epoch, attached: true, readiness: status.readiness };
                });
            }
            Action::Start { handler, assignment, has_steps } => self.start(handler, assignment, has_steps),
            Action::Cancel { handler, reason } => {
                if let Some(running) = self.running.get(&handler) {
                    running.cancellation.cancel(reason);
                }
            }
            Action::Abort(handler) => {
                if let Some(running) = self.running.get(&handler) {
                    running.abort.cancel();
                }
            }
            Action::ReportDone { ticket, result } => {
                if let Some((reply, _permit)) = self.replies.remove(&ticket) {
                    // The handler may have stopped waiting.
                    let _ = reply.send(result);
                }
            }
            Action::WaitOver { wait, rest } => {
                if let Some(tell) = self.waits.get_mut(&wait).and_then(|waiter| waiter.rest.take()) {
                    // The handler may have stopped waiting.
                    let _ = tell.send(rest);
                }
            }
            Action::WaitDone { wait, result } => {
                if let Some(waiter) = self.waits.remove(&wait) {
                    // The same.
                    let _ = waiter.reply.send(result);
                }
            }
            Action::Deadline { handler, deadline } => {
                if let Some(running) = self.running.get(&handler) {
                    running.context.set_deadline(deadline);
                }
            }
            Action::Handle(message) => self.handle(*message),
            Action::AbortMessage => {
                if let Some(handling) = &self.handling {
                    handling.cancel();
                }
            }
            Action::SendDone { ticket, result } => {
                if let Some((reply, _permit)) = self.sends.remove(&ticket) {
                    // The handler may have stopped waiting.
                    let _ = reply.send(result);
                }
            }
            Action::Stop(result) => self.result = Some(result),
        }
    }

    fn handle(&mut self, message: v1::Message) {
        // The session starts none when there is no handler.
        let Some(handler) = self.on_message.clone() else { return };
        let abort = CancellationToken::new();
        let message = Message::new(message, self.link.clone());
        self.handling = Some(abort.clone());
        self.tracker.spawn_on(runner::handle(handler, message, abort, self.link.events.clone()), &self.program);
    }

    fn connect(&mut self, target: &Target) {
        let address = match target {
            Target::Address(index) => self.addresses.get(*index).map(ToString::to_string),
            Target::Endpoint(endpoint) => Some(endpoint.clone()),
        };
        let Some(address) = address else { return };
        tracing::debug!(address, "attaching");
        if let Some(hello) = self.session.poll_frame(self.now()) {
            self.connection.open(&address, hello);
        }
    }

    fn start(&mut self, handler: HandlerId, assignment: Box<v1::Assignment>, has_steps: bool) {
        let task_type = assignment.spec.as_ref().map(|spec| spec.r#type.as_str()).unwrap_or_default();
        // The session starts only what the profile lists, and the profile lists only what has a handler.
        let Some(function) = self.handlers.find(task_type).cloned() else { return };
        let cancellation = Cancellation::default();
        let abort = CancellationToken::new();
        let context = Context::new(handler, assignment, has_steps, &cancellation, self.link.clone());
        let task = runner::run(
            handler,
            function,
            self.interceptors.clone(),
            context.clone(),
            abort.clone(),
            self.link.events.clone(),
        );
        self.running.insert(handler, Running { context, cancellation, abort });
        self.tracker.spawn_on(task, &self.program);
    }

    fn send_frames(&mut self) {
        let now = self.now();
        while self.connection.has_room() {
            let Some(frame) = self.session.poll_frame(now) else { break };
            self.connection.send(frame);
        }
    }

    /// Lets go of everything: handlers, and then the stream, so that the server sees a clean end.
    async fn close(mut self) {
        for running in self.running.values() {
            running.cancellation.cancel(v1::CancellationReason::LeaseLost);
            running.abort.cancel();
        }
        if let Some(handling) = &self.handling {
            handling.cancel();
        }
        self.set_attached(false);
        self.connection.finish(CLOSING).await;
    }

    fn set_attached(&self, attached: bool) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.attached, attached) != attached);
    }

    fn tell_readiness(&self) {
        let readiness = self.session.readiness();
        self.status.send_if_modified(|status| std::mem::replace(&mut status.readiness, readiness) != readiness);
    }

    /// When to wake up by the clock. Frames that can't be sent now wait for room, not for the clock.
    fn wake_at(&self) -> Instant {
        let frame = if self.connection.has_room() { self.session.next_frame() } else { None };
        let next = [self.session.next_wake(), frame].into_iter().flatten().min();
        self.began + next.unwrap_or(Duration::from_secs(60))
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests;
