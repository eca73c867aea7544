//! Events in the order of commits: there is one writer, and rows are numbered as it writes them.

use super::convert::get;
use super::error::sqlite_error;
use super::load::{bind_task, rows_at_most};
use super::many::{Binds, Many};
use super::schema::number;
use super::script::Script;
use crate::codec::state_code;
use crate::facts::{IN_A_ROW, Packed, event_columns, rows_for, unpack};
use crate::{Cursor, EventPage, EventScope, Result};
use callboard_core::model::{Event, Timestamp};
use callboard_core::working_set::TaskRef;
use sqlx::{Either, Executor, SqliteConnection};
use tokio_stream::StreamExt;

/// Rows that one page of a namespace's events looks at, whoever's they are.
const SCAN: i64 = 20_000;

static EVENTS: Many = Many::values(
    "INSERT OR ROLLBACK INTO events (namespace, task, sequence, at, state, facts) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);

/// What one task did, behind a sequence number.
const HISTORY: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = ? AND task = ? AND sequence > ? ORDER BY sequence LIMIT ?"
);
macro_rules! of_namespace {
    () => {
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM events NOT INDEXED WHERE position >= ? AND position <= ? AND namespace = ? ORDER BY position LIMIT ?"
        )
    };
}
macro_rules! of_task {
    () => {
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM events INDEXED BY events_task WHERE position >= ? AND position <= ? AND namespace = ? AND task = ? \
             ORDER BY sequence LIMIT ?"
        )
    };
}
/// The last row, though it be forgotten.
macro_rules! last_row {
    () => {
        "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    };
}
/// `NOT INDEXED`: by the position. Left alone, SQLite takes the index for the sake of the namespace, and reads all of it.
///
/// One text, since each by itself would go to SQLite's thread and back. They need not see the same: what is up to the last row is
/// there for the second, and what was forgotten before the second read is known to the third.
const OF_NAMESPACE: &str = concat!(
    last_row!(),
    ";",
    of_namespace!(),
    ";SELECT ifnull((SELECT forgotten_through FROM namespaces WHERE id = ?), 0)"
);
const OF_TASK: &str = concat!(last_row!(), ";", of_task!());

const LATEST: &str = "SELECT at FROM events WHERE position = (SELECT max(position) FROM events)";

/// Saves events; their positions are given as they come.
pub fn save<'a>(script: &mut Script<'a>, events: &'a [Packed<'a>]) {
    let bind = |binds: &mut Binds, row: &Packed<'_>| {
        bind_task(binds, &row.task)?;
        let last = row.last();
        binds.add(last.map(|event| event.sequence))?;
        binds.add(last.map(|event| event.at.0))?;
        binds.add(last.map(|event| state_code(event.state)))?;
        binds.add(row.facts()?)
    };
    script.add(&EVENTS, events, bind, None);
}

/// Events of a task.
pub async fn of_task(connection: &mut SqliteConnection, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
    let mut binds = Binds::default();
    bind_task(&mut binds, &task)?;
    binds.add(after)?;
    binds.add(rows_at_most(limit))?;
    let query = sqlx::query_with(HISTORY, binds.into_arguments());
    let rows = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let new = unpack(row)?.into_iter().map(|(_, event)| event).filter(|event| event.sequence > after);
        events.extend(new);
    }
    events.truncate(limit);
    Ok(events)
}

/// The position of the latest event, though it be forgotten.
pub async fn end(connection: &mut SqliteConnection) -> Result<i64> {
    Ok(end_of(number(connection, last_row!()).await?))
}

/// When the latest event happened.
pub async fn latest_at(connection: &mut SqliteConnection) -> Result<Option<Timestamp>> {
    let row = sqlx::query(LATEST).fetch_optional(connection).await.map_err(sqlite_error)?;
    row.map(|row| get(&row, 0).map(Timestamp)).transpose()
}

/// The last position that a row can have.
fn last_of(row: i64) -> i64 {
    row.saturating_mul(IN_A_ROW).saturating_add(IN_A_ROW - 1)
}

/// Where a row ends; there is no row 0.
fn end_of(row: i64) -> i64 {
    if row == 0 { 0 } else { last_of(row) }
}

/// What the statements of [`OF_NAMESPACE`] and [`OF_TASK`] found.
#[derive(Default)]
struct Found {
    last_row: i64,
    events: Vec<(i64, Event)>,
    /// How many rows they stand in, and the last of these.
    rows: usize,
    read_through: i64,
    /// Up to this row events of the namespace may have been forgotten.
    forgotten_through: i64,
}

async fn find(connection: &mut SqliteConnection, sql: &'static str, binds: Binds) -> Result<Found> {
    let mut found = Found::default();
    let mut statement = 0;
    let mut results = connection.fetch_many(sqlx::query_with(sql, binds.into_arguments()));
    while let Some(result) = results.next().await {
        match (result.map_err(sqlite_error)?, statement) {
            (Either::Left(_), _) => statement += 1,
            (Either::Right(row), 0) => found.last_row = get(&row, 0)?,
            (Either::Right(row), 1) => {
                found.rows += 1;
                found.read_through = get(&row, 0)?;
                found.last_row = found.last_row.max(found.read_through);
                found.events.append(&mut unpack(&row)?);
            }
            (Either::Right(row), _) => found.forgotten_through = get(&row, 0)?,
        }
    }
    Ok(found)
}

/// A page of events. Rows are numbered in the order of commits, so that what is up to the last one is all there.
pub async fn page(
    connection: &mut SqliteConnection,
    scope: EventScope,
    after: Option<Cursor>,
    limit: usize,
) -> Result<EventPage> {
    let start = after.map_or(0, |cursor| cursor.position.max(0));
    let from_row = start.saturating_add(1) / IN_A_ROW;
    let (sql, up_to) = match scope {
        EventScope::Namespace(_) => (OF_NAMESPACE, from_row.saturating_add(SCAN)),
        EventScope::Task(..) => (OF_TASK, i64::MAX),
    };
    let mut binds = Binds::default();
    binds.add(from_row)?;
    binds.add(up_to)?;
    match scope {
        EventScope::Namespace(namespace) => binds.add(namespace.0)?,
        EventScope::Task(namespace, task) => bind_task(&mut binds, &(namespace, task))?,
    }
    let wanted = rows_for(limit);
    binds.add(rows_at_most(wanted))?;
    if let EventScope::Namespace(namespace) = scope {
        binds.add(namespace.0)?;
    }
    let Found { last_row, events: mut found, rows, read_through, forgotten_through } =
        find(connection, sql, binds).await?;
    let end = end_of(last_row);
    found.retain(|(position, _)| *position > start);
    found.truncate(limit);
    let position = match found.last() {
        Some((position, _)) if found.len() == limit => *position,
        _ if limit == 0 => start,
        _ if rows == wanted => last_of(read_through).max(start),
        _ => last_of(up_to).min(end).max(start),
    };
    let events = found.into_iter().map(|(_, event)| event).collect();
    let forgotten = after.is_some() && end_of(forgotten_through) > start;
    Ok(EventPage { events, next: Cursor { transaction: 0, position }, more: position < end, forgotten })
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&EVENTS]
}

/// Every query, to look at its plan.
#[cfg(test)]
pub fn queries() -> Vec<&'static str> {
    vec![HISTORY, LATEST, of_namespace!(), of_task!()]
}
