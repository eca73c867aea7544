//! Forgetting what nobody needs any more: finished tasks, agents that don't come back, old answers. It writes in small
//! transactions, and pauses between them, so that others hardly wait: it takes a fifth of the writer's time, and more only when
//! that was not enough for a while, since what is not forgotten grows without bound.

use crate::archive;
use crate::error::{Error, Result};
use crate::metrics::Forgotten;
use crate::queue::Item;
use crate::shared::Shared;
use callboard_core::command::{Command, Reply};
use callboard_core::model::{Span, Timestamp};
use callboard_core::working_set::TaskRef;
use callboard_store::Cursor;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many tasks one transaction forgets, and how many answers.
const TASKS: usize = 32;
const ANSWERS: usize = 256;
/// How many workflows.
const WORKFLOWS: usize = 64;
/// How many ended tasks are looked for at a time.
const FOUND: usize = 512;
/// How many agents a round forgets at most; the next one goes on.
const AGENTS: usize = 64;
/// A transaction is followed by a pause of so many times its length, until a round has lasted so long (s). What comes faster
/// than it is forgotten makes a round that does not end.
const PAUSES: [(i64, u32); 3] = [(10, 4), (30, 2), (60, 1)];
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Retention {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// How far the ends of tasks were looked through.
    after: Option<Cursor>,
    /// When they are looked through from the beginning again, for those that were kept.
    anew_at: Span,
    /// When this round began.
    round: Span,
}

impl Retention {
    pub fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        let now = shared.clock.elapsed();
        Self { shared, stop, after: None, anew_at: now, round: now }
    }

    /// Works until it is stopped.
    pub async fn run(mut self) {
        let (shortest, longest) = (Duration::from_millis(250), Duration::from_secs(10));
        let every = self.shared.config.retention.map_or(longest, |kept| (kept / 4).clamp(shortest, longest));
        while self.pause(every).await {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "forgetting old rows was cut short; it is tried again in the next round");
            }
        }
    }

    /// False when it is to stop.
    async fn pause(&self, length: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(length) => true,
        }
    }

    async fn round(&mut self) -> Result<()> {
        self.round = self.shared.clock.elapsed();
        let forgotten = self.forget().await;
        self.look_after_the_store().await?;
        forgotten
    }

    async fn forget(&mut self) -> Result<()> {
        let answers = self.forget_answers().await;
        let Some(kept) = self.shared.config.retention else { return answers };
        let before = self.shared.clock.now() - Span::from_std(kept);
        // One of them that can't go on holds up none of the others.
        let tasks = self.forget_tasks(before, kept).await;
        let workflows = self.forget_workflows(before).await;
        answers.and(tasks).and(workflows).and(self.forget_agents(before).await)
    }

    async fn forget_answers(&self) -> Result<()> {
        loop {
            let began = self.shared.clock.elapsed();
            let forgotten = self.shared.store.purge_requests(self.shared.clock.now(), ANSWERS).await?;
            self.shared.metrics.forgot(Forgotten::ANSWERS, forgotten);
            if forgotten < ANSWERS || !self.rest(began).await {
                return Ok(());
            }
        }
    }

    async fn forget_tasks(&mut self, before: Timestamp, kept: Duration) -> Result<()> {
        let now = self.shared.clock.elapsed();
        if now >= self.anew_at {
            self.after = None;
            let again = (kept / 4).clamp(Duration::from_secs(1), Duration::from_secs(3_600));
            self.anew_at = Span(now.0 + Span::from_std(again).0);
        }
        loop {
            let ended = self.shared.store.ended_tasks(before, self.after, FOUND).await?;
            for tasks in ended.tasks.chunks(TASKS) {
                let Some(mut left) = self.archive(tasks, before).await? else { return Ok(()) };
                while !left.is_empty() {
                    let began = self.shared.clock.elapsed();
                    let forgotten = self.shared.store.forget_tasks(&left, before).await?;
                    self.shared.metrics.forgot(Forgotten::TASKS, forgotten.tasks);
                    left = forgotten.left;
                    if !self.rest(began).await {
                        return Ok(());
                    }
                }
            }
            self.after = Some(ended.next);
            if !ended.more {
                return Ok(());
            }
        }
    }

    /// Workflows whose tasks have been forgotten.
    async fn forget_workflows(&self, before: Timestamp) -> Result<()> {
        loop {
            let began = self.shared.clock.elapsed();
            let forgotten = self.shared.store.purge_workflows(before, WORKFLOWS).await?;
            self.shared.metrics.forgot(Forgotten::WORKFLOWS, forgotten);
            if forgotten < WORKFLOWS || !self.rest(began).await {
                return Ok(());
            }
        }
    }

    /// Those of the tasks that may be forgotten now; none when the archive failed: then nothing is, until it works again.
    async fn archive(&self, tasks: &[TaskRef], before: Timestamp) -> Result<Option<Vec<TaskRef>>> {
        let Some(archive) = &self.shared.config.archive else { return Ok(Some(tasks.to_vec())) };
        let kept = archive::keep(&self.shared, &**archive, tasks, before).await?;
        if kept.as_ref().is_some_and(Vec::is_empty) && !self.pause(SHORTEST_PAUSE).await {
            return Ok(None);
        }
        Ok(kept)
    }

    /// By commands, since agents are kept in memory too.
    async fn forget_agents(&self, before: Timestamp) -> Result<()> {
        for (namespace, name) in self.shared.store.gone_agents(before, AGENTS).await? {
            let Some(namespace) = self.shared.names.name(namespace) else { continue };
            let command = Command::ForgetAgent { name, before };
            match self.shared.queue.ask(Item::system(namespace, command).envelope).await {
                Ok(Reply::Agent(_)) => self.shared.metrics.forgot(Forgotten::AGENTS, 1),
                // It came back, or an operator was faster.
                Ok(_) | Err(Error::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A disk that failed where nobody asked is told of here, if nothing was written since. What can't be read while old rows are looked
    /// through ends nothing: it may be one damaged row, and it would be met again at each start.
    async fn look_after_the_store(&self) -> Result<()> {
        self.shared.store.upkeep().await.map_err(|error| {
            if matches!(error, callboard_store::Error::Io(_)) {
                self.shared.fail(&error);
            }
            error.into()
        })
    }

    /// Leaves the writer to others for a while. False when it is to stop.
    async fn rest(&self, began: Span) -> bool {
        let now = self.shared.clock.elapsed();
        let took = Span(now.0 - began.0);
        self.shared.metrics.forgetting.observe(took.0 as f64 / 1e6);
        self.pause(pause(took, Span(now.0 - self.round.0))).await
    }
}

/// How long others have the writer to themselves, behind a transaction of such a length, in a round that lasts so long already.
fn pause(took: Span, round: Span) -> Duration {
    let times = PAUSES.iter().find(|(seconds, _)| round < Span::seconds(*seconds)).map_or(0, |(_, times)| *times);
    (took.to_std() * times).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_does_not_end_hurries() {
        let after = |seconds| pause(Span::millis(10), Span::seconds(seconds)).as_millis();
        assert_eq!([0, 9, 10, 30, 59, 60, 3_600].map(after), [40, 40, 20, 10, 10, 2, 2]);
    }
}
