//! Statements over many rows, prepared for a few row counts only, so that the statement cache finds them again.

use super::error::sqlite_error;
use crate::{Error, Result};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// The row counts that statements are made for. SQLite takes 32,766 values at most, so 256 rows may have 127 columns. Twice and four
/// times each of them up to 64 is one of them, too.
const SIZES: [usize; 14] = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, LARGEST];
const LARGEST: usize = 256;

/// The least of them that has room for so many rows.
pub(super) fn size_for(rows: usize) -> usize {
    SIZES[place_for(rows)]
}

fn place_for(rows: usize) -> usize {
    SIZES.iter().position(|size| *size >= rows).unwrap_or(SIZES.len() - 1)
}

/// A statement over many rows: `head`, then `row` for each, then `tail`.
///
/// The places of rows that are too few stay unbound, which is NULL: the statement must pass over rows whose values are NULL.
pub struct Many {
    head: &'static str,
    row: &'static str,
    separator: &'static str,
    tail: &'static str,
    columns: usize,
    pub(super) largest: usize,
    sql: [OnceLock<Arc<str>>; SIZES.len()],
}

impl Many {
    /// `head VALUES row, row, … tail`; `row` is like `(?,?)`.
    pub const fn values(head: &'static str, row: &'static str, tail: &'static str) -> Self {
        Self::new(head, row, ",", tail, LARGEST)
    }

    /// `query UNION ALL query …`.
    pub const fn union(query: &'static str) -> Self {
        Self::new("", query, " UNION ALL ", "", LARGEST)
    }

    /// One row at a time: for what is rare, and where SQLite finds no good plan for many.
    pub const fn single(query: &'static str) -> Self {
        Self::new("", query, "", "", 1)
    }

    const fn new(
        head: &'static str,
        row: &'static str,
        separator: &'static str,
        tail: &'static str,
        largest: usize,
    ) -> Self {
        let sql = [const { OnceLock::new() }; SIZES.len()];
        Self { head, row, separator, tail, columns: count(row, b'?'), largest, sql }
    }

    /// The SQL for at least so many rows, which are at most the largest size.
    pub(super) fn sql(&self, rows: usize) -> Arc<str> {
        let place = place_for(rows);
        let make = || {
            let rows = vec![self.row; SIZES[place]].join(self.separator);
            [self.head, &rows, self.tail].concat().into()
        };
        self.sql[place].get_or_init(make).clone()
    }

    fn chunks<'a, T>(&self, items: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        items.chunks(self.largest)
    }

    fn bind<T>(&self, items: &[T], bind: impl Fn(&mut Binds, &T) -> Result<()>) -> Result<SqliteArguments> {
        let mut binds = Binds::default();
        binds.reserve(items.len() * self.columns);
        self.bind_to(&mut binds, items, bind)?;
        Ok(binds.0)
    }

    /// The values of a row.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Adds the values of rows.
    pub(super) fn bind_to<T>(
        &self,
        binds: &mut Binds,
        items: &[T],
        bind: impl Fn(&mut Binds, &T) -> Result<()>,
    ) -> Result<()> {
        items.iter().try_for_each(|item| bind(binds, item))
    }

    /// Runs it; gives how many rows it changed.
    pub async fn execute<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        items: &[T],
        bind: impl Fn(&mut Binds, &T) -> Result<()> + Send + Sync,
    ) -> Result<u64> {
        let mut changed = 0;
        for chunk in self.chunks(items) {
            let arguments = self.bind(chunk, &bind)?;
            let query = sqlx::query_with(AssertSqlSafe(self.sql(chunk.len())), arguments);
            changed += query.execute(&mut *connection).await.map_err(sqlite_error)?.rows_affected();
        }
        Ok(changed)
    }

    /// Runs it; gives each row to `read`.
    pub async fn fetch<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        items: &[T],
        bind: impl Fn(&mut Binds, &T) -> Result<()> + Send + Sync,
        mut read: impl FnMut(&SqliteRow) -> Result<()> + Send,
    ) -> Result<()> {
        for chunk in self.chunks(items) {
            let arguments = self.bind(chunk, &bind)?;
            let query = sqlx::query_with(AssertSqlSafe(self.sql(chunk.len())), arguments);
            for row in &query.fetch_all(&mut *connection).await.map_err(sqlite_error)? {
                read(row)?;
            }
        }
        Ok(())
    }
}

/// The values of a statement, in their order.
#[derive(Default)]
pub struct Binds(SqliteArguments);

impl Binds {
    /// Adds a value.
    pub fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<()> {
        self.0.add(value).map_err(|error| Error::Data(error.to_string()))
    }

    /// Adds an id.
    pub fn id(&mut self, id: Uuid) -> Result<()> {
        self.add(id.as_bytes().to_vec())
    }

    /// Makes room for so many values.
    pub fn reserve(&mut self, count: usize) {
        self.0.reserve(count, 0);
    }

    /// Adds so many times nothing.
    pub fn nulls(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.add(None::<i64>))
    }

    /// For a statement of its own.
    pub fn into_arguments(self) -> SqliteArguments {
        self.0
    }
}

const fn count(text: &str, what: u8) -> usize {
    let bytes = text.as_bytes();
    let (mut n, mut place) = (0, 0);
    while place < bytes.len() {
        n += (bytes[place] == what) as usize;
        place += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_four_times_a_size_of_a_script_is_one_that_statements_are_made_for() {
        for size in SIZES.into_iter().filter(|size| *size <= 64) {
            assert_eq!([size_for(size * 2), size_for(size * 4)], [size * 2, size * 4]);
        }
    }
}
