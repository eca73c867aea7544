//! Events.

use super::{payload, task, time};
use callboard_core::model::{Event, EventKind, Failure, PauseTurn, StepKey, TaskId, Timestamp};
use callboard_proto::v1;
use callboard_proto::v1::EventType as Type;
use std::sync::Arc;

/// What an event tells beside its type.
#[derive(Default)]
struct Told<'a> {
    agent: Option<&'a Arc<str>>,
    reason: String,
    failure: Option<&'a Failure>,
    scheduled_at: Option<Timestamp>,
    step: Option<&'a StepKey>,
    child: Option<TaskId>,
}

/// Writes an event.
pub(crate) fn to_event(event: &Event) -> v1::Event {
    let (event_type, told) = tell(&event.kind);
    v1::Event {
        task_id: event.task.to_string(),
        sequence: event.sequence,
        at: Some(time::to_timestamp(event.at)),
        principal: event.principal.to_string(),
        r#type: event_type.into(),
        state: task::to_state(event.state).into(),
        run: task::number(event.run),
        attempt: task::number(event.attempt),
        agent: told.agent.map(ToString::to_string).unwrap_or_default(),
        reason: told.reason,
        failure: told.failure.map(payload::to_failure),
        scheduled_at: told.scheduled_at.map(time::to_timestamp),
        step: told.step.map(|step| step.name.to_string()).unwrap_or_default(),
        step_occurrence: told.step.map_or(0, |step| task::number(step.occurrence)),
        child: told.child.map(|child| child.to_string()).unwrap_or_default(),
    }
}

fn tell(kind: &EventKind) -> (Type, Told<'_>) {
    let by = |agent| Told { agent: Some(agent), ..Told::default() };
    let because = |reason: &str| Told { reason: reason.to_owned(), ..Told::default() };
    match kind {
        EventKind::Created => (Type::Created, Told::default()),
        EventKind::Ready => (Type::Ready, Told::default()),
        EventKind::Assigned { agent, .. } => (Type::Assigned, by(agent)),
        EventKind::Started { agent, pause: None } => (Type::Started, by(agent)),
        EventKind::Started { agent, pause: Some(PauseTurn::Began) } => (Type::Paused, by(agent)),
        EventKind::Started { agent, pause: Some(PauseTurn::Ended) } => (Type::Resumed, by(agent)),
        EventKind::Checkpointed { step: Some(step), .. } => {
            (Type::StepRecorded, Told { step: Some(step), ..Told::default() })
        }
        EventKind::Checkpointed { child: Some(child), .. } => {
            (Type::ChildCreated, Told { child: Some(*child), ..Told::default() })
        }
        EventKind::Checkpointed { .. } => (Type::Checkpointed, Told::default()),
        EventKind::HandedBack { agent, reason } => (Type::HandedBack, Told { reason: reason.clone(), ..by(agent) }),
        EventKind::AttemptFailed { agent, failure } => {
            (Type::AttemptFailed, Told { failure: Some(failure), ..by(agent) })
        }
        EventKind::AttemptTimedOut { agent, failure } => {
            (Type::AttemptTimedOut, Told { failure: Some(failure), ..by(agent) })
        }
        EventKind::AttemptLost { agent, reason } => (Type::AttemptLost, Told { reason: reason.clone(), ..by(agent) }),
        EventKind::RetryScheduled { at } => (Type::RetryScheduled, Told { scheduled_at: Some(*at), ..Told::default() }),
        EventKind::Held { reason } => (Type::Held, because(reason)),
        EventKind::Released => (Type::Released, Told::default()),
        EventKind::Updated { fields, fallback: None } => (Type::Updated, because(fields)),
        EventKind::Updated { fields, fallback: Some(_) } => (Type::FellBack, because(fields)),
        EventKind::DependencyMet { dependency } => (Type::DependencyMet, because(&dependency.to_string())),
        EventKind::CancelRequested { reason } => (Type::CancelRequested, because(reason)),
        EventKind::Completed { agent } => (Type::Completed, by(agent)),
        EventKind::Failed { failure } => (Type::Failed, Told { failure: Some(failure), ..Told::default() }),
        EventKind::Cancelled { reason } => (Type::Cancelled, because(reason)),
        EventKind::Skipped { dependency } => {
            (Type::Skipped, because(&format!("dependency {dependency} ended otherwise than its condition says")))
        }
        EventKind::RunOpened => (Type::RunOpened, Told::default()),
    }
}
