//! The connections: a bounded number of them, each lent to one user at a time.
//!
//! It is no pool of the driver's, since a future may be dropped half-way: whoever does not give a connection back has it closed,
//! and PostgreSQL rolls back what was begun on it. So nobody ever gets a connection that another left in the middle.

use super::convert::Values;
use super::error::pg_error;
use crate::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgConnection};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a connection may take to be made, or to become free.
const CONNECT: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(10);
/// How long a statement may take, in milliseconds; the server ends it.
macro_rules! statement_timeout {
    () => {
        "15000"
    };
}
pub(super) use statement_timeout;
/// How long an answer is waited for. The server gives one sooner; this is for a connection that is dead and doesn't look so.
const ANSWER: Duration = Duration::from_secs(20);
/// The same for what changes the schema, which takes as long as it takes.
const SCHEMA_ANSWER: Duration = Duration::from_secs(24 * 3600);

/// How long a transaction may stand still between two statements, in milliseconds; the server ends it. Its locks go with it: whoever waits
/// for one ([`IN_ORDER`]) must still get it when the replica that has it was stopped, or its machine is gone without a word.
const STANDS_STILL: &str = "4000";

/// When PostgreSQL notices that the machine at the other end is gone without a word: by itself it takes two hours, in which it
/// keeps the session. On TCP alone; ignored elsewhere.
const NOTICED: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];
/// What looks dear to the planner here isn't: compiling it would take a thousand times as long, and rows are found by their indexes.
const PLAIN: [(&str, &str); 3] =
    [("statement_timeout", statement_timeout!()), ("jit", "off"), ("enable_seqscan", "off")];
/// What holds for every statement of a batch. Statistics of tables that grow fast are always old, so the planner
/// is told what is known: rows are found by their indexes. Plans are made once for all values: for values in arrays PostgreSQL
/// would plan each time, which takes longer than what is planned.
const BATCH: [(&str, &str); 8] = [
    ("lock_timeout", IN_ORDER),
    ("statement_timeout", statement_timeout!()),
    ("idle_in_transaction_session_timeout", STANDS_STILL),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];
/// What holds for pages of events. They are read for every batch, and planning one takes longer than reading it: the planner is told what
/// is known, as for batches.
const PAGE: [(&str, &str); 6] = [
    ("statement_timeout", statement_timeout!()),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];
/// How long a lock is waited for in the common order, in milliseconds.
pub const IN_ORDER: &str = "5000";

/// The connections of a store.
pub struct Connections {
    options: PgConnectOptions,
    /// False behind a pooler that gives every transaction another server: statements are then prepared anew each time.
    prepared: bool,
    readers: Arc<Semaphore>,
    /// How many of those may be at pages of events. Each of a thousand watches reads what another one has just read: calls must not stand
    /// in line with them.
    pages: Arc<Semaphore>,
    /// Of their own: however many read, whoever writes need not wait for them.
    writers: Arc<Semaphore>,
    /// How many there may be, lent and idle.
    most: usize,
    idle: Mutex<Idle>,
}

/// Connections that nobody has. Those of batches, and of pages, have settings of their own, which would be wrong for others.
#[derive(Default)]
struct Idle {
    plain: Vec<PgConnection>,
    pages: Vec<PgConnection>,
    batches: Vec<PgConnection>,
}

impl Idle {
    /// One for this purpose. If there is none, and one more would be too many beside those that are lent (that of the caller
    /// included), one for others is closed.
    fn take(&mut self, purpose: Purpose, lent: usize, most: usize) -> Option<PgConnection> {
        let idle = self.plain.len() + self.pages.len() + self.batches.len();
        self.of(purpose).pop().or_else(|| {
            if lent + idle > most {
                self.plain.pop().or_else(|| self.pages.pop()).or_else(|| self.batches.pop());
            }
            None
        })
    }

    fn of(&mut self, purpose: Purpose) -> &mut Vec<PgConnection> {
        match purpose {
            Purpose::Batch => &mut self.batches,
            Purpose::Page => &mut self.pages,
            Purpose::Read | Purpose::Write | Purpose::Schema => &mut self.plain,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A read of one statement.
    Read,
    /// A read of events, behind a cursor.
    Page,
    /// A write that is no batch's.
    Write,
    /// The transaction of a batch.
    Batch,
    /// What is done once, at the start, and may take long; also the wait for another replica that does it. Not to be given back.
    Schema,
}

impl Purpose {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Read | Self::Write => &PLAIN,
            Self::Page => &PAGE,
            Self::Batch => &BATCH,
            Self::Schema => &[],
        }
    }

    fn patience(self) -> Duration {
        if self == Self::Schema { SCHEMA_ANSWER } else { ANSWER }
    }
}

impl Connections {
    /// At most so many; they are made when they are needed.
    pub fn new(options: PgConnectOptions, prepared: bool, most: usize) -> Arc<Self> {
        let writers = (most / 4).max(1);
        let readers = most.saturating_sub(writers).max(1);
        let most = readers + writers;
        let [readers, pages, writers] =
            [readers, (readers / 2).max(1), writers].map(|permits| Arc::new(Semaphore::new(permits)));
        Arc::new(Self { options, prepared, readers, pages, writers, most, idle: Mutex::default() })
    }

    /// Whether a connection keeps what was prepared on it.
    pub fn are_sessions(&self) -> bool {
        self.prepared
    }

    /// A connection, idle or new.
    pub async fn lend(self: &Arc<Self>, purpose: Purpose) -> Result<Lent> {
        let turn = self.turn(purpose).await?;
        let permit = self.permit(purpose).await?;
        let free = self.readers.available_permits() + self.writers.available_permits();
        let idle = self.idle().take(purpose, self.most.saturating_sub(free), self.most);
        let (connection, reused) = match idle {
            Some(connection) => (connection, true),
            None => (self.connect(purpose).await?, false),
        };
        Ok(Lent {
            connection,
            purpose,
            reused,
            prepared: self.prepared,
            to: self.clone(),
            _permit: permit,
            _turn: turn,
        })
    }

    /// Pages of events wait for their turn among themselves, however long that takes.
    async fn turn(&self, purpose: Purpose) -> Result<Option<OwnedSemaphorePermit>> {
        match purpose {
            Purpose::Page => self.pages.clone().acquire_owned().await.map(Some).map_err(|_| closed()),
            _ => Ok(None),
        }
    }

    async fn permit(&self, purpose: Purpose) -> Result<OwnedSemaphorePermit> {
        let permits = match purpose {
            Purpose::Read | Purpose::Page => &self.readers,
            Purpose::Write | Purpose::Batch | Purpose::Schema => &self.writers,
        };
        match timeout(WAIT, permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(Error::Unavailable(format!("no connection became free within {} s", WAIT.as_secs()))),
        }
    }

    /// What the transaction of a batch begins with. A pooler may give each another session, so that it must say itself what holds.
    pub fn begin(&self) -> String {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
        if self.prepared {
            return begin.to_owned();
        }
        BATCH.iter().fold(begin.to_owned(), |script, (name, value)| script + "; SET LOCAL " + name + " = " + value)
    }

    async fn connect(&self, purpose: Purpose) -> Result<PgConnection> {
        let mut options = self.options.clone();
        if self.prepared {
            options = options.options(NOTICED.iter().chain(purpose.settings()).copied());
        }
        match timeout(CONNECT, options.connect()).await {
            Ok(connected) => connected.map_err(pg_error),
            Err(_) => Err(Error::Unavailable(format!("PostgreSQL did not answer within {} s", CONNECT.as_secs()))),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever takes one of them might meet what another met.
    fn forget_idle(&self) {
        drop(std::mem::take(&mut *self.idle()));
    }

    /// Closes those that are idle; those that are lent are closed when they come back. Nobody gets one any more.
    pub async fn close(&self) {
        self.readers.close();
        self.pages.close();
        self.writers.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle.plain.into_iter().chain(idle.pages).chain(idle.batches) {
            // The server notices a closed socket as well.
            let _ = timeout(CONNECT, connection.close()).await;
        }
    }
}

/// A connection that is lent. Dropped, it is closed.
pub struct Lent {
    connection: PgConnection,
    purpose: Purpose,
    /// It was idle before: the server may have gone since.
    pub reused: bool,
    prepared: bool,
    to: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
    _turn: Option<OwnedSemaphorePermit>,
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

impl Lent {
    /// Makes it anew. What is idle is thrown away: the server has been away.
    pub async fn renew(&mut self) -> Result<()> {
        self.to.forget_idle();
        self.connection = self.to.connect(self.purpose).await?;
        self.reused = false;
        Ok(())
    }

    /// To be called when nothing is open on it.
    pub fn give_back(self) {
        if !self.to.writers.is_closed() {
            self.to.idle().of(self.purpose).push(self.connection);
        }
    }

    /// Runs a statement; gives its rows.
    pub async fn fetch(&mut self, sql: &'static str, values: Values) -> Result<Vec<PgRow>> {
        let query = sqlx::query_with(sql, values.into_arguments()?).persistent(self.prepared);
        answered(query.fetch_all(&mut self.connection), self.purpose, &self.to).await.map_err(pg_error)
    }

    /// The same with a text that was put together from texts of ours.
    pub async fn fetch_text(&mut self, sql: String, values: Values) -> Result<Vec<PgRow>> {
        let query = sqlx::query_with(AssertSqlSafe(sql), values.into_arguments()?).persistent(self.prepared);
        answered(query.fetch_all(&mut self.connection), self.purpose, &self.to).await.map_err(pg_error)
    }

    /// Runs a statement; gives how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, values: Values) -> Result<u64> {
        let query = sqlx::query_with(sql, values.into_arguments()?).persistent(self.prepared);
        let done = answered(query.execute(&mut self.connection), self.purpose, &self.to).await.map_err(pg_error)?;
        Ok(done.rows_affected())
    }

    /// Runs statements without values, in one trip; the error is the driver's.
    pub async fn run(&mut self, script: String) -> sqlx::Result<()> {
        let running = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut self.connection);
        answered(running, self.purpose, &self.to).await.map(|_| ())
    }
}

/// An answer, if there is one in time. If not, the way to the server may be cut off without a word, for those that are idle as well.
async fn answered<T>(
    running: impl Future<Output = sqlx::Result<T>>,
    purpose: Purpose,
    connections: &Connections,
) -> sqlx::Result<T> {
    let patience = purpose.patience();
    if let Ok(answer) = timeout(patience, running).await {
        return answer;
    }
    connections.forget_idle();
    let text = format!("PostgreSQL did not answer within {} s", patience.as_secs());
    Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
}
