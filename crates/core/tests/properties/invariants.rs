//! What must be true of the rows behind every command.

use crate::support::table::Tables;
use crate::{limits, workflows};
use callboard_core::model::{
    Agent, AgentId, Condition, EventKind, LaneKey, OnParentEnd, PauseTurn, Slot, StateName, Task, TaskId, TaskState,
    Test,
};
use std::collections::{BTreeMap, BTreeSet};

/// Checks the rows, and the step from those before.
pub fn check(before: &Tables, after: &Tables) {
    let mut keys = BTreeSet::new();
    for task in after.tasks.values() {
        one_task(task, after);
        waits(task, after);
        history(task, after);
        attempt_times(task, after);
        if let Some(key) = task.spec.key.as_ref().filter(|_| task.is_live()) {
            assert!(keys.insert((task.namespace, key)), "the key {key:?} has two live tasks");
        }
        match before.tasks.get(&task.id) {
            Some(was) => {
                step(was, task);
                given_to_one_that_fits(was, task, after);
                falls_back(was, task, after);
            }
            None => assert_eq!(task.run, 1),
        }
    }
    assert!(before.tasks.keys().all(|id| after.tasks.contains_key(id)), "no task is forgotten");
    for edge in after.edges.values().filter(|edge| !edge.resolved) {
        let source = &after.tasks[&edge.source];
        assert!(source.has_dependents, "the source of an edge that waits knows it");
        assert!(source.is_live() || source.releasing, "whoever waits for {} would wait for ever", source.id);
    }
    for task in after.tasks.values() {
        children(task, before, after);
        released(task, before, after);
    }
    nobody_waits_for_itself(after);
    workflows::check(after);
    limits::check(before, after);
    for agent in after.agents.values() {
        let taken = slots(after, agent.id, Slot::Taken);
        let has_room = taken < agent.profile.slots as usize;
        resources(agent, before, after);
        assert!(
            taken <= agent.profile.slots as usize || taken <= slots(before, agent.id, Slot::Taken),
            "slots are exceeded"
        );
        assert!(!has_room || !somebody_may_go_on(agent, after), "a slot is free, and somebody waits for it");
        assert!(
            after.leased_to(agent.id).count() == 0 || agent.session.is_some(),
            "an agent without a session has tasks"
        );
        let mail = after.mail(agent.id);
        let mailbox = after.mailboxes.get(&agent.id);
        assert_eq!(mailbox.map_or(0, |mailbox| mailbox.messages), mail.len() as i64, "a mailbox's count is true");
        if let Some(was) = before.agents.get(&agent.id) {
            assert!(agent.epoch >= was.epoch);
            assert!(agent.version > was.version || agent == was, "an agent changed without a version");
        }
    }
}

/// How many slots an agent's tasks have, or wait for.
fn slots(tables: &Tables, agent: AgentId, slot: Slot) -> usize {
    tables.leased_to(agent).filter(|task| task.state.slot() == Some((agent, slot))).count()
}

/// What an agent's tasks take of gpus, those that have a slot, and how many of them take any.
fn gpus(tables: &Tables, agent: AgentId) -> (u64, usize) {
    let running = tables.leased_to(agent).filter(|task| task.state.slot() == Some((agent, Slot::Taken)));
    let taken = running.map(gpu_of).filter(|parts| *parts > 0);
    taken.fold((0, 0), |(sum, count), parts| (sum + parts, count + 1))
}

fn gpu_of(task: &Task) -> u64 {
    task.spec.requirements.resources.get("gpu")
}

/// No agent is given more than it has. What it had when it said that it has less stays, and what it took goes on alone.
fn resources(agent: &Agent, before: &Tables, after: &Tables) {
    let (taken, tasks) = gpus(after, agent.id);
    let had = gpus(before, agent.id).0;
    assert!(taken <= agent.profile.has_of("gpu") || taken <= had || tasks == 1, "{} is given {taken}", agent.name);
}

/// Whether a task waits for a slot of its agent that has all else that it needs.
fn somebody_may_go_on(agent: &Agent, tables: &Tables) -> bool {
    let taken = gpus(tables, agent.id).0;
    let mut awaiting = tables.leased_to(agent.id).filter(|task| task.state.slot() == Some((agent.id, Slot::Awaited)));
    awaiting.any(|task| gpu_of(task) == 0 || taken + gpu_of(task) <= agent.profile.has_of("gpu").max(gpu_of(task)))
}

fn one_task(task: &Task, tables: &Tables) {
    assert_eq!(task.lane, LaneKey::in_force(&task.spec, task.fallback).id());
    assert!(!task.is_live() || tables.lanes.contains_key(&(task.namespace, task.lane)), "a live task has no lane");
    let max = task.spec.retry_policy.max_attempts;
    assert!(task.attempts_used < max || (!task.is_live() && task.attempts_used == max), "too many attempts");
    if let Some(lease) = task.state.lease() {
        let agent = tables.agents.get(&lease.agent).expect("whoever has a lease is known");
        assert_eq!(lease.epoch, agent.epoch, "a lease is of the current session");
    }
    if task.state.name() == StateName::Completed {
        assert!(tables.payloads.contains_key(&(task.id, "result")));
    }
    if task.state.name() == StateName::Failed {
        assert!(tables.payloads.contains_key(&(task.id, "failure")));
    }
}

/// Each is a task that knows its parent, or somebody else's by its key. When a run has ended, and all are told, none lives that was
/// to end with it.
fn children(parent: &Task, before: &Tables, after: &Tables) {
    let run = (parent.namespace, parent.id, parent.run);
    let children = after.children.get(&run).map_or(&[][..], Vec::as_slice);
    let is_told = |tables: &Tables| tables.tasks.get(&parent.id).is_some_and(|task| !task.is_live() && !task.releasing);
    let was_told_now = is_told(after) && !is_told(before);
    for row in children {
        let child = &after.tasks[&row.child];
        let own =
            child.parent().is_some_and(|link| (link.task, link.run, &link.key) == (row.parent, row.run, &row.key));
        assert!(own || row.on_parent_end == OnParentEnd::Detach, "a child of a run knows it");
        let stops = !child.is_live() || child.state.cancelling().is_some();
        assert!(
            !was_told_now || row.on_parent_end == OnParentEnd::Detach || stops,
            "{} outlives its parent",
            row.child
        );
    }
}

/// A task waits for something, and for what is there.
fn waits(task: &Task, tables: &Tables) {
    let TaskState::Waiting(waiting) = &task.state else { return };
    assert!(!waiting.over(), "a task waits for nothing");
    let to = tables.edges.values().filter(|edge| edge.target == task.id && !edge.resolved);
    assert_eq!(waiting.unmet as usize, to.count(), "unmet dependencies of {}", task.id);
}

/// However plans are changed, and whatever runs again.
fn nobody_waits_for_itself(tables: &Tables) {
    let mut waits: BTreeMap<TaskId, BTreeSet<TaskId>> = BTreeMap::new();
    for edge in tables.edges.values().filter(|edge| !edge.resolved) {
        waits.entry(edge.target).or_default().insert(edge.source);
    }
    // What waits for nothing is taken away, until nothing is left.
    loop {
        let before = waits.len();
        let left: BTreeSet<TaskId> = waits.keys().copied().collect();
        waits.retain(|_, sources| !sources.is_disjoint(&left));
        if waits.len() == before {
            break;
        }
    }
    assert!(waits.is_empty(), "these wait for themselves: {waits:?}");
}

/// A dependent is told of an end once, and goes on only if every end was as it asked: told here without the rules.
fn released(task: &Task, before: &Tables, after: &Tables) {
    let waited = before.tasks.get(&task.id).is_none_or(|was| was.state.name() == StateName::Waiting);
    let told = after.edges.values().filter(|edge| edge.target == task.id && edge.resolved);
    let told = told.filter(|edge| !before.edges.get(&(edge.source, edge.target)).is_some_and(|was| was.resolved));
    let mut refused = told.filter(|edge| {
        let source = &after.tasks[&edge.source];
        assert!(!source.is_live(), "{} was told of an end that {} has not", task.id, edge.source);
        let completed = source.state.name() == StateName::Completed;
        !match &edge.terms.condition {
            Condition::Completed => completed,
            Condition::Failed => source.state.name() == StateName::Failed,
            Condition::NotCompleted => !completed,
            Condition::Ended => true,
            // Every result here is a text.
            Condition::Result(condition) => completed && condition.test == Test::Exists,
        }
    });
    let refused = refused.next().is_some();
    assert!(!refused || !task.is_live(), "{} goes on, and a condition does not hold", task.id);
    let skipped = waited && task.state.name() == StateName::Skipped;
    assert!(!skipped || refused, "{} is skipped, and every condition holds", task.id);
}

/// Sequences have no gaps, every state has its event, and a run ends once.
fn history(task: &Task, tables: &Tables) {
    let events = &tables.events[&task.id];
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=task.last_event).collect::<Vec<_>>());
    let last = events.last().expect("a task has events");
    assert_eq!((last.state, last.run), (task.state.name(), task.run), "a state has no event");
    for pair in events.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        assert!(one.at <= next.at && one.attempt <= next.attempt);
        let opened = next.run == one.run + 1;
        assert!(next.run == one.run || opened);
        assert_eq!(one.state.is_final(), opened, "a run ends once, and nothing follows but the next");
    }
}

/// An attempt times out when it has had its whole time beside its pauses, and not before.
fn attempt_times(task: &Task, tables: &Tables) {
    let (mut ran, mut since) = (0, None);
    for event in &tables.events[&task.id] {
        let running = since.map_or(0, |since| event.at.0 - since);
        match &event.kind {
            EventKind::Assigned { .. } => (ran, since) = (0, Some(event.at.0)),
            EventKind::Started { pause: Some(PauseTurn::Began), .. } => (ran, since) = (ran + running, None),
            EventKind::Started { pause: Some(PauseTurn::Ended), .. } => since = Some(event.at.0),
            EventKind::AttemptTimedOut { failure, .. } if failure.kind == "callboard.start_to_close_timeout" => {
                let had = ran + running;
                assert!(had >= task.spec.timeouts.start_to_close.0, "an attempt timed out after {had} us");
            }
            _ => {}
        }
    }
}

/// Whoever is given a task fits what it asks for then.
fn given_to_one_that_fits(was: &Task, is: &Task, tables: &Tables) {
    let Some(lease) = is.state.lease().filter(|_| is.attempt > was.attempt) else { return };
    let agent = tables.agents.get(&lease.agent).expect("whoever has a lease is known");
    assert_eq!(LaneKey::in_force(&was.spec, was.fallback).fits(&agent.name, &agent.profile), Ok(()));
}

/// A ready task falls back when its time has come and not before, and says so; what a run has come to is left by an assignee or by
/// the next run alone.
fn falls_back(was: &Task, is: &Task, tables: &Tables) {
    if is.fallback < was.fallback {
        let last = tables.events[&is.id].iter().rev().find(|event| !matches!(event.kind, EventKind::Ready));
        let why = last.map(|event| &event.kind);
        let updated = matches!(why, Some(EventKind::Updated { fields, fallback: None }) if fields.contains("assignee"));
        assert!(is.fallback == 0 && (is.run > was.run || updated), "a fallback was left: {why:?}");
    }
    if is.fallback > was.fallback {
        let TaskState::Ready { since } = was.state else { panic!("a task fell back that was not ready") };
        let last = tables.events[&is.id].last().expect("a task has events");
        assert!(matches!(last.kind, EventKind::Updated { fallback: Some(number), .. } if number == is.fallback));
        assert!(since + is.spec.requirements.fallbacks[is.fallback as usize - 1].after <= last.at, "too early");
        assert_eq!((&is.state, is.rank()), (&was.state, was.rank()), "it keeps its place in the order");
    }
}

/// What one command may do to a task.
fn step(was: &Task, is: &Task) {
    assert!(is.version > was.version || is == was, "a task changed without a version");
    assert!(is.run == was.run || (is.run == was.run + 1 && !was.is_live()), "only an ended run is followed by another");
    if !was.is_live() && is.run == was.run {
        assert_eq!(is.state, was.state, "an end is final");
    }
    assert!(is.attempt >= was.attempt);
    if let Some(lease) = is.state.lease()
        && was.state.lease().map(|was| was.token) != Some(lease.token)
    {
        assert_eq!(is.attempt, was.attempt + 1, "a lease is an attempt");
    }
    if was.state.pause().is_some() {
        assert!(is.state.name() != StateName::Assigned, "a paused task is given to nobody");
    }
    if was.state.cancelling().is_some() {
        let stops = is.state.cancelling().is_some() || is.state.name() == StateName::Cancelled;
        assert!(stops, "once its cancellation was asked for, the outcome is CANCELLED");
    }
}
