//! What a handler is given beside its input.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use callboard_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::children::Waits;
use super::names::Names;
use super::runner::HandlerEvent;
use super::session::HandlerId;
use super::steps::Steps;
use crate::{Client, Error, NewMessage, Result, entropy, payload, time};

/// The attempt that a handler works on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handler: HandlerId,
    assignment: Box<v1::Assignment>,
    cancelled: CancellationToken,
    reason: Arc<AtomicI32>,
    progress: Arc<ProgressSlot>,
    /// When the attempt times out: the server may move it.
    deadline: Mutex<Option<prost_types::Timestamp>>,
    steps: Steps,
    /// The children that were begun.
    children: Names,
    link: Link,
}

/// How a handler reaches the agent's connection and the server.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) events: mpsc::Sender<HandlerEvent>,
    /// Bounds the checkpoints and steps without a receipt, over all handlers.
    pub(super) saves: Arc<Semaphore>,
    /// Bounds the messages without a receipt, over all handlers.
    pub(super) sends: Arc<Semaphore>,
    pub(super) waits: Waits,
    /// Whether the server that was attached last takes children.
    pub(super) takes_children: Arc<AtomicBool>,
    /// The agent's name.
    pub(super) agent: Arc<str>,
    pub(super) client: Client,
}

impl Link {
    /// To whoever has the other ends, with so many permits for what is saved.
    #[cfg(test)]
    pub(super) fn for_tests(
        events: mpsc::Sender<HandlerEvent>,
        saves: usize,
        client: Client,
    ) -> (Self, mpsc::UnboundedReceiver<super::session::WaitId>) {
        let (give_up, given_up) = mpsc::unbounded_channel();
        let link = Self {
            events,
            saves: Arc::new(Semaphore::new(saves)),
            sends: Arc::new(Semaphore::new(1)),
            waits: Waits::new(give_up),
            takes_children: Arc::new(AtomicBool::new(true)),
            agent: Arc::from("a"),
            client,
        };
        (link, given_up)
    }

    /// Sends a message over the agent's stream; returns when it is durable.
    pub(super) async fn send(&self, message: NewMessage) -> Result<v1::MessageReceipt> {
        let NewMessage { message, request_id } = message;
        if let Some(body) = &message.payload {
            payload::check("message.payload", body)?;
        }
        let request_id = if request_id.is_empty() { entropy::unique_id() } else { request_id };
        let permit = Arc::clone(&self.sends).acquire_owned().await.map_err(|_| Error::stopped())?;
        let (reply, receipt) = oneshot::channel();
        let send = Box::new(v1::MessageSend { request_id, message: Some(message) });
        self.events.send(HandlerEvent::Send { send, reply, permit }).await.map_err(|_| Error::stopped())?;
        receipt.await.map_err(|_| Error::stopped())?
    }
}

/// Why and that a handler is to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancellation {
    pub(super) token: CancellationToken,
    pub(super) reason: Arc<AtomicI32>,
}

impl Cancellation {
    pub(super) fn cancel(&self, reason: v1::CancellationReason) {
        self.reason.store(reason.into(), Ordering::Relaxed);
        self.token.cancel();
    }
}

/// The latest progress of a handler, until the connection takes it.
#[derive(Debug, Default)]
pub(super) struct ProgressSlot {
    latest: Mutex<Option<v1::Progress>>,
}

impl ProgressSlot {
    pub(super) fn take(&self) -> Option<v1::Progress> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts the latest in; whether the slot was empty, so that the connection has to be told.
    fn put(&self, progress: v1::Progress) -> bool {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).replace(progress).is_none()
    }
}

impl Context {
    pub(super) fn new(
        handler: HandlerId,
        mut assignment: Box<v1::Assignment>,
        has_steps: bool,
        cancellation: &Cancellation,
        link: Link,
    ) -> Self {
        assignment.spec.get_or_insert_default().input.get_or_insert_default();
        assignment.attempt.get_or_insert_default();
        let deadline = assignment.deadline;
        let inner = Inner {
            handler,
            assignment,
            cancelled: cancellation.token.clone(),
            reason: Arc::clone(&cancellation.reason),
            progress: Arc::default(),
            deadline: Mutex::new(deadline),
            steps: Steps::new(has_steps),
            children: Names::default(),
            link,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Of an agent `a` that nobody hears.
    #[cfg(test)]
    pub(crate) fn for_tests(assignment: v1::Assignment) -> Self {
        let client = Client::builder().address("http://127.0.0.1:1").build().expect("an address");
        let link = Link::for_tests(mpsc::channel(8).0, 1, client).0;
        Self::new(HandlerId(1), Box::new(assignment), true, &Cancellation::default(), link)
    }

    pub(super) fn handler(&self) -> HandlerId {
        self.inner.handler
    }

    pub(super) fn assignment(&self) -> &v1::Assignment {
        &self.inner.assignment
    }

    pub(super) fn steps(&self) -> &Steps {
        &self.inner.steps
    }

    pub(super) fn children(&self) -> &Names {
        &self.inner.children
    }

    pub(super) fn set_deadline(&self, deadline: prost_types::Timestamp) {
        *self.inner.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    pub(super) fn link(&self) -> &Link {
        &self.inner.link
    }

    /// The task's id.
    pub fn task_id(&self) -> &str {
        &self.lease().task_id
    }

    /// The attempt's number, which goes on rising across runs.
    pub fn attempt(&self) -> i32 {
        self.lease().attempt
    }

    /// The run that the attempt belongs to.
    pub fn run(&self) -> i32 {
        self.inner.assignment.run
    }

    /// How many attempts of this run were used up before this one.
    pub fn attempts_used(&self) -> i32 {
        self.inner.assignment.attempts_used
    }

    /// The name of the agent that works on it.
    pub fn agent(&self) -> &str {
        &self.inner.link.agent
    }

    /// The namespace of the task.
    pub fn namespace(&self) -> &str {
        &self.inner.assignment.namespace
    }

    /// What workflow the task is of, and what it is called there; `None` when it is of none. A child of a workflow's task is of
    /// the workflow, too, without a name.
    pub fn workflow(&self) -> Option<&v1::WorkflowLink> {
        self.inner.assignment.workflow.as_ref()
    }

    /// The task's type.
    pub fn task_type(&self) -> &str {
        &self.spec().r#type
    }

    /// All of what the task was asked to be.
    pub fn spec(&self) -> &v1::TaskSpec {
        static EMPTY: std::sync::LazyLock<v1::TaskSpec> = std::sync::LazyLock::new(v1::TaskSpec::default);
        self.inner.assignment.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// The lease, which proves to the server that this attempt is the current one.
    pub fn lease(&self) -> &v1::Attempt {
        static EMPTY: v1::Attempt = v1::Attempt { task_id: String::new(), attempt: 0, lease_token: String::new() };
        self.inner.assignment.attempt.as_ref().unwrap_or(&EMPTY)
    }

    /// What is carried to every attempt: trace context.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.spec().headers
    }

    /// What the application keeps with the task.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.spec().metadata
    }

    /// When the attempt times out. Later than it was when the handler has waited for children: that time doesn't count.
    pub fn deadline(&self) -> Option<SystemTime> {
        let deadline = self.inner.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.as_ref().and_then(time::system_time)
    }

    /// The input as it came.
    pub fn payload(&self) -> &v1::Payload {
        static EMPTY: std::sync::LazyLock<v1::Payload> = std::sync::LazyLock::new(v1::Payload::default);
        self.spec().input.as_ref().unwrap_or(&EMPTY)
    }

    /// What the last attempt saved with [`Context::save_checkpoint`]; `None` when it saved nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the checkpoint is no `T`.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.checkpoint_payload().map(payload::from_payload).transpose()
    }

    /// The checkpoint as it came.
    pub fn checkpoint_payload(&self) -> Option<&v1::Payload> {
        self.inner.assignment.checkpoint.as_ref()
    }

    /// Says how far the work is: a fraction from 0 to 1, a phase (`reasoning`, `executing`, `validating`, or free text of
    /// at most 128 bytes; empty for none), and a message for people (at most 1 KiB). Never waits: at most ten a second are
    /// sent, the latest wins.
    pub fn progress(&self, fraction: impl Into<Option<f64>>, phase: impl Into<String>, message: impl Into<String>) {
        let fraction = fraction.into().filter(|fraction| !fraction.is_nan()).map(|fraction| fraction.clamp(0.0, 1.0));
        let progress = v1::Progress { fraction, phase: phase.into(), message: message.into() };
        if self.inner.progress.put(progress) {
            let slot = Arc::clone(&self.inner.progress);
            let told = self.inner.link.events.try_send(HandlerEvent::Progress { handler: self.inner.handler, slot });
            if told.is_err() {
                // The connection is behind. Empty the slot, so that the next progress tells it.
                self.inner.progress.take();
            }
        }
    }

    /// Saves what the next attempt is to begin from, in place of what was saved before. Returns when it is durable. Waits
    /// while the server can't be reached.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the value can't be a payload; [`Error::FailedPrecondition`] when the attempt is no
    /// longer current: stop the work; [`Error::Unavailable`] when the agent has stopped.
    pub async fn save_checkpoint<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        self.save_checkpoint_payload(payload::to_payload(value)?).await
    }

    /// The same of a payload, made by the handler.
    ///
    /// # Errors
    ///
    /// As [`Context::save_checkpoint`].
    pub async fn save_checkpoint_payload(&self, data: v1::Payload) -> Result<()> {
        payload::check("checkpoint", &data)?;
        let link = &self.inner.link;
        let permit = Arc::clone(&link.saves).acquire_owned().await.map_err(|_| Error::stopped())?;
        let (reply, receipt) = oneshot::channel();
        let event = HandlerEvent::Checkpoint { handler: self.inner.handler, data, reply, permit };
        link.events.send(event).await.map_err(|_| Error::stopped())?;
        receipt.await.map_err(|_| Error::stopped())?
    }

    /// Sends a message as this agent. Returns when it is durable. Waits while the server can't be reached.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the namespace has no such agent, [`Error::ResourceExhausted`] when its mailbox is full,
    /// [`Error::InvalidArgument`] when the message is not as it may be; [`Error::Unavailable`] when the agent has stopped.
    pub async fn send(&self, message: NewMessage) -> Result<v1::MessageReceipt> {
        self.inner.link.send(message).await
    }

    /// Completes when the handler is to stop. Clean up, and return [`crate::TaskError::cancelled`] (or a result: it is
    /// reported all the same, and the server knows what was asked for).
    pub async fn cancelled(&self) {
        self.inner.cancelled.cancelled().await;
    }

    /// Whether the handler is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.is_cancelled()
    }

    /// Why the handler is to stop; `None` while it is not.
    pub fn cancellation(&self) -> Option<v1::CancellationReason> {
        if !self.is_cancelled() {
            return None;
        }
        v1::CancellationReason::try_from(self.inner.reason.load(Ordering::Relaxed)).ok()
    }

    /// A client of the same server and namespace.
    pub fn client(&self) -> &Client {
        &self.inner.link.client
    }
}
