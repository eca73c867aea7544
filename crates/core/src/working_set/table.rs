//! A table of loaded rows with undo.

use std::collections::HashMap;
use std::hash::Hash;

/// Loaded rows: `Some` as they are, `None` where the store has none. Remembers what a command did, to undo it, and what a batch
/// did, to save it.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: HashMap<K, Option<V>>,
    /// Rows that the batch changed, with the version that the store has (0: none).
    dirty: HashMap<K, i64>,
    undo: Vec<Undo<K, V>>,
}

#[derive(Debug)]
struct Undo<K, V> {
    key: K,
    before: Option<V>,
    was_clean: bool,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), dirty: HashMap::new(), undo: Vec::new() }
    }
}

impl<K: Eq + Hash + Clone, V> Table<K, V> {
    /// The row: not loaded (`None`), absent (`Some(None)`), or there.
    pub fn get(&self, key: &K) -> Option<Option<&V>> {
        self.rows.get(key).map(Option::as_ref)
    }

    /// A row that is there.
    pub fn row(&self, key: &K) -> Option<&V> {
        self.rows.get(key).and_then(Option::as_ref)
    }

    /// Takes in what the store said, unless it is known already: what is here is never older.
    pub fn absorb(&mut self, key: K, row: Option<V>) -> bool {
        match self.rows.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(row);
                true
            }
        }
    }

    /// Changes a row. `stored_version` is that of the row before the change.
    pub fn put(&mut self, key: K, row: Option<V>, stored_version: i64) {
        let was_clean = !self.dirty.contains_key(&key);
        if was_clean {
            self.dirty.insert(key.clone(), stored_version);
        }
        let before = self.rows.insert(key.clone(), row).flatten();
        self.undo.push(Undo { key, before, was_clean });
    }

    /// Takes back the latest change since the command began, and gives what it undid: key, what was, what is.
    pub fn undo_one(&mut self) -> Option<(K, Option<V>)> {
        let Undo { key, before, was_clean } = self.undo.pop()?;
        if was_clean {
            self.dirty.remove(&key);
        }
        let undone = self.rows.insert(key.clone(), before).flatten();
        Some((key, undone))
    }

    /// The command stands.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// The rows that the batch changed, with the version that the store has.
    pub fn take_dirty(&mut self) -> Vec<(K, i64)> {
        self.dirty.drain().collect()
    }

    /// Forgets rows; never those that are changed and not saved.
    pub fn forget(&mut self, mut which: impl FnMut(&K, Option<&V>) -> bool) -> Vec<(K, Option<V>)> {
        let dirty = &self.dirty;
        self.rows.extract_if(|key, row| !dirty.contains_key(key) && which(key, row.as_ref())).collect()
    }

    /// Forgets a row, unless it is changed and not saved.
    pub fn forget_one(&mut self, key: &K) -> Option<V> {
        if self.dirty.contains_key(key) {
            return None;
        }
        self.rows.remove(key).flatten()
    }

    /// Every row that is there.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().filter_map(|(key, row)| row.as_ref().map(|row| (key, row)))
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_back_command_leaves_no_trace() {
        let mut table: Table<u8, &str> = Table::default();
        table.absorb(1, Some("stored"));
        table.put(1, Some("first"), 5);
        table.keep();
        table.put(1, Some("second"), 5);
        table.put(2, Some("new"), 0);
        while table.undo_one().is_some() {}
        assert_eq!(table.row(&1), Some(&"first"));
        assert_eq!(table.row(&2), None);
        assert_eq!(table.take_dirty(), [(1, 5)]);
    }

    #[test]
    fn what_is_loaded_again_never_hides_what_is_newer() {
        let mut table: Table<u8, &str> = Table::default();
        table.put(1, Some("newer"), 1);
        assert!(!table.absorb(1, Some("older")));
        assert_eq!(table.row(&1), Some(&"newer"));
    }
}
