//! Group commit: the one task that writes.
//!
//! While the store saves one batch, the next one gathers; there is no artificial delay. A batch is decided, dispatched (tasks
//! that became ready go to agents that became free, in the same transaction), saved and committed; then its effects are carried
//! out and its callers answered. Nothing is answered or pushed before the commit.
//!
//! What comes most (new tasks, and agents' reports) is decided while the store still saves the batch before: on rows in memory
//! that are ahead of the disk by that one batch. Three things keep this honest. Nothing is read from the store before the batch
//! at sea has landed. Commands whose effects change what others are decided on (sessions, agents, namespaces, mail) are decided
//! alone, with nothing at sea. And when a batch fails, all that was decided behind it is forgotten, and decided again.

use crate::batch::{Batch, Failed, Flight};
use crate::effects;
use crate::metrics::Observer;
use crate::order::Order;
use crate::queue::{Item, Message};
use crate::shared::Shared;
use callboard_core::command::Command;
use callboard_core::dispatch::Board;
use callboard_core::working_set::LaneRef;
use callboard_core::{Entropy, Want, WorkingSet};
use callboard_store::Error as StoreError;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// So many commands are decided before it is seen again to the batch at sea.
const STRETCH: usize = 32;

pub(crate) struct Committer {
    pub shared: Arc<Shared>,
    pub messages: mpsc::Receiver<Message>,
    pub entropy: Box<dyn Entropy>,
    pub ws: WorkingSet,
    pub board: Board,
    /// Lanes to be dispatched in the next batch.
    pub lanes: BTreeSet<LaneRef>,
    /// Those of them that a sweep, another replica's hint, or a look at what was passed over told of: others hear of them the same way, and
    /// are not told again. Else two replicas that can't give a task out would tell each other of it for ever.
    pub heard: BTreeSet<LaneRef>,
    pub observer: Observer,
    /// Then it takes nothing new, and ends when it has committed what waits.
    pub stop: CancellationToken,
    /// How many batches still look request ids up first.
    pub careful: u32,
    /// Decided while another is at sea.
    pub open: Option<Batch>,
    /// At sea: the store saves it.
    pub flight: Option<Flight>,
    /// Was at sea when the one behind it had to wait for it, and was not saved.
    pub failed: Option<Failed>,
    /// By which name this batch is decided.
    pub replica: Arc<str>,
    /// What this batch asked a shared store to lock: when it meets another writer, it asks for all of that first.
    pub asked: Want,
    /// Which reports are to be repeated before others of their attempts are taken.
    pub order: Order,
}

/// What was taken from the queue at once.
struct Taken {
    items: Vec<Item>,
    pings: Vec<oneshot::Sender<()>>,
}

impl Committer {
    /// Works until the queue is closed, or the store can't be trusted any more.
    pub async fn run(mut self) {
        if let Err(error) = self.work().await {
            self.shared.fail(&error);
        }
    }

    async fn work(&mut self) -> Result<(), StoreError> {
        self.prime().await?;
        let mut messages = Vec::new();
        loop {
            if self.flight.is_none()
                && let Err(failed) = self.set_out().await
            {
                self.again(failed).await?;
            }
            let room = self.room();
            tokio::select! {
                biased;
                () = wait(&mut self.flight), if self.flight.is_some() => self.land().await?,
                taken = self.messages.recv_many(&mut messages, room), if room > 0 => {
                    if taken == 0 {
                        return self.settle().await;
                    }
                    self.take_in(&mut messages).await?;
                }
                () = self.stop.cancelled(), if !self.messages.is_closed() => self.messages.close(),
            }
        }
    }

    /// How many commands the open batch still takes.
    fn room(&self) -> usize {
        let decided = self.open.as_ref().map_or(0, |batch| batch.items.len());
        self.shared.config.batch.saturating_sub(decided)
    }

    /// Forgets what was not saved, and learns what a working set can't load on demand: which lanes have ready tasks. That the store
    /// has gone is found by what comes next.
    pub async fn prime(&mut self) -> Result<(), StoreError> {
        self.ws.reset();
        match self.shared.store.ready_lanes(100_000).await {
            Ok(lanes) => {
                for lane in lanes {
                    self.ws.expect_backlog(lane);
                    self.lanes.insert(lane);
                }
                Ok(())
            }
            // The sweep tells of them when the store is back.
            Err(StoreError::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn take_in(&mut self, messages: &mut Vec<Message>) -> Result<(), StoreError> {
        let Taken { items, pings } = self.sort(messages);
        let items = self.keep_order(items);
        let beside =
            self.shared.store.is_exclusive() && items.iter().all(|item| is_decided_beside(&item.envelope.command));
        if beside && pings.is_empty() {
            return self.decide_beside(items).await;
        }
        self.settle().await?;
        for ping in pings {
            // What came before is committed; nobody minds when the asker has gone.
            let _ = ping.send(());
        }
        self.commit_all(items, None).await
    }

    /// Takes lanes and pings out, and puts first what frees others or stops work.
    fn sort(&mut self, messages: &mut Vec<Message>) -> Taken {
        let mut pings = Vec::new();
        let mut urgent = Vec::new();
        let mut others = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Lanes(lanes) => {
                    for lane in lanes {
                        self.ws.expect_backlog(lane);
                        if self.lanes.insert(lane) {
                            self.heard.insert(lane);
                        }
                    }
                }
                Message::Ping(reply) => pings.push(reply),
                Message::Item(item) if item.envelope.command.is_urgent() => urgent.push(*item),
                Message::Item(item) => others.push(*item),
            }
        }
        urgent.append(&mut others);
        Taken { items: urgent, pings }
    }

    /// Decides commands into the open batch, while another may be at sea.
    async fn decide_beside(&mut self, items: Vec<Item>) -> Result<(), StoreError> {
        match self.decide_into_open(items).await {
            Ok(batch) => {
                self.open = Some(batch);
                Ok(())
            }
            Err(failed) => self.again(failed).await,
        }
    }

    async fn decide_into_open(&mut self, items: Vec<Item>) -> Result<Batch, Failed> {
        let mut batch = match self.open.take() {
            Some(mut batch) => {
                batch.take(items, self.shared.clock.now());
                batch
            }
            None => self.open_batch(items).await?,
        };
        while batch.undecided() > 0 {
            if let Err(error) = self.decide_some(&mut batch, STRETCH).await {
                return Err(batch.fail(error).await);
            }
            if let Some(flight) = &mut self.flight {
                flight.look().await;
            }
        }
        Ok(batch)
    }

    /// Sends the open batch to sea, if there is something to do; none may be there.
    async fn set_out(&mut self) -> Result<(), Failed> {
        let batch = match self.open.take() {
            Some(batch) => batch,
            None if self.lanes.is_empty() => return Ok(()),
            None => self.open_batch(Vec::new()).await?,
        };
        let mut flight = self.close_batch(batch).await?;
        flight.look().await;
        self.flight = Some(flight);
        Ok(())
    }

    /// The batch at sea comes to its end. The next sets out first: the store is not to wait for our answers.
    async fn land(&mut self) -> Result<(), StoreError> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        match flight.land().await {
            Ok(landed) => {
                let next = self.set_out().await;
                self.finish(landed);
                match next {
                    Ok(()) => Ok(()),
                    Err(failed) => self.again(failed).await,
                }
            }
            Err(failed) => {
                let behind = self.open.take();
                self.commit_all(failed.items, Some(failed.error)).await?;
                match behind {
                    Some(batch) => self.commit_all(batch.items, None).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// The same, while a batch is being decided that can't go on before.
    pub async fn land_alone(&mut self) -> Result<(), StoreError> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        match flight.land().await {
            Ok(landed) => self.finish(landed),
            Err(failed) => {
                self.failed = Some(failed);
                return Err(StoreError::Conflict("the batch before it was not saved".into()));
            }
        }
        Ok(())
    }

    /// Waits until nothing is at sea or open.
    async fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            if self.flight.is_none()
                && let Err(failed) = self.set_out().await
            {
                self.again(failed).await?;
            }
            if self.flight.is_none() {
                return Ok(());
            }
            self.land().await?;
        }
    }

    /// Decides again what was decided behind a batch that failed, or failed itself; that batch comes first.
    async fn again(&mut self, failed: Failed) -> Result<(), StoreError> {
        let first = match self.flight.take() {
            Some(flight) => match flight.land().await {
                Ok(landed) => {
                    self.finish(landed);
                    None
                }
                Err(first) => Some(first),
            },
            None => self.failed.take(),
        };
        let Failed { items, error } = failed;
        match first {
            Some(first) => {
                self.commit_all(first.items, Some(first.error)).await?;
                self.commit_all(items, None).await
            }
            None => self.commit_all(items, Some(error)).await,
        }
    }

    /// After the commit: effects and answers go out.
    pub fn finish(&mut self, landed: Batch) {
        self.careful = self.careful.saturating_sub(1);
        let Batch { items, decided, took, .. } = landed;
        if let Some(took) = took {
            self.observer.committed(items.len(), took);
            self.shared.store_took(took);
        }
        self.observer.decided(&decided, &self.shared.names);
        effects::carry_out(self, items, decided);
        if !self.shared.store.is_exclusive() {
            self.ws.forget_rows();
        }
        let config = &self.shared.config;
        self.ws.trim(config.cached_tasks, config.cached_bytes);
        self.ws.trim_agents(config.attached * 2);
    }
}

/// Waits until a batch at sea can land.
async fn wait(flight: &mut Option<Flight>) {
    match flight {
        Some(flight) => flight.wait().await,
        None => std::future::pending().await,
    }
}

/// Whether what it does outside the rows can wait for its commit while others are decided behind it.
fn is_decided_beside(command: &Command) -> bool {
    matches!(command, Command::CreateTasks { .. } | Command::CreateChild { .. } | Command::Report { .. })
}
