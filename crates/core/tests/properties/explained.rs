//! What is explained of a task is what dispatch does.

use crate::operations::{Crowd, Op};
use crate::support::World;
use callboard_core::Command;
use callboard_core::model::{Task, TaskId};

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
