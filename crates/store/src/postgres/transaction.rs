//! A transaction, and the locks that it has.
//!
//! READ COMMITTED: every statement sees what was committed when it began. What is loaded is locked first, in one order: agents,
//! tasks, workflows, limits, mailboxes, messages, and rows by id, so that transactions that want the same rows wait for each other and not in a ring. Rules
//! ask for rows in several rounds; a lock that should have been taken earlier is waited for only a moment, then the
//! transaction is given up as a conflict, and decided again.

use super::agents::Loaded;
use super::connections::{IN_ORDER, Lent, Purpose};
use super::convert::Values;
use super::error::{commit_error, pg_error};
use super::floors::Found;
use super::store::Shared;
use super::{load, own_token, save};
use crate::{Error, Result, Transaction};
use async_trait::async_trait;
use callboard_core::Settings;
use callboard_core::model::{AgentId, NamespaceId};
use callboard_core::working_set::{ChangeSet, LaneRef, Rows, TaskRef, Want};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// How long a lock is waited for out of the common order, in milliseconds.
const OUT_OF_ORDER: &str = "50";

/// The numbers of live tasks that transactions added, put together. Those that another puts together are left to it.
const FOLD: &str = concat!(
    "WITH gone AS (DELETE FROM live_counts WHERE ctid = ANY (ARRAY(SELECT ctid FROM live_counts WHERE namespace = $2 AND shard >= $3 \
     AND shard <> ",
    own_token!(),
    " ORDER BY shard LIMIT 10000 FOR UPDATE SKIP LOCKED)) RETURNING live) \
     INSERT INTO live_counts AS c (namespace, shard, live) SELECT $2, ",
    own_token!(),
    ", sum(live)::bigint FROM gone HAVING count(*) > 0 \
     ON CONFLICT (namespace, shard) DO UPDATE SET live = c.live + excluded.live"
);

/// The tables whose rows are locked, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Agents.
    Agents,
    /// Tasks.
    Tasks,
    /// Workflows.
    Workflows,
    /// What is used of limit keys.
    Limits,
    /// Mailboxes.
    Mailboxes,
    /// Messages.
    Messages,
}

/// A transaction of ours. Dropped before its end, its connection is closed, which rolls it back.
pub struct PgTransaction {
    lent: Option<Lent>,
    pub(super) shared: Arc<Shared>,
    /// A statement failed: PostgreSQL takes nothing but its end any more.
    void: bool,
    highest: Option<(Table, NamespaceId, Uuid)>,
    lock_timeout: &'static str,
    /// Tasks that are locked.
    pub(super) locked: HashSet<TaskRef>,
    /// Lanes that were loaded: they must still be there when a task is saved in them.
    pub(super) lanes: BTreeSet<LaneRef>,
    /// Agents that were loaded, which are locked.
    pub(super) agents: HashMap<(NamespaceId, AgentId), Loaded>,
    /// Where to begin to read from now on. It counts when this has written something, and is committed.
    pub(super) found: Found,
    /// The numbers of live tasks that are to be put together, from which token on.
    pub(super) to_fold: BTreeMap<NamespaceId, i64>,
    /// Something was written, under this transaction's id.
    pub(super) wrote: bool,
}

impl PgTransaction {
    /// Begins.
    pub async fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let mut lent = shared.connections.lend(Purpose::Batch).await?;
        let mut begun = lent.run(shared.connections.begin()).await;
        if begun.is_err() && lent.reused {
            // It was idle, and the server may have been restarted since.
            shared.floors.forget();
            lent.renew().await?;
            begun = lent.run(shared.connections.begin()).await;
        }
        begun.map_err(pg_error)?;
        Ok(Self {
            lent: Some(lent),
            shared: shared.clone(),
            void: false,
            highest: None,
            lock_timeout: IN_ORDER,
            locked: HashSet::new(),
            lanes: BTreeSet::new(),
            agents: HashMap::new(),
            found: Found::default(),
            to_fold: BTreeMap::new(),
            wrote: false,
        })
    }

    /// Its connection. None behind a failure.
    pub fn connection(&mut self) -> Result<&mut Lent> {
        match &mut self.lent {
            Some(lent) if !self.void => Ok(lent),
            _ => Err(void()),
        }
    }

    /// Runs a statement; gives its rows.
    pub async fn fetch(&mut self, sql: &'static str, values: Values) -> Result<Vec<sqlx::postgres::PgRow>> {
        let fetched = self.connection()?.fetch(sql, values).await;
        self.notice(&fetched);
        fetched
    }

    /// Runs a statement; gives how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, values: Values) -> Result<u64> {
        let done = self.connection()?.execute(sql, values).await;
        self.notice(&done);
        done
    }

    /// A statement that failed ends it. A server that is not there may be another when it is again.
    fn notice<T>(&mut self, done: &Result<T>) {
        self.void |= done.is_err();
        if matches!(done, Err(Error::Unavailable(_))) {
            self.shared.floors.forget();
        }
    }

    /// Says that rows of a table will be locked, the lowest and the highest of them being these. How long they may be waited for depends on
    /// what is locked already.
    pub async fn will_lock(&mut self, table: Table, rows: impl Iterator<Item = (NamespaceId, Uuid)>) -> Result<()> {
        let (mut lowest, mut last) = (None, None);
        for (namespace, id) in rows {
            let place = Some((table, namespace, id));
            lowest = if lowest.is_none() { place } else { lowest.min(place) };
            last = last.max(place);
        }
        if lowest.is_none() {
            return Ok(());
        }
        let wait = if lowest > self.highest { IN_ORDER } else { OUT_OF_ORDER };
        self.highest = self.highest.max(last);
        if wait != self.lock_timeout {
            self.lock_timeout = wait;
            let set = format!("SET LOCAL lock_timeout = {wait}");
            let done = self.connection()?.run(set).await.map_err(pg_error);
            self.void |= done.is_err();
            done?;
        }
        Ok(())
    }

    /// Commits.
    pub async fn finish(mut self) -> Result<()> {
        self.end().await?;
        if self.wrote {
            self.shared.floors.remember(std::mem::take(&mut self.found));
        }
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
        Ok(())
    }

    /// What is counted is put together in passing, and committed with all else.
    async fn end(&mut self) -> Result<()> {
        for (namespace, from) in std::mem::take(&mut self.to_fold) {
            let values = Values::default().one(self.shared.order).one(namespace.0).one(from);
            self.execute(FOLD, values).await?;
        }
        let committed = self.connection()?.run("COMMIT".into()).await.map_err(commit_error);
        if committed.is_err() {
            self.shared.floors.forget();
        }
        committed
    }
}

fn void() -> Error {
    Error::Conflict("the transaction failed before: begin another".into())
}

#[async_trait]
impl Transaction for PgTransaction {
    async fn load(&mut self, want: &Want) -> Result<Rows> {
        let loaded = load::load(self, want).await;
        self.void |= loaded.is_err();
        loaded
    }

    async fn save(&mut self, changes: &ChangeSet, settings: &Settings) -> Result<()> {
        let saved = save::save(self, changes, settings).await;
        self.void |= saved.is_err();
        saved
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.finish().await
    }

    async fn roll_back(mut self: Box<Self>) {
        if let Some(mut lent) = self.lent.take()
            && lent.run("ROLLBACK".into()).await.is_ok()
        {
            lent.give_back();
        }
    }
}
