//! How rules read and write edges.
//!
//! Most edges are known for one batch alone. Those from a task of which all are known, and are few, stay behind it, as long as the tasks at
//! both ends do: so the end of a link of a chain is decided without a look into the store. What a store gives ahead of what it was asked
//! for is put to them at once: a store is asked when nothing is at sea, and what the batch has of a task's edges is left alone.

use super::access::{Loaded, missing};
use super::{TaskRef, Undo, Want, WorkingSet};
use crate::decide::Stop;
use crate::model::{Edge, TaskId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Edges from more dependents than this are not kept behind their batch.
const MOST_OF_A_SOURCE: usize = 16;
/// How many are kept. Beyond that all are forgotten, and asked for again.
const MOST: usize = 50_000;
/// How many edges are read ahead, at least and at most.
const AHEAD: std::ops::RangeInclusive<usize> = 4..=256;
/// More edges than can be asked for: all are known.
const ALL: usize = usize::MAX;

/// The unresolved edges from a task.
#[derive(Debug, Default)]
pub(super) struct SourceEdges {
    /// How many the store was asked for, [`ALL`] if it has no more; 0: none yet.
    asked: usize,
    /// Those that the store has, and those that the batch added, by target.
    pub(super) pending: BTreeMap<TaskId, Edge>,
    /// Targets whose edge the batch resolved.
    pub(super) resolved: BTreeSet<TaskId>,
}

/// All unresolved edges from some tasks, as they are committed.
#[derive(Debug, Default)]
pub(super) struct KeptEdges {
    sources: HashMap<TaskId, Vec<Edge>>,
    count: usize,
    ahead: Ahead,
}

/// Reading ahead: who looks for the edges from one task of a workflow will soon look for those from the next.
#[derive(Debug)]
struct Ahead {
    /// How many edges the next look asks for.
    window: usize,
    /// The sources that the last one gave.
    given: Vec<TaskId>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { window: *AHEAD.start(), given: Vec::new() }
    }
}

impl KeptEdges {
    fn put(&mut self, source: TaskId, edges: Vec<Edge>) {
        self.forget(&source);
        self.count += edges.len();
        self.sources.insert(source, edges);
    }

    pub fn forget(&mut self, source: &TaskId) {
        self.count -= self.sources.remove(source).map_or(0, |edges| edges.len());
    }

    pub fn clear(&mut self) {
        self.sources.clear();
        self.count = 0;
    }

    fn bound(&mut self) {
        if self.count > MOST {
            self.clear();
        }
    }

    /// What was read ahead is thrown away with the rest: there is no room for it.
    pub fn read_less_ahead(&mut self) {
        self.ahead.given.clear();
    }

    /// Where most of what was read ahead was needed, twice as much is the next time; else half. What a batch has taken is still here.
    fn look_back(&mut self, is_taken: impl Fn(&TaskId) -> bool) {
        let given = std::mem::take(&mut self.ahead.given);
        let used = given.iter().filter(|source| is_taken(source) || !self.sources.contains_key(source)).count();
        let window = if used * 2 > given.len() { self.ahead.window * 2 } else { self.ahead.window / 2 };
        self.ahead.window = window.clamp(*AHEAD.start(), *AHEAD.end());
    }
}

impl SourceEdges {
    fn of(edges: &[Edge]) -> Self {
        let pending = edges.iter().map(|edge| (edge.target, edge.clone())).collect();
        Self { asked: ALL, pending, ..Self::default() }
    }

    fn are_all_known(&self) -> bool {
        self.asked == ALL
    }

    /// How many the store must be asked for, so that the first of them are known, and whether there are more: what the batch resolved is
    /// still pending there.
    fn to_ask_for(&self, limit: usize) -> usize {
        limit.max(1) + 1 + self.resolved.len()
    }
}

impl WorkingSet {
    /// Unresolved edges from a task that has dependents, at most `limit`, by target; each with its target loaded. The second
    /// value says whether there are more.
    pub fn pending_edges(&self, source: TaskRef, limit: usize) -> Loaded<(Vec<Edge>, bool)> {
        match (self.batch.edges.get(&source.1), self.kept_edges(source.1)) {
            (Some(edges), _) if edges.asked >= edges.to_ask_for(limit) => {
                let found: Vec<Edge> = edges.pending.values().take(limit).cloned().collect();
                let more = edges.pending.len() > found.len();
                Ok((found, more))
            }
            (None, Some(kept)) => Ok((kept.iter().take(limit).cloned().collect(), kept.len() > limit)),
            (batch, _) => missing(|w| {
                let ask =
                    batch.map_or_else(|| SourceEdges::default().to_ask_for(limit), |edges| edges.to_ask_for(limit));
                w.pending_edges.insert(source, ask);
                let workflow = self.tasks.row(&source.1).and_then(|task| task.spec.workflow.as_ref());
                w.edges_ahead = workflow.map_or(0, |_| self.edges.ahead.window);
            }),
        }
    }

    /// Those of a task that were kept, if their targets were, too: one that has ended may be forgotten by the store, with its edges.
    fn kept_edges(&self, source: TaskId) -> Option<&[Edge]> {
        let kept = self.edges.sources.get(&source)?;
        kept.iter().all(|edge| self.tasks.row(&edge.target).is_some()).then_some(kept)
    }

    /// What this batch knows of the edges from a task, to be changed.
    fn edges_of(&mut self, source: TaskId) -> &mut SourceEdges {
        let kept = match self.batch.edges.contains_key(&source) {
            true => None,
            false => self.kept_edges(source).map(SourceEdges::of),
        };
        self.batch.edges.entry(source).or_insert_with(|| kept.unwrap_or_default())
    }

    /// A new edge.
    pub fn add_edge(&mut self, edge: Edge) {
        if !edge.resolved {
            // Whoever had no dependents so far has no other edges.
            let is_first = self.tasks.row(&edge.source).is_some_and(|source| !source.has_dependents);
            let edges = self.edges_of(edge.source);
            if is_first {
                edges.asked = ALL;
            }
            edges.pending.insert(edge.target, edge.clone());
        }
        // A task that exists may be given more of them, also when those that it had are here.
        if let Some(known) = self.batch.dependencies.get_mut(&edge.target) {
            known.push(edge.clone());
        }
        self.batch.undo.push(Undo::EdgeAdded(edge.source, edge.target));
        self.batch.changes.edges.push(edge);
    }

    /// Whether the target of an edge still waits for its source.
    pub fn waits(&self, edge: &Edge) -> bool {
        match self.batch.edges.get(&edge.source) {
            Some(edges) if edges.pending.contains_key(&edge.target) => true,
            Some(edges) if edges.resolved.contains(&edge.target) => false,
            _ => !edge.resolved,
        }
    }

    /// The target of an edge knows that its source has ended.
    pub fn resolve_edge(&mut self, edge: &Edge) {
        let edges = self.edges_of(edge.source);
        edges.pending.remove(&edge.target);
        edges.resolved.insert(edge.target);
        self.batch.undo.push(Undo::EdgeResolved(edge.clone()));
        self.batch.changes.resolved_edges.push((edge.namespace, edge.source, edge.target));
    }

    /// An edge waits for its source again.
    pub fn reopen_edge(&mut self, edge: &Edge) {
        let edges = self.edges_of(edge.source);
        let was_resolved = edges.resolved.remove(&edge.target);
        let was_pending = edges.pending.insert(edge.target, Edge { resolved: false, ..edge.clone() }).is_some();
        self.batch.undo.push(Undo::EdgeReopened { edge: edge.clone(), was_pending, was_resolved });
        self.batch.changes.reopened_edges.push((edge.namespace, edge.source, edge.target));
    }

    /// All edges to a task, in their order, each with its source loaded.
    pub fn dependencies(&self, target: TaskRef) -> Loaded<&[Edge]> {
        match self.batch.dependencies.get(&target.1) {
            Some(edges) => Ok(edges),
            None => missing(|w| {
                w.dependencies.insert(target);
            }),
        }
    }

    /// Asks for the edges to several tasks in one go.
    pub fn want_dependencies(&self, targets: impl Iterator<Item = TaskRef>) -> Loaded<()> {
        let mut want = Want::default();
        want.dependencies.extend(targets.filter(|(_, target)| !self.batch.dependencies.contains_key(target)));
        if want.is_empty() { Ok(()) } else { Err(Stop::NeedMore(Box::new(want))) }
    }

    /// Takes in what a store found, all of what was wanted.
    pub(super) fn absorb_edges(&mut self, want: &Want, edges: Vec<Edge>) {
        let mut found: HashMap<TaskId, usize> = HashMap::new();
        for (_, target) in &want.dependencies {
            // Edges of a task that is new in this batch are only here.
            let new = self.batch.changes.edges.iter().filter(|edge| edge.target == *target).cloned();
            self.batch.dependencies.entry(*target).or_insert_with(|| new.collect());
        }
        for edge in edges {
            if want.dependencies.contains(&(edge.namespace, edge.target)) {
                let known = self.batch.dependencies.entry(edge.target).or_default();
                if !known.iter().any(|e| e.source == edge.source) {
                    known.push(edge.clone());
                }
            }
            if !edge.resolved && want.pending_edges.contains_key(&(edge.namespace, edge.source)) {
                *found.entry(edge.source).or_default() += 1;
                let known = self.batch.edges.entry(edge.source).or_default();
                if !known.resolved.contains(&edge.target) {
                    known.pending.entry(edge.target).or_insert(edge);
                }
            }
        }
        for edges in self.batch.dependencies.values_mut() {
            edges.sort_by_key(|edge| edge.ordinal);
        }
        for ((_, source), limit) in &want.pending_edges {
            let known = self.batch.edges.entry(*source).or_default();
            let may_be_more = found.get(source).is_some_and(|n| n >= limit);
            known.asked = if may_be_more { known.asked.max(*limit) } else { ALL };
        }
    }

    /// Takes in what a store found ahead of what was asked for. What this batch, or memory, knows stays as it is; what would not be kept is
    /// passed over.
    pub(super) fn absorb_edges_ahead(&mut self, want: &Want, edges: Vec<Edge>) {
        if want.edges_ahead == 0 {
            return;
        }
        let taken = &self.batch.edges;
        self.edges.look_back(|source| taken.contains_key(source));
        let mut sources: BTreeMap<TaskId, Vec<Edge>> = BTreeMap::new();
        for edge in edges {
            sources.entry(edge.source).or_default().push(edge);
        }
        for (source, edges) in sources {
            let is_known = self.batch.edges.contains_key(&source) || self.kept_edges(source).is_some();
            if !is_known && self.may_keep(&source, edges.len()) {
                self.edges.put(source, edges);
                self.edges.ahead.given.push(source);
            }
        }
        self.edges.bound();
    }

    /// Few edges are kept, of a task that is here.
    fn may_keep(&self, source: &TaskId, edges: usize) -> bool {
        (1..=MOST_OF_A_SOURCE).contains(&edges) && self.tasks.row(source).is_some()
    }

    /// The batch is committed: keeps the edges from tasks of which all are known, and few.
    pub(super) fn keep_edges(&mut self, edges: HashMap<TaskId, SourceEdges>) {
        for (source, edges) in edges {
            match edges.are_all_known() && self.may_keep(&source, edges.pending.len()) {
                true => self.edges.put(source, edges.pending.into_values().collect()),
                false => self.edges.forget(&source),
            }
        }
        self.edges.bound();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// Ten sources are read ahead, of which so many are done before the next look; gives for how many edges it asks.
    fn next_window(kept: &mut KeptEdges, done: usize) -> usize {
        let sources: Vec<TaskId> = (0..10).map(|n| TaskId(Uuid::from_u128(n))).collect();
        for source in &sources {
            kept.put(*source, Vec::new());
        }
        kept.ahead.given = sources.clone();
        sources[..done].iter().for_each(|source| kept.forget(source));
        kept.look_back(|_| false);
        kept.ahead.window
    }

    #[test]
    fn more_is_read_ahead_while_most_of_it_is_needed_and_less_when_it_is_not() {
        let mut kept = KeptEdges::default();
        let grown = [0; 8].map(|_| next_window(&mut kept, 6));
        assert_eq!(grown, [8, 16, 32, 64, 128, 256, 256, 256]);
        let shrunk = [0; 8].map(|_| next_window(&mut kept, 5));
        assert_eq!(shrunk, [128, 64, 32, 16, 8, 4, 4, 4]);
        // Nothing was found ahead.
        kept.look_back(|_| false);
        assert_eq!(kept.ahead.window, 4);
    }

    #[test]
    fn what_a_batch_has_taken_was_needed_and_what_was_thrown_away_was_not() {
        let mut kept = KeptEdges::default();
        next_window(&mut kept, 10);
        let source = TaskId(Uuid::from_u128(1));
        kept.put(source, Vec::new());
        kept.ahead.given = vec![source];
        kept.look_back(|taken| *taken == source);
        assert_eq!(kept.ahead.window, 16);
        kept.ahead.given = vec![source];
        kept.read_less_ahead();
        kept.forget(&source);
        kept.look_back(|_| false);
        assert_eq!(kept.ahead.window, 8);
    }
}
