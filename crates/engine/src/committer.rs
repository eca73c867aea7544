//! Group commit: the one task that writes.
//!
//! While one transaction commits, the next batch gathers; there is no artificial delay. A batch is loaded, decided, dispatched
//! (tasks that became ready go to agents that became free, in the same transaction), saved and committed; then its effects are
//! carried out and its callers answered. Nothing is answered or pushed before the commit.

use crate::effects::{self, Decided};
use crate::error::{Error, Result};
use crate::metrics::Observer;
use crate::queue::{Item, Message, Sink};
use crate::shared::Shared;
use callboard_core::command::{Command, Effect, Envelope, LaneLeft, Outcome, Reply};
use callboard_core::dispatch::Board;
use callboard_core::model::{Span, Timestamp};
use callboard_core::working_set::LaneRef;
use callboard_core::{Context, Decision, Entropy, Want, WorkingSet, decide, foresee};
use callboard_store::{Error as StoreError, Transaction};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often a command may ask for more rows. Each wish brings it further; more than this is a bug in a rule.
const ROUNDS: usize = 256;
/// How often a batch is tried again after a conflict with another writer, before it is halved.
const CONFLICTS: usize = 5;
/// After a request id turned out not to be new, so many batches look theirs up before they decide.
const CAREFUL: u32 = 1_000;

pub(crate) struct Committer {
    pub shared: Arc<Shared>,
    pub messages: mpsc::Receiver<Message>,
    pub entropy: Box<dyn Entropy>,
    pub ws: WorkingSet,
    pub board: Board,
    /// Lanes to be dispatched in the next batch.
    pub lanes: BTreeSet<LaneRef>,
    pub observer: Observer,
    /// Then it takes nothing new, and ends when it has committed what waits.
    pub stop: CancellationToken,
    /// How many batches still look request ids up first.
    pub careful: u32,
}

/// A transaction, begun when it is needed.
type Open = Option<Box<dyn Transaction>>;

impl Committer {
    /// Works until the queue is closed, or the store can't be trusted any more.
    pub async fn run(mut self) {
        if let Err(error) = self.prime().await {
            return self.shared.fail(&error);
        }
        let mut messages = Vec::new();
        loop {
            // With lanes to dispatch, it goes on with whatever has come, also with nothing.
            if self.lanes.is_empty() {
                let batch = self.shared.config.batch;
                tokio::select! {
                    biased;
                    taken = self.messages.recv_many(&mut messages, batch) => {
                        if taken == 0 {
                            return;
                        }
                    }
                    () = self.stop.cancelled(), if !self.messages.is_closed() => {
                        self.messages.close();
                        continue;
                    }
                }
            } else {
                while messages.len() < self.shared.config.batch
                    && let Ok(message) = self.messages.try_recv()
                {
                    messages.push(message);
                }
            }
            let items = self.sort(&mut messages);
            if let Err(error) = self.commit_all(items).await {
                return self.shared.fail(&error);
            }
        }
    }

    /// Learns what a working set can't load on demand: which lanes have ready tasks.
    async fn prime(&mut self) -> std::result::Result<(), StoreError> {
        self.ws.reset();
        for lane in self.shared.store.ready_lanes(100_000).await? {
            self.ws.expect_backlog(lane);
            self.lanes.insert(lane);
        }
        Ok(())
    }

    /// Takes lanes out, and puts first what frees others or stops work.
    fn sort(&mut self, messages: &mut Vec<Message>) -> Vec<Item> {
        let mut urgent = Vec::new();
        let mut others = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Lanes(lanes) => {
                    for lane in lanes {
                        self.ws.expect_backlog(lane);
                        self.lanes.insert(lane);
                    }
                }
                // What came before is committed; nobody minds when the asker has gone.
                Message::Ping(reply) => drop(reply.send(())),
                Message::Item(item) if item.envelope.command.is_urgent() => urgent.push(*item),
                Message::Item(item) => others.push(*item),
            }
        }
        urgent.append(&mut others);
        urgent
    }

    /// Commits a batch; halves it when the store refuses its data, so that one poisoned command fails alone.
    async fn commit_all(&mut self, items: Vec<Item>) -> std::result::Result<(), StoreError> {
        let mut batches = vec![items];
        while let Some(mut items) = batches.pop() {
            let mut conflicts = 0;
            loop {
                match self.attempt(&items).await {
                    Ok(decided) => {
                        self.finish(items, decided);
                        break;
                    }
                    Err(error @ (StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::Unusable(_))) => {
                        return Err(error);
                    }
                    Err(StoreError::Conflict(why)) if conflicts < CONFLICTS => {
                        tracing::debug!(why, "a batch met another writer, or a repeated request; deciding it again");
                        conflicts += 1;
                        self.careful = CAREFUL;
                        self.prime().await?;
                    }
                    Err(error @ (StoreError::Conflict(_) | StoreError::Data(_))) => {
                        tracing::warn!(%error, commands = items.len(), "the store refuses a batch");
                        self.prime().await?;
                        if items.len() <= 1 {
                            answer_all(items, &error.into());
                        } else {
                            let second = items.split_off(items.len() / 2);
                            batches.push(second);
                            batches.push(items);
                        }
                        break;
                    }
                    Err(error @ StoreError::UnknownCommit(_)) => {
                        tracing::error!(%error, commands = items.len(), "nobody knows whether a batch was committed");
                        self.prime().await?;
                        // Those that can be told from a repetition are decided again; the others must not be.
                        let (again, lost): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_repeatable);
                        answer_all(lost, &error.into());
                        if !again.is_empty() {
                            batches.push(again);
                        }
                        break;
                    }
                    Err(error @ StoreError::Unavailable(_)) => {
                        tracing::warn!(%error, commands = items.len(), "the store is not available");
                        self.ws.reset();
                        answer_all(items, &error.into());
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        return self.prime().await.or(Ok(()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides and commits a batch. On an error nothing of it happened, and the working set is not to be used.
    async fn attempt(&mut self, items: &[Item]) -> std::result::Result<Decided, StoreError> {
        let mut open: Open = None;
        if !self.shared.store.is_exclusive() {
            open = Some(self.shared.store.begin().await?);
        }
        // Almost every request id is new. The store refuses the batch when one is not; then it is decided again with care.
        if self.careful == 0 {
            self.ws.expect_new_requests();
        }
        match self.decide_all(&mut open, items).await {
            Ok(mut decided) => {
                decided.changes = self.ws.changes();
                if decided.changes.is_empty() {
                    close(open).await;
                } else {
                    let began = self.shared.clock.elapsed();
                    self.save(open, &decided).await?;
                    let took = self.shared.clock.elapsed().0 - began.0;
                    self.observer.committed(items.len(), Span(took));
                }
                Ok(decided)
            }
            Err(error) => {
                close(open).await;
                Err(error)
            }
        }
    }

    async fn save(&mut self, open: Open, decided: &Decided) -> std::result::Result<(), StoreError> {
        let mut transaction = match open {
            Some(transaction) => transaction,
            None => self.shared.store.begin().await?,
        };
        if let Err(error) = transaction.save(&decided.changes, &self.shared.config.rules).await {
            transaction.roll_back().await;
            return Err(error);
        }
        transaction.commit().await
    }

    async fn decide_all(&mut self, open: &mut Open, items: &[Item]) -> std::result::Result<Decided, StoreError> {
        let now = self.shared.clock.now();
        let mut decided = Decided::new(now, items.len());
        for index in 0..items.len() {
            if self.is_outdated(&items[index].envelope.command) {
                decided.results.push(Ok(Outcome { reply: Reply::Done, effects: Vec::new(), replayed: false }));
                continue;
            }
            let result = self.decide_one(open, &items[index..], now).await?;
            if let Ok(outcome) = &result {
                self.note_lanes(&outcome.effects);
            }
            decided.results.push(result);
        }
        let lanes: Vec<LaneRef> = std::mem::take(&mut self.lanes).into_iter().collect();
        if !lanes.is_empty() && !self.shared.is_draining() {
            let (effects, left) = self.dispatch(open, lanes, now).await?;
            decided.dispatched = effects;
            decided.left = left;
        }
        Ok(decided)
    }

    /// Decides the first of the items, loading what it wants; what those behind it want is loaded with it.
    async fn decide_one(
        &mut self,
        open: &mut Open,
        items: &[Item],
        now: Timestamp,
    ) -> std::result::Result<Result<Outcome>, StoreError> {
        let shared = self.shared.clone();
        for _ in 0..ROUNDS {
            let mut want = {
                let mut cx = context(&shared, &mut self.entropy, &mut self.board, now);
                match decide(&mut self.ws, &items[0].envelope, &mut cx) {
                    Decision::Done(outcome) => return Ok(Ok(outcome)),
                    Decision::Rejected(rejection) => return Ok(Err(rejection.into())),
                    Decision::NeedMore(want) => want,
                }
            };
            for item in &items[1..] {
                let mut cx = context(&shared, &mut self.entropy, &mut self.board, now);
                if let Some(more) = foresee(&mut self.ws, &item.envelope, &mut cx) {
                    want.merge(more);
                }
            }
            self.load(open, &want).await?;
        }
        Ok(Err(Error::Internal("a command kept asking for more rows".into())))
    }

    async fn dispatch(
        &mut self,
        open: &mut Open,
        lanes: Vec<LaneRef>,
        now: Timestamp,
    ) -> std::result::Result<(Vec<Effect>, Vec<LaneLeft>), StoreError> {
        let envelope = Envelope {
            namespace: "".into(),
            principal: callboard_core::model::id::SYSTEM.into(),
            request: None,
            command: Command::Dispatch { lanes },
        };
        let shared = self.shared.clone();
        for _ in 0..ROUNDS {
            let want = {
                let mut cx = context(&shared, &mut self.entropy, &mut self.board, now);
                match decide(&mut self.ws, &envelope, &mut cx) {
                    Decision::Done(Outcome { reply: Reply::Dispatched(left), effects, .. }) => {
                        return Ok((effects, left));
                    }
                    Decision::Done(_) => return Ok(Default::default()),
                    Decision::Rejected(rejection) => {
                        tracing::error!(%rejection, "a dispatch was refused");
                        return Ok(Default::default());
                    }
                    Decision::NeedMore(want) => want,
                }
            };
            self.load(open, &want).await?;
        }
        tracing::error!("a dispatch kept asking for more rows");
        Ok(Default::default())
    }

    async fn load(&mut self, open: &mut Open, want: &Want) -> std::result::Result<(), StoreError> {
        if open.is_none() {
            *open = Some(self.shared.store.begin().await?);
        }
        if let Some(transaction) = open {
            let rows = transaction.load(want).await?;
            self.ws.absorb(want, rows);
        }
        Ok(())
    }

    /// A session's end that was ordered while the agent came back.
    fn is_outdated(&self, command: &Command) -> bool {
        let Command::EndSession { agent, epoch, .. } = command else { return false };
        let lease = self.shared.config.rules.stream_lease;
        !self.shared.sessions.is_gone(*agent, *epoch, self.shared.clock.elapsed(), lease)
    }

    /// What became ready, or free, is dispatched with this batch.
    fn note_lanes(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::LaneReady { namespace, lane } => {
                    self.lanes.insert((*namespace, *lane));
                }
                Effect::SlotFreed { agent } => {
                    let lanes = self.board.lanes_of(*agent).into_iter();
                    self.lanes
                        .extend(lanes.filter(|lane| self.ws.ready_count(*lane) > 0 || self.ws.has_backlog(*lane)));
                }
                _ => {}
            }
        }
    }

    /// After the commit: the working set is what the store has; effects and answers go out.
    fn finish(&mut self, items: Vec<Item>, decided: Decided) {
        self.careful = self.careful.saturating_sub(1);
        self.ws.committed();
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

fn context<'a>(
    shared: &'a Shared,
    entropy: &'a mut Box<dyn Entropy>,
    board: &'a mut Board,
    now: Timestamp,
) -> Context<'a> {
    Context { now, grace_until: shared.grace_until(), entropy: &mut **entropy, settings: &shared.config.rules, board }
}

async fn close(open: Open) {
    if let Some(transaction) = open {
        transaction.roll_back().await;
    }
}

/// Whether deciding it twice is the same as once: it has a request id, it is fenced by its lease, or it only moves a timer.
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

fn answer_all(items: Vec<Item>, error: &Error) {
    for item in items {
        match item.sink {
            Sink::Caller(reply) | Sink::Runner { reply, .. } | Sink::Attach { reply, .. } => {
                // A caller that has gone needs no answer.
                let _ = reply.send(Err(error.clone()));
            }
            // What has no receipt is repeated when its stream is attached again.
            Sink::Report { .. } | Sink::Send { .. } | Sink::Acknowledge { .. } | Sink::Nobody => {}
        }
    }
}
