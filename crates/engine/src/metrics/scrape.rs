//! What is asked when somebody looks.

use super::{MAX_TYPES, State, TaskType};
use crate::shared::Shared;
use callboard_store::{LaneDepth, Sample};
use prometheus_client::encoding::text::encode_registry;
use std::collections::BTreeMap;

/// The metrics of an engine as OpenMetrics text, without its end mark. The store is asked; what it can't say now stays as it was.
pub(crate) async fn scrape(shared: &Shared, out: &mut String) {
    match shared.store.sample().await {
        Ok(sample) => set_sample(shared, sample),
        Err(error) => tracing::warn!(%error, "the store's figures could not be read"),
    }
    set_live(shared);
    if let Err(error) = encode_registry(out, shared.metrics.registry()) {
        tracing::error!(%error, "the metrics could not be written as text");
    }
}

fn set_sample(shared: &Shared, sample: Sample) {
    let metrics = &shared.metrics;
    let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.leased.set(bounded(sample.leased as u64));
    metrics.mail.set_depth(sample.mail, &shared.config.rules);
    metrics.store_size.set(bounded(sample.bytes));
    metrics.log_size.set(bounded(sample.log_bytes));
    // Types without ready tasks are gone, so that those that come and go don't add up.
    metrics.ready.clear();
    for (label, ready) in by_type(shared, sample.ready) {
        metrics.ready.get_or_create(&label).set(bounded(ready as u64));
    }
}

/// The deepest ones by name, the rest together.
fn by_type(shared: &Shared, lanes: Vec<LaneDepth>) -> BTreeMap<TaskType, usize> {
    let mut sums: BTreeMap<TaskType, usize> = BTreeMap::new();
    for lane in lanes {
        let namespace = shared.names.name(lane.namespace).map(|name| name.to_string()).unwrap_or_default();
        *sums.entry(TaskType { namespace, task_type: lane.task_type.to_string() }).or_default() += lane.ready;
    }
    keep_deepest(sums)
}

fn keep_deepest(sums: BTreeMap<TaskType, usize>) -> BTreeMap<TaskType, usize> {
    let mut sorted: Vec<(TaskType, usize)> = sums.into_iter().collect();
    sorted.sort_by_key(|(_, ready)| std::cmp::Reverse(*ready));
    let rest: usize = sorted.iter().skip(MAX_TYPES).map(|(_, ready)| ready).sum();
    sorted.truncate(MAX_TYPES);
    let mut kept: BTreeMap<TaskType, usize> = sorted.into_iter().collect();
    if rest > 0 {
        *kept.entry(TaskType::other()).or_default() += rest;
    }
    kept
}

fn set_live(shared: &Shared) {
    let metrics = &shared.metrics;
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (open, broken) = shared.sessions.count();
    metrics.sessions.get_or_create(&State { state: "open" }).set(count(open));
    metrics.sessions.get_or_create(&State { state: "broken" }).set(count(broken));
    metrics.queued.set(count(shared.queue.len()));
    metrics.waiting_claims.set(count(shared.claims.len()));
    metrics.waiting_calls.set(count(shared.waiters.len()));
    metrics.sweep_age.set(shared.sweep_age().0 as f64 / 1e6);
    metrics.draining.set(i64::from(shared.is_draining()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_many_task_types_are_told_by_the_deepest_and_the_rest() {
        let label = |n: usize| TaskType { namespace: "default".into(), task_type: format!("t{n}") };
        let sums = (0..1_000).map(|n| (label(n), n + 1)).collect();
        let kept = keep_deepest(sums);
        assert_eq!(kept.len(), MAX_TYPES + 1);
        assert_eq!(kept[&label(999)], 1_000);
        assert_eq!(kept[&TaskType::other()], (1..=900).sum::<usize>());
    }
}
