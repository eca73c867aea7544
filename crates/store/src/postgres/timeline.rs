//! The order of commits behind a promotion.
//!
//! A primary may show what its standby doesn't have, for a moment: a backend whose wait for the standby is cancelled, or whose
//! postmaster is killed, ends its wait, and its commit is seen. When the standby is promoted, it gives the numbers of that once more, to what
//! readers would take for seen: ids of transactions, places in mailboxes. So each promotion makes both leap, beyond all
//! that any primary before can have given. Places that are held anywhere, by clients too, then stay what they were: behind all that was shown,
//! and before all that comes.

use super::connections::Lent;
use super::convert::Values;
use super::error::pg_error;
use super::schema;
use super::{log_timeline, past};
use crate::columns::Columns;
use crate::{Error, Result};
use std::sync::atomic::{AtomicI64, Ordering};

/// What is added to transaction ids, and the timeline from which promotions are counted; none where the server does not tell. In
/// statements, `$1[1]` and `$1[2]`.
pub type Order = [Option<i64>; 2];

/// By how many bits tokens leap: room for ten thousand transactions a second for thirteen years, and for two million promotions. In
/// statements: 42.
const LEAP: u32 = 42;
/// How far behind the highest token of a restored database new ones begin.
const MARGIN: i64 = 1_000_000;
/// The first schema whose versions leap.
pub const LEAPS: i64 = 12;

/// From which timeline promotions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// No server has settled it yet.
    Unsettled,
    /// The server does not tell its timeline.
    Untold,
    /// From this one. Behind an upgrade, which begins timelines anew, it may be below the first.
    Of(i64),
}

/// So much is added to a timeline where it is stored, so that it is none of the numbers that mean something else.
const STORED_BEYOND: i64 = 1 << 32;

impl Base {
    fn of_stored(value: i64) -> Self {
        match value {
            0 => Self::Unsettled,
            -1 => Self::Untold,
            value => Self::Of(value - STORED_BEYOND),
        }
    }

    fn stored(self) -> i64 {
        match self {
            Self::Unsettled => 0,
            Self::Untold => -1,
            Self::Of(timeline) => timeline + STORED_BEYOND,
        }
    }

    fn timeline(self) -> Option<i64> {
        match self {
            Self::Of(timeline) => Some(timeline),
            Self::Unsettled | Self::Untold => None,
        }
    }
}

const FORGETFUL: &str = "the PostgreSQL server told its timeline before (pg_walfile_name), and does not now; have it tell, or, if it \
     never will since the database was moved, stop all servers and set token_timeline in callboard_meta to -1";

/// What new messages' places are beyond: by 32 bits for each promotion, so that the places are exact in programs that take numbers for
/// floating-point ones. With `$1`, an [`Order`].
macro_rules! floor {
    () => {
        concat!("(", crate::postgres::past!(), " << 32)")
    };
}
pub(in crate::postgres) use floor;

const TIMELINE: &str = concat!("SELECT ", log_timeline!());
/// From the first promotion on, versions that don't leap must not write. With `$1`, an [`Order`], and the version.
const NEEDED: &str =
    concat!("UPDATE callboard_meta SET value = $2 WHERE name = 'min_version' AND value < $2 AND ", past!(), " > 0");

/// Also which version the database needs by now, a newer one may have changed it meanwhile, and what timeline the server has. With `$1`, an
/// [`Order`], a name, and the version that leaps.
pub const RENEW: &str = concat!(
    "WITH leaps AS (UPDATE callboard_meta SET value = $3 WHERE name = 'min_version' AND value < $3 AND ",
    past!(),
    " > 0) UPDATE registrations SET beat = beat + 1 WHERE name = $2 AND NOT dead \
     RETURNING coalesce((SELECT value FROM callboard_meta WHERE name = 'min_version'), 0), $1[2] + ",
    past!(),
);

/// The order that replicas have in common.
///
/// In a database that was dumped and restored elsewhere transaction ids, and timelines, begin anew, and must not come before those that it has.
/// `pg_upgrade` begins timelines anew as well.
pub async fn settle(connection: &mut Lent) -> Result<Order> {
    connection.run(schema::begin()).await.map_err(pg_error)?;
    schema::verify(connection).await?;
    let timeline = ask(connection).await?;
    let sql = "SELECT (SELECT value FROM callboard_meta WHERE name = 'token_offset'), \
         (SELECT value FROM callboard_meta WHERE name = 'token_timeline'), \
         greatest((SELECT token FROM events ORDER BY token DESC LIMIT 1), \
         (SELECT token FROM messages ORDER BY token DESC LIMIT 1), (SELECT max(token) FROM forgotten_events), 0), \
         pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let row = connection.fetch(sql, Values::default()).await?;
    let row = row.first().ok_or_else(|| Error::Corrupt("callboard_meta can't be read".into()))?;
    let base = Base::of_stored(row.number(1)?);
    let known = Known { offset: row.number(0)?, base, highest: row.number(2)?, next: row.number(3)? };
    let settled = known.settled(timeline)?;
    if settled != (known.offset, known.base) {
        let sql = "UPDATE callboard_meta SET value = CASE name WHEN 'token_offset' THEN $1 ELSE $2 END \
             WHERE name IN ('token_offset', 'token_timeline')";
        connection.execute(sql, Values::default().one(settled.0).one(settled.1.stored())).await?;
    }
    if settled.0 != known.offset {
        tracing::info!(
            "the database was restored from a dump, or upgraded: the order of commits goes on behind what it has"
        );
    }
    let order = [Some(settled.0), settled.1.timeline()];
    connection.execute(NEEDED, Values::default().one(order).one(LEAPS)).await?;
    connection.run("COMMIT".into()).await.map_err(pg_error)?;
    Ok(order)
}

/// The server's timeline, unless it is of those services that have another kind of log.
async fn ask(connection: &mut Lent) -> Result<Option<i64>> {
    connection.run("SAVEPOINT before".into()).await.map_err(pg_error)?;
    match connection.fetch(TIMELINE, Values::default()).await {
        Ok(rows) => rows.first().map(|row| row.number(0)).transpose(),
        Err(error) => {
            // If the connection broke, this fails as well.
            connection.run("ROLLBACK TO before".into()).await.map_err(pg_error)?;
            tracing::warn!(
                %error,
                "the PostgreSQL server does not tell its timeline: what comes behind a promotion may get numbers that readers saw"
            );
            Ok(None)
        }
    }
}

/// The timeline that the server has now. One that fell is another database's, or that of an upgrade: the order is to be settled
/// anew.
pub fn follow(latest: &AtomicI64, now: i64) -> Result<()> {
    match latest.fetch_max(now, Ordering::Relaxed) {
        before if before > now => Err(Error::Unusable(format!(
            "the PostgreSQL server's timeline went back from {before} to {now}: the database was restored or upgraded; start again"
        ))),
        before if before < now && before != 0 => {
            tracing::info!(
                timeline = now,
                "another PostgreSQL server took the place of the one before; the order of commits leaps"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What the database says.
#[derive(Clone, Copy, Debug)]
struct Known {
    offset: i64,
    base: Base,
    highest: i64,
    next: i64,
}

impl Known {
    /// The offset, and the timeline from which promotions are counted.
    fn settled(self, timeline: Option<i64>) -> Result<(i64, Base)> {
        let Self { offset, base, highest, next } = self;
        let base = match (base, timeline) {
            (Base::Unsettled, Some(timeline)) => Base::Of(timeline),
            (Base::Unsettled, None) => Base::Untold,
            (Base::Of(_), None) => return Err(Error::Unusable(FORGETFUL.into())),
            (base, _) => base,
        };
        let past = match (base, timeline) {
            (Base::Of(from), Some(timeline)) => timeline - from,
            _ => 0,
        };
        if past >= 0 && highest < (past << LEAP) + next + offset {
            return Ok((offset, base));
        }
        // Places in mailboxes go on from as many promotions as there were.
        let (gone, within) = (highest >> LEAP, highest & ((1 << LEAP) - 1));
        Ok(match (base, timeline) {
            (Base::Of(_), Some(timeline)) => (within + MARGIN - next, Base::Of(timeline - gone)),
            _ => (highest + MARGIN - next, Base::Untold),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Known = Known { offset: 0, base: Base::Of(3), highest: 900, next: 1_000 };

    /// The token of the next transaction.
    fn next(known: Known, timeline: Option<i64>) -> i64 {
        let (offset, base) = known.settled(timeline).unwrap();
        known.next + offset + (past(base, timeline) << LEAP)
    }

    fn past(base: Base, timeline: Option<i64>) -> i64 {
        let past = base.timeline().zip(timeline).map_or(0, |(from, timeline)| timeline - from);
        assert!(past >= 0, "{base:?} {timeline:?}");
        past
    }

    #[test]
    fn promotions_are_counted_from_the_first_start() {
        assert_eq!(Known { base: Base::Unsettled, ..ORDINARY }.settled(Some(3)).unwrap(), (0, Base::Of(3)));
        assert_eq!(ORDINARY.settled(Some(5)).unwrap(), (0, Base::Of(3)));
        assert_eq!(next(ORDINARY, Some(3)), 1_000, "as before");
        // What a primary showed that is gone may have any id.
        assert!(next(Known { next: 10, ..ORDINARY }, Some(4)) > 1 << LEAP);
    }

    #[test]
    fn what_is_restored_or_upgraded_goes_on_behind_what_it_has() {
        for gone in 0..5 {
            for (timeline, next_id) in (1..6).flat_map(|timeline| [(timeline, 5), (timeline, 1_000)]) {
                let known = Known { highest: (gone << LEAP) + 900, next: next_id, ..ORDINARY };
                let token = next(known, Some(timeline));
                assert!(token > known.highest, "{known:?} on {timeline}");
                let (offset, base) = known.settled(Some(timeline)).unwrap();
                // Mailboxes' places don't fall either.
                assert!(past(base, Some(timeline)) >= gone, "{known:?} on {timeline}");
                // Who starts later, beside those that run, finds it settled.
                let base = Base::of_stored(base.stored());
                let later = Known { offset, base, highest: token, next: next_id + 1 };
                assert_eq!(later.settled(Some(timeline)).unwrap(), (offset, base), "{known:?} on {timeline}");
            }
        }
    }

    /// Replicas must agree: one that is not told must not commit behind those that were.
    #[test]
    fn a_server_that_does_not_tell_is_used_only_where_none_ever_did() {
        let untold = Known { base: Base::Unsettled, ..ORDINARY }.settled(None).unwrap();
        assert_eq!(untold, (0, Base::Untold));
        assert_eq!(Known { base: Base::Untold, ..ORDINARY }.settled(Some(9)).unwrap(), untold, "nor later");
        assert!(matches!(ORDINARY.settled(None), Err(Error::Unusable(_))));
        let moved = Known { base: Base::Untold, highest: (2 << LEAP) + 900, ..ORDINARY };
        assert!(next(moved, None) > moved.highest);
    }

    #[test]
    fn a_timeline_that_goes_back_ends_the_server() {
        let latest = AtomicI64::new(0);
        for now in [3, 3, 4, 4] {
            follow(&latest, now).unwrap();
        }
        assert!(matches!(follow(&latest, 1), Err(Error::Unusable(_))));
    }
}
