//! Replicas that share a store in memory: for tests and simulation.

use super::MemoryStore;
use crate::cluster::{Cluster, Hint, News, Registration, SessionNow, StopPage, StopPlace};
use crate::{Cursor, Error, Result};
use async_trait::async_trait;
use callboard_core::model::{Agent, AgentId, NamespaceId, Timestamp};
use callboard_core::working_set::TaskRef;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// How many hints may wait to be heard. What is more is lost, and found by looking.
const HEARD: usize = 256;

/// Who is registered, and who listens.
#[derive(Debug, Default)]
pub struct Replicas {
    registered: Mutex<BTreeMap<String, Registration>>,
    listeners: Mutex<Vec<mpsc::Sender<Hint>>>,
}

impl Replicas {
    fn registered(&self) -> MutexGuard<'_, BTreeMap<String, Registration>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Hint>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Cluster for MemoryStore {
    async fn register(&self, name: &str) -> Result<()> {
        let mut registered = self.replicas.registered();
        if registered.contains_key(name) {
            return Err(Error::Conflict(format!("a replica is registered as {name:?} already")));
        }
        let new = Registration { name: name.to_owned(), beat: 1, dead: false, current: true, address: None };
        registered.insert(name.to_owned(), new);
        Ok(())
    }

    async fn renew(&self, name: &str) -> Result<bool> {
        let mut registered = self.replicas.registered();
        let Some(registration) = registered.get_mut(name).filter(|registration| !registration.dead) else {
            return Ok(false);
        };
        registration.beat += 1;
        Ok(true)
    }

    async fn advertise(&self, name: &str, address: Option<&str>) -> Result<()> {
        if let Some(registration) = self.replicas.registered().get_mut(name) {
            registration.address = address.map(str::to_owned);
        }
        Ok(())
    }

    async fn now(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    async fn registrations(&self) -> Result<Vec<Registration>> {
        Ok(self.replicas.registered().values().cloned().collect())
    }

    async fn declare_dead(&self, name: &str, beat: i64) -> Result<bool> {
        let mut registered = self.replicas.registered();
        let Some(registration) = registered.get_mut(name) else { return Ok(false) };
        registration.dead |= registration.beat == beat;
        Ok(registration.dead)
    }

    async fn resign(&self, name: &str) -> Result<()> {
        if let Some(registration) = self.replicas.registered().get_mut(name) {
            registration.dead = true;
        }
        Ok(())
    }

    async fn forget(&self, name: &str) -> Result<()> {
        self.replicas.registered().retain(|_, registration| registration.name != name || !registration.dead);
        Ok(())
    }

    async fn sessions_of(&self, agents: &[(NamespaceId, AgentId)]) -> Result<Vec<SessionNow>> {
        let tables = self.read();
        let rows = agents.iter().filter_map(|agent| tables.agents.get(agent));
        let now = |row: &Agent| SessionNow { agent: row.id, epoch: row.epoch, session: row.session.clone() };
        Ok(rows.map(now).collect())
    }

    async fn news(&self, after: Cursor) -> Result<News> {
        let end = self.read().end_of_events();
        Ok(News { any: end > after, end })
    }

    async fn ended_of(&self, tasks: &[TaskRef]) -> Result<Vec<TaskRef>> {
        let tables = self.read();
        let ended = |task: &&TaskRef| tables.tasks.get(task).is_some_and(|row| !row.task.is_live());
        Ok(tasks.iter().filter(ended).copied().collect())
    }

    async fn stopping(&self, after: Option<StopPlace>, limit: usize) -> Result<StopPage> {
        let tables = self.read();
        let behind = tables.leased.iter().filter(|place| after.is_none_or(|after| **place > after));
        let leased = behind.filter_map(|(namespace, _, task)| tables.tasks.get(&(*namespace, *task)));
        let stops = leased.map(|row| &row.task).filter(|task| task.state.cancelling().is_some());
        Ok(StopPage::of(stops.take(limit).cloned().collect(), limit))
    }

    async fn tell(&self, hint: &Hint) -> Result<()> {
        let mut listeners = self.replicas.listeners();
        listeners.retain(|listener| !listener.is_closed());
        for listener in listeners.iter() {
            // One that doesn't keep up finds it by looking.
            let _ = listener.try_send(hint.clone());
        }
        Ok(())
    }

    async fn listen(&self) -> Result<mpsc::Receiver<Hint>> {
        let (heard, hints) = mpsc::channel(HEARD);
        self.replicas.listeners().push(heard);
        Ok(hints)
    }
}
