//! What replicas that share a store know of each other: who is registered, and hints of what somebody committed.

use crate::{Cursor, Result};
use async_trait::async_trait;
use callboard_core::command::Fence;
use callboard_core::model::{AgentId, NamespaceId, Session, Task, TaskId, Timestamp};
use callboard_core::working_set::{LaneRef, TaskRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// Beyond so many entries a hint says only that there is something everywhere.
const MOST: usize = 4_096;

/// A replica's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its name; never used again.
    pub name: String,
    /// Rises with every renewal.
    pub beat: i64,
    /// Another declared it dead, or it resigned: it never comes back.
    pub dead: bool,
    /// It knows what this version knows.
    pub current: bool,
    /// Where agents find it, if it says so.
    pub address: Option<String>,
}

/// An agent's session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionNow {
    /// Whose.
    pub agent: AgentId,
    /// The agent's last epoch.
    pub epoch: i64,
    /// The session of that epoch, if it is not over.
    pub session: Option<Session>,
}

impl SessionNow {
    /// The epoch of a session that this replica has.
    pub fn epoch_at(&self, replica: &str) -> Option<i64> {
        let at = self.session.as_ref().and_then(|session| session.link.replica());
        (at == Some(replica)).then_some(self.epoch)
    }
}

/// A place among tasks that are to stop: they come by namespace, agent and id.
pub type StopPlace = (NamespaceId, AgentId, TaskId);

/// Some tasks that are to stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StopPage {
    /// By their places.
    pub tasks: Vec<Task>,
    /// Go on behind this place; `None`: there is nothing more. A page may have few tasks, or none, and still go on.
    pub next: Option<StopPlace>,
}

impl StopPage {
    /// Of tasks that agents have, at most `limit` of which were read. Some may not be to stop.
    pub(crate) fn of(mut tasks: Vec<Task>, limit: usize) -> Self {
        let place = |task: &Task| Some((task.namespace, task.state.lease()?.agent, task.id));
        let next = tasks.last().filter(|_| tasks.len() == limit).and_then(place);
        tasks.retain(|task| task.state.cancelling().is_some());
        Self { tasks, next }
    }
}

/// Whether there are new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// There may be.
    pub any: bool,
    /// Where they end now.
    pub end: Cursor,
}

/// What replicas that share a store know of each other.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Registers a replica by a name that nobody had before.
    async fn register(&self, name: &str) -> Result<()>;

    /// Raises its counter. False: it was declared dead, or was never registered. [`crate::Error::Unusable`]: the store needs a newer
    /// version by now.
    async fn renew(&self, name: &str) -> Result<bool>;

    /// Says where agents find a replica, or that they are not to look for it any more.
    async fn advertise(&self, name: &str, address: Option<&str>) -> Result<()>;

    /// What time it is by the store's own clock, which all replicas go by; none, if it has no clock.
    async fn now(&self) -> Result<Option<Timestamp>>;

    /// Every registration that was not forgotten.
    async fn registrations(&self) -> Result<Vec<Registration>>;

    /// Declares a replica dead, unless it renewed its registration since its counter was `beat`. Says whether it is dead now.
    async fn declare_dead(&self, name: &str, beat: i64) -> Result<bool>;

    /// A replica stops: it declares itself dead, so that nobody waits for it.
    async fn resign(&self, name: &str) -> Result<()>;

    /// Forgets a dead registration that no session names any more.
    async fn forget(&self, name: &str) -> Result<()>;

    /// The epochs of these agents, and their sessions, as they are now; those that don't exist are left out.
    async fn sessions_of(&self, agents: &[(NamespaceId, AgentId)]) -> Result<Vec<SessionNow>>;

    /// Where events end now, and whether any may have come since they ended at `after`. Nothing that came is missed; what was
    /// being committed then may be told twice.
    async fn news(&self, after: Cursor) -> Result<News>;

    /// Those of these tasks that have ended.
    async fn ended_of(&self, tasks: &[TaskRef]) -> Result<Vec<TaskRef>>;

    /// Tasks that are to stop, and whose agent still has them, behind `after`, at most so many.
    async fn stopping(&self, after: Option<StopPlace>, limit: usize) -> Result<StopPage>;

    /// Tells the others what was committed. They may not hear it.
    async fn tell(&self, hint: &Hint) -> Result<()>;

    /// What others tell from now on, and what this one tells itself. When something may have been missed, the hint says so. The
    /// channel closes when the store does.
    async fn listen(&self) -> Result<mpsc::Receiver<Hint>>;
}

/// An attempt to stop, wherever its agent's stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopHint {
    /// The agent.
    pub agent: AgentId,
    /// Which attempt.
    pub fence: Fence,
    /// Why.
    pub reason: callboard_core::command::StopReason,
    /// The same, for people; shortened.
    pub message: String,
}

/// A paused attempt that has a slot again, wherever its agent's stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResumedHint {
    /// The agent.
    pub agent: AgentId,
    /// Its task.
    pub task: TaskRef,
}

/// What somebody committed, for those that wait for it elsewhere. Only a hint: a sweep finds within a second what was not heard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hint {
    /// Who says so.
    pub from: String,
    /// There may be something everywhere.
    pub everything: bool,
    /// Tasks with new events.
    pub tasks: BTreeSet<TaskRef>,
    /// Tasks with new output. A version that knows no output sends none, and passes over it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub output: BTreeSet<TaskRef>,
    /// Lanes with ready tasks that nobody here could take.
    pub lanes: BTreeSet<LaneRef>,
    /// Agents whose session changed, or who got a message.
    pub agents: BTreeSet<(NamespaceId, AgentId)>,
    /// Attempts to stop.
    pub stops: Vec<StopHint>,
    /// Attempts that go on. A version that does not know them sends none, and passes over them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resumed: BTreeSet<ResumedHint>,
}

impl Hint {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.len() == 0
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        let sets = self.tasks.len() + self.output.len() + self.lanes.len() + self.agents.len();
        sets + self.stops.len() + self.resumed.len()
    }

    /// Adds what another says. It stays bounded.
    pub fn merge(&mut self, other: Hint) {
        self.everything |= other.everything;
        self.tasks.extend(other.tasks);
        self.output.extend(other.output);
        self.lanes.extend(other.lanes);
        self.agents.extend(other.agents);
        self.stops.extend(other.stops);
        self.resumed.extend(other.resumed);
        if self.len() > MOST {
            *self = Self { from: std::mem::take(&mut self.from), everything: true, ..Self::default() };
        }
    }

    /// The same in parts of at most so many entries.
    pub fn parts(mut self, most: usize) -> Vec<Hint> {
        let mut parts = Vec::new();
        while self.len() > most {
            let mut part = Self { from: self.from.clone(), ..Self::default() };
            while part.len() < most {
                if let Some(stop) = self.stops.pop() {
                    part.stops.push(stop);
                } else if let Some(resumed) = self.resumed.pop_first() {
                    part.resumed.insert(resumed);
                } else if let Some(lane) = self.lanes.pop_first() {
                    part.lanes.insert(lane);
                } else if let Some(agent) = self.agents.pop_first() {
                    part.agents.insert(agent);
                } else if let Some(task) = self.tasks.pop_first() {
                    part.tasks.insert(task);
                } else if let Some(task) = self.output.pop_first() {
                    part.output.insert(task);
                } else {
                    break;
                }
            }
            parts.push(part);
        }
        if !self.is_empty() {
            parts.push(self);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::LaneId;
    use uuid::Uuid;

    fn hint(tasks: u128) -> Hint {
        let tasks = (0..tasks).map(|n| (NamespaceId(1), TaskId(Uuid::from_u128(n)))).collect();
        Hint { from: "a".into(), tasks, lanes: [(NamespaceId(1), LaneId(7))].into(), ..Hint::default() }
    }

    #[test]
    fn parts_say_the_same_as_the_whole() {
        let parts = hint(250).parts(100);
        assert_eq!(parts.iter().map(Hint::len).collect::<Vec<_>>(), [100, 100, 51]);
        let mut all = Hint { from: "a".into(), ..Hint::default() };
        parts.into_iter().for_each(|part| all.merge(part));
        assert_eq!(all, hint(250));
        assert!(Hint::default().parts(100).is_empty());
    }

    #[test]
    fn too_much_is_everything() {
        let mut all = hint(1);
        all.merge(hint(MOST as u128));
        assert!(all.everything && all.tasks.is_empty());
        assert_eq!(all.from, "a");
    }
}
