//! One batch: what it decides, and how it reaches the store.

use crate::committer::Committer;
use crate::effects::Decided;
use crate::error::{Error, Result};
use crate::queue::{Item, Sink};
use crate::shared::Shared;
use callboard_core::command::{Command, Effect, Envelope, LaneLeft, Outcome, Reply};
use callboard_core::decide::MOST_ROUNDS;
use callboard_core::dispatch::Board;
use callboard_core::model::{Span, Timestamp};
use callboard_core::planted::Bug;
use callboard_core::working_set::{ChangeSet, LaneRef};
use callboard_core::{Context, Decision, Entropy, Want, decide, foresee};
use callboard_store::{Error as StoreError, Transaction};
use futures::future::BoxFuture;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};

/// A transaction, begun when it is needed.
type Open = Option<Box<dyn Transaction>>;

/// What the store said.
type Stored<T> = std::result::Result<T, StoreError>;

/// Commands with what was decided of them so far.
pub(crate) struct Batch {
    pub items: Vec<Item>,
    pub decided: Decided,
    /// How long the store took to save it.
    pub took: Option<Span>,
    transaction: Open,
}

/// Commands of a batch of which nothing happened, as far as is known, and why.
pub(crate) struct Failed {
    pub items: Vec<Item>,
    pub error: StoreError,
}

impl Batch {
    /// Takes more commands in, to be decided at this time.
    pub fn take(&mut self, mut items: Vec<Item>, now: Timestamp) {
        self.items.append(&mut items);
        self.decided.now = now;
    }

    /// How many of its commands are not decided yet.
    pub fn undecided(&self) -> usize {
        self.items.len() - self.decided.results.len()
    }

    /// Gives it up. The working set is not to be used any more.
    pub async fn fail(self, error: StoreError) -> Failed {
        if let Some(transaction) = self.transaction {
            transaction.roll_back().await;
        }
        Failed { items: self.items, error }
    }
}

/// A batch at sea: the store saves it.
pub(crate) struct Flight {
    batch: Batch,
    saving: BoxFuture<'static, Saved>,
    shared: Arc<Shared>,
    saved: Option<Saved>,
}

/// How it went, how long it took, and what was to be saved.
struct Saved {
    outcome: Stored<Option<Span>>,
    changes: ChangeSet,
}

impl Flight {
    /// Sees to it for a moment, so that it goes on.
    pub async fn look(&mut self) {
        poll_fn(|cx| {
            let _ = self.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for its end.
    pub async fn wait(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if self.saved.is_none() {
            match self.saving.as_mut().poll(cx) {
                Poll::Ready(saved) => self.saved = Some(saved),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The batch as it was saved.
    pub async fn land(mut self) -> std::result::Result<Batch, Failed> {
        let Saved { outcome, changes } = match self.saved.take() {
            Some(saved) => saved,
            None => self.saving.await,
        };
        let mut batch = self.batch;
        match outcome {
            Ok(took) => {
                batch.decided.changes = changes;
                batch.took = took;
                Ok(batch)
            }
            Err(error) => {
                if let StoreError::UnknownCommit(_) = error {
                    batch.decided.leave_untold(&self.shared);
                }
                Err(batch.fail(error).await)
            }
        }
    }
}

impl Committer {
    /// A new batch. In a store that others write to as well, its transaction begins with it.
    pub async fn open_batch(&mut self, items: Vec<Item>) -> std::result::Result<Batch, Failed> {
        let mut transaction = None;
        if !self.shared.store.is_exclusive() {
            let asked = self.shared.clock.elapsed();
            match self.shared.store.begin().await {
                Ok(begun) => transaction = Some(begun),
                Err(error) => return Err(Failed { items, error }),
            }
            self.shared.store_took(Span(self.shared.clock.elapsed().0 - asked.0));
            self.asked = Want::default();
        }
        // Almost every request id is new. The store refuses the batch when one is not; then it is decided again with care.
        if self.careful == 0 {
            self.ws.expect_new_requests();
        }
        self.replica = self.shared.registration();
        let decided = Decided::new(self.shared.clock.now(), items.len());
        Ok(Batch { items, decided, took: None, transaction })
    }

    /// Locks what is named before anything else, in the order that is common to all replicas.
    pub async fn lock_first(&mut self, batch: &mut Batch, want: &Want) -> Stored<()> {
        match want.is_empty() {
            true => Ok(()),
            false => self.load(&mut batch.transaction, want).await,
        }
    }

    /// Decides so many more of a batch's commands.
    pub async fn decide_some(&mut self, batch: &mut Batch, most: usize) -> Stored<()> {
        let Batch { items, decided, transaction, .. } = batch;
        for _ in 0..most {
            let Some((item, _)) = items.get(decided.results.len()..).and_then(<[Item]>::split_first) else { break };
            if self.is_outdated(&item.envelope.command) || item.is_abandoned() {
                decided.results.push(Ok(Outcome { reply: Reply::Done, effects: Vec::new(), replayed: false }));
                continue;
            }
            let result = self.decide_one(transaction, &items[decided.results.len()..], decided.now).await?;
            if let Ok(outcome) = &result {
                self.note_lanes(&outcome.effects);
                if self.shared.config.rules.planted.has(Bug::AnswerBeforeCommit) {
                    answer_too_early(&mut items[decided.results.len()], &outcome.reply);
                }
            }
            decided.results.push(result);
        }
        Ok(())
    }

    /// Dispatches what became ready or free, and hands all that was decided to the store. Behind it the working set is as if it
    /// were saved.
    pub async fn close_batch(&mut self, mut batch: Batch) -> std::result::Result<Flight, Failed> {
        let lanes: Vec<LaneRef> = std::mem::take(&mut self.lanes).into_iter().collect();
        batch.decided.heard = std::mem::take(&mut self.heard);
        if !lanes.is_empty() && !self.shared.is_draining() {
            match self.dispatch(&mut batch.transaction, lanes, batch.decided.now).await {
                Ok((effects, left)) => (batch.decided.dispatched, batch.decided.left) = (effects, left),
                Err(error) => return Err(batch.fail(error).await),
            }
        }
        batch.decided.note_drained(&self.ws);
        let changes = self.ws.changes();
        self.ws.committed();
        let saving = save(self.shared.clone(), batch.transaction.take(), changes);
        Ok(Flight { batch, saving: Box::pin(saving), shared: self.shared.clone(), saved: None })
    }

    /// Decides the first of the items, loading what it wants; what those behind it want is loaded with it.
    async fn decide_one(&mut self, open: &mut Open, items: &[Item], now: Timestamp) -> Stored<Result<Outcome>> {
        let shared = self.shared.clone();
        for _ in 0..MOST_ROUNDS {
            let mut want = {
                let mut cx = context(&shared, &self.replica, &mut self.entropy, &mut self.board, now);
                match decide(&mut self.ws, &items[0].envelope, &mut cx) {
                    Decision::Done(outcome) => return Ok(Ok(outcome)),
                    Decision::Rejected(rejection) => return Ok(Err(rejection.into())),
                    Decision::NeedMore(want) => want,
                }
            };
            for item in &items[1..] {
                let mut cx = context(&shared, &self.replica, &mut self.entropy, &mut self.board, now);
                if let Some(more) = foresee(&mut self.ws, &item.envelope, &mut cx) {
                    // Results may be large: those of a whole batch would be too much at once.
                    want.merge(Want { results: Default::default(), ..more });
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
    ) -> Stored<(Vec<Effect>, Vec<LaneLeft>)> {
        let envelope = Envelope {
            namespace: "".into(),
            principal: callboard_core::model::id::SYSTEM.into(),
            request: None,
            command: Command::Dispatch { lanes },
        };
        let shared = self.shared.clone();
        for _ in 0..MOST_ROUNDS {
            let want = {
                let mut cx = context(&shared, &self.replica, &mut self.entropy, &mut self.board, now);
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

    /// Behind what is at sea: the store has it then, or nothing of this batch happens.
    async fn load(&mut self, open: &mut Open, want: &Want) -> Stored<()> {
        self.land_alone().await?;
        if open.is_none() {
            *open = Some(self.shared.store.begin().await?);
        }
        if let Some(transaction) = open {
            if !self.shared.store.is_exclusive() {
                self.asked.merge(want.locks());
            }
            let rows = transaction.load(want).await?;
            self.shared.passed_over.note(want, &rows, self.shared.clock.elapsed());
            self.ws.absorb(want, rows);
        }
        Ok(())
    }

    /// A session's end that was ordered while the agent came back.
    fn is_outdated(&self, command: &Command) -> bool {
        let Command::EndSession { agent, epoch, .. } = command else { return false };
        let rules = &self.shared.config.rules;
        let lease = rules.stream_lease;
        !rules.planted.has(Bug::CountOurDelays)
            && !self.shared.sessions.is_gone(*agent, *epoch, self.shared.clock.elapsed(), lease)
    }

    /// What became ready, or free, is dispatched with this batch.
    fn note_lanes(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::LaneReady { namespace, lane } => {
                    self.lanes.insert((*namespace, *lane));
                    self.heard.remove(&(*namespace, *lane));
                }
                Effect::SlotFreed { agent } => {
                    let lanes = self.board.lanes_of(*agent);
                    self.note_waiting(lanes);
                }
                Effect::LimitFreed { namespace, key } => {
                    let lanes: Vec<LaneRef> = self.board.lanes_under(&(*namespace, key.clone())).collect();
                    self.note_waiting(lanes);
                }
                Effect::LimitsChanged { namespace } => {
                    let lanes = self.board.lanes_under_limits(*namespace);
                    self.note_waiting(lanes);
                }
                _ => {}
            }
        }
    }

    /// Those of these lanes that may have ready tasks are dispatched with this batch.
    fn note_waiting(&mut self, lanes: impl IntoIterator<Item = LaneRef>) {
        for lane in lanes {
            if self.ws.ready_count(lane) > 0 || self.ws.has_backlog(lane) {
                self.lanes.insert(lane);
                self.heard.remove(&lane);
            }
        }
    }
}

/// What must never be: see [`Bug::AnswerBeforeCommit`].
fn answer_too_early(item: &mut Item, reply: &Reply) {
    if let Sink::Caller(caller) = std::mem::replace(&mut item.sink, Sink::Nobody) {
        let _ = caller.send(Ok(reply.clone()));
    }
}

async fn save(shared: Arc<Shared>, open: Open, changes: ChangeSet) -> Saved {
    let outcome = if changes.is_empty() {
        if let Some(transaction) = open {
            transaction.roll_back().await;
        }
        Ok(None)
    } else {
        let began = shared.clock.elapsed();
        let saved = commit(&shared, open, &changes).await;
        saved.map(|()| Some(Span(shared.clock.elapsed().0 - began.0)))
    };
    Saved { outcome, changes }
}

async fn commit(shared: &Shared, open: Open, changes: &ChangeSet) -> Stored<()> {
    let transaction = match open {
        Some(transaction) => transaction,
        None => shared.store.begin().await?,
    };
    transaction.save_and_commit(changes, &shared.config.rules).await
}

fn context<'a>(
    shared: &'a Shared,
    replica: &'a str,
    entropy: &'a mut Box<dyn Entropy>,
    board: &'a mut Board,
    now: Timestamp,
) -> Context<'a> {
    Context {
        now,
        grace_until: shared.grace_until(),
        replica,
        all_current: shared.all_current(),
        entropy: &mut **entropy,
        settings: &shared.config.rules,
        board,
    }
}
