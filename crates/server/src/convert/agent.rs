//! Agents and their profiles.

use super::{task, time};
use callboard_core::limits::{MAX_CLAIM, MAX_SLOTS};
use callboard_core::model::{Agent, AgentProfile, Link, TaskHandler};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::fmt::Display;
use std::sync::Arc;

/// How an agent gets its tasks, which decides what unset slots mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They are pushed: one at a time.
    Pushed,
    /// It claims: as many as a claim may give.
    Claims,
}

/// Reads a profile, and the agent's name.
pub(crate) fn profile(
    at: impl Display + Copy,
    profile: Option<v1::AgentProfile>,
    manner: Manner,
    faults: &mut Faults,
) -> (Arc<str>, Arc<AgentProfile>) {
    let message = profile.unwrap_or_default();
    let slots = match (message.slots, manner) {
        (0, Manner::Pushed) => 1,
        (0, Manner::Claims) => MAX_CLAIM as u32,
        (slots, _) => super::count(format_args!("{at}.slots"), slots, &format!("1 to {MAX_SLOTS}"), 1, faults),
    };
    let agent_type = match message.agent_type.is_empty() {
        true => "agent".to_owned(),
        false => message.agent_type,
    };
    let read = AgentProfile {
        agent_type,
        role: message.role,
        skills: message.skills.into_iter().collect(),
        tools: message.tools.into_iter().collect(),
        labels: message.labels,
        slots,
        resources: message.resources,
        handles: message.handles.into_iter().map(handler).collect(),
        sdk: message.sdk,
        sdk_version: message.sdk_version,
        build_id: message.build_id,
    };
    faults.profile(at, &message.name, &read);
    (message.name.into(), Arc::new(read))
}

fn handler(handler: v1::TaskHandler) -> TaskHandler {
    TaskHandler {
        task_type: handler.r#type,
        description: handler.description,
        input_schema: handler.input_schema,
        output_schema: handler.output_schema,
    }
}

/// The state of an agent.
pub(crate) fn state(agent: &Agent) -> v1::AgentState {
    let Some(session) = &agent.session else { return v1::AgentState::Detached };
    match session.link {
        Link::Claims { .. } => v1::AgentState::Claiming,
        Link::Broken { .. } => v1::AgentState::Reconnecting,
        Link::Stream { .. } if session.draining => v1::AgentState::Draining,
        Link::Stream { .. } => v1::AgentState::Attached,
    }
}

/// Writes an agent with so many leased tasks.
pub(crate) fn to_agent(agent: &Agent, leased: usize, namespace: &str) -> v1::Agent {
    v1::Agent {
        id: agent.id.to_string(),
        namespace: namespace.to_owned(),
        profile: Some(to_profile(agent)),
        state: state(agent).into(),
        cordoned: agent.cordoned,
        session_epoch: agent.epoch,
        leased_tasks: i32::try_from(leased).unwrap_or(i32::MAX),
        completed_attempts: agent.completed,
        failed_attempts: agent.failed,
        created_at: Some(time::to_timestamp(agent.created_at)),
        attached_at: Some(time::to_timestamp(agent.attached_at)),
        detached_at: agent.detached_at.map(time::to_timestamp),
        principal: agent.principal.clone(),
        version: agent.version,
    }
}

fn to_profile(agent: &Agent) -> v1::AgentProfile {
    let profile = &agent.profile;
    let handles = profile.handles.iter().map(|handler| v1::TaskHandler {
        r#type: handler.task_type.clone(),
        description: handler.description.clone(),
        input_schema: handler.input_schema.clone(),
        output_schema: handler.output_schema.clone(),
    });
    v1::AgentProfile {
        name: agent.name.to_string(),
        agent_type: profile.agent_type.clone(),
        role: profile.role.clone(),
        skills: profile.skills.iter().cloned().collect(),
        tools: profile.tools.iter().cloned().collect(),
        labels: profile.labels.clone(),
        slots: task::number(profile.slots),
        resources: profile.resources.clone(),
        handles: handles.collect(),
        sdk: profile.sdk.clone(),
        sdk_version: profile.sdk_version.clone(),
        build_id: profile.build_id.clone(),
    }
}
