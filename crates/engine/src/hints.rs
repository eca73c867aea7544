//! What replicas tell each other of their commits. Only hints: they may come late, twice or not at all, and whatever they tell of
//! is found by looking, within a second.

use crate::effects::Decided;
use crate::error::Result;
use crate::metrics::Direction;
use crate::push::{Push, Stop};
use crate::queue::Item;
use crate::shared::{Ended, Shared};
use callboard_core::command::{Command, Effect, SessionEnd, StopReason};
use callboard_core::model::{AgentId, NamespaceId, Task, TaskId};
use callboard_core::planted::Bug;
use callboard_core::working_set::{LaneRef, TaskRef};
use callboard_store::cluster::{Cluster, Hint, ResumedHint, StopHint, StopPlace};
use callboard_store::{Cursor, TaskView};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many tasks that are waited for are looked at in a second, how many streams at once, and how many attempts that are to stop.
const WAITED_FOR: usize = 4_096;
const STREAMS: usize = 1_000;
const STOPPING: usize = 4_096;
/// A stop's words are cut there: a notification is short.
const MESSAGE: usize = 200;

/// What is to be told, gathered while something is being told.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    hint: Mutex<Hint>,
    more: Notify,
}

impl Outbox {
    fn add(&self, hint: Hint) {
        if !hint.is_empty() {
            self.hint.lock().unwrap_or_else(PoisonError::into_inner).merge(hint);
            self.more.notify_one();
        }
    }

    fn take(&self) -> Hint {
        std::mem::take(&mut *self.hint.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the others of a batch that was committed; `waiting` are lanes whose tasks nobody here could take.
pub(crate) fn committed(shared: &Shared, decided: &Decided, waiting: impl Iterator<Item = LaneRef>) {
    if shared.store.cluster().is_none() {
        return;
    }
    let changes = &decided.changes;
    let mut hint = Hint::default();
    hint.tasks.extend(changes.events.iter().map(|event| (event.namespace, event.task)));
    hint.output.extend(changes.output.iter().map(|chunk| (chunk.namespace, chunk.task)));
    hint.lanes.extend(waiting);
    hint.agents.extend(changes.messages.iter().map(|message| (message.namespace, message.recipient)));
    let of_items = decided.results.iter().flatten().flat_map(|outcome| &outcome.effects);
    for effect in of_items.chain(&decided.dispatched) {
        match effect {
            Effect::CloseSession { agent, .. } | Effect::SessionChanged { agent } => {
                let of_agent = changes.agents.iter().map(|changed| (changed.row.namespace, changed.row.id));
                hint.agents
                    .extend(of_agent.chain(changes.removed_agents.iter().copied()).filter(|(_, id)| id == agent));
            }
            Effect::Stop { agent, fence, reason, message } if !shared.sessions.is_open(*agent) => {
                let message = message.chars().take(MESSAGE).collect();
                hint.stops.push(StopHint { agent: *agent, fence: *fence, reason: *reason, message });
            }
            Effect::Resumed { agent, epoch, task } if shared.sessions.epoch_of_open(*agent) != Some(*epoch) => {
                hint.resumed.insert(ResumedHint { agent: *agent, task: (task.namespace, task.id) });
            }
            _ => {}
        }
    }
    shared.outbox.add(hint);
}

/// Tells what is to be told, until it is stopped.
pub(crate) async fn tell(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.outbox.more.notified() => {}
        }
        let hint = Hint { from: shared.registration().to_string(), ..shared.outbox.take() };
        let Some(cluster) = shared.store.cluster() else { return };
        if shared.config.rules.planted.has(Bug::DropEveryNotify) {
            continue;
        }
        match cluster.tell(&hint).await {
            Ok(()) => shared.metrics.hinted(&Direction::SENT),
            Err(error) => {
                tracing::debug!(%error, "the other replicas were not told of a commit; they will find it by looking");
            }
        }
    }
}

/// Hears what others tell, until it is stopped.
pub(crate) async fn hear(shared: Arc<Shared>, stop: CancellationToken) {
    let Some(cluster) = shared.store.cluster() else { return };
    let mut hints = match cluster.listen().await {
        Ok(hints) => hints,
        Err(error) => return tracing::warn!(%error, "nothing is heard of the other replicas; it is found by looking"),
    };
    loop {
        let hint = tokio::select! {
            () = stop.cancelled() => return,
            hint = hints.recv() => hint,
        };
        let Some(hint) = hint else { return };
        if *hint.from == *shared.registration() {
            continue;
        }
        // That the connection was made anew, and something may have been missed, nobody sent.
        if !hint.from.is_empty() {
            shared.metrics.hinted(&Direction::HEARD);
        }
        if let Err(error) = follow(&shared, cluster, hint).await {
            tracing::debug!(%error, "what another replica committed could not be looked at; it is soon");
        }
    }
}

/// Does what a hint is for.
async fn follow(shared: &Shared, cluster: &dyn Cluster, hint: Hint) -> Result<()> {
    let Hint { everything, tasks, output, lanes, agents, stops, resumed, .. } = hint;
    if everything {
        shared.names.refresh(&*shared.store).await?;
        shared.signals.tell_all();
        shared.queue.lanes(shared.store.ready_lanes(10_000).await?).await?;
        return Look::default().once(shared, cluster).await;
    }
    for stop in stops {
        push_stop(shared, stop);
    }
    for resumed in resumed {
        tell_resumed(shared, resumed).await?;
    }
    if !lanes.is_empty() {
        shared.queue.lanes(lanes.into_iter().collect()).await?;
    }
    shared.signals.tell_of(&tasks);
    shared.signals.tell_of_output(&output);
    tell_waiting(shared, cluster, &shared.waiters.among(tasks.into_iter())).await?;
    for (_, agent) in &agents {
        shared.mail.tell(*agent);
    }
    let here: Vec<_> = agents.into_iter().filter(|(_, agent)| shared.sessions.is_open(*agent)).collect();
    compare(shared, cluster, &here).await?;
    for (_, agent) in here {
        if shared.sessions.doubt_mail(agent) {
            shared.mail.look(agent);
        }
    }
    Ok(())
}

fn push_stop(shared: &Shared, stop: StopHint) {
    let StopHint { agent, fence, reason, message } = stop;
    let push = Push::Stop(vec![Stop { fence, reason, message }]);
    // Where there is no stream, there is nobody to tell.
    shared.sessions.push(agent, None, push, shared.clock.elapsed());
}

/// Has an agent here told that its attempt goes on: by a command, so that it stands in line with what the agent reports.
async fn tell_resumed(shared: &Shared, ResumedHint { agent, task: (namespace, task) }: ResumedHint) -> Result<()> {
    let namespace = shared.names.name(namespace).filter(|_| shared.sessions.is_open(agent));
    match namespace {
        Some(namespace) => shared.queue.send(Item::system(namespace, Command::TellResumed { task })).await,
        None => Ok(()),
    }
}

/// Tells those that wait here for tasks that ended elsewhere.
async fn tell_waiting(shared: &Shared, cluster: &dyn Cluster, waited_for: &[TaskRef]) -> Result<()> {
    if waited_for.is_empty() {
        return Ok(());
    }
    for task in cluster.ended_of(waited_for).await? {
        let Some(TaskView { task, saved, .. }) = shared.store.task(task).await? else { continue };
        // It may live again since.
        if !task.is_live() {
            let id = task.id;
            let ended = Ended { task: Arc::new(task), result: saved.result, failure: saved.failure };
            shared.waiters.ended(id, &Arc::new(ended));
        }
    }
    Ok(())
}

/// Ends streams whose session is over, or newer elsewhere: their agents are to attach again.
async fn compare(shared: &Shared, cluster: &dyn Cluster, agents: &[(NamespaceId, AgentId)]) -> Result<()> {
    for some in agents.chunks(STREAMS) {
        let open: Vec<(AgentId, i64)> =
            some.iter().filter_map(|(_, agent)| Some((*agent, shared.sessions.epoch_of_open(*agent)?))).collect();
        let registration = shared.registration();
        let sessions = cluster.sessions_of(some).await?;
        let here = sessions.iter().filter_map(|now| Some((now.agent, now.epoch_at(&registration)?)));
        let epochs: HashMap<AgentId, i64> = here.collect();
        for (agent, epoch) in open {
            if epochs.get(&agent) != Some(&epoch) {
                tracing::info!(%agent, epoch, "a stream's session is over, or is elsewhere; its agent is to attach again");
                shared.sessions.close(agent, epoch, SessionEnd::Expired);
            }
        }
    }
    Ok(())
}

/// A look at what hints may have missed.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Those that are waited for are looked at in turns, behind this one.
    waited_for: Option<TaskId>,
    /// Those that are to stop, too.
    stopping: Option<StopPlace>,
    events: Cursor,
}

impl Look {
    /// Looks; to be called once a second.
    pub async fn at_all(&mut self, shared: &Shared) -> Result<()> {
        let Some(cluster) = shared.store.cluster() else { return Ok(()) };
        if shared.config.rules.planted.has(Bug::NeverLook) {
            return Ok(());
        }
        shared.names.refresh(&*shared.store).await?;
        let news = cluster.news(self.events).await?;
        self.events = news.end;
        if news.any {
            shared.signals.tell_all();
        } else {
            shared.signals.tell_all_of_output();
        }
        self.once(shared, cluster).await
    }

    async fn once(&mut self, shared: &Shared, cluster: &dyn Cluster) -> Result<()> {
        let waited_for = shared.waiters.behind(self.waited_for, WAITED_FOR);
        self.waited_for = waited_for.last().map(|(_, task)| *task).filter(|_| waited_for.len() == WAITED_FOR);
        tell_waiting(shared, cluster, &waited_for).await?;
        let stopping = cluster.stopping(self.stopping, STOPPING).await?;
        self.stopping = stopping.next;
        for task in &stopping.tasks {
            stop_again(shared, task);
        }
        let streams = shared.sessions.open_streams();
        let agents = streams.iter().filter_map(|(named, _)| Some((shared.names.met(&named.namespace)?, named.agent)));
        compare(shared, cluster, &agents.collect::<Vec<_>>()).await
    }
}

/// Tells an agent here again to stop; once more does no harm.
fn stop_again(shared: &Shared, task: &Task) {
    let (Some(lease), Some(cancelling)) = (task.state.lease(), task.state.cancelling()) else { return };
    if shared.sessions.is_open(lease.agent) {
        let fence = crate::effects::fence_of(task);
        let (agent, message) = (lease.agent, cancelling.reason.clone());
        push_stop(shared, StopHint { agent, fence, reason: StopReason::Requested, message });
    }
}
