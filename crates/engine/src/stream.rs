//! An agent's stream, as the server has it.

use crate::awaits::Awaits;
use crate::error::{Error, Result};
use crate::push::Push;
use crate::queue::{Item, Sink};
use crate::sessions::{Live, Pulse};
use crate::shared::Shared;
use crate::window::Window;
use callboard_core::Rejection;
use callboard_core::command::{Attached, Command, Envelope, Fence, Reply, Report, Reporter, RequestToken};
use callboard_core::model::{AgentId, AgentProfile, MessageId, NewMessage, Span, TaskId};
use callboard_core::planted::Bug;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Who attaches.
#[derive(Clone, Debug)]
pub struct AttachRequest {
    /// The namespace, by name.
    pub namespace: Arc<str>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The agent's name.
    pub name: Arc<str>,
    /// What it says of itself.
    pub profile: Arc<AgentProfile>,
    /// What it still has.
    pub held: Vec<Fence>,
    /// The epoch it had before.
    pub previous_epoch: i64,
    /// Its process.
    pub instance: String,
    /// It takes drain notices.
    pub takes_drain: bool,
    /// It takes cancellations.
    pub takes_cancellation: bool,
    /// It takes receipts for its messages and acknowledgements.
    pub takes_message_receipts: bool,
    /// It takes resumptions, and the ends of tasks that it awaits.
    pub takes_children: bool,
    /// How many messages it takes without having acknowledged them; none: it takes no messages.
    pub message_window: Option<u32>,
}

/// A message that an agent sends.
#[derive(Clone, Debug)]
pub struct SendItem {
    /// What makes a repetition safe; its receipt carries the id.
    pub request: RequestToken,
    /// The message.
    pub message: NewMessage,
}

/// A report that came in.
#[derive(Clone, Debug)]
pub struct ReportItem {
    /// The agent's own number of it.
    pub report_id: i64,
    /// Which attempt.
    pub fence: Fence,
    /// What is reported.
    pub report: Report,
}

/// The reading side of an attached stream. Dropped, the stream counts as broken.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    principal: Arc<str>,
    /// What the agent is told.
    pub attached: Attached,
    pulse: Arc<Pulse>,
    draining: bool,
    over: bool,
    takes_message_receipts: bool,
    takes_children: bool,
    /// Tasks whose ends it wants to be told, if it ever did.
    awaits: Option<Awaits>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// Attaches an agent. The receiver gives what is to be pushed; it ends when the session does.
    pub(crate) async fn attach(shared: Arc<Shared>, request: AttachRequest) -> Result<(Self, mpsc::Receiver<Push>)> {
        if shared.sessions.is_quiet(shared.clock.elapsed()) {
            return Err(Error::Store("this replica is cut off from it".into()));
        }
        let place = shared.places.clone().try_acquire_owned().map_err(|_| {
            let remedy = "attach to another server, or end agents that are not needed";
            Rejection::limit("attached", shared.config.attached, remedy)
        })?;
        let (sender, receiver) = mpsc::channel(shared.config.pushes);
        let pulse = Arc::new(Pulse::default());
        pulse.hear(shared.clock.elapsed());
        let live = Box::new(Live {
            namespace: request.namespace.clone(),
            pushes: sender,
            pulse: pulse.clone(),
            takes_drain: request.takes_drain,
            takes_cancellation: request.takes_cancellation,
            takes_message_receipts: request.takes_message_receipts,
            takes_children: request.takes_children,
            mail: request.message_window.map(|most| Window::new(most as usize)),
            grace: Span::from_std(shared.config.reattach_grace),
        });
        let envelope = Envelope {
            namespace: request.namespace.clone(),
            principal: request.principal.clone(),
            request: None,
            command: Command::Attach {
                name: request.name,
                profile: request.profile,
                held: request.held,
                previous_epoch: request.previous_epoch,
                instance: request.instance,
            },
        };
        let (reply, answer) = oneshot::channel();
        shared.queue.offer(Item { envelope, sink: Sink::Attach { reply, live } })?;
        let reply = answer.await.map_err(|_| Error::Draining)??;
        let Reply::Attached(attached) = reply else {
            return Err(Error::Internal(format!("attach answered {reply:?}")));
        };
        tracing::info!(
            namespace = &*request.namespace, agent = %attached.agent, epoch = attached.epoch,
            held = attached.held.len(), "agent attached"
        );
        // A drain that began before the commit did not find the stream among those that were open.
        if let Some(leave) = shared.leave(attached.agent) {
            let now = shared.clock.elapsed();
            shared.sessions.push(attached.agent, Some(attached.epoch), Push::Drain(leave), now);
        }
        let (namespace, principal) = (request.namespace, request.principal);
        let (takes_message_receipts, takes_children) = (request.takes_message_receipts, request.takes_children);
        let stream = Self {
            shared,
            namespace,
            principal,
            attached,
            pulse,
            draining: false,
            over: false,
            takes_message_receipts,
            takes_children,
            awaits: None,
            _place: place,
        };
        Ok((stream, receiver))
    }

    /// A frame came: the agent is alive.
    pub fn heard(&self) {
        self.pulse.hear(self.shared.clock.elapsed());
    }

    /// Whether the agent takes receipts for its messages.
    pub fn takes_message_receipts(&self) -> bool {
        self.takes_message_receipts
    }

    /// Whether the agent was cut off for not reading.
    pub fn was_slow(&self) -> bool {
        self.pulse.was_slow()
    }

    /// Ends when the agent is cut off for not reading. Nothing tells the writing half of that: it is stuck.
    pub async fn cut_off(&self) {
        self.pulse.cut_off().await;
    }

    /// Takes reports in, in their order. Waits while too much waits already; that time doesn't count against the agent.
    pub async fn report(&self, reports: Vec<ReportItem>) -> Result<()> {
        let every = Span::from_std(self.shared.config.progress);
        for ReportItem { report_id, fence, report } in reports {
            let report = match report {
                Report::Progress(progress) => {
                    let now = self.shared.clock.elapsed();
                    let due = self.pulse.progress().offer(report_id, fence, progress, now, every);
                    let Some((_, _, progress)) = due else { continue };
                    Report::Progress(progress)
                }
                report => {
                    if report.closes().is_some() {
                        self.pulse.progress().forget(fence.task);
                    }
                    report
                }
            };
            let quiet = matches!(report, Report::Progress(_));
            self.send(report_item(&self.named(), &self.principal, report_id, fence, report, quiet)).await?;
        }
        Ok(())
    }

    /// Takes messages in that the agent sends, in their order.
    pub async fn send_messages(&self, messages: Vec<SendItem>) -> Result<()> {
        let Attached { agent, epoch, .. } = self.attached;
        for SendItem { request, message } in messages {
            let request_id = request.id.clone();
            let command = Command::SendMessage { from: Some((agent, epoch)), message };
            let envelope = Envelope { request: Some(request), ..self.own(command) };
            self.send(Item { envelope, sink: Sink::Send { agent, epoch, request_id } }).await?;
        }
        Ok(())
    }

    /// The agent has handled messages.
    pub async fn acknowledge(&self, messages: Vec<MessageId>) -> Result<()> {
        let Attached { agent, epoch, .. } = self.attached;
        let command = Command::AcknowledgeMessages { agent, epoch: Some(epoch), messages: messages.clone() };
        self.send(Item { envelope: self.own(command), sink: Sink::Acknowledge { agent, epoch, messages } }).await
    }

    /// The agent wants to be told how these tasks end. One that takes no such frames is not waited for.
    pub fn await_ends(&mut self, tasks: Vec<TaskId>) -> Result<()> {
        if !self.takes_children {
            return Ok(());
        }
        let (shared, session) = (self.shared.clone(), self.named());
        self.awaits.get_or_insert_with(|| Awaits::begin(shared, session)).add(tasks)
    }

    /// The agent takes another number of tasks at once.
    pub async fn set_slots(&self, slots: u32) -> Result<()> {
        let Attached { agent, epoch, .. } = self.attached;
        self.send(self.item(Command::SetSlots { agent, epoch, slots })).await
    }

    /// The agent wants no new tasks.
    pub async fn drain(&mut self) -> Result<()> {
        self.draining = true;
        let Attached { agent, epoch, .. } = self.attached;
        self.shared.sessions.stop_mail(agent, epoch);
        self.send(self.item(Command::DrainSession { agent, epoch })).await
    }

    /// The agent closed its side in an orderly way. If it had asked to drain, it is gone for good.
    pub async fn finished(&mut self) {
        if self.draining {
            self.over = true;
            let Attached { agent, epoch, .. } = self.attached;
            self.shared.sessions.forget(agent, epoch);
            let command = Command::EndSession { agent, epoch, reason: "its agent drained and left it" };
            // When the engine stops, the session stays in the store, and is ended after the next start.
            let _ = self.send(self.item(command)).await;
        }
    }

    async fn send(&self, item: Item) -> Result<()> {
        self.pulse.pause(!self.shared.config.rules.planted.has(Bug::CountOurDelays));
        let sent = self.shared.queue.send(item).await;
        self.heard();
        self.pulse.pause(false);
        sent
    }

    /// A command of the agent's own.
    fn own(&self, command: Command) -> Envelope {
        Envelope { namespace: self.namespace.clone(), principal: self.principal.clone(), request: None, command }
    }

    fn item(&self, command: Command) -> Item {
        Item::system(self.namespace.clone(), command)
    }

    fn named(&self) -> crate::sessions::Named {
        crate::sessions::Named {
            namespace: self.namespace.clone(),
            agent: self.attached.agent,
            epoch: self.attached.epoch,
        }
    }
}

/// A report's command, whose receipt is pushed to the session.
pub(crate) fn report_item(
    session: &crate::sessions::Named,
    principal: &Arc<str>,
    report_id: i64,
    fence: Fence,
    report: Report,
    quiet: bool,
) -> Item {
    let (agent, epoch): (AgentId, i64) = (session.agent, session.epoch);
    let reporter = Reporter::Session { agent, epoch };
    let envelope = Envelope {
        namespace: session.namespace.clone(),
        principal: principal.clone(),
        request: None,
        command: Command::Report { fence, reporter, report },
    };
    Item { envelope, sink: Sink::Report { agent, epoch, report_id, fence, quiet } }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Attached { agent, epoch, .. } = self.attached;
        let now = self.shared.clock.elapsed();
        if !self.over && self.shared.sessions.broke(agent, epoch, now) {
            tracing::info!(namespace = &*self.namespace, %agent, epoch, "agent's stream broke");
            // If the queue is full, the sweep ends the session when its grace is over; until then it only looks attached.
            let _ = self.shared.queue.offer(self.item(Command::BreakSession { agent, epoch }));
        }
    }
}
