//! What a seed decides before anything happens: who there is, and what goes wrong when.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::time::Duration;

/// How many hosts have agents.
pub const AGENTS: usize = 2;

/// Worlds of a time before handlers had children and gave output, before dependencies had conditions, and before workflows, fallbacks,
/// resources, fairness keys and limits. They are as they were: some are kept because they were red once.
const OLD: Range<u64> = 10_000..30_000;

/// Whether a seed's world is without what has come since.
pub fn is_of_an_old_world(seed: u64) -> bool {
    OLD.contains(&seed)
}

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// With a replica.
    Server(usize),
    /// With agents.
    Agents(usize),
    /// With those who ask.
    Clients,
}

impl Host {
    /// Its name in the network.
    pub fn name(self) -> String {
        match self {
            Self::Server(index) => format!("server-{index}"),
            Self::Agents(index) => format!("agents-{index}"),
            Self::Clients => "clients".to_owned(),
        }
    }
}

/// What changes at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its processes are gone; the system closes their connections.
    Kill(Host),
    /// It is gone, and nobody is told.
    PowerCut(Host),
    /// A server is asked to stop.
    Drain(usize),
    /// What is not running is started.
    Start(Host),
    /// Nothing comes through between two.
    Cut(Host, Host),
    /// Nothing comes through from the first to the second.
    CutOneWay(Host, Host),
    /// What is sent between two waits.
    Hold(Host, Host),
    /// Everything between two comes through again, also what waited.
    Mend(Host, Host),
    /// Of a hundred thousand messages so many are lost.
    Lose(u32),
    /// Messages take up to so many milliseconds.
    Latency(u64),
    /// A replica can't reach the store.
    CutOff(usize),
    /// It can again.
    Reach(usize),
    /// The next commits of a replica happen, and nobody hears of it.
    Unheard(usize, u32),
    /// A replica's way to the store takes so many microseconds.
    StoreDelay(usize, Range<u64>),
    /// Nobody hears a replica's hints, or again.
    LoseHints(usize, bool),
    /// A replica's time of day jumps by so many milliseconds.
    Jump(usize, i64),
}

/// Everything that a seed decides before anything happens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many servers share the store.
    pub replicas: usize,
    /// One server has the store for itself.
    pub exclusive: bool,
    /// How long messages take at most, in milliseconds, when all is well.
    pub latency: u64,
    /// How long the way to the store takes when all is well, in microseconds.
    pub store_delay: Range<u64>,
    /// What changes, in its order.
    pub changes: Vec<(Duration, Change)>,
    /// When nothing more is asked, and everything is well again.
    pub healed: Duration,
}

impl Plan {
    /// Of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let replicas = random.random_range(1..=3);
        let exclusive = replicas == 1 && random.random_bool(0.5);
        let latency = *[2, 10, 40].choose(&mut random).unwrap_or(&10);
        let most_delay = *[1, 500, 3_000, 12_000].choose(&mut random).unwrap_or(&500);
        let healed = Duration::from_millis(random.random_range(4_000..12_000));
        let mut plan =
            Self { seed, replicas, exclusive, latency, store_delay: 0..most_delay, changes: Vec::new(), healed };
        let mut busy = Busy::default();
        for _ in 0..random.random_range(1..=7) {
            plan.add(&mut random, &mut busy);
        }
        plan.changes.sort_by_key(|(at, _)| *at);
        plan
    }

    /// One fault, with its end; none where another is in its way.
    fn add(&mut self, random: &mut StdRng, busy: &mut Busy) {
        let healed = self.healed.as_millis() as u64;
        let from = random.random_range(200..healed);
        // Mostly short; some longer than any lease and grace.
        let long = match random.random_range(0..4) {
            0 => random.random_range(1..100),
            1 | 2 => random.random_range(100..2_500),
            _ => random.random_range(2_500..12_000),
        };
        let (begins, ends) = (Duration::from_millis(from), Duration::from_millis((from + long).min(healed)));
        let replica = random.random_range(0..self.replicas);
        let (one, other) = self.pair(random);
        let host = match random.random_range(0..3) {
            0 => Host::Agents(random.random_range(0..AGENTS)),
            _ => Host::Server(replica),
        };
        let (begin, end) = match random.random_range(0..16) {
            0..=2 => (Change::Kill(host), Change::Start(host)),
            3 => (Change::PowerCut(host), Change::Start(host)),
            4 => (Change::Drain(replica), Change::Start(Host::Server(replica))),
            5 | 6 => (Change::Cut(one, other), Change::Mend(one, other)),
            7 => (Change::CutOneWay(one, other), Change::Mend(one, other)),
            8 => (Change::CutOneWay(other, one), Change::Mend(one, other)),
            9 | 10 => (Change::Hold(one, other), Change::Mend(one, other)),
            11 => (Change::Lose(*[10, 100, 1_000].choose(random).unwrap_or(&10)), Change::Lose(0)),
            12 => (Change::Latency(random.random_range(50..1_500)), Change::Latency(self.latency)),
            13 => (Change::CutOff(replica), Change::Reach(replica)),
            14 => (Change::Unheard(replica, random.random_range(1..6)), Change::Unheard(replica, 0)),
            _ => match random.random_range(0..3) {
                0 => (Change::LoseHints(replica, true), Change::LoseHints(replica, false)),
                1 => (Change::Jump(replica, random.random_range(-JUMP..JUMP)), Change::Jump(replica, 0)),
                _ => {
                    let slow = random.random_range(10_000..300_000);
                    (Change::StoreDelay(replica, 0..slow), Change::StoreDelay(replica, self.store_delay.clone()))
                }
            },
        };
        if busy.take(&begin, begins..ends) {
            self.changes.extend([(begins, begin), (ends, end)]);
        }
    }

    /// A server, and somebody who talks to it.
    fn pair(&self, random: &mut StdRng) -> (Host, Host) {
        let other = match random.random_range(0..=AGENTS) {
            0 => Host::Clients,
            index => Host::Agents(index - 1),
        };
        (Host::Server(random.random_range(0..self.replicas)), other)
    }

    /// Every machine.
    pub fn hosts(&self) -> Vec<Host> {
        let servers = (0..self.replicas).map(Host::Server);
        servers.chain((0..AGENTS).map(Host::Agents)).chain([Host::Clients]).collect()
    }
}

/// The most that a clock jumps, in milliseconds.
const JUMP: i64 = 3_600_000;

/// What is at fault when: the same thing is not broken twice at a time.
#[derive(Default)]
struct Busy(Vec<(String, Range<Duration>)>);

impl Busy {
    fn take(&mut self, fault: &Change, during: Range<Duration>) -> bool {
        let what = match fault {
            Change::Kill(host) | Change::PowerCut(host) | Change::Start(host) => host.name(),
            Change::Drain(replica) => Host::Server(*replica).name(),
            Change::Cut(one, other) | Change::CutOneWay(one, other) => between(*one, *other),
            Change::Hold(one, other) | Change::Mend(one, other) => between(*one, *other),
            Change::CutOff(replica) | Change::Reach(replica) => format!("store of {replica}"),
            Change::Lose(_) => "loss".to_owned(),
            Change::Latency(_) => "latency".to_owned(),
            Change::Unheard(replica, _) => format!("commits of {replica}"),
            Change::StoreDelay(replica, _) => format!("delay of {replica}"),
            Change::LoseHints(replica, _) => format!("hints of {replica}"),
            Change::Jump(replica, _) => format!("clock of {replica}"),
        };
        let overlaps = |(known, when): &(String, Range<Duration>)| {
            *known == what && when.start < during.end && during.start < when.end
        };
        let free = !self.0.iter().any(overlaps);
        if free {
            self.0.push((what, during));
        }
        free
    }
}

fn between(one: Host, other: Host) -> String {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    format!("{} and {}", first.name(), second.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_a_plan_whose_faults_all_end() {
        for seed in 0..500 {
            let plan = Plan::of(seed);
            assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::of(seed)));
            assert!(plan.changes.len().is_multiple_of(2), "each has its end");
            assert!(plan.changes.iter().all(|(at, _)| *at <= plan.healed));
        }
    }

    #[test]
    fn every_kind_of_fault_comes() {
        let kinds: std::collections::BTreeSet<String> = (0..500)
            .flat_map(|seed| Plan::of(seed).changes)
            .map(|(_, change)| format!("{change:?}").split('(').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds.len(), 16, "{kinds:?}");
    }
}
