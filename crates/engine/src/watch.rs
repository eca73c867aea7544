//! Watching events and output: the store has them; a signal says when to look.

use callboard_core::model::{NamespaceId, TaskId};
use callboard_core::working_set::{ChangeSet, TaskRef};
use callboard_store::EventScope;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Who is told that there are events. Only a hint: whoever watches looks once in a while anyway.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    namespaces: Mutex<HashMap<NamespaceId, watch::Sender<u64>>>,
    tasks: Mutex<HashMap<TaskId, watch::Sender<u64>>>,
    /// Those who watch a task's output, and the ends of its runs. Who watches its events is not woken by output, which has none.
    output: Mutex<HashMap<TaskId, watch::Sender<u64>>>,
}

/// Says when there are new events in a scope.
#[derive(Debug)]
pub struct Watch {
    receiver: watch::Receiver<u64>,
}

impl Watch {
    /// Waits until events may have come since the last call.
    pub async fn changed(&mut self) {
        // The sender goes only with the engine; then the caller's own timer ends the wait.
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Signals {
    /// Watches a scope.
    pub fn watch(&self, scope: EventScope) -> Watch {
        let receiver = match scope {
            EventScope::Namespace(namespace) => subscribe(&self.namespaces, namespace),
            EventScope::Task(_, task) => subscribe(&self.tasks, task),
        };
        Watch { receiver }
    }

    /// Watches the output of a task.
    pub fn watch_output(&self, task: TaskId) -> Watch {
        Watch { receiver: subscribe(&self.output, task) }
    }

    /// Tells those who watch any of these tasks, or their namespaces.
    pub fn tell_of(&self, tasks: &BTreeSet<TaskRef>) {
        let namespaces: BTreeSet<NamespaceId> = tasks.iter().map(|(namespace, _)| *namespace).collect();
        notify(&self.namespaces, namespaces.into_iter());
        notify(&self.tasks, tasks.iter().map(|(_, task)| *task));
        self.tell_of_output(tasks);
    }

    /// Tells those who watch the output of any of these tasks.
    pub fn tell_of_output(&self, tasks: &BTreeSet<TaskRef>) {
        notify(&self.output, tasks.iter().map(|(_, task)| *task));
    }

    /// Tells all who watch output: another replica may have taken some, of which no event tells.
    pub fn tell_all_of_output(&self) {
        tell_each(&self.output);
    }

    /// Tells everyone: something may have been missed.
    pub fn tell_all(&self) {
        tell_each(&self.namespaces);
        tell_each(&self.tasks);
        self.tell_all_of_output();
    }

    /// Tells those who watch what a batch changed.
    pub fn tell(&self, changes: &ChangeSet) {
        let namespaces: BTreeSet<NamespaceId> = changes.events.iter().map(|event| event.namespace).collect();
        notify(&self.namespaces, namespaces.into_iter());
        notify(&self.tasks, changes.events.iter().map(|event| event.task));
        let given = changes.output.iter().map(|chunk| chunk.task);
        notify(&self.output, given.chain(changes.events.iter().map(|event| event.task)));
    }
}

fn subscribe<K: Eq + std::hash::Hash>(to: &Mutex<HashMap<K, watch::Sender<u64>>>, key: K) -> watch::Receiver<u64> {
    let mut senders = to.lock().unwrap_or_else(PoisonError::into_inner);
    // What nobody watches any more is forgotten when somebody comes.
    if senders.len().is_power_of_two() {
        senders.retain(|_, sender| sender.receiver_count() > 0);
    }
    senders.entry(key).or_insert_with(|| watch::channel(0).0).subscribe()
}

fn notify<K: Eq + std::hash::Hash>(whom: &Mutex<HashMap<K, watch::Sender<u64>>>, keys: impl Iterator<Item = K>) {
    let senders = whom.lock().unwrap_or_else(PoisonError::into_inner);
    if senders.is_empty() {
        return;
    }
    for key in keys {
        if let Some(sender) = senders.get(&key) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

fn tell_each<K>(whom: &Mutex<HashMap<K, watch::Sender<u64>>>) {
    for sender in whom.lock().unwrap_or_else(PoisonError::into_inner).values() {
        sender.send_modify(|count| *count = count.wrapping_add(1));
    }
}
