//! Whose mailbox is whose, and who else may look into it.

use crate::identity::Caller;
use crate::services::Host;
use crate::{caller, status};
use callboard_core::model::Agent;
use callboard_core::rejection::{Reason, Rejection};
use callboard_proto::v1::ErrorReason;
use tonic::Status;

/// The agent whose mailbox a caller wants to see, if it may: it is its own, or the caller looks after agents. They see what waits
/// for an agent that is stuck, as they see its tasks; taking it away is the agent's own.
pub(crate) async fn seen_by(host: &Host, caller: &Caller, namespace: &str, name: &str) -> Result<Agent, Status> {
    let agent = find(host, namespace, name).await?;
    if caller.is_operator() { Ok(agent) } else { check(host, agent, &caller.principal()) }
}

/// The agent whose mailbox a caller wants to empty, if it may: it is its own.
pub(crate) async fn of(host: &Host, principal: &str, namespace: &str, name: &str) -> Result<Agent, Status> {
    check(host, find(host, namespace, name).await?, principal)
}

async fn find(host: &Host, namespace: &str, name: &str) -> Result<Agent, Status> {
    let namespace = host.engine.namespace(&caller::namespace(namespace)).await.map_err(status::of_engine)?;
    let found = host.engine.store().agent(namespace, name).await.map_err(status::of_store)?;
    let (agent, _) = found.ok_or_else(|| status::of_rejection(Rejection::agent_not_found(name)))?;
    Ok(agent)
}

fn check(host: &Host, agent: Agent, principal: &str) -> Result<Agent, Status> {
    if !agent.belongs_to(principal) {
        host.refused.count(ErrorReason::NotYourAgent);
        let name = &agent.name;
        let message = format!(
            "agent: the mailbox of {name:?} belongs to another principal; only that one empties it, and only that one and \
             operators read it"
        );
        return Err(status::of_rejection(Rejection::new(Reason::NotYourAgent, message)));
    }
    Ok(agent)
}
