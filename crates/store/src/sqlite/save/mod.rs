//! Saving what a batch changed: a few statements, whatever the batch.

mod beside;
mod tasks;

use super::commits::Commits;
use super::many::{Binds, Many};
use super::script::{self, Saved, Script, check};
use super::{events, workflows};
use crate::Result;
use crate::codec::{self, FORMAT, to_json};
use crate::facts;
use callboard_core::Settings;
use callboard_core::model::{Agent, AgentId, Namespace, NamespaceId};
use callboard_core::working_set::{ChangeSet, Changed};
use sqlx::SqliteConnection;
use tasks::Sorted;
pub(super) use tasks::bind_payload;

// `OR ROLLBACK`: SQLite then needs no journal for each statement. It ends the transaction where the statement fails, so that
// nothing may be run on it any more: the writer sees to that.

// What a statement's literal says: `format = 1`.
const _: () = assert!(FORMAT == 1);

static NEW_NAMESPACES: Many = Many::values(
    "INSERT OR ROLLBACK INTO namespaces (id, name, version, created_at, settings) SELECT * FROM (VALUES ",
    "(?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static NAMESPACES: Many = Many::values(
    "UPDATE OR ROLLBACK namespaces SET name = v.column3, version = v.column4, created_at = v.column5, settings = v.column6, format = 1 \
     FROM (VALUES ",
    "(?,?,?,?,?,?)",
    ") AS v WHERE id = v.column1 AND version = v.column2",
);
static REMOVED_AGENT: Many = Many::single("DELETE FROM agents WHERE namespace = ? AND id = ?");
static NEW_AGENTS: Many = Many::values(
    "INSERT OR ROLLBACK INTO agents (namespace, id, version, name, agent_type, principal, cordoned, epoch, completed, failed, \
     created_at, attached_at, detached_at, session, profile) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static AGENTS: Many = Many::values(
    "UPDATE OR ROLLBACK agents SET version = v.column4, name = v.column5, agent_type = v.column6, principal = v.column7, \
     cordoned = v.column8, epoch = v.column9, completed = v.column10, failed = v.column11, created_at = v.column12, \
     attached_at = v.column13, detached_at = v.column14, session = v.column15, profile = v.column16, format = 1 \
     FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") AS v WHERE agents.namespace = v.column1 AND agents.id = v.column2 AND agents.version = v.column3",
);

/// Saves everything; what is not as expected is a conflict. Begins the transaction, if it has not begun; commits it too, where that
/// is wanted and can go with the rest.
pub async fn save(
    connection: &mut SqliteConnection,
    changes: &ChangeSet,
    settings: &Settings,
    begun: bool,
    commit: Option<&Commits>,
) -> Result<Saved> {
    let (new_agents, agents): (Vec<_>, Vec<_>) = changes.agents.iter().partition(|changed| changed.expected == 0);
    let tasks = Sorted::of(&changes.tasks);
    let payloads = codec::last_of_each(&changes.payloads);
    let events = facts::pack(&changes.events);
    let rare = has_rare(changes) || !new_agents.is_empty();
    if rare {
        if !begun {
            script::begin(connection).await?;
        }
        save_namespaces(connection, &changes.namespaces).await?;
        beside::save_lanes(connection, changes).await?;
        save_new_agents(connection, &changes.removed_agents, &new_agents).await?;
        tasks::save_specs(connection, &changes.tasks).await?;
    }
    let changed_workflows: Vec<_> = changes.workflows.iter().filter(|changed| changed.expected != 0).collect();
    let other_edges = beside::has_other_edges(changes);
    let resolved = if other_edges { &[][..] } else { &changes.resolved_edges };
    // A task has one row of events for each row of its own, but few have several; output comes in several chunks.
    let several = events.len().max(changes.output.len()).max(resolved.len()).div_ceil(4);
    let counts = [agents.len(), tasks.most(), payloads.len(), changes.requests.len(), several, changed_workflows.len()];
    let most = counts.into_iter().max().unwrap_or_default();
    let mut script = Script::new(most, !begun && !rare);
    script.add(&AGENTS, &agents, bind_changed_agent, Some("agents"));
    tasks.save(&mut script, settings);
    beside::save_payloads(&mut script, &payloads);
    beside::save_requests(&mut script, &changes.requests, settings);
    events::save(&mut script, &events);
    super::output::save(&mut script, &changes.output);
    workflows::save_changed(&mut script, &changed_workflows);
    beside::save_resolved(&mut script, resolved);
    let last = !tasks::has_tags(&changes.tasks)
        && !other_edges
        && !super::mail::has_mail(changes)
        && changes.steps.is_empty()
        && changes.children.is_empty()
        && !workflows::has_others(changes)
        && !super::limits::has_limits(changes);
    if script.run(connection, commit.filter(|_| last)).await? == Saved::Committed {
        return Ok(Saved::Committed);
    }
    tasks::save_tags(connection, &changes.tasks).await?;
    if other_edges {
        beside::save_edges(connection, changes).await?;
    }
    super::mail::save(connection, changes).await?;
    super::steps::save(connection, &changes.steps).await?;
    super::children::save(connection, &changes.children).await?;
    workflows::save_others(connection, changes).await?;
    super::limits::save(connection, changes).await?;
    Ok(Saved::Open)
}

/// What most batches have none of, and is saved before all else.
fn has_rare(changes: &ChangeSet) -> bool {
    !changes.namespaces.is_empty()
        || !changes.lanes.is_empty()
        || !changes.removed_lanes.is_empty()
        || !changes.removed_agents.is_empty()
        || changes.tasks.iter().any(tasks::has_other_spec)
}

async fn save_namespaces(connection: &mut SqliteConnection, namespaces: &[Changed<Namespace>]) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = namespaces.iter().partition(|changed| changed.expected == 0);
    let columns = |binds: &mut Binds, row: &Namespace| {
        binds.add(row.name.clone())?;
        binds.add(row.version)?;
        binds.add(row.created_at.0)?;
        binds.add(to_json(&row.settings)?)
    };
    let bind = |binds: &mut Binds, changed: &&Changed<Namespace>| {
        binds.add(changed.row.id.0)?;
        binds.add(changed.expected)?;
        columns(binds, &changed.row)
    };
    let updated = NAMESPACES.execute(connection, &changed, bind).await?;
    check(changed.len(), "namespaces", updated)?;
    let bind = |binds: &mut Binds, changed: &&Changed<Namespace>| {
        binds.add(changed.row.id.0)?;
        columns(binds, &changed.row)
    };
    NEW_NAMESPACES.execute(connection, &new, bind).await?;
    Ok(())
}

async fn save_new_agents(
    connection: &mut SqliteConnection,
    removed: &[(NamespaceId, AgentId)],
    new: &[&Changed<Agent>],
) -> Result<()> {
    let bind = |binds: &mut Binds, (namespace, id): &(NamespaceId, AgentId)| {
        binds.add(namespace.0)?;
        binds.id(id.0)
    };
    REMOVED_AGENT.execute(connection, removed, bind).await?;
    let bind = |binds: &mut Binds, changed: &&Changed<Agent>| {
        binds.add(changed.row.namespace.0)?;
        binds.id(changed.row.id.0)?;
        bind_agent(binds, &changed.row)
    };
    NEW_AGENTS.execute(connection, new, bind).await?;
    Ok(())
}

fn bind_changed_agent(binds: &mut Binds, changed: &&Changed<Agent>) -> Result<()> {
    binds.add(changed.row.namespace.0)?;
    binds.id(changed.row.id.0)?;
    binds.add(changed.expected)?;
    bind_agent(binds, &changed.row)
}

fn bind_agent(binds: &mut Binds, agent: &Agent) -> Result<()> {
    binds.add(agent.version)?;
    binds.add(agent.name.clone())?;
    binds.add(agent.profile.agent_type.as_str())?;
    binds.add(agent.principal.as_str())?;
    binds.add(agent.cordoned)?;
    binds.add(agent.epoch)?;
    binds.add(agent.completed)?;
    binds.add(agent.failed)?;
    binds.add(agent.created_at.0)?;
    binds.add(agent.attached_at.0)?;
    binds.add(agent.detached_at.map(|at| at.0))?;
    binds.add(agent.session.as_ref().map(to_json).transpose()?)?;
    binds.add(to_json(&*agent.profile)?)
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    let here: Vec<&'static Many> = vec![&NEW_NAMESPACES, &NAMESPACES, &REMOVED_AGENT, &NEW_AGENTS, &AGENTS];
    [here, tasks::statements(), beside::statements(), events::statements()].concat()
}
