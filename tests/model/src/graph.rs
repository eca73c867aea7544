//! Whether every run ends, and how.
//!
//! Stateright's `eventually` passes over runs that join ones which were seen before. So this goes through the whole graph once
//! more, depth first: no state is met again on the way that led to it, so no run goes on for ever; and in every state in which
//! nothing can happen any more, every task has ended. Together: whatever happens in whatever order, if what can happen goes on to
//! happen, every task ends.

use crate::model::Protocol;
use crate::state::State;
use stateright::Model;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the whole graph is like.
#[derive(Debug, Default)]
pub struct Graph {
    /// States.
    pub states: usize,
    /// States in which nothing can happen any more.
    pub last: usize,
    /// The longest run, as far as it was followed.
    pub deepest: usize,
}

/// A state on the way, with those that follow it and were not looked at.
struct Step {
    state: State,
    fingerprint: u64,
    ahead: Vec<crate::action::Action>,
}

/// Goes through all states. An error tells the run that does not end, or that ends with a task that has not.
pub fn explore(protocol: &Protocol) -> Result<Graph, String> {
    let mut graph = Graph::default();
    // True while the state is on the way.
    let mut seen: HashMap<u64, bool> = HashMap::new();
    let mut way: Vec<Step> = Vec::new();
    for state in protocol.init_states() {
        way.push(enter(protocol, state, &mut seen, &mut graph)?);
        while let Some(step) = way.last_mut() {
            let Some(action) = step.ahead.pop() else {
                seen.insert(step.fingerprint, false);
                way.pop();
                continue;
            };
            let Some(next) = protocol.next_state(&step.state, action) else { continue };
            match seen.get(&fingerprint(&next)) {
                Some(true) => return Err(format!("this state comes again and again: {next:#?}")),
                Some(false) => continue,
                None => way.push(enter(protocol, next, &mut seen, &mut graph)?),
            }
            graph.deepest = graph.deepest.max(way.len());
        }
    }
    Ok(graph)
}

fn enter(protocol: &Protocol, state: State, seen: &mut HashMap<u64, bool>, graph: &mut Graph) -> Result<Step, String> {
    let fingerprint = fingerprint(&state);
    seen.insert(fingerprint, true);
    graph.states += 1;
    let mut ahead = Vec::new();
    protocol.actions(&state, &mut ahead);
    if ahead.is_empty() {
        graph.last += 1;
        if !state.store.tasks.iter().all(|task| task.state.is_final()) {
            return Err(format!("nothing happens any more, and a task has not ended: {state:#?}"));
        }
    }
    Ok(Step { state, fingerprint, ahead })
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
