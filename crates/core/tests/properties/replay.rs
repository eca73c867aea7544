//! The same commands in another mode of the cache, and gathered into batches: the same rows, the same answers.

use crate::support::{Mode, World};
use callboard_core::{Effect, Outcome};

/// Runs what a world was told once more, so many commands in a commit, and compares.
pub fn check_same(original: &World, mode: Mode, gathered: usize) {
    let mut world = World::new(mode);
    world.settings = original.settings.clone();
    let mut pending: Vec<Outcome> = Vec::new();
    for logged in &original.log {
        (world.now, world.grace_until) = (logged.now, logged.grace_until);
        let result = world.decide(&logged.envelope);
        pending.extend(result);
        // Who may be given tasks is learned behind the commit.
        let changed = |effect: &Effect| matches!(effect, Effect::SessionChanged { .. });
        let session_changed = pending.last().is_some_and(|outcome| outcome.effects.iter().any(changed));
        if world.log.len().is_multiple_of(gathered) || session_changed {
            commit(&mut world, &mut pending);
        }
    }
    commit(&mut world, &mut pending);
    let how = format!("{mode:?}, {gathered} in a commit");
    assert_eq!(world.told, original.told, "other answers: {how}");
    assert!(world.tables == original.tables, "other rows: {how}\n{:#?}\n{:#?}", original.tables, world.tables);
}

fn commit(world: &mut World, pending: &mut Vec<Outcome>) {
    world.commit();
    for outcome in pending.drain(..) {
        world.carry_out(&outcome.effects);
    }
}
