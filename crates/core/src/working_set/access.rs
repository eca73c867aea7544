//! How rules read and write rows. A read of what is not loaded stops the command with what it wants.

use super::{AgentKey, LaneRef, PayloadValue, PayloadWrite, TaskKey, TaskRef, Undo, Want, WorkingSet};
use crate::decide::Stop;
use crate::model::{
    Agent, AgentId, Event, Lane, LaneId, Namespace, NamespaceId, Payload, RequestKey, RequestRecord, Task, TaskId,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A value, or what must be loaded first.
pub type Loaded<T> = Result<T, Stop>;

pub(super) fn missing<T>(fill: impl FnOnce(&mut Want)) -> Loaded<T> {
    let mut want = Want::default();
    fill(&mut want);
    Err(Stop::NeedMore(Box::new(want)))
}

impl WorkingSet {
    /// A namespace by name.
    pub fn namespace(&self, name: &Arc<str>) -> Loaded<Option<&Namespace>> {
        match self.namespaces.get(name) {
            Some(row) => Ok(row),
            None if self.all_namespaces => Ok(None),
            None => missing(|w| {
                w.namespaces.insert(name.clone());
            }),
        }
    }

    /// A namespace by its id.
    pub fn namespace_by_id(&self, id: NamespaceId) -> Loaded<Option<&Namespace>> {
        match self.namespace_names.get(&id) {
            Some(name) => self.namespace(name),
            None if self.all_namespaces => Ok(None),
            None => missing(|w| w.all_namespaces = true),
        }
    }

    /// Every namespace.
    pub fn all_namespaces(&self) -> Loaded<Vec<&Namespace>> {
        if !self.all_namespaces {
            return missing(|w| w.all_namespaces = true);
        }
        Ok(self.namespaces.iter().map(|(_, row)| row).collect())
    }

    /// Writes a namespace.
    pub fn put_namespace(&mut self, mut row: Namespace) {
        let stored = row.version;
        row.version += 1;
        self.namespace_names.insert(row.id, row.name.clone());
        self.namespaces.put(row.name.clone(), Some(row), stored);
    }

    /// A task.
    pub fn task(&self, (namespace, id): TaskRef) -> Loaded<Option<&Task>> {
        match self.tasks.get(&id) {
            // An id is unique in all namespaces; one of another namespace must not show.
            Some(row) => Ok(row.filter(|task| task.namespace == namespace)),
            None => missing(|w| {
                w.tasks.insert((namespace, id));
            }),
        }
    }

    /// Asks for tasks, and for the tasks that have keys, in one go; what is loaded is not asked for again.
    pub fn want_loaded(&self, keys: impl Iterator<Item = TaskKey>, tasks: impl Iterator<Item = TaskRef>) -> Loaded<()> {
        let mut want = Want::default();
        want.keys.extend(keys.filter(|key| !self.batch.keys.contains_key(key)));
        want.tasks.extend(tasks.filter(|(_, id)| self.tasks.get(id).is_none()));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// Asks for what tells whether new tasks find room in a namespace and in these lanes, in one go; what is loaded is not asked for again.
    pub fn want_room(&self, namespace: NamespaceId, mut lanes: impl Iterator<Item = LaneId>) -> Loaded<()> {
        let mut want = Want::default();
        want.live_counts.extend((!self.live.contains_key(&namespace)).then_some(namespace));
        let unknown =
            !self.lanes_of.contains(&namespace) && lanes.any(|lane| !self.lanes.contains_key(&(namespace, lane)));
        want.lanes.extend(unknown.then_some(namespace));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// Asks for a task and an agent in one go; what is loaded is not asked for again.
    pub fn want_both(&self, task: TaskRef, agent: AgentId) -> Loaded<()> {
        let mut want = Want::default();
        want.tasks.extend(self.tasks.get(&task.1).is_none().then_some(task));
        want.agents_by_id.extend(self.agents.get(&agent).is_none().then_some((task.0, agent)));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// A task that is here; what isn't loaded is `None` too.
    pub fn loaded_task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.row(&id)
    }

    /// Writes a task.
    pub fn put_task(&mut self, mut row: Task) {
        let stored = row.version;
        row.version += 1;
        let before = self.tasks.row(&row.id).cloned();
        self.index(before.as_ref(), Some(&row));
        self.count_taken(before.as_ref(), Some(&row), 1);
        if !row.is_live() {
            self.batch.passing.push(row.id);
        }
        self.tasks.put(row.id, Some(row), stored);
    }

    /// Counts a ready task that is so no more, or in another place; the store will still give it where it was.
    pub(super) fn count_taken(&mut self, before: Option<&Task>, after: Option<&Task>, by: i64) {
        let place = |task: &Task| task.rank().map(|rank| ((task.namespace, task.lane), rank));
        let Some(was) = before.and_then(place) else { return };
        if after.and_then(place) != Some(was) {
            *self.batch.taken.entry(was.0).or_default() += by;
        }
    }

    /// Writes a new task with its input.
    pub fn add_task(&mut self, row: Task, input: Arc<Payload>) {
        self.batch.inputs.insert(row.id, input);
        self.add_live(row.namespace, 1);
        self.put_task(row);
    }

    /// The task's spec changed, and is to be saved too.
    pub fn spec_changed(&mut self, task: TaskId) {
        if self.batch.spec_changed.insert(task) {
            self.batch.undo.push(Undo::SpecChanged(task));
        }
    }

    /// The live task that has a key.
    pub fn task_by_key(&self, key: &TaskKey) -> Loaded<Option<TaskId>> {
        match self.batch.keys.get(key) {
            Some(known) => Ok(*known),
            None => missing(|w| {
                w.keys.insert(key.clone());
            }),
        }
    }

    /// A key is taken, or free again.
    pub fn put_key(&mut self, key: TaskKey, task: Option<TaskId>) {
        let before = self.batch.keys.insert(key.clone(), task);
        self.batch.undo.push(Undo::Key(key, before));
    }

    /// An agent by name.
    pub fn agent_by_name(&self, key: &AgentKey) -> Loaded<Option<&Agent>> {
        match self.agent_names.get(key) {
            Some(id) => Ok(id.and_then(|id| self.agents.row(&id))),
            None => missing(|w| {
                w.agents.insert(key.clone());
            }),
        }
    }

    /// An agent.
    pub fn agent(&self, namespace: NamespaceId, id: AgentId) -> Loaded<Option<&Agent>> {
        match self.agents.get(&id) {
            Some(row) => Ok(row.filter(|agent| agent.namespace == namespace)),
            None => missing(|w| {
                w.agents_by_id.insert((namespace, id));
            }),
        }
    }

    /// Asks for agents in one go; those that are loaded are not asked for again.
    pub fn want_agents(&self, namespace: NamespaceId, agents: impl Iterator<Item = AgentId>) -> Loaded<()> {
        let mut want = Want::default();
        want.agents_by_id.extend(agents.filter(|id| self.agents.get(id).is_none()).map(|id| (namespace, id)));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// An agent that is here; what isn't loaded is `None` too.
    pub fn loaded_agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.row(&id)
    }

    /// Every agent that is here.
    pub fn loaded_agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().map(|(_, agent)| agent)
    }

    /// Writes an agent.
    pub fn put_agent(&mut self, mut row: Agent) {
        let stored = row.version;
        row.version += 1;
        self.name_agent((row.namespace, row.name.clone()), Some(row.id));
        self.agents.put(row.id, Some(row), stored);
    }

    /// Forgets an agent for good.
    pub fn remove_agent(&mut self, row: &Agent) {
        self.name_agent((row.namespace, row.name.clone()), None);
        self.agents.put(row.id, None, row.version);
        self.batch.changes.removed_agents.push((row.namespace, row.id));
    }

    fn name_agent(&mut self, name: AgentKey, agent: Option<AgentId>) {
        if self.agent_names.get(&name) != Some(&agent) {
            let before = self.agent_names.insert(name.clone(), agent);
            self.batch.undo.push(Undo::AgentName(name, before));
        }
    }

    /// Asks in one go for the tasks leased to an agent that is loaded.
    pub fn want_leases(&self, namespace: NamespaceId, agent: AgentId) -> Loaded<()> {
        self.want_loaded(std::iter::empty(), self.leases(agent).map(|task| (namespace, task)))
    }

    /// The tasks leased to an agent that is loaded.
    pub fn leases(&self, agent: AgentId) -> impl Iterator<Item = TaskId> + '_ {
        self.leases.of(agent)
    }

    /// How many tasks are leased to an agent that is loaded.
    pub fn lease_count(&self, agent: AgentId) -> usize {
        self.leases.count(agent)
    }

    /// How many tasks of an agent that is loaded have a slot: those that are assigned, and those that run.
    pub fn taken_slots(&self, agent: AgentId) -> usize {
        self.leases.taken(agent)
    }

    /// The tasks of an agent that is loaded that wait for a slot, to go on.
    pub fn awaiting_slots(&self, agent: AgentId) -> impl ExactSizeIterator<Item = TaskId> + '_ {
        self.leases.awaiting(agent)
    }

    /// How many more tasks an agent may be given. A slot that somebody waits for is not free.
    pub fn free_slots(&self, agent: &Agent) -> usize {
        let used = self.taken_slots(agent.id) + self.awaiting_slots(agent.id).len();
        (agent.profile.slots as usize).saturating_sub(used)
    }

    /// In this batch, request ids that were not loaded are taken to be new: the store refuses the batch if one is not.
    pub fn expect_new_requests(&mut self) {
        self.batch.requests_are_new = true;
    }

    /// A remembered answer.
    pub fn request(&self, key: &RequestKey) -> Loaded<Option<&RequestRecord>> {
        match self.batch.requests.get(key) {
            Some(record) => Ok(record.as_ref()),
            None if self.batch.requests_are_new => Ok(None),
            None => missing(|w| {
                w.requests.insert(key.clone());
            }),
        }
    }

    /// Asks once for a remembered answer behind all that a refusal saw. It may only have been taken to be missing; and where it was looked
    /// for before the rest, another replica may have done the very same request in between: what is in its way is then what that made.
    pub fn make_sure_of(&mut self, key: &RequestKey) -> Loaded<()> {
        if !self.batch.made_sure_of.insert(key.clone()) {
            return Ok(());
        }
        missing(|w| {
            w.requests.insert(key.clone());
        })
    }

    /// Remembers an answer.
    pub fn add_request(&mut self, record: RequestRecord) {
        self.batch.undo.push(Undo::Request(record.key.clone()));
        self.batch.requests.insert(record.key.clone(), Some(record.clone()));
        self.batch.changes.requests.push(record);
    }

    /// All lanes of a namespace.
    pub fn lanes(&self, namespace: NamespaceId) -> Loaded<impl Iterator<Item = &Lane>> {
        if !self.lanes_of.contains(&namespace) {
            return missing(|w| {
                w.lanes.insert(namespace);
            });
        }
        Ok(self.lanes.values().filter(move |lane| lane.namespace == namespace))
    }

    /// A lane, if it is known here.
    pub fn lane(&self, lane: LaneRef) -> Option<&Lane> {
        self.lanes.get(&lane)
    }

    /// A new lane.
    pub fn add_lane(&mut self, lane: Lane) {
        let at = (lane.namespace, lane.id);
        if self.lanes.insert(at, lane.clone()).is_none() {
            self.batch.undo.push(Undo::LaneAdded(at));
            self.batch.changes.lanes.push(lane);
        }
    }

    /// A lane without live tasks goes.
    pub fn remove_lane(&mut self, at: LaneRef) {
        if let Some(lane) = self.lanes.remove(&at) {
            self.batch.undo.push(Undo::LaneRemoved(lane));
            self.batch.changes.removed_lanes.push(at);
        }
    }

    /// The lanes of a namespace that have live tasks, with those that are only here.
    pub fn lanes_in_use(&self, namespace: NamespaceId) -> Loaded<BTreeSet<LaneRef>> {
        let Some(stored) = self.batch.lanes_in_use.get(&namespace) else {
            return missing(|w| {
                w.lanes_in_use.insert(namespace);
            });
        };
        let here = self.tasks.iter().map(|(_, task)| task);
        let here = here.filter(|task| task.namespace == namespace && task.is_live());
        Ok(stored.iter().copied().chain(here.map(|task| (namespace, task.lane))).collect())
    }

    /// How many tasks of a namespace are live.
    pub fn live_count(&self, namespace: NamespaceId) -> Loaded<i64> {
        match self.live.get(&namespace) {
            Some(count) => Ok(*count),
            None => missing(|w| {
                w.live_counts.insert(namespace);
            }),
        }
    }

    /// A task began or ended.
    pub fn add_live(&mut self, namespace: NamespaceId, delta: i64) {
        self.change_live(namespace, delta);
        self.batch.undo.push(Undo::Live(namespace, delta));
    }

    pub(super) fn change_live(&mut self, namespace: NamespaceId, delta: i64) {
        *self.batch.live_delta.entry(namespace).or_default() += delta;
        if let Some(count) = self.live.get_mut(&namespace) {
            *count += delta;
        }
    }

    /// The first ready tasks of a lane by (rank, id), at most `limit`. The second value says that the store may have more.
    pub fn ready_tasks(&self, lane: LaneRef, limit: usize) -> Loaded<(Vec<TaskId>, bool)> {
        self.want_ready([(lane, limit)].into_iter())?;
        let here = self.ready.get(&lane);
        let tasks = here.into_iter().flatten().take(limit).map(|(_, id)| *id).collect();
        Ok((tasks, self.backlog.contains(&lane)))
    }

    /// Asks for the first ready tasks of lanes in one go, so many of each; what is loaded is not asked for again.
    pub fn want_ready(&self, lanes: impl Iterator<Item = (LaneRef, usize)>) -> Loaded<()> {
        let mut want = Want::default();
        for (lane, limit) in lanes.filter(|(lane, _)| self.backlog.contains(lane)) {
            let asked = self.batch.fetched.get(&lane).copied().unwrap_or(0);
            // What the batch took is still ready in the store, and comes before what is left.
            let taken = self.batch.taken.get(&lane).copied().unwrap_or(0);
            let needed = limit + usize::try_from(taken).unwrap_or(0);
            if asked < needed {
                want.ready.insert(lane, needed);
            }
        }
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// How many ready tasks of a lane are here.
    pub fn ready_count(&self, lane: LaneRef) -> usize {
        self.ready.get(&lane).map_or(0, BTreeSet::len)
    }

    /// Whether the store may have ready tasks of a lane that are not here.
    pub fn has_backlog(&self, lane: LaneRef) -> bool {
        self.backlog.contains(&lane)
    }

    /// The store may have ready tasks of a lane that are not here.
    pub fn expect_backlog(&mut self, lane: LaneRef) {
        self.backlog.insert(lane);
    }

    /// A fact about a task.
    pub fn add_event(&mut self, event: Event) {
        self.batch.changes.events.push(event);
    }

    /// A result, checkpoint or failure.
    pub fn add_payload(&mut self, (namespace, task): TaskRef, value: PayloadValue) {
        self.batch.changes.payloads.push(PayloadWrite { namespace, task, value });
    }
}
