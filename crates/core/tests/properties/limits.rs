//! What must be true of limits behind every command.

use crate::support::World;
use crate::support::make::{at_once, in_seconds};
use crate::support::table::Tables;
use callboard_core::model::{LimitUse, Slot, StateName, Task};

/// Some limits: of a key that many have, and of keys with a beginning. One key has none.
pub fn set(world: &mut World) {
    world.limit(&[at_once("model", 2), in_seconds("tenant/*", 2, 10)]);
}

/// What is counted is what is so, no key has more than it may, and no rate is exceeded. What was paused goes on beyond a limit.
pub fn check(before: &Tables, after: &Tables) {
    for task in after.tasks.values().filter(|task| has_slot(task)) {
        for key in &task.spec.limit_keys {
            let row = after.limits.values().find(|row| *row.key == **key);
            assert!(row.is_some(), "nothing is counted of {key}");
        }
    }
    for row in after.limits.values() {
        let (had, has) = (holders(before, &row.key), holders(after, &row.key));
        assert_eq!(row.in_use as usize, has.len(), "{} is counted wrong", row.key);
        let goes_on =
            |task: &&&Task| before.tasks.get(&task.id).is_some_and(|was| was.state.name() == StateName::Paused);
        let resumed = has.iter().filter(goes_on).count();
        if let Some(max) = limit_of(after, row) {
            assert!(has.len() <= max.max(had.len() + resumed), "{} tasks hold {}", has.len(), row.key);
        }
    }
}

fn has_slot(task: &Task) -> bool {
    task.state.slot().is_some_and(|(_, slot)| slot == Slot::Taken)
}

fn holders<'a>(tables: &'a Tables, key: &str) -> Vec<&'a Task> {
    tables.tasks.values().filter(|task| has_slot(task) && task.spec.limit_keys.contains(key)).collect()
}

fn limit_of(tables: &Tables, row: &LimitUse) -> Option<usize> {
    let namespace = tables.namespaces.values().find(|namespace| namespace.id == row.namespace)?;
    Some(namespace.settings.limits.of(&row.key)?.max_concurrent? as usize)
}
