//! Whose mailbox is whose.

use crate::services::Host;
use crate::{caller, status};
use callboard_core::model::Agent;
use callboard_core::rejection::{Reason, Rejection};
use tonic::Status;

/// The agent whose mailbox a caller wants to read or empty, if it may: it is its own. The one place that decides this.
pub(crate) async fn of(host: &Host, principal: &str, namespace: &str, name: &str) -> Result<Agent, Status> {
    let namespace = host.engine.namespace(&caller::namespace(namespace)).await.map_err(status::of_engine)?;
    let found = host.engine.store().agent(namespace, name).await.map_err(status::of_store)?;
    let (agent, _) = found.ok_or_else(|| status::of_rejection(Rejection::agent_not_found(name)))?;
    if !agent.belongs_to(principal) {
        let message = format!("agent: the mailbox of {name:?} belongs to another principal; only that one reads it");
        return Err(status::of_rejection(Rejection::new(Reason::NotYourAgent, message)));
    }
    Ok(agent)
}
