//! Saving what a batch changed: a few statements, whatever the batch.

mod beside;
mod tasks;

use super::events;
use super::many::{Binds, Many};
use crate::codec::{FORMAT, to_json};
use crate::{Error, Result};
use callboard_core::Settings;
use callboard_core::model::{Agent, AgentId, Namespace, NamespaceId};
use callboard_core::working_set::{ChangeSet, Changed};
use sqlx::SqliteConnection;
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

/// Saves everything; stops at the first row that is not as expected.
pub async fn save(connection: &mut SqliteConnection, changes: &ChangeSet, settings: &Settings) -> Result<()> {
    save_namespaces(connection, &changes.namespaces).await?;
    beside::save_lanes(connection, changes).await?;
    save_agents(connection, &changes.removed_agents, &changes.agents).await?;
    tasks::save(connection, &changes.tasks, settings).await?;
    beside::save_edges(connection, changes).await?;
    beside::save_payloads(connection, &changes.payloads).await?;
    events::save(connection, &changes.events).await?;
    beside::save_requests(connection, &changes.requests, settings).await?;
    super::mail::save(connection, changes).await
}

/// Every row was found as expected, or it is a conflict.
pub(super) fn all_changed(changed: u64, wanted: usize, what: &str) -> Result<()> {
    if usize::try_from(changed) == Ok(wanted) {
        return Ok(());
    }
    Err(Error::Conflict(format!("{changed} of {wanted} {what} were as expected")))
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
    all_changed(updated, changed.len(), "namespaces")?;
    let bind = |binds: &mut Binds, changed: &&Changed<Namespace>| {
        binds.add(changed.row.id.0)?;
        columns(binds, &changed.row)
    };
    NEW_NAMESPACES.execute(connection, &new, bind).await?;
    Ok(())
}

async fn save_agents(
    connection: &mut SqliteConnection,
    removed: &[(NamespaceId, AgentId)],
    agents: &[Changed<Agent>],
) -> Result<()> {
    let bind = |binds: &mut Binds, (namespace, id): &(NamespaceId, AgentId)| {
        binds.add(namespace.0)?;
        binds.id(id.0)
    };
    REMOVED_AGENT.execute(connection, removed, bind).await?;
    let (new, changed): (Vec<_>, Vec<_>) = agents.iter().partition(|changed| changed.expected == 0);
    let bind = |binds: &mut Binds, changed: &&Changed<Agent>| {
        binds.add(changed.row.namespace.0)?;
        binds.id(changed.row.id.0)?;
        binds.add(changed.expected)?;
        bind_agent(binds, &changed.row)
    };
    let updated = AGENTS.execute(connection, &changed, bind).await?;
    all_changed(updated, changed.len(), "agents")?;
    let bind = |binds: &mut Binds, changed: &&Changed<Agent>| {
        binds.add(changed.row.namespace.0)?;
        binds.id(changed.row.id.0)?;
        bind_agent(binds, &changed.row)
    };
    NEW_AGENTS.execute(connection, &new, bind).await?;
    Ok(())
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
