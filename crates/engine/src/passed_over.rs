//! Ready tasks that were passed over, since another replica had them locked. It gives them out, or it leaves them, and then it tells nobody:
//! who passed them over looks again by itself, soon, and less and less often for as long as they are locked.

use crate::shared::Shared;
use callboard_core::model::Span;
use callboard_core::working_set::LaneRef;
use callboard_core::{Rows, Want};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// When such a lane is looked at again first: another's batch is mostly committed by then. Each time it is twice as long, and never longer
/// than the last of these.
const FIRST: Span = Span::millis(5);
const LONGEST: Span = Span::millis(200);
/// So many lanes are looked at again; the sweep finds the others.
const LANES: usize = 10_000;

/// The lanes, and when each is looked at again.
#[derive(Debug, Default)]
pub(crate) struct PassedOver {
    lanes: Mutex<Lanes>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Lanes {
    looks: HashMap<LaneRef, Look>,
    /// Those of the looks that are still to come.
    due: BTreeSet<(Span, LaneRef)>,
    /// When room was last made.
    cleared: Option<Span>,
}

/// A look at a lane: when, and how long was waited for it.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Span,
    wait: Span,
}

impl PassedOver {
    /// What a store found of the ready tasks that were wanted. Where all that was asked for was found, nothing is known of others.
    pub fn note(&self, want: &Want, rows: &Rows, now: Span) {
        let mut lanes = self.lock();
        if rows.ready_locked.is_empty() && lanes.looks.is_empty() {
            return;
        }
        let locked: HashSet<&LaneRef> = rows.ready_locked.iter().collect();
        let found: HashMap<&LaneRef, usize> = rows.ready.iter().map(|(lane, count)| (lane, *count)).collect();
        for (lane, most) in &want.ready {
            match found.get(lane) {
                _ if locked.contains(lane) => lanes.look_again(*lane, now),
                Some(count) if count == most => lanes.end_row(lane),
                _ => lanes.forget(lane),
            }
        }
        drop(lanes);
        if !locked.is_empty() {
            self.more.notify_one();
        }
    }

    /// When the next is due.
    fn next(&self) -> Option<Span> {
        self.lock().due.first().map(|(at, _)| *at)
    }

    /// Those whose time has come.
    fn take_due(&self, now: Span) -> Vec<LaneRef> {
        let mut lanes = self.lock();
        let mut due = Vec::new();
        while let Some((_, lane)) = lanes.due.first().copied().filter(|(at, _)| *at <= now) {
            lanes.due.pop_first();
            due.push(lane);
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// Once more; one that is still to come is enough.
    fn look_again(&mut self, lane: LaneRef, now: Span) {
        let before = self.looks.get(&lane).copied();
        if before.is_some_and(|look| self.due.contains(&(look.at, lane))) {
            return;
        }
        let in_a_row = before.filter(|look| look.is_recent(now));
        let wait = in_a_row.map_or(FIRST, |look| Span((look.wait.0 * 2).min(LONGEST.0)));
        if self.looks.len() >= LANES && self.cleared != Some(now) {
            self.cleared = Some(now);
            let due = &self.due;
            self.looks.retain(|lane, look| look.is_recent(now) || due.contains(&(look.at, *lane)));
        }
        if self.looks.len() < LANES || before.is_some() {
            let look = Look { at: Span(now.0 + wait.0), wait };
            self.looks.insert(lane, look);
            self.due.insert((look.at, lane));
        }
    }

    /// Something was found: if more is passed over later, it is looked at again soon. A look that is still to come may be another's.
    fn end_row(&mut self, lane: &LaneRef) {
        let Lanes { looks, due, .. } = self;
        if looks.get(lane).is_some_and(|look| !due.contains(&(look.at, *lane))) {
            looks.remove(lane);
        }
    }

    /// Nobody else has anything of it.
    fn forget(&mut self, lane: &LaneRef) {
        if let Some(look) = self.looks.remove(lane) {
            self.due.remove(&(look.at, *lane));
        }
    }
}

impl Look {
    /// Whether what is met now was met by this look, or soon behind it.
    fn is_recent(&self, now: Span) -> bool {
        now.0 - self.at.0 <= LONGEST.0
    }
}

/// Looks again at what was passed over, until it is stopped. It goes the way of what others tell, so that nobody is told of it again: two
/// replicas would tell each other for ever.
pub(crate) async fn look_again(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let passed_over = &shared.passed_over;
        let time = async {
            match passed_over.next() {
                Some(at) => tokio::time::sleep(Span((at.0 - shared.clock.elapsed().0).max(0)).to_std()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = passed_over.more.notified() => {}
            () = time => {}
        }
        let due = passed_over.take_due(shared.clock.elapsed());
        if !due.is_empty() && shared.queue.lanes(due).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::{LaneId, NamespaceId};

    fn lane(n: i64) -> LaneRef {
        (NamespaceId(1), LaneId(n))
    }

    fn ms(n: i64) -> Span {
        Span::millis(n)
    }

    /// Looks for ready tasks of these lanes; others have those of `locked`.
    fn met(passed_over: &PassedOver, lanes: &[LaneRef], locked: &[LaneRef], now: Span) {
        let want = Want { ready: lanes.iter().map(|lane| (*lane, 1)).collect(), ..Want::default() };
        passed_over.note(&want, &Rows { ready_locked: locked.to_vec(), ..Rows::default() }, now);
    }

    /// Nine looks at a lane that stays locked, from now on: how long was waited for each.
    fn waits(passed_over: &PassedOver, mut now: Span) -> Vec<i64> {
        let mut waits = Vec::new();
        for _ in 0..9 {
            met(passed_over, &[lane(1)], &[lane(1)], now);
            let at = passed_over.next().unwrap();
            assert_eq!(passed_over.take_due(Span(at.0 - 1)), [], "not before");
            waits.push((at.0 - now.0) / 1_000);
            now = at;
            assert_eq!(passed_over.take_due(now), [lane(1)]);
            assert_eq!(passed_over.next(), None, "once");
        }
        waits
    }

    #[test]
    fn looks_become_rarer_while_the_lock_lasts_and_begin_anew_later() {
        let passed_over = PassedOver::default();
        assert_eq!(waits(&passed_over, ms(100)), [5, 10, 20, 40, 80, 160, 200, 200, 200]);
        // A look that found what it wanted ends the row, and so does time.
        met(&passed_over, &[lane(1)], &[], ms(1_100));
        assert_eq!(waits(&passed_over, ms(1_100))[0], 5);
        assert_eq!(waits(&passed_over, ms(9_000))[0], 5);
    }

    #[test]
    fn a_lane_is_due_once_however_often_it_is_met() {
        let passed_over = PassedOver::default();
        for at in 0..5 {
            met(&passed_over, &[lane(1), lane(2), lane(3)], &[lane(1), lane(3)], ms(at));
        }
        assert_eq!(passed_over.take_due(ms(4)), []);
        // What was found by another batch meanwhile needs no look.
        met(&passed_over, &[lane(3)], &[], ms(4));
        assert_eq!(passed_over.take_due(ms(5)), [lane(1)]);
        assert_eq!(passed_over.take_due(ms(1_000)), []);
    }

    /// Who asked for one and got it does not know that there are no more: another waits for those.
    #[test]
    fn who_found_all_that_it_asked_for_calls_off_no_look() {
        let passed_over = PassedOver::default();
        met(&passed_over, &[lane(1)], &[lane(1)], ms(0));
        let want = Want { ready: [(lane(1), 1)].into(), ..Want::default() };
        let found = || Rows { ready: vec![(lane(1), 1)], ..Rows::default() };
        passed_over.note(&want, &found(), ms(1));
        assert_eq!(passed_over.take_due(ms(5)), [lane(1)]);
        // But what is met behind it is no failure in a row.
        passed_over.note(&want, &found(), ms(6));
        assert_eq!(waits(&passed_over, ms(7))[..2], [5, 10]);
    }

    #[test]
    fn lanes_are_bounded_and_those_of_long_ago_make_room() {
        let passed_over = PassedOver::default();
        let many: Vec<LaneRef> = (0..2 * LANES as i64).map(lane).collect();
        met(&passed_over, &many, &many, ms(0));
        assert_eq!(passed_over.take_due(ms(5)).len(), LANES);
        met(&passed_over, &many[LANES..], &many[LANES..], ms(1_000));
        assert_eq!(passed_over.take_due(ms(1_005)).len(), LANES);
        assert_eq!(passed_over.lock().looks.len(), LANES);
    }
}
