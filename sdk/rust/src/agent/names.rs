//! What tells the steps of a run, and its children, from each other: a name, and how many of that name began before.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// The longest name, by the protocol.
const MAX_BYTES: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) occurrence: i32,
}

/// How many were begun in an attempt, by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    begun: Mutex<HashMap<String, i32>>,
}

impl Names {
    /// The key of what begins now.
    pub(super) fn next(&self, name: String) -> Key {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let count = begun.entry(name.clone()).or_default();
        let occurrence = *count;
        *count += 1;
        Key { name, occurrence }
    }
}

/// Refuses a name that the server would refuse.
pub(super) fn check(what: &str, name: &str) -> Result<()> {
    if (1..=MAX_BYTES).contains(&name.len()) {
        return Ok(());
    }
    let message = format!("name has {} bytes; a {what}'s name has 1 to {MAX_BYTES}", name.len());
    Err(Error::invalid("name", message))
}
