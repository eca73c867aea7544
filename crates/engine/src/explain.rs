//! Why a task is where it is: what placement sees of it now, read from the store. Agents that are attached elsewhere count, too.

use crate::error::Result;
use crate::past::{self, PastAssignment};
use crate::shared::Shared;
use callboard_core::dispatch::{Explanation, Looked, Restraint, explain};
use callboard_core::model::{AgentId, Amounts, LimitUse, NamespaceId, Slot, Task};
use callboard_core::working_set::{LimitRef, TaskRef, limit_refs};
use callboard_store::AgentFilter;
use std::collections::HashMap;
use std::sync::Arc;

/// How many agents are looked at, and how many are read at once.
const AGENTS: usize = 10_000;
const PAGE: usize = 500;
/// How many tasks before it are counted.
const AHEAD: usize = 1_000;

/// A task, and who could have it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The task.
    pub task: Task,
    /// How many ready tasks of its lane are given out before it; at most 1,000 are counted.
    pub ahead: usize,
    /// Who could have it.
    pub explanation: Explanation,
    /// Who it was given to, oldest first; at most the latest 20 assignments.
    pub past: Vec<PastAssignment>,
}

/// Explains a task; none, if there is none.
pub(crate) async fn of(shared: &Shared, task: TaskRef) -> Result<Option<Explained>> {
    let Some(row) = shared.store.task_row(task).await? else { return Ok(None) };
    let ahead = match row.rank() {
        Some(rank) => shared.store.ready_before((row.namespace, row.lane), (rank, row.id), AHEAD).await?,
        None => 0,
    };
    let agents = agents(shared, task.0).await?;
    let head_start = shared.config.rules.preferred_head_start;
    let now = shared.clock.now();
    let limits = limits(shared, &row).await?;
    let explanation = explain(&row, &agents, &limits, now, head_start);
    let past = past::of(shared, &row).await?;
    Ok(Some(Explained { task: row, ahead, explanation, past }))
}

/// The limits that a task is under, with what is used of them now.
async fn limits(shared: &Shared, task: &Task) -> Result<Vec<Restraint>> {
    if task.spec.limit_keys.is_empty() {
        return Ok(Vec::new());
    }
    // Another replica may have changed them.
    let namespaces = shared.store.namespaces().await?;
    let namespace = namespaces.into_iter().find(|namespace| namespace.id == task.namespace);
    let limits = namespace.map(|namespace| namespace.settings.limits).unwrap_or_default();
    let keys: Vec<LimitRef> = limit_refs(task.namespace, &task.spec.limit_keys).collect();
    let uses: HashMap<Arc<str>, LimitUse> =
        shared.store.limit_uses(&keys).await?.into_iter().map(|used| (used.key.clone(), used)).collect();
    let restraint = |(namespace, key): LimitRef| {
        let limit = limits.of(&key)?.clone();
        let used = uses.get(&key).cloned().unwrap_or_else(|| LimitUse::none(namespace, key));
        Some(Restraint { limit, used })
    };
    Ok(keys.into_iter().filter_map(restraint).collect())
}

/// The agents of a namespace with what their tasks have of them.
async fn agents(shared: &Shared, namespace: NamespaceId) -> Result<Vec<Looked>> {
    let mut looked: Vec<Looked> = Vec::new();
    while looked.len() < AGENTS {
        let after = looked.last().map(|last| last.agent.name.clone());
        let page = shared.store.agents(namespace, &AgentFilter::default(), after.as_deref(), PAGE).await?;
        let ids: Vec<AgentId> = page.agents.iter().map(|(agent, _)| agent.id).collect();
        let mut used: HashMap<AgentId, (usize, Amounts)> = HashMap::new();
        let holdings = shared.store.holdings(namespace, &ids).await?;
        for holding in holdings.into_iter().filter(|holding| holding.slot != Slot::Free) {
            let (tasks, taken) = used.entry(holding.agent).or_default();
            *tasks += holding.tasks;
            taken.add_times(&holding.resources, holding.tasks as u64);
        }
        looked.extend(page.agents.into_iter().map(|(agent, _)| {
            let (used, taken) = used.remove(&agent.id).unwrap_or_default();
            Looked { agent, used, taken }
        }));
        if !page.more {
            break;
        }
    }
    looked.truncate(AGENTS);
    Ok(looked)
}
