//! What a commit saves, in as few trips to SQLite's thread as can be.
//!
//! A statement that is handed to that thread costs two switches of threads, whatever its rows: some 25 to 50 µs, which in a
//! small batch is more than its rows cost. So the statements of a small batch go as one text. It is made for a few row counts
//! only, one for nearly all of its statements, so that the statement cache finds it again; places that are too many are NULL, and
//! passed over, which costs nearly what a value does. In a large batch each statement goes by itself, and the values of the next are
//! bound while it runs.

use super::commits::Commits;
use super::error::{commit_error, sqlite_error};
use super::many::{Binds, Many, size_for};
use crate::{Error, Result};
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Executor, SqliteConnection};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio_stream::{Stream, StreamExt};

/// The most rows of a statement that goes together with others.
const LARGEST: usize = 64;
/// Begins a transaction that writes.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Ends it.
const COMMIT: &str = "COMMIT";
/// Fails (`integer overflow`, which `abs` says of the smallest number alone) unless the statement before it changed so many rows.
/// It gives no row.
const CHECK: &str = "SELECT 1 WHERE abs(CASE changes() WHEN ? THEN 0 ELSE -9223372036854775807 - 1 END) = 1";

/// Whether what was saved is committed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The transaction is open.
    Open,
    /// It has ended.
    Committed,
}

/// Statements that are saved together.
pub struct Script<'a> {
    /// For how many rows most statements are made; `None` where each goes by itself.
    rows: Option<usize>,
    begin: bool,
    parts: Vec<Part<'a>>,
}

/// Binds some of a part's rows.
type Bind<'a> = Box<dyn Fn(&mut Binds, Range<usize>) -> Result<()> + Send + Sync + 'a>;

/// A statement and its rows.
struct Part<'a> {
    many: &'static Many,
    count: usize,
    bind: Bind<'a>,
    /// That all rows must be found as expected, and what they are.
    all_of: Option<&'static str>,
}

/// A text with its values.
struct Bound {
    sql: Arc<str>,
    binds: Binds,
}

impl<'a> Script<'a> {
    /// A script whose statements have at most so many rows each. It begins the transaction, if none has begun.
    pub fn new(most: usize, begin: bool) -> Self {
        let rows = (most <= LARGEST).then(|| size_for(most));
        Self { rows, begin, parts: Vec::new() }
    }

    /// Adds a statement. With `all_of` every row must be found as it was expected; else it is a conflict.
    pub fn add<T: Sync>(
        &mut self,
        many: &'static Many,
        items: &'a [T],
        bind: impl Fn(&mut Binds, &T) -> Result<()> + Send + Sync + 'a,
        all_of: Option<&'static str>,
    ) {
        if !items.is_empty() {
            let bind =
                Box::new(move |binds: &mut Binds, range: Range<usize>| many.bind_to(binds, &items[range], &bind));
            self.parts.push(Part { many, count: items.len(), bind, all_of });
        }
    }

    /// Runs what was added; when it goes together, the commit with it, if that is wanted.
    pub async fn run(self, connection: &mut SqliteConnection, commit: Option<&Commits>) -> Result<Saved> {
        match self.rows {
            Some(rows) => self.run_together(connection, rows, commit).await,
            None => self.run_apart(connection).await.map(|()| Saved::Open),
        }
    }

    async fn run_together(
        self,
        connection: &mut SqliteConnection,
        rows: usize,
        commit: Option<&Commits>,
    ) -> Result<Saved> {
        let mut texts: Vec<Arc<str>> = Vec::new();
        let mut checks: Vec<(usize, &Part<'_>)> = Vec::new();
        if self.begin {
            texts.push(BEGIN.into());
        }
        let mut binds = Binds::default();
        binds.reserve(self.parts.iter().map(|part| part.rows(rows) * part.many.columns() + 1).sum());
        // Values of the statement before that are too few; the last statement needs none.
        let mut missing = 0;
        for part in &self.parts {
            let rows = part.rows(rows);
            binds.nulls(missing)?;
            (part.bind)(&mut binds, 0..part.count)?;
            missing = rows.saturating_sub(part.count) * part.many.columns();
            texts.push(part.many.sql(rows));
            if part.all_of.is_some() {
                binds.nulls(std::mem::take(&mut missing))?;
                binds.add(i64::try_from(part.count).unwrap_or(i64::MAX))?;
                checks.push((texts.len(), part));
                texts.push(CHECK.into());
            }
        }
        if texts.is_empty() {
            return Ok(Saved::Open);
        }
        if let Some(commits) = commit {
            texts.push(COMMIT.into());
            commits.forget();
        }
        let sql = texts.join(";").into();
        let running = start(connection, Bound { sql, binds });
        if let Some(commits) = commit {
            commits.next().await;
        }
        let (changed, error) = running.finish(texts.len()).await;
        let Some(error) = error else {
            return Ok(if commit.is_some() { Saved::Committed } else { Saved::Open });
        };
        // A thread that is gone may have come as far as the commit.
        if commit.is_some() && (changed.len() + 1 == texts.len() || matches!(error, sqlx::Error::WorkerCrashed)) {
            return Err(commit_error(error));
        }
        if let Some((place, part)) = checks.into_iter().find(|(place, _)| *place == changed.len()) {
            part.check(changed[place - 1])?;
        }
        Err(sqlite_error(error))
    }

    async fn run_apart(self, connection: &mut SqliteConnection) -> Result<()> {
        if self.begin {
            begin(connection).await?;
        }
        let mut changed = vec![0; self.parts.len()];
        let chunks =
            self.parts.iter().enumerate().flat_map(|(place, part)| part.chunks().map(move |rows| (place, rows)));
        let mut bound = chunks.map(|(place, rows)| self.parts[place].bound(rows).map(|bound| (place, bound)));
        let mut next = bound.next().transpose()?;
        while let Some((place, statement)) = next {
            let running = start(connection, statement);
            next = bound.next().transpose()?;
            let (of_this, error) = running.finish(1).await;
            error.map_or(Ok(()), |error| Err(sqlite_error(error)))?;
            changed[place] += of_this.iter().sum::<u64>();
        }
        self.parts.iter().zip(changed).try_for_each(|(part, changed)| part.check(changed))
    }
}

impl Part<'_> {
    /// For how many rows it is made beside others of so many: few kinds, and those that differ much from the others.
    fn rows(&self, others: usize) -> usize {
        match self.count {
            // Tasks are many, and their agents few.
            1 => 1,
            count if count <= others => others,
            // Some have several rows for each of the others.
            count if count <= others * 2 => others * 2,
            _ => others * 4,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, largest) = (self.count, self.many.largest);
        (0..count).step_by(largest).map(move |first| first..count.min(first + largest))
    }

    fn bound(&self, rows: Range<usize>) -> Result<Bound> {
        let sql = self.many.sql(rows.len());
        let mut binds = Binds::default();
        binds.reserve(rows.len() * self.many.columns());
        (self.bind)(&mut binds, rows)?;
        Ok(Bound { sql, binds })
    }

    fn check(&self, changed: u64) -> Result<()> {
        self.all_of.map_or(Ok(()), |what| check(self.count, what, changed))
    }
}

type Step = sqlx::Result<Either<SqliteQueryResult, SqliteRow>>;

/// A text that SQLite's thread is at.
struct Running<'c> {
    results: Pin<Box<dyn Stream<Item = Step> + Send + 'c>>,
    first: Poll<Option<Step>>,
}

/// Hands a text to SQLite's thread, and does not wait for it.
fn start(connection: &mut SqliteConnection, bound: Bound) -> Running<'_> {
    let mut results = connection.fetch_many(sqlx::query_with(AssertSqlSafe(bound.sql), bound.binds.into_arguments()));
    // Nothing is sent before it is asked for. Nobody is to be woken by the first answer: they are asked for later.
    let first = results.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    Running { results, first }
}

impl Running<'_> {
    /// Waits for its end; gives how many rows each of its statements changed, as far as it came.
    async fn finish(mut self, statements: usize) -> (Vec<u64>, Option<sqlx::Error>) {
        let mut changed = Vec::with_capacity(statements);
        let mut next = match self.first {
            Poll::Ready(first) => first,
            Poll::Pending => self.results.next().await,
        };
        while let Some(step) = next {
            match step {
                Ok(Either::Left(done)) => changed.push(done.rows_affected()),
                Ok(Either::Right(_)) => {}
                Err(error) => return (changed, Some(error)),
            }
            // Behind the last nothing comes but the end.
            if changed.len() == statements {
                return (changed, None);
            }
            next = self.results.next().await;
        }
        // A thread that is gone says nothing: its results just end.
        let error = (changed.len() < statements).then_some(sqlx::Error::WorkerCrashed);
        (changed, error)
    }
}

/// Begins a transaction by itself.
pub async fn begin(connection: &mut SqliteConnection) -> Result<()> {
    connection.execute(BEGIN).await.map(drop).map_err(sqlite_error)
}

/// Every row was found as expected, or it is a conflict.
pub fn check(wanted: usize, what: &str, changed: u64) -> Result<()> {
    if usize::try_from(changed) == Ok(wanted) {
        return Ok(());
    }
    Err(Error::Conflict(format!("{changed} of {wanted} {what} were as expected")))
}
