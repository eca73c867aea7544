//! Time: silence, timers, and a second look at everything that a lost wake-up could have missed.

use crate::error::Result;
use crate::hints::Look;
use crate::mail;
use crate::queue::Item;
use crate::shared::Shared;
use crate::stream::report_item;
use callboard_core::command::{Command, Report};
use callboard_core::model::{Link, MessageId, NamespaceId, Session, Span, TaskId, Timestamp};
use callboard_core::planted::Bug;
use callboard_core::working_set::MailboxRef;
use callboard_store::Cursor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many due tasks are read at a time, and how many times in a sweep.
const PAGE: usize = 256;
const PAGES: usize = 16;
/// How often new messages are looked for that no signal told of, and those whose time is over taken out.
const MAIL_EVERY: Span = Span::millis(1_000);
/// How many new and how many expired messages are looked at each time, at most.
const NEW_MAIL: usize = 1_024;
const EXPIRED: usize = 1_024;
/// How many messages of removed agents are thrown away at a time.
const THROWN_AWAY: usize = 1_000;
/// How many limit keys of which nothing is used are forgotten at a time.
const IDLE_LIMITS: usize = 1_000;
/// How often the store is asked which lanes have ready tasks.
const LANES_EVERY: Span = Span::millis(1_000);
/// How often it is looked what other replicas committed that no hint told of.
const LOOK_EVERY: Span = Span::millis(1_000);
/// How often sessions of claims are looked at.
const HOUSEKEEPING_EVERY: Span = Span::seconds(10);
/// A sweep that comes so much later than planned means that we were stopped, not the agents.
const STALL: Span = Span::seconds(2);
/// A long sweep forgives when nobody was forgiven for so many leases.
const FORGIVING: i64 = 3;

pub(crate) struct Sweep {
    shared: Arc<Shared>,
    /// When the last sweep ended.
    last: Span,
    /// When everybody's silence was forgiven last.
    forgiven: Span,
    /// The last sweep read what is due as far as this task alone: the next goes on behind it.
    due: Option<(Timestamp, TaskId)>,
    lanes_at: Span,
    mail_at: Span,
    /// New messages are looked for behind this place.
    mail: Cursor,
    housekeeping_at: Span,
    /// At what other replicas committed.
    look: Look,
    looked_at: Span,
}

impl Sweep {
    /// New messages are looked for behind `mail`; streams read what was there before when they attach.
    pub fn new(shared: Arc<Shared>, mail: Cursor) -> Self {
        let now = shared.clock.elapsed();
        Self {
            shared,
            last: now,
            // Long ago: nobody was.
            forgiven: Span(i64::MIN / 2),
            due: None,
            lanes_at: now,
            mail_at: now,
            mail,
            housekeeping_at: now,
            look: Look::default(),
            looked_at: now,
        }
    }

    /// Sweeps until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let planned = self.shared.plan_sweep();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(planned) => {}
                () = self.shared.sweep_sooner() => {}
            }
            self.shared.begin_sweep();
            self.notice_stall(planned);
            if let Err(error) = self.once().await {
                tracing::warn!(%error, "a sweep was cut short; the next one does the rest");
            }
        }
    }

    /// Time in which we were not running doesn't count against anyone.
    fn notice_stall(&mut self, planned: Duration) {
        let now = self.shared.clock.elapsed();
        let late = now.0 - self.last.0 - Span::from_std(planned).0;
        if late > STALL.0 {
            self.forgive(now, late);
        }
        self.last = now;
    }

    /// A sweep that took long waited for the store, or was stopped with all of us: it can't tell. So it forgives, but not over and
    /// over: where the store is always slow, whoever is silent is still found.
    fn notice_long_sweep(&mut self, began: Span) {
        let now = self.shared.clock.elapsed();
        let (took, since) = (now.0 - began.0, now.0 - self.forgiven.0);
        if took > STALL.0 && since > FORGIVING * self.shared.config.rules.stream_lease.0 {
            self.forgive(now, took);
        }
        self.last = now;
    }

    fn forgive(&mut self, now: Span, stalled: i64) {
        tracing::warn!(seconds = stalled / 1_000_000, "the server was stopped or starved; nobody's silence counts");
        self.shared.sessions.forgive(now);
        self.shared.extend_grace(self.shared.config.rules.stream_lease);
        self.forgiven = now;
    }

    async fn once(&mut self) -> Result<()> {
        let now = self.shared.clock.elapsed();
        let lease = self.shared.config.rules.stream_lease;
        if self.shared.store.cluster().is_none() {
            self.shared.clock.follow_machine();
        }
        self.shared.sessions.beat(now, Span(lease.0 / 3));
        self.end_sessions(now, lease).await?;
        self.write_progress(now, false).await?;
        self.wake_due(now).await?;
        self.walk_workflows().await?;
        let again = self.shared.lanes_to_look_at(now);
        if !again.is_empty() {
            self.shared.queue.lanes(again).await?;
        }
        if now.0 - self.lanes_at.0 >= LANES_EVERY.0 {
            self.lanes_at = now;
            let lanes = self.shared.store.ready_lanes(10_000).await?;
            if !lanes.is_empty() {
                self.shared.queue.lanes(lanes).await?;
            }
        }
        if now.0 - self.mail_at.0 >= MAIL_EVERY.0 {
            self.mail_at = now;
            self.look_for_mail().await?;
        }
        if now.0 - self.looked_at.0 >= LOOK_EVERY.0 {
            self.looked_at = now;
            self.look.at_all(&self.shared).await?;
        }
        if now.0 - self.housekeeping_at.0 >= HOUSEKEEPING_EVERY.0 {
            self.housekeeping_at = now;
            self.keep_house().await?;
        }
        self.notice_long_sweep(now);
        self.shared.swept();
        Ok(())
    }

    async fn end_sessions(&self, now: Span, lease: Span) -> Result<()> {
        for (session, reason) in self.shared.sessions.gone(now, lease) {
            tracing::info!(
                namespace = &*session.namespace, agent = %session.agent, epoch = session.epoch, reason, "session ends"
            );
            let command = Command::EndSession { agent: session.agent, epoch: session.epoch, reason };
            self.shared.queue.send(Item::system(session.namespace, command)).await?;
        }
        Ok(())
    }

    /// Writes the latest progress of attempts that have waited long enough, or of all.
    async fn write_progress(&self, now: Span, all: bool) -> Result<()> {
        let every = Span::from_std(self.shared.config.progress);
        for (session, pulse) in self.shared.sessions.open_streams() {
            let due = pulse.progress().take(now, every, all);
            for (report_id, fence, progress) in due {
                let report = Report::Progress(progress);
                let principal = callboard_core::model::id::SYSTEM.into();
                let item = report_item(&session, &principal, report_id, fence, report, true);
                self.shared.queue.send(item).await?;
            }
        }
        Ok(())
    }

    /// Wakes tasks whose time has come. What their handlers said in the meantime goes first.
    ///
    /// There may be more than a sweep reads that stay due, as behind an outage: the next one goes on behind them. The first page is
    /// read by every sweep: the tasks that are always due stand there, whose dependents are released step by step.
    async fn wake_due(&mut self, now: Span) -> Result<()> {
        let wall = self.shared.clock.now();
        let mut after = None;
        let only_first = self.shared.config.rules.planted.has(Bug::LookAtFirstPageAlone);
        for page in 0..PAGES {
            let due = self.shared.store.due(wall, after, PAGE).await?;
            if let Some(next) = due.next {
                self.shared.wake_by(next);
            }
            if page == 0 && !due.tasks.is_empty() {
                self.write_progress(now, true).await?;
            }
            for (_, (namespace, task)) in &due.tasks {
                if let Some(name) = self.shared.names.name(*namespace) {
                    self.shared.queue.send(Item::system(name, Command::Wake { task: *task })).await?;
                }
            }
            after = match due.tasks.last() {
                Some((at, (_, task))) if due.tasks.len() == PAGE && !only_first => self.due.max(Some((*at, *task))),
                _ => None,
            };
            if after.is_none() {
                break;
            }
        }
        self.due = after;
        Ok(())
    }

    /// Cancellations of workflows go on, a step each.
    async fn walk_workflows(&self) -> Result<()> {
        for (namespace, workflow) in self.shared.store.walking_workflows(PAGE).await? {
            if let Some(name) = self.shared.names.name(namespace) {
                self.shared.queue.send(Item::system(name, Command::GoOnWalking { workflow })).await?;
            }
        }
        Ok(())
    }

    /// Messages that no signal told of go out; those whose time is over are taken out of their mailboxes.
    async fn look_for_mail(&mut self) -> Result<()> {
        let store = self.shared.store.clone();
        for _ in 0..PAGES {
            let new = store.new_mail(self.mail, NEW_MAIL).await?;
            self.mail = new.next;
            for (mailbox, place) in new.mailboxes {
                mail::noticed(&self.shared, mailbox, place);
            }
            if !new.more {
                break;
            }
        }
        self.shared.mail.remind();
        let mut by_mailbox: BTreeMap<MailboxRef, Vec<MessageId>> = BTreeMap::new();
        for (mailbox, message) in store.expired_messages(self.shared.clock.now(), EXPIRED).await? {
            by_mailbox.entry(mailbox).or_default().push(message);
        }
        for ((namespace, agent), messages) in by_mailbox {
            if let Some(name) = self.shared.names.name(namespace) {
                self.shared.queue.send(Item::system(name, Command::ExpireMessages { agent, messages })).await?;
            }
        }
        Ok(())
    }

    /// Rows of limit keys go when nothing is used of them.
    async fn forget_limits(&self, now: Timestamp) -> Result<()> {
        let mut by_namespace: BTreeMap<NamespaceId, Vec<Arc<str>>> = BTreeMap::new();
        for (namespace, key) in self.shared.store.idle_limits(now, IDLE_LIMITS).await? {
            by_namespace.entry(namespace).or_default().push(key);
        }
        for (namespace, keys) in by_namespace {
            if let Some(name) = self.shared.names.name(namespace) {
                self.shared.queue.send(Item::system(name, Command::ForgetLimits { keys })).await?;
            }
        }
        Ok(())
    }

    async fn keep_house(&self) -> Result<()> {
        let now = self.shared.clock.now();
        self.shared.store.purge_mailboxes(THROWN_AWAY).await?;
        self.forget_limits(now).await?;
        let mut after = None;
        loop {
            let agents = self.shared.store.live_sessions(after, 1_000).await?;
            for agent in &agents {
                let Some(Session { link: Link::Claims { until }, .. }) = agent.session else { continue };
                let Some(name) = self.shared.names.name(agent.namespace).filter(|_| until <= now) else { continue };
                let command = Command::EndSession { agent: agent.id, epoch: agent.epoch, reason: "it claims no more" };
                self.shared.queue.send(Item::system(name, command)).await?;
            }
            match agents.last() {
                Some(last) if agents.len() == 1_000 => after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }
}
