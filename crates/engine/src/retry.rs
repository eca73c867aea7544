//! What is done with a batch that the store refuses.

use crate::batch::{Batch, Failed};
use crate::committer::Committer;
use crate::effects;
use crate::error::Error;
use crate::queue::Item;
use callboard_core::Want;
use callboard_core::command::Command;
use callboard_store::Error as StoreError;
use std::time::Duration;

/// How often a batch is tried again after a conflict with another writer, before it is halved.
const CONFLICTS: usize = 5;
/// Those that met are parted by so much at most, and twice as much each time.
const PARTED: Duration = Duration::from_millis(4);
/// After a request id turned out not to be new, so many batches look theirs up before they decide.
const CAREFUL: u32 = 1_000;

impl Committer {
    /// Commits commands in batches of their own, with nothing else at sea; `error` says that deciding them together failed
    /// already. Halves a batch whose data the store refuses, so that one poisoned command fails alone.
    pub async fn commit_all(&mut self, items: Vec<Item>, mut error: Option<StoreError>) -> Result<(), StoreError> {
        let mut batches = vec![items];
        while let Some(items) = batches.pop() {
            let outcome = match error.take() {
                Some(error) => Err(Failed { items, error }),
                None => {
                    // Those that were refused since may be what others of these wait for.
                    let items = self.keep_order(items);
                    self.commit(items, &Want::default()).await
                }
            };
            let refused = match outcome {
                Ok(landed) => {
                    self.finish(landed);
                    continue;
                }
                Err(failed) => self.persist(failed).await?,
            };
            let Some(Failed { mut items, error }) = refused else { continue };
            match error {
                StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::Unusable(_) => return Err(error),
                StoreError::Conflict(_) | StoreError::Data(_) => {
                    tracing::warn!(%error, commands = items.len(), "the store refuses a batch");
                    self.prime().await?;
                    if items.len() <= 1 {
                        self.refuse(items, &error.into());
                    } else {
                        let second = items.split_off(items.len() / 2);
                        batches.push(second);
                        batches.push(items);
                    }
                }
                StoreError::UnknownCommit(_) => {
                    tracing::error!(%error, commands = items.len(), "nobody knows whether a batch was committed");
                    self.prime().await?;
                    // Those that can be told from a repetition are decided again; the others must not be.
                    let (again, lost): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_repeatable);
                    self.refuse(lost, &error.into());
                    if !again.is_empty() {
                        batches.push(again);
                    }
                }
                StoreError::Unavailable(_) => {
                    batches.push(items);
                    return self.stand_by(batches, &error.into()).await;
                }
            }
        }
        Ok(())
    }

    /// Tells everyone that nothing came of their commands. Agents are to repeat their reports, in their order.
    fn refuse(&mut self, items: Vec<Item>, error: &Error) {
        self.order.make_room(|agent, epoch| self.shared.sessions.is_known(agent, epoch));
        self.order.repeat(&items);
        effects::refuse(self, items, error);
    }

    /// Those commands that can be decided. The others are reports behind one that is to be repeated: they are, too.
    pub fn keep_order(&mut self, items: Vec<Item>) -> Vec<Item> {
        if self.order.is_empty() {
            return items;
        }
        self.order.make_room(|agent, epoch| self.shared.sessions.is_known(agent, epoch));
        let (items, behind) = self.order.divide(items, self.shared.clock.elapsed());
        if !behind.is_empty() {
            tracing::debug!(reports = behind.len(), "reports wait for earlier ones of their attempts");
            effects::hold_back(self, behind);
        }
        items
    }

    /// Decides and commits a batch, with these rows locked first. On an error nothing of it happened, and the working set is not to
    /// be used.
    async fn commit(&mut self, items: Vec<Item>, first: &Want) -> Result<Batch, Failed> {
        let mut batch = self.open_batch(items).await?;
        let decided = match self.lock_first(&mut batch, first).await {
            Ok(()) => self.decide_some(&mut batch, usize::MAX).await,
            Err(error) => Err(error),
        };
        if let Err(error) = decided {
            return Err(batch.fail(error).await);
        }
        self.close_batch(batch).await?.land().await
    }

    /// Tries a batch again that met another writer; gives it back when that doesn't help, or is no help.
    ///
    /// Rules ask for rows in several rounds, and a lock that comes out of the common order is hardly waited for: replicas that have much
    /// to do with the same agents, as behind an outage, would give each other up for long. What was asked for before is locked first
    /// now, in that order, in which it is waited for; and chance parts those that met.
    async fn persist(&mut self, mut failed: Failed) -> Result<Option<Failed>, StoreError> {
        for tried in 0..CONFLICTS {
            let StoreError::Conflict(why) = &failed.error else { break };
            tracing::debug!(why, "a batch met another writer, or a repeated request; deciding it again");
            self.careful = CAREFUL;
            let asked = std::mem::take(&mut self.asked);
            // Who has the store alone met only an answer that it gave before.
            if !self.shared.store.is_exclusive() {
                tokio::time::sleep(PARTED.mul_f64(self.entropy.unit() * f64::from(1_u32 << tried))).await;
            }
            self.prime().await?;
            match self.commit(failed.items, &asked).await {
                Ok(landed) => {
                    self.finish(landed);
                    return Ok(None);
                }
                Err(again) => failed = again,
            }
        }
        Ok(Some(failed))
    }

    /// The store can't be reached: nothing is promised, and it is looked at again in a while.
    async fn stand_by(&mut self, batches: Vec<Vec<Item>>, error: &Error) -> Result<(), StoreError> {
        let commands = batches.iter().map(Vec::len).sum::<usize>();
        tracing::warn!(%error, commands, "the store is not available");
        self.shared.store_was_away();
        self.ws.reset();
        // The last is what came first.
        for items in batches.into_iter().rev() {
            self.refuse(items, error);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        self.prime().await
    }
}

/// Whether deciding it twice is the same as once: it has a request id, it is fenced by its lease, it has a key of its own as a child
/// has, or it only moves a timer.
fn is_repeatable(item: &Item) -> bool {
    let by_nature = !matches!(
        item.envelope.command,
        Command::CreateTasks { .. }
            | Command::Claim { .. }
            | Command::DirectReport { .. }
            | Command::RetryTask { .. }
            | Command::SendMessage { .. }
    );
    item.envelope.request.is_some() || by_nature
}
