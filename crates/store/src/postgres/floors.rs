//! Where to begin to read: what is behind a floor is over, for good.
//!
//! An index entry stays until nobody can see its row version any more; while somebody holds a snapshot for an hour, for an hour. Whoever reads
//! an index from its beginning then walks over all that was ever there. So a store remembers, for what it reads again and again, a token
//! and a place: of all rows whose token is below that one, none that counts is before that place. Whatever changes later has a token that is
//! not below it, whoever changes it, and is looked for by its token.
//!
//! The token is the horizon of the statement that found the place, so whoever was not seen by it will have a token that is not below. That holds
//! as long as no transaction's id is given twice. A crash forgets ids that left nothing on the disk: so a floor counts from the commit of the
//! transaction that found it, whose id is higher, or where something was seen that is as young. A promotion may bring back what
//! was shown: a floor of another timeline is none, and where the server doesn't tell its timeline there are none at all. Whenever the
//! server was away all are forgotten: a copy of its disk may have been put back.

use super::timeline::Order;
use callboard_core::model::{AgentId, NamespaceId, Span, Timestamp};
use callboard_core::working_set::LaneRef;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many floors of a kind are remembered; beyond, all are forgotten, and found again.
const MOST: usize = 20_000;
/// How far behind now the timers' floor stays: what is due is set for later than the time at which it is, unless clocks are wrong.
const LATE: Span = Span::seconds(60);
/// How often all timers are looked through.
const LOOK_THROUGH: Span = Span::seconds(60);

/// What a statement that uses floors needs to know, as `h`: the horizon, and below what a floor is another timeline's. With `$1`, an [`Order`].
macro_rules! horizon_and_since {
    () => {
        concat!(
            "h AS MATERIALIZED (SELECT ",
            crate::postgres::horizon!(),
            " AS horizon, ",
            crate::postgres::since!(),
            " AS since)"
        )
    };
}
pub(in crate::postgres) use horizon_and_since;

/// Of a lane's ready tasks: those with a lower token all have this rank, or a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyFloor {
    /// The token.
    pub token: i64,
    /// The rank; the highest there is when none is ready.
    pub rank: i64,
}

impl ReadyFloor {
    /// Behind which everything is.
    pub const NONE: Self = Self { token: 0, rank: i64::MIN };

    /// From the lowest rank that was seen, if there is one.
    pub fn seen(token: i64, lowest: Option<i64>) -> Self {
        Self { token, rank: lowest.unwrap_or(i64::MAX) }
    }
}

/// Of what belongs to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentFloor {
    /// No task that it has has a lower token.
    pub tasks: i64,
    /// Nothing that is to be added to its row has a lower one.
    pub counts: i64,
}

impl AgentFloor {
    fn higher(self, other: Self) -> Self {
        Self { tasks: self.tasks.max(other.tasks), counts: self.counts.max(other.counts) }
    }
}

/// What a transaction found.
#[derive(Debug, Default)]
pub struct Found {
    /// Of lanes.
    pub ready: Vec<(LaneRef, ReadyFloor)>,
    /// Of agents.
    pub agents: Vec<((NamespaceId, AgentId), AgentFloor)>,
    /// Of what is added up to the number of live tasks.
    pub live: Vec<(NamespaceId, i64)>,
}

/// What is remembered.
pub struct Floors {
    /// Whether promotions are noticed.
    told: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    ready: HashMap<LaneRef, ReadyFloor>,
    agents: HashMap<(NamespaceId, AgentId), AgentFloor>,
    live: HashMap<NamespaceId, i64>,
    due: Option<DueFloor>,
}

/// Of timers.
#[derive(Clone, Copy, Debug)]
struct DueFloor {
    /// None is before.
    at: Timestamp,
    /// When all were looked through.
    all_seen: Timestamp,
}

impl Floors {
    /// Nothing is known yet.
    pub fn new(order: Order) -> Self {
        Self { told: order[1].is_some(), known: Mutex::default() }
    }

    /// Remembers what was found. The higher token knows more.
    pub fn remember(&self, found: Found) {
        if !self.told {
            return;
        }
        let mut known = self.known();
        for (lane, floor) in found.ready {
            keep(&mut known.ready, lane, floor, Ord::max);
        }
        for (agent, floor) in found.agents {
            keep(&mut known.agents, agent, floor, AgentFloor::higher);
        }
        for (namespace, floor) in found.live {
            keep(&mut known.live, namespace, floor, Ord::max);
        }
    }

    /// Of a lane.
    pub fn ready(&self, lane: LaneRef) -> ReadyFloor {
        self.known().ready.get(&lane).copied().unwrap_or(ReadyFloor::NONE)
    }

    /// Of all lanes of which something is known.
    pub fn all_ready(&self) -> Vec<(LaneRef, ReadyFloor)> {
        self.known().ready.iter().map(|(lane, floor)| (*lane, *floor)).collect()
    }

    /// Of an agent.
    pub fn agent(&self, agent: (NamespaceId, AgentId)) -> AgentFloor {
        self.known().agents.get(&agent).copied().unwrap_or_default()
    }

    /// Of what is added up in a namespace.
    pub fn live(&self, namespace: NamespaceId) -> i64 {
        self.known().live.get(&namespace).copied().unwrap_or_default()
    }

    /// From when on to look for what is due now; none: through everything. Times are set by clocks, and not by tokens, so that
    /// everything is looked through now and then, whatever is known.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let floor = self.known().due?;
        let age = now.0 - floor.all_seen.0;
        (0..LOOK_THROUGH.0).contains(&age).then_some(floor.at)
    }

    /// The earliest that was due, when it was looked from there on; or from the beginning.
    pub fn looked_for_due(&self, now: Timestamp, from: Option<Timestamp>, earliest: Option<Timestamp>) {
        let late = now - LATE;
        let at = earliest.map_or(late, |earliest| earliest.min(late));
        let mut known = self.known();
        let all_seen = match (from, known.due) {
            (None, _) => now,
            (Some(_), Some(before)) => before.all_seen,
            (Some(_), None) => return,
        };
        known.due = Some(DueFloor { at, all_seen });
    }

    /// The server was away, and may be another.
    pub fn forget(&self) {
        *self.known() = Known::default();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<K: Eq + Hash, F: Copy>(known: &mut HashMap<K, F>, key: K, floor: F, better: impl Fn(F, F) -> F) {
    if known.len() >= MOST && !known.contains_key(&key) {
        known.clear();
    }
    known.entry(key).and_modify(|before| *before = better(*before, floor)).or_insert(floor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::LaneId;

    const LANE: LaneRef = (NamespaceId(1), LaneId(2));

    fn told() -> Floors {
        Floors::new([Some(0), Some(1)])
    }

    fn ready(lane: LaneRef, token: i64, rank: i64) -> Found {
        Found { ready: vec![(lane, ReadyFloor { token, rank })], ..Found::default() }
    }

    #[test]
    fn the_higher_token_knows_more_whatever_the_rank() {
        let floors = told();
        assert_eq!(floors.ready(LANE), ReadyFloor::NONE);
        floors.remember(ready(LANE, 10, 500));
        floors.remember(ready(LANE, 12, 300));
        // It committed later, and saw less.
        floors.remember(ready(LANE, 11, 400));
        assert_eq!(floors.ready(LANE), ReadyFloor { token: 12, rank: 300 });
        floors.forget();
        assert_eq!(floors.ready(LANE), ReadyFloor::NONE);
    }

    #[test]
    fn nothing_is_remembered_where_a_promotion_would_not_be_noticed() {
        let floors = Floors::new([Some(0), None]);
        floors.remember(ready(LANE, 10, 500));
        assert_eq!(floors.ready(LANE), ReadyFloor::NONE);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let floors = told();
        for lane in 0..=MOST as i64 {
            floors.remember(ready((NamespaceId(1), LaneId(lane)), 10, 500));
        }
        assert!(floors.all_ready().len() <= MOST);
    }

    #[test]
    fn timers_are_looked_through_once_a_minute_and_else_from_a_minute_ago() {
        let (floors, at) = (told(), |seconds| Timestamp(0) + Span::seconds(seconds));
        assert_eq!(floors.due(at(1_000)), None);
        floors.looked_for_due(at(1_000), None, None);
        assert_eq!(floors.due(at(1_001)), Some(at(940)));
        // One that could not be woken keeps it where it is.
        floors.looked_for_due(at(1_050), Some(at(940)), Some(at(950)));
        assert_eq!(floors.due(at(1_059)), Some(at(950)));
        assert_eq!(floors.due(at(1_060)), None, "it is time");
        assert_eq!(floors.due(at(999)), None, "the clock went back");
    }
}
