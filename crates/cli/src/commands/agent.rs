//! `callboard agent …`

use callboard::v1::{Agent, AgentState, ListAgentsRequest};
use serde_json::json;

use super::Session;
use super::listing::{Listing, page_size};
use crate::args::agent::{AgentCommand, AgentStateName, ListArgs};
use crate::error::Error;
use crate::output::{details, json, table};
use crate::values;

/// Does it.
pub async fn run(session: &Session, command: AgentCommand) -> Result<(), Error> {
    let client = &session.client;
    match command {
        AgentCommand::List(args) => list(session, &args).await,
        AgentCommand::Show(args) => show(session, &client.get_agent(&args.name).await?),
        AgentCommand::Cordon(args) => show(session, &client.cordon(&args.name).await?),
        AgentCommand::Uncordon(args) => show(session, &client.uncordon(&args.name).await?),
        AgentCommand::Remove(args) => {
            client.remove_agent(&args.name).await?;
            match session.output.is_json() {
                true => session.output.document(&json!({ "removed": args.name })),
                false => session.output.line(&format!("{} removed", args.name)),
            }
        }
    }
}

async fn list(session: &Session, args: &ListArgs) -> Result<(), Error> {
    let request = ListAgentsRequest {
        states: args.state.iter().map(|&state| AgentState::from(state).into()).collect(),
        agent_type: args.agent_type.clone().unwrap_or_default(),
        page_size: page_size(&args.limit),
        ..ListAgentsRequest::default()
    };
    let listing = Listing { plural: "agents", json: json::agent, table: table::agents };
    listing.write(&session.output, &args.limit, session.client.list_agents(request)).await
}

fn show(session: &Session, agent: &Agent) -> Result<(), Error> {
    if session.output.is_json() {
        return session.output.document(&json::agent(agent));
    }
    session.output.table(&session.output.style.details(details::agent(agent, values::now())))
}

impl From<AgentStateName> for AgentState {
    fn from(name: AgentStateName) -> Self {
        match name {
            AgentStateName::Attached => Self::Attached,
            AgentStateName::Reconnecting => Self::Reconnecting,
            AgentStateName::Draining => Self::Draining,
            AgentStateName::Detached => Self::Detached,
            AgentStateName::Claiming => Self::Claiming,
        }
    }
}
