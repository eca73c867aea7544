//! Tasks whose ends an agent's stream wants to be told.
//!
//! A task of its own for each stream that awaits any waits for them as calls do ([`crate::waiters`]), gathers what has ended while
//! the agent reads what it was told before, and is gone with the stream. What it holds is bounded: by the number of tasks that a
//! stream may await, and of what they gave by one frame's worth; an agent that doesn't read is told the rest in short.

use crate::error::Result;
use crate::hydrate::of_failure;
use crate::push::{Push, TaskEnd, TaskEnds, TaskOutcome};
use crate::sessions::Named;
use crate::shared::{Ended, Shared};
use callboard_core::Rejection;
use callboard_core::limits::{MAX_AWAITED, MAX_END_RESULT};
use callboard_core::model::{StateName, TaskId};
use callboard_core::working_set::TaskRef;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// What results and failures take that wait to be told, in bytes; those beyond are told in short.
const ROOM: usize = 1 << 20;
/// How long to wait when the store could not be asked, or too many wait already.
const AGAIN: Duration = Duration::from_secs(1);

/// What a stream awaits. Dropped, nobody awaits it any more.
#[derive(Debug)]
pub(crate) struct Awaits {
    asked: Arc<Asked>,
    _teller: JoinSet<()>,
}

impl Awaits {
    /// Nothing yet, for a session's stream.
    pub fn begin(shared: Arc<Shared>, session: Named) -> Self {
        let asked = Arc::new(Asked::default());
        let mut teller = JoinSet::new();
        teller.spawn(Teller::new(shared, session, asked.clone()).run());
        Self { asked, _teller: teller }
    }

    /// These as well. One that is awaited already is awaited once.
    pub fn add(&self, tasks: Vec<TaskId>) -> Result<()> {
        self.asked.add(tasks)
    }
}

/// What a stream asks of its teller.
#[derive(Debug, Default)]
struct Asked {
    tasks: Mutex<Tasks>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    awaited: HashSet<TaskId>,
    /// Those of them that the teller has not seen.
    new: Vec<TaskId>,
}

impl Asked {
    fn add(&self, tasks: Vec<TaskId>) -> Result<()> {
        let mut all = self.lock();
        for task in tasks {
            if all.awaited.contains(&task) {
                continue;
            }
            if all.awaited.len() >= MAX_AWAITED {
                let remedy = "await the others when some of these have ended";
                return Err(Rejection::limit("awaited tasks of a stream", MAX_AWAITED, remedy).into());
            }
            all.awaited.insert(task);
            all.new.push(task);
        }
        self.more.notify_one();
        Ok(())
    }

    fn take_new(&self) -> Vec<TaskId> {
        std::mem::take(&mut self.lock().new)
    }

    /// They are told. One that is asked for again is told again.
    fn forget(&self, told: &[TaskEnd]) {
        let mut all = self.lock();
        for end in told {
            all.awaited.remove(&end.task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that somebody waits for, and how it ended; none: nobody tells.
type Waited = (TaskRef, Option<Arc<Ended>>);

/// Tells a stream what it asks for.
struct Teller {
    shared: Arc<Shared>,
    session: Named,
    asked: Arc<Asked>,
    /// Not looked at yet.
    new: Vec<TaskId>,
    /// Ended before they were asked for: how is to be read.
    ended: VecDeque<TaskRef>,
    waiting: FuturesUnordered<BoxFuture<'static, Waited>>,
    ready: Ready,
    /// One frame's worth is on its way at a time.
    way: Arc<Semaphore>,
}

impl Teller {
    fn new(shared: Arc<Shared>, session: Named, asked: Arc<Asked>) -> Self {
        Self {
            shared,
            session,
            asked,
            new: Vec::new(),
            ended: VecDeque::new(),
            waiting: FuturesUnordered::new(),
            ready: Ready::default(),
            way: Arc::new(Semaphore::new(1)),
        }
    }

    async fn run(mut self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, agent = %self.session.agent, "awaited tasks could not be looked at; again soon");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            while let Some(Some(waited)) = self.waiting.next().now_or_never() {
                self.note(waited);
            }
            if !self.ready.is_empty()
                && let Ok(way) = self.way.clone().try_acquire_owned()
            {
                self.tell(way);
            }
            self.something_new().await;
        }
    }

    /// Looks at what was asked for since, and at how one more ended that had before.
    async fn look(&mut self) -> Result<()> {
        self.new.extend(self.asked.take_new());
        if !self.new.is_empty() {
            self.sort_new().await?;
        }
        while self.ready.has_room()
            && let Some(task) = self.ended.front().copied()
        {
            match self.shared.store.task(task).await? {
                Some(view) if !view.task.is_live() => {
                    let (result, failure) = (view.saved.result, view.saved.failure);
                    self.ready.add(&Ended { task: Arc::new(view.task), result, failure });
                }
                // It lives again, or is forgotten.
                _ => self.new.push(task.1),
            }
            self.ended.pop_front();
        }
        Ok(())
    }

    async fn sort_new(&mut self) -> Result<()> {
        let namespace = self.shared.names.id(&*self.shared.store, &self.session.namespace).await?;
        let tasks: Vec<TaskRef> = self.new.iter().map(|task| (namespace, *task)).collect();
        // Waited for before they are looked at: what ends meanwhile is found by one or the other.
        let waits: Vec<_> = tasks.iter().map(|task| self.shared.waiters.wait(*task)).collect::<Result<_>>()?;
        let states: HashMap<TaskRef, StateName> = self.shared.store.states(&tasks).await?.into_iter().collect();
        self.new.clear();
        for (task, wait) in tasks.into_iter().zip(waits) {
            match states.get(&task) {
                None => self.ready.add_unknown(task.1),
                Some(state) if state.is_final() => self.ended.push_back(task),
                Some(_) => self.waiting.push(async move { (task, wait.await.ok()) }.boxed()),
            }
        }
        Ok(())
    }

    fn note(&mut self, (task, ended): Waited) {
        match ended {
            Some(ended) => self.ready.add(&ended),
            None => self.new.push(task.1),
        }
    }

    fn tell(&mut self, way: OwnedSemaphorePermit) {
        let ends = self.ready.take();
        self.asked.forget(&ends);
        let push = Push::TaskEnds(TaskEnds::on_its_way(ends, way));
        let now = self.shared.clock.elapsed();
        // A stream that is gone, or is cut off, takes this task with it.
        self.shared.sessions.push(self.session.agent, Some(self.session.epoch), push, now);
    }

    /// Waits until there is something to do.
    async fn something_new(&mut self) {
        if !self.new.is_empty() || (self.ready.has_room() && !self.ended.is_empty()) {
            return;
        }
        tokio::select! {
            () = self.asked.more.notified() => {}
            Some(waited) = self.waiting.next() => self.note(waited),
            Ok(way) = self.way.clone().acquire_owned(), if !self.ready.is_empty() => drop(way),
        }
    }
}

/// What is to be told.
#[derive(Debug, Default)]
struct Ready {
    ends: Vec<TaskEnd>,
    bytes: usize,
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn has_room(&self) -> bool {
        self.bytes < ROOM
    }

    fn add_unknown(&mut self, task: TaskId) {
        self.ends.push(TaskEnd { task, outcome: None });
    }

    fn add(&mut self, ended: &Ended) {
        let task = &ended.task;
        let state = task.state.name();
        // What an earlier run left does not belong to this one.
        let result = ended.result.as_ref().filter(|_| state == StateName::Completed);
        let failure = ended.failure.as_ref().filter(|_| state == StateName::Failed);
        let fits = |result: &&Arc<_>| self.has_room() && callboard_core::model::Payload::len(result) <= MAX_END_RESULT;
        let told = result.filter(fits).cloned();
        let failure = match self.has_room() {
            true => failure.cloned(),
            false => failure.map(|failure| Arc::new(failure.brief())),
        };
        self.bytes += told.as_ref().map_or(0, |result| result.len()) + of_failure(failure.as_deref());
        let result_omitted = result.is_some() && told.is_none();
        let outcome = TaskOutcome { state, run: task.run, result: told, result_omitted, failure };
        self.ends.push(TaskEnd { task: task.id, outcome: Some(outcome) });
    }

    fn take(&mut self) -> Vec<TaskEnd> {
        self.bytes = 0;
        std::mem::take(&mut self.ends)
    }
}
