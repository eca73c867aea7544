//! What is explained of a task is what dispatch does, and what is kept of it is what was explained before.

use crate::operations::{Crowd, Op};
use crate::support::World;
use callboard_core::Command;
use callboard_core::dispatch::{Candidate, Explanation, ObstacleKind};
use callboard_core::model::{Chosen, EventKind, KeptScore, Task, TaskId};

/// Does these things, and compares each dispatch with what was explained before it.
pub fn check(world: &mut World, ops: &[Op]) {
    let mut crowd = Crowd::default();
    for op in ops {
        match op {
            Op::Dispatch => dispatch(world),
            op => crowd.perform(world, op),
        }
    }
    dispatch(world);
}

/// The first of all ready tasks goes to the first that could have it; nobody gets it if nobody could.
fn dispatch(w: &mut World) {
    let first = first_ready(w).map(|id| (id, w.explain(id)));
    let lanes = w.tables.ready_lanes();
    w.run(Command::Dispatch { lanes }).expect("a dispatch is never refused");
    let Some((id, explanation)) = first else { return };
    let expected = explanation.candidates.first().filter(|best| best.obstacles.is_empty());
    let expected = expected.map(|best| best.agent.to_string());
    assert_eq!(w.has(id), expected, "{} of {explanation:#?}", w.history(id));
    if expected.is_some() {
        is_kept(w, id, &explanation);
    }
}

/// The event has the score of who got it, how many could have had it, and the next of them.
fn is_kept(w: &World, id: TaskId, explanation: &Explanation) {
    let chosen = chosen(w, id).expect("a dispatch keeps how it chose");
    let last_choice = |candidate: &&Candidate| {
        candidate.score.is_some() && candidate.obstacles.iter().all(|other| other.kind == ObstacleKind::FailedThere)
    };
    assert_eq!(chosen.compared as usize, explanation.candidates.iter().filter(last_choice).count());
    let free = explanation.candidates.iter().filter(|candidate| candidate.obstacles.is_empty());
    let free = free.filter_map(|candidate| Some((&*candidate.agent, KeptScore::of(candidate.score?.total()))));
    let mut told = vec![(w.task(id).agent_name.as_deref().expect("it was given to somebody"), chosen.score)];
    told.extend(chosen.runners_up.iter().map(|other| (&*other.agent, other.score)));
    let expected: Vec<_> = free.take(told.len()).collect();
    assert_eq!(told[..expected.len()], expected, "{explanation:#?}");
    assert_eq!(told.len(), 4.min(chosen.compared as usize));
}

fn chosen(w: &World, id: TaskId) -> Option<&Chosen> {
    let assigned = w.events(id).iter().rev().find_map(|event| match &event.kind {
        EventKind::Assigned { chosen, .. } => Some(chosen.as_ref()),
        _ => None,
    });
    assigned.flatten()
}

/// The first by rank. Where there are several fairness keys, whose turn it is decides; that no explanation tells.
fn first_ready(w: &World) -> Option<TaskId> {
    let ready = || w.tables.live().filter(|task| task.rank().is_some());
    if ready().any(|task| task.spec.fairness_key.is_some()) {
        return None;
    }
    let ready = ready().filter_map(|task| Some((task.rank()?, task.id)));
    ready.min().map(|(_, id)| id).filter(|id| w.tables.tasks.get(id).is_some_and(Task::is_live))
}
