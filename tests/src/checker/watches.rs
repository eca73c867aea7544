//! Rules on those who watch.

use super::{Findings, Observed, Rule};
use crate::load::history::{History, MARKER, Watching};
use std::collections::BTreeMap;

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    let asked: BTreeMap<&str, usize> = history.creations.iter().map(|asked| asked.marker.as_str()).zip(0..).collect();
    for watching in &history.watches {
        let seen = in_order(watching, findings);
        let Some(from) = watching.from else { continue };
        for (id, task) in &observed.tasks {
            let marker = task.task.spec.as_ref().and_then(|spec| spec.metadata.get(MARKER));
            let later = marker.and_then(|marker| asked.get(marker.as_str())).is_some_and(|asked| *asked >= from);
            let last = task.events.last().map_or(0, |event| event.sequence);
            let complete = match seen.get(id.as_str()) {
                Some((first, seen)) => *seen == last && (*first == 1 || !later),
                None => !later,
            };
            findings.demand(complete, Rule::WatchMissesNothing, id, || {
                format!("a watch saw {:?} of its {last} events", seen.get(id.as_str()))
            });
        }
    }
}

/// The first and the last event of each task that a watch saw.
fn in_order<'a>(watching: &'a Watching, findings: &mut Findings) -> BTreeMap<&'a str, (i64, i64)> {
    let mut seen: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for (id, sequence) in &watching.seen {
        let (_, last) = seen.entry(id).or_insert((*sequence, sequence - 1));
        findings.demand(*sequence == *last + 1, Rule::WatchMissesNothing, id, || {
            format!("a watch saw event {sequence} behind event {last}")
        });
        *last = *sequence;
    }
    seen
}
