//! Rules on what agents have at a time: no more tasks than slots, and no more of a resource than they said they have.

use super::turns::{Turn, turns};
use super::{Findings, Observed, Rule, Seen};
use crate::load::history::History;
use std::collections::BTreeMap;

/// The smallest amount of a resource is one of so many parts; of whole parts sums are exact.
const PARTS: f64 = 1_000.0;

/// A task that comes to an agent, or goes: when, which, and the task.
type Coming<'a> = (i128, Turn, &'a str);

/// Where times of different tasks can't be compared, nothing is known.
pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    if !observed.apart.is_zero() {
        return;
    }
    let by_agent = turns_by_agent(observed);
    let turns_of = |agent: &String| by_agent.get(agent.as_str()).map(Vec::as_slice).unwrap_or_default();
    for (agent, slots) in &history.slots {
        let mut taken = 0;
        for (_, turn, id) in turns_of(agent) {
            taken += turn.step();
            let holds = taken <= i64::from(*slots);
            findings.demand(holds, Rule::SlotsHold, id, || format!("{agent} has {taken} of {slots} slots"));
        }
    }
    for (agent, resources) in &history.resources {
        for (resource, has) in resources {
            let has = parts(*has);
            let mut taken = 0;
            for (_, turn, id) in turns_of(agent) {
                taken += turn.step() * observed.tasks.get(*id).map_or(0, |seen| taken_of(resource, seen));
                findings.demand(taken <= has, Rule::ResourcesHold, id, || {
                    format!("{agent} has tasks that take {taken} thousandths of {resource}, and has {has}")
                });
            }
        }
    }
}

/// In the order of their times. What was given back at the same time was given back before.
fn turns_by_agent(observed: &Observed) -> BTreeMap<&str, Vec<Coming<'_>>> {
    let mut by_agent: BTreeMap<&str, Vec<Coming<'_>>> = BTreeMap::new();
    for (id, seen) in &observed.tasks {
        for (agent, when, turn) in turns(seen) {
            by_agent.entry(agent).or_default().push((when, turn, id));
        }
    }
    by_agent.values_mut().for_each(|turns| turns.sort_unstable());
    by_agent
}

/// What a task takes of a resource, in thousandths.
fn taken_of(resource: &str, seen: &Seen) -> i64 {
    let asked = seen.task.spec.as_ref().and_then(|spec| spec.requirements.as_ref());
    asked.and_then(|asked| asked.resources.get(resource)).map_or(0, |amount| parts(*amount))
}

fn parts(amount: f64) -> i64 {
    (amount * PARTS).round() as i64
}
