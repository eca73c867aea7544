//! Events in the order of commits: (token, position). What it means stands at `events` in the migrations.
//!
//! Readers are shown what is below the horizon: the lowest id of a transaction that is still open, anywhere in the cluster. A
//! transaction that stays open for long, also one of another database, so holds up all watches, though nothing is ever missed.
//! Places that are told to readers end with what was shown, short of the horizon: see `shown!`.

use super::convert::Values;
use super::store::{Shared, Sql, rows_at_most};
use super::{horizon, shown};
use crate::codec::state_code;
use crate::columns::Columns;
use crate::facts::{IN_A_ROW, Packed, event_columns, rows_for, unpack};
use crate::{Cursor, Error, EventPage, EventScope, Result};
use callboard_core::model::{Event, Timestamp};
use callboard_core::working_set::TaskRef;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// What one task did, behind a sequence number.
const HISTORY: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND task = $2 AND sequence > $3 ORDER BY sequence LIMIT $4"
);
/// The columns of a found row, and how many they are.
macro_rules! found_columns {
    () => {
        concat!(event_columns!(), ", token")
    };
}
const TOKEN: usize = 6;
/// Rows that one page of a namespace's events looks at, whoever's they are: 20,000. When the page is not full, `scanned` says
/// where it stopped, if not at the end of what is shown. `hidden`: something is committed beyond the horizon; the last row tells, for which the
/// planner takes the index (for EXISTS it would read the table, thinking that a third of it is there). `ends` is looked up
/// once, and not for each row.
const OF_NAMESPACE: &str = concat!(
    "WITH h AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon), found AS MATERIALIZED (SELECT * FROM (SELECT ",
    found_columns!(),
    " FROM events WHERE (token, position) >= ($2, $3) AND token < (SELECT horizon FROM h) \
     ORDER BY token, position LIMIT 20000) AS s WHERE s.namespace = $4 LIMIT $5), \
     scanned AS MATERIALIZED (SELECT token, position FROM events WHERE (SELECT count(*) FROM found) < $5 \
     AND (token, position) >= ($2, $3) AND token < (SELECT horizon FROM h) ORDER BY token, position OFFSET 19999 LIMIT 1), \
     ends AS MATERIALIZED (SELECT greatest(g.token + 1, ",
    shown!("events", "h.horizon"),
    ") AS shown, coalesce((SELECT e.token FROM events AS e ORDER BY e.token DESC LIMIT 1) >= h.horizon, false) AS hidden, \
     (SELECT token FROM scanned) AS token, (SELECT position FROM scanned) AS position, g.token AS gone_token, \
     g.position AS gone_position FROM h LEFT JOIN forgotten_events AS g ON g.namespace = $4) \
     SELECT f.*, e.shown, e.hidden, e.token, e.position, e.gone_token, e.gone_position \
     FROM ends AS e LEFT JOIN found AS f ON true ORDER BY f.token, f.position"
);
const OF_TASK: &str = concat!(
    "WITH h AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon), ends AS MATERIALIZED (SELECT h.horizon, ",
    shown!("events", "h.horizon"),
    " AS shown, coalesce((SELECT e.token FROM events AS e WHERE e.namespace = $4 AND e.task = $6 \
     ORDER BY e.sequence DESC LIMIT 1) >= h.horizon, false) AS hidden FROM h) \
     SELECT f.*, e.shown, e.hidden, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint \
     FROM ends AS e LEFT JOIN LATERAL (SELECT ",
    found_columns!(),
    " FROM events WHERE namespace = $4 AND task = $6 AND (token, position) >= ($2, $3) AND token < e.horizon \
     ORDER BY sequence LIMIT $5) AS f ON true ORDER BY f.sequence"
);
/// Also of events that were forgotten since: an end is not further back than what nobody can read any more.
const END: &str = concat!(
    "SELECT greatest((SELECT max(g.token) + 1 FROM forgotten_events AS g), ",
    shown!("events", "h.horizon"),
    ") FROM (SELECT ",
    horizon!(),
    " AS horizon) AS h"
);
const LATEST: &str = "SELECT at FROM events ORDER BY token DESC, position DESC LIMIT 1";

/// How long a reader waits for what is committed to be shown: other transactions take milliseconds.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(12),
    Duration::from_millis(30),
];

/// The columns of new rows.
pub fn columns(values: Values, rows: &[Packed<'_>]) -> Values {
    fn last(row: &Packed<'_>) -> Result<(i64, i64, i64)> {
        let last = row.last().ok_or_else(|| Error::Data("a row without events".into()))?;
        Ok((last.sequence, last.at.0, state_code(last.state)))
    }
    values
        .each(rows, |row| row.task.0.0)
        .each(rows, |row| row.task.1.0)
        .each_made(rows, |row| last(row).map(|(sequence, _, _)| sequence))
        .each_made(rows, |row| last(row).map(|(_, at, _)| at))
        .each_made(rows, |row| last(row).map(|(_, _, state)| state))
        .each_made(rows, Packed::facts)
}

/// Events of a task.
pub async fn of_task(shared: &Shared, task: TaskRef, after: i64, limit: usize) -> Result<Vec<Event>> {
    let values = || Values::default().one(task.0.0).one(task.1.0).one(after).one(rows_at_most(limit));
    let mut events = Vec::new();
    for row in &shared.read(Sql::Fixed(HISTORY), values).await? {
        let new = unpack(row)?.into_iter().map(|(_, event)| event).filter(|event| event.sequence > after);
        events.extend(new);
    }
    events.truncate(limit);
    Ok(events)
}

/// The place behind every event that readers are shown now.
pub async fn end(shared: &Shared) -> Result<Cursor> {
    let rows = shared.read(Sql::Fixed(END), || Values::default().one(shared.order)).await?;
    let end = rows.first().ok_or_else(|| Error::Corrupt("there is no horizon".into()))?.number(0)?;
    Ok(before(end))
}

/// When the latest event happened, as far as anybody can see it.
pub async fn latest_at(shared: &Shared) -> Result<Option<Timestamp>> {
    let rows = shared.read(Sql::Fixed(LATEST), Values::default).await?;
    rows.first().map(|row| row.number(0).map(Timestamp)).transpose()
}

/// The place right before what a transaction did. Positions begin with 1.
pub fn before(token: i64) -> Cursor {
    Cursor { transaction: token, position: 0 }
}

/// A page of events. When there are none, but some are committed that can't be shown yet, it waits a moment for them.
pub async fn page(shared: &Shared, scope: EventScope, after: Option<Cursor>, limit: usize) -> Result<EventPage> {
    for pause in PAUSES {
        let (page, hidden) = page_now(shared, scope, after, limit).await?;
        if !hidden || !page.events.is_empty() {
            return Ok(page);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(page_now(shared, scope, after, limit).await?.0)
}

/// A page, and whether it ends where others are committed that can't be shown yet.
async fn page_now(
    shared: &Shared,
    scope: EventScope,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(EventPage, bool)> {
    let start = after.unwrap_or(before(0));
    let wanted = rows_for(limit);
    let (sql, namespace, task) = match scope {
        EventScope::Namespace(namespace) => (OF_NAMESPACE, namespace, None),
        EventScope::Task(namespace, task) => (OF_TASK, namespace, Some(task.0)),
    };
    let values = || {
        // The row that the place is in, or the one behind it.
        let from = Values::default().one(shared.order).one(start.transaction).one((start.position + 1) / IN_A_ROW);
        let values = from.one(namespace.0).one(rows_at_most(wanted));
        if task.is_some() { values.one(task) } else { values }
    };
    let rows = shared.read_page(sql, values).await?;
    let end = rows.first().map(End::read).transpose()?;
    let end = end.ok_or_else(|| Error::Corrupt("there is no horizon".into()))?;
    let mut found: Vec<(Cursor, Event)> = Vec::new();
    let mut last_row = None;
    for row in &rows {
        let Some(transaction) = row.number_or_null(TOKEN)? else { break };
        last_row = Some((transaction, row.number(0)?));
        let place = |(position, event)| (Cursor { transaction, position }, event);
        found.extend(unpack(row)?.into_iter().map(place).filter(|(place, _)| *place > start));
    }
    found.truncate(limit);
    let full = found.len() == limit;
    let more_rows = last_row.filter(|_| rows.len() == wanted).map(end_of_row);
    let (next, hidden) = match (found.last(), more_rows.or(end.scanned)) {
        (Some((place, _)), _) if full => (*place, false),
        _ if limit == 0 => (start, false),
        (_, Some(scanned)) => (scanned.max(start), false),
        _ => (before(end.shown).max(start), end.hidden),
    };
    let more = hidden || next < before(end.shown);
    let forgotten = after.is_some() && end.forgotten.is_some_and(|place| place > start);
    let events = found.into_iter().map(|(_, event)| event).collect();
    Ok((EventPage { events, next, more, forgotten }, hidden))
}

/// What every row says beside its events.
struct End {
    shown: i64,
    hidden: bool,
    scanned: Option<Cursor>,
    forgotten: Option<Cursor>,
}

impl End {
    fn read(row: &PgRow) -> Result<Self> {
        Ok(Self {
            shown: row.number(TOKEN + 1)?,
            hidden: row.flag(TOKEN + 2)?,
            scanned: last_of(row, TOKEN + 3)?,
            forgotten: last_of(row, TOKEN + 5)?,
        })
    }
}

/// The row that two columns name.
fn last_of(row: &PgRow, column: usize) -> Result<Option<Cursor>> {
    let (token, position) = (row.number_or_null(column)?, row.number_or_null(column + 1)?);
    Ok(token.zip(position).map(end_of_row))
}

/// The last place that a row can have.
fn end_of_row((transaction, position): (i64, i64)) -> Cursor {
    Cursor { transaction, position: position * IN_A_ROW + IN_A_ROW - 1 }
}
