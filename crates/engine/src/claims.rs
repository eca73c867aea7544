//! Claims that wait for a task.

use crate::error::{Error, Result};
use callboard_core::Rejection;
use callboard_core::model::{AgentProfile, Lane, NamespaceId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Waiting claims, the oldest first. Bounded.
#[derive(Debug)]
pub(crate) struct Claims {
    waiting: Mutex<Waiting>,
    max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    claims: BTreeMap<u64, Claim>,
}

#[derive(Debug)]
struct Claim {
    namespace: NamespaceId,
    name: Arc<str>,
    profile: Arc<AgentProfile>,
    notify: Arc<Notify>,
}

/// A claim's place; it is given up when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    claims: &'a Claims,
    number: u64,
    notify: Arc<Notify>,
}

impl Claims {
    pub fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), max }
    }

    /// Takes a place. Take it before the store is asked, so that no wake-up is missed.
    pub fn wait(&self, namespace: NamespaceId, name: Arc<str>, profile: Arc<AgentProfile>) -> Result<Place<'_>> {
        let mut waiting = self.lock();
        if waiting.claims.len() >= self.max {
            return Err(Error::Rejected(Rejection::limit(
                "claims",
                self.max,
                "so many wait already: claim without a wait, or in a moment",
            )));
        }
        let notify = Arc::new(Notify::new());
        let number = waiting.next;
        waiting.next += 1;
        waiting.claims.insert(number, Claim { namespace, name, profile, notify: notify.clone() });
        Ok(Place { claims: self, number, notify })
    }

    /// Wakes as many claims as there are tasks in a lane that they fit.
    pub fn offer(&self, lane: &Lane, tasks: usize) {
        let waiting = self.lock();
        let fits =
            |claim: &&Claim| claim.namespace == lane.namespace && lane.key.fits(&claim.name, &claim.profile).is_ok();
        waiting.claims.values().filter(fits).take(tasks).for_each(|claim| claim.notify.notify_one());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().claims.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits until there may be a task.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.claims.lock().claims.remove(&self.number);
    }
}
