//! What a commit saves, in one go where that pays.
//!
//! A statement that is handed to SQLite's thread costs two switches of threads, whatever its rows: some 25 to 50 µs, which in a
//! small batch is more than its rows cost. So the statements of a small batch go as one text. It is made for a few row counts
//! only, the same for each of its statements, so that the statement cache finds it again; places that are too many are NULL, and
//! passed over. In a large batch each statement goes by itself: its rows are many.

use super::error::sqlite_error;
use super::many::{Binds, Many};
use crate::{Error, Result};
use sqlx::{AssertSqlSafe, Either, Executor, SqliteConnection};
use std::sync::Arc;
use tokio_stream::StreamExt;

/// The most rows of a statement in a script.
const LARGEST: usize = 64;
/// Begins a transaction that writes.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// Statements that are saved together.
pub struct Script<'c> {
    connection: &'c mut SqliteConnection,
    /// For how many rows each statement is made; with `None` each is run when it is added.
    rows: Option<usize>,
    statements: Vec<Arc<str>>,
    binds: Binds,
    /// Values of the statement before that are too few; the last statement needs none.
    missing: usize,
    /// For each statement, how many rows of what must be changed.
    expected: Vec<Option<(usize, &'static str)>>,
}

impl<'c> Script<'c> {
    /// A script whose statements have at most so many rows each. It begins the transaction, if none has begun.
    pub async fn new(connection: &'c mut SqliteConnection, most: usize, begin: bool) -> Result<Self> {
        let rows = (most <= LARGEST).then(|| most.next_power_of_two());
        let (mut statements, mut expected) = (Vec::new(), Vec::new());
        if begin && rows.is_some() {
            statements.push(BEGIN.into());
            expected.push(None);
        } else if begin {
            self::begin(connection).await?;
        }
        Ok(Self { connection, rows, statements, binds: Binds::default(), missing: 0, expected })
    }

    /// Adds a statement. With `all_of` every row must be found as it was expected; else it is a conflict.
    pub async fn add<T: Sync>(
        &mut self,
        many: &Many,
        items: &[T],
        bind: impl Fn(&mut Binds, &T) -> Result<()> + Send + Sync,
        all_of: Option<&'static str>,
    ) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let expected = all_of.map(|what| (items.len(), what));
        let Some(rows) = self.rows else {
            let changed = many.execute(self.connection, items, bind).await?;
            return check(expected, changed);
        };
        // Twice as many twice over for what has several rows for each of the others.
        let rows = if items.len() > rows { rows * 4 } else { rows };
        self.binds.nulls(self.missing)?;
        many.bind_to(&mut self.binds, items, bind)?;
        self.missing = (rows - items.len().min(rows)) * many.columns();
        self.statements.push(many.sql(rows));
        self.expected.push(expected);
        Ok(())
    }

    /// Runs what was added.
    pub async fn run(self) -> Result<()> {
        if self.statements.is_empty() {
            return Ok(());
        }
        let query = sqlx::query_with(AssertSqlSafe(self.statements.join(";")), self.binds.into_arguments());
        let mut results = self.connection.fetch_many(query);
        let mut expected = self.expected.into_iter();
        let mut outcome = Ok(());
        // To its end, whatever is found: what is left behind would run beside what comes next.
        while let Some(result) = results.next().await {
            if let Either::Left(done) = result.map_err(sqlite_error)? {
                outcome = outcome.and(check(expected.next().flatten(), done.rows_affected()));
            }
        }
        outcome
    }
}

/// Begins a transaction by itself.
pub async fn begin(connection: &mut SqliteConnection) -> Result<()> {
    connection.execute(BEGIN).await.map(drop).map_err(sqlite_error)
}

/// Every row was found as expected, or it is a conflict.
pub fn check(expected: Option<(usize, &'static str)>, changed: u64) -> Result<()> {
    match expected {
        Some((wanted, what)) if usize::try_from(changed) != Ok(wanted) => {
            Err(Error::Conflict(format!("{changed} of {wanted} {what} were as expected")))
        }
        _ => Ok(()),
    }
}
