//! Saving what a batch changed: one statement for what almost all have, and one for each other kind of row.

mod batch;
mod beside;
mod lanes;
mod tasks;

pub use tasks::{remove_tags, tags_of};

use super::convert::Values;
use super::transaction::PgTransaction;
use super::{children, limits, mail, output, steps, workflows};
use crate::codec::{FORMAT, to_json};
use crate::{Error, Result};
use callboard_core::Settings;
use callboard_core::model::{Agent, AgentId, Namespace, NamespaceId};
use callboard_core::working_set::{ChangeSet, Changed};

// What a statement's literal says: `format = 1`.
const _: () = assert!(FORMAT == 1);

const NEW_NAMESPACES: &str = "INSERT INTO namespaces (id, name, version, created_at, settings) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])";
const NAMESPACES: &str = "UPDATE namespaces AS n SET name = v.name, version = v.version, created_at = v.created_at, \
     settings = v.settings, format = 1 \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[]) \
     AS v (id, name, version, created_at, settings, expected) WHERE n.id = v.id AND n.version = v.expected";
const REMOVED_AGENTS: &str = "DELETE FROM agents AS a USING unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) \
     WHERE a.namespace = v.namespace AND a.id = v.id";
const NEW_AGENTS: &str = "INSERT INTO agents (namespace, id, version, name, agent_type, principal, cordoned, epoch, completed, \
     failed, created_at, attached_at, detached_at, session, profile) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], \
     $4::text[], $5::text[], $6::text[], $7::bool[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], \
     $13::bigint[], $14::text[], $15::text[])";

/// Saves everything; what is not as expected is a conflict.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet, settings: &Settings) -> Result<()> {
    transaction.connection()?;
    save_namespaces(transaction, &changes.namespaces).await?;
    lanes::save(transaction, changes).await?;
    save_agents(transaction, &changes.removed_agents, &changes.agents).await?;
    tasks::save_specs(transaction, &changes.tasks).await?;
    batch::save(transaction, changes, settings).await?;
    tasks::save_new_tags(transaction, &changes.tasks).await?;
    beside::save_edges(transaction, changes).await?;
    mail::save(transaction, changes).await?;
    output::save(transaction, &changes.output).await?;
    steps::save(transaction, &changes.steps).await?;
    children::save(transaction, &changes.children).await?;
    workflows::save(transaction, changes).await?;
    limits::save(transaction, changes).await
}

/// Every row was found as expected, or it is a conflict.
pub fn check(wanted: usize, what: &str, changed: u64) -> Result<()> {
    if usize::try_from(changed) == Ok(wanted) {
        return Ok(());
    }
    Err(Error::Conflict(format!("{changed} of {wanted} {what} were as expected")))
}

async fn save_namespaces(transaction: &mut PgTransaction, namespaces: &[Changed<Namespace>]) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = namespaces.iter().partition(|changed| changed.expected == 0);
    let columns = |rows: &[&Changed<Namespace>]| {
        Values::default()
            .each(rows, |changed| changed.row.id.0)
            .each_text(rows, |changed| &changed.row.name)
            .each(rows, |changed| changed.row.version)
            .each(rows, |changed| changed.row.created_at.0)
            .each_made(rows, |changed| to_json(&changed.row.settings))
    };
    if !changed.is_empty() {
        let values = columns(&changed).each(&changed, |changed| changed.expected);
        let updated = transaction.execute(NAMESPACES, values).await?;
        check(changed.len(), "namespaces", updated)?;
    }
    if !new.is_empty() {
        transaction.execute(NEW_NAMESPACES, columns(&new)).await?;
    }
    Ok(())
}

/// Those that go, who give their names free, and those that come.
async fn save_agents(
    transaction: &mut PgTransaction,
    removed: &[(NamespaceId, AgentId)],
    agents: &[Changed<Agent>],
) -> Result<()> {
    if !removed.is_empty() {
        let values = Values::default().each(removed, |(namespace, _)| namespace.0).each(removed, |(_, id)| id.0);
        transaction.execute(REMOVED_AGENTS, values).await?;
    }
    let new: Vec<_> = agents.iter().filter(|agent| agent.expected == 0).collect();
    if !new.is_empty() {
        transaction.execute(NEW_AGENTS, agent_columns(Values::default(), &new)).await?;
    }
    Ok(())
}

fn agent_columns(values: Values, rows: &[&Changed<Agent>]) -> Values {
    values
        .each(rows, |changed| changed.row.namespace.0)
        .each(rows, |changed| changed.row.id.0)
        .each(rows, |changed| changed.row.version)
        .each_text(rows, |changed| &changed.row.name)
        .each_text(rows, |changed| &changed.row.profile.agent_type)
        .each_text(rows, |changed| &changed.row.principal)
        .each(rows, |changed| changed.row.cordoned)
        .each(rows, |changed| changed.row.epoch)
        .each(rows, |changed| changed.row.completed)
        .each(rows, |changed| changed.row.failed)
        .each(rows, |changed| changed.row.created_at.0)
        .each(rows, |changed| changed.row.attached_at.0)
        .each(rows, |changed| changed.row.detached_at.map(|at| at.0))
        .each_made(rows, |changed| changed.row.session.as_ref().map(to_json).transpose())
        .each_made(rows, |changed| to_json(&*changed.row.profile))
}
