//! Whose turn it is: tasks of different fairness keys take turns.

use crate::model::NamespaceId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// So many keys of a namespace are remembered. Of more, those whose turn was longest ago count as those that never had one: they are
/// the next anyway.
const REMEMBERED: usize = 10_000;

/// With whose tasks a task shares a turn. Those without a key share one.
pub(crate) type FairnessKey = Option<Arc<str>>;

/// A turn's number; a later turn has a higher one.
pub(crate) type Turn = u64;

/// The turn of a key that never had one: before all others.
const NEVER: Turn = 0;

/// When each fairness key was given a task last, by this replica and since it started. Not durable: who is forgotten is the next, and
/// loses nothing by it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    of: HashMap<NamespaceId, Rounds>,
    /// What the command at work gave out. It counts once that command is decided: one that must see more rows first is decided again.
    noted: Vec<(NamespaceId, FairnessKey, Turn)>,
}

/// The turns of a namespace.
#[derive(Debug, Default)]
struct Rounds {
    last: HashMap<FairnessKey, Turn>,
    /// The same, the longest ago first.
    keys: BTreeMap<Turn, FairnessKey>,
}

impl Turns {
    /// When a key was given a task last.
    pub fn last(&self, namespace: NamespaceId, key: &FairnessKey) -> Turn {
        self.of.get(&namespace).and_then(|rounds| rounds.last.get(key)).copied().unwrap_or(NEVER)
    }

    /// The number of the next turn.
    pub fn next(&self, namespace: NamespaceId) -> Turn {
        let latest = self.of.get(&namespace).and_then(|rounds| rounds.keys.last_key_value());
        latest.map_or(NEVER, |(turn, _)| *turn) + 1
    }

    /// Whether any turn of a namespace is remembered.
    pub fn has_any(&self, namespace: NamespaceId) -> bool {
        self.of.contains_key(&namespace)
    }

    /// A key was given a task, in this turn.
    pub fn note(&mut self, namespace: NamespaceId, key: FairnessKey, turn: Turn) {
        self.noted.push((namespace, key, turn));
    }

    /// The command is decided: what it gave out counts.
    pub fn keep(&mut self) {
        for (namespace, key, turn) in self.noted.drain(..) {
            self.of.entry(namespace).or_default().take(key, turn);
        }
    }

    /// The command changed nothing.
    pub fn roll_back(&mut self) {
        self.noted.clear();
    }
}

impl Rounds {
    fn take(&mut self, key: FairnessKey, turn: Turn) {
        if let Some(before) = self.last.insert(key.clone(), turn) {
            self.keys.remove(&before);
        }
        self.keys.insert(turn, key);
        if self.last.len() > REMEMBERED
            && let Some((_, oldest)) = self.keys.pop_first()
        {
            self.last.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: NamespaceId = NamespaceId(1);

    fn key(name: &str) -> FairnessKey {
        Some(name.into())
    }

    #[test]
    fn a_turn_counts_once_its_command_is_decided() {
        let mut turns = Turns::default();
        turns.note(HERE, key("a"), 1);
        turns.roll_back();
        turns.keep();
        assert_eq!((turns.last(HERE, &key("a")), turns.next(HERE)), (NEVER, 1));
        turns.note(HERE, key("a"), 1);
        turns.keep();
        assert_eq!((turns.last(HERE, &key("a")), turns.next(HERE)), (1, 2));
        assert_eq!((turns.last(NamespaceId(2), &key("a")), turns.next(NamespaceId(2))), (NEVER, 1));
    }

    #[test]
    fn of_too_many_keys_those_whose_turn_was_longest_ago_are_forgotten() {
        let mut turns = Turns::default();
        let many = u64::try_from(REMEMBERED).unwrap();
        for turn in 1..=many {
            turns.note(HERE, key(&turn.to_string()), turn);
        }
        turns.note(HERE, key("1"), many + 1);
        turns.note(HERE, key("new"), many + 2);
        turns.keep();
        assert_eq!(turns.of[&HERE].last.len(), REMEMBERED);
        assert_eq!(turns.of[&HERE].keys.len(), REMEMBERED);
        assert_eq!(turns.last(HERE, &key("1")), many + 1);
        assert_eq!((turns.last(HERE, &key("2")), turns.last(HERE, &key("3"))), (NEVER, 3));
    }
}
