//! Ready tasks, in the order of their ranks: from where the lane's floor is, and those before it that came later. See [`super::floors`].

use super::convert::{Values, get};
use super::floors::{Found, ReadyFloor, horizon_and_since};
use super::shown;
use super::store::{Shared, Sql, rows_at_most};
use super::transaction::PgTransaction;
use crate::Result;
use crate::columns::Columns;
use callboard_core::model::{LaneId, TaskId};
use callboard_core::working_set::{LaneRef, Rows, TaskRef, Want};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Those that came to stand before a lane's floor `v`, since. Not in the order of the index that has the ranks: from its beginning.
macro_rules! before_floor {
    () => {
        "FROM tasks AS t WHERE t.namespace = v.namespace AND t.lane = v.lane AND t.rank IS NOT NULL AND t.token >= v.token \
         AND t.rank < v.rank"
    };
}
/// All others.
macro_rules! behind_floor {
    () => {
        "FROM tasks AS t WHERE t.namespace = v.namespace AND t.lane = v.lane AND t.rank IS NOT NULL AND t.rank >= v.rank"
    };
}
/// The lowest rank of both, whoever has the task locked.
macro_rules! lowest_rank {
    () => {
        concat!(
            "least((SELECT min(t.rank + 0) ",
            before_floor!(),
            "), (SELECT t.rank ",
            behind_floor!(),
            " ORDER BY t.rank, t.id LIMIT 1))"
        )
    };
}
/// Lanes and their floors, as `v`; those of another timeline are none. With none everything is behind it, and nothing is to be looked for
/// before. With `h`, which has `since`.
macro_rules! floors {
    ($columns:literal, $lanes:literal) => {
        concat!(
            "v AS MATERIALIZED (SELECT f.namespace, f.lane, \
             CASE WHEN f.token > 0 AND f.token >= h.since THEN f.token ELSE 9223372036854775807 END AS token, \
             CASE WHEN f.token > 0 AND f.token >= h.since THEN f.rank ELSE '-9223372036854775808'::bigint END AS rank",
            $columns,
            " FROM h CROSS JOIN ",
            $lanes,
            ")"
        )
    };
}

/// Ready tasks (0), locked. Those that another transaction has locked are passed over: it gives them out, or leaves them. Where that may have
/// been so, which is looked for only where less was found than asked for, a row (1) says it behind the others. The last (2) has the
/// lowest rank.
const READY: &str = concat!(
    "WITH ",
    horizon_and_since!(),
    ", ",
    floors!(
        ", f.most",
        "unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS f (namespace, lane, most, token, rank)"
    ),
    " SELECT r.kind, v.namespace, v.lane, r.id, r.rank, h.horizon FROM h CROSS JOIN v CROSS JOIN LATERAL (\
     WITH early AS MATERIALIZED (SELECT t.id ",
    before_floor!(),
    " ORDER BY t.rank + 0, t.id LIMIT v.most FOR UPDATE SKIP LOCKED), late AS MATERIALIZED (SELECT t.id ",
    behind_floor!(),
    " ORDER BY t.rank, t.id LIMIT v.most - (SELECT count(*) FROM early) FOR UPDATE SKIP LOCKED), \
     taken AS MATERIALIZED (SELECT id FROM early UNION ALL SELECT id FROM late) \
     SELECT 0 AS kind, id, NULL::bigint AS rank FROM taken \
     UNION ALL SELECT 1, NULL::uuid, NULL::bigint FROM (SELECT count(*) AS count FROM taken) AS found WHERE found.count < v.most \
     AND EXISTS (SELECT 1 FROM (SELECT 1 ",
    before_floor!(),
    " UNION ALL (SELECT 1 ",
    behind_floor!(),
    " ORDER BY t.rank, t.id)) AS all_of_them OFFSET found.count) UNION ALL SELECT 2, NULL::uuid, ",
    lowest_rank!(),
    ") AS r"
);
/// Those with ready tasks first. The others are there for their floors: where none is known, or an old one. Each lane is looked at by itself, so that the
/// planner can't decide to read all ready tasks instead.
const READY_LANES: &str = concat!(
    "WITH ",
    horizon_and_since!(),
    ", n AS MATERIALIZED (SELECT ",
    shown!("events", "h.horizon"),
    " AS shown FROM h), ",
    floors!(
        ", f.token AS known",
        "(SELECT l.namespace, l.id AS lane, coalesce(k.token, 0) AS token, coalesce(k.rank, '-9223372036854775808'::bigint) AS rank FROM lanes AS l \
         LEFT JOIN unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (namespace, lane, token, rank) \
         ON k.namespace = l.namespace AND k.lane = l.id) AS f"
    ),
    " SELECT v.namespace, v.lane, r.rank, n.shown FROM n CROSS JOIN v CROSS JOIN LATERAL (SELECT ",
    lowest_rank!(),
    " AS rank) AS r WHERE r.rank IS NOT NULL OR n.shown - v.known > 10000 ORDER BY r.rank IS NULL LIMIT $6"
);

/// Ready tasks of lanes, locked: their ids, and how many were found.
pub async fn load(
    transaction: &mut PgTransaction,
    want: &Want,
    rows: &mut Rows,
    tasks: &mut BTreeSet<TaskRef>,
) -> Result<()> {
    if want.ready.is_empty() {
        return Ok(());
    }
    let lanes: Vec<_> =
        want.ready.iter().map(|(lane, most)| (*lane, *most, transaction.shared.floors.ready(*lane))).collect();
    let values = Values::default()
        .one(transaction.shared.order)
        .each(&lanes, |((namespace, _), _, _)| namespace.0)
        .each(&lanes, |((_, lane), _, _)| lane.0)
        .each(&lanes, |(_, most, _)| rows_at_most(*most))
        .each(&lanes, |(_, _, floor)| floor.token)
        .each(&lanes, |(_, _, floor)| floor.rank);
    let mut counts: BTreeMap<LaneRef, usize> = BTreeMap::new();
    for row in &transaction.fetch(READY, values).await? {
        let lane = (row.namespace_id(1)?, LaneId(row.number(2)?));
        match row.number(0)? {
            0 => {
                let task = (lane.0, TaskId(get::<Uuid>(row, 3)?));
                *counts.entry(lane).or_default() += 1;
                transaction.locked.insert(task);
                tasks.insert(task);
            }
            1 => rows.ready_locked.push(lane),
            _ => transaction.found.ready.push((lane, ReadyFloor::seen(row.number(5)?, row.number_or_null(4)?))),
        }
    }
    rows.ready = counts.into_iter().collect();
    Ok(())
}

/// Lanes with ready tasks.
pub async fn lanes(shared: &Shared, limit: usize) -> Result<Vec<LaneRef>> {
    let values = || {
        // Each time anew: they are forgotten when the server was away.
        let floors = shared.floors.all_ready();
        let values = Values::default().one(shared.order);
        let values = values.each(&floors, |((namespace, _), _)| namespace.0).each(&floors, |((_, lane), _)| lane.0);
        let values = values.each(&floors, |(_, floor)| floor.token).each(&floors, |(_, floor)| floor.rank);
        values.one(rows_at_most(limit))
    };
    let (mut lanes, mut found) = (Vec::new(), Found::default());
    for row in &shared.read(Sql::Fixed(READY_LANES), values).await? {
        let lane = (row.namespace_id(0)?, LaneId(row.number(1)?));
        let lowest = row.number_or_null(2)?;
        found.ready.push((lane, ReadyFloor::seen(row.number(3)?, lowest)));
        lanes.extend(lowest.map(|_| lane));
    }
    shared.floors.remember(found);
    Ok(lanes)
}
