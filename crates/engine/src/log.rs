//! What is logged of tasks: what went wrong at `info`, everything at `debug`. The history in the store is complete either way. What agents say
//! is quoted, so that it can not pass for a line of ours.

use crate::shared::Shared;
use callboard_core::model::{Event, EventKind, PauseTurn};
use callboard_core::working_set::ChangeSet;
use tracing::Level;

/// Logs the events of a committed batch, each with its namespace, task, attempt and agent.
pub(crate) fn events(shared: &Shared, changes: &ChangeSet) {
    if !tracing::enabled!(Level::INFO) {
        return;
    }
    let everything = tracing::enabled!(Level::DEBUG);
    for event in &changes.events {
        let trouble = is_trouble(&event.kind);
        if trouble || everything {
            log(shared, event, trouble, &describe(&event.kind));
        }
    }
}

fn log(shared: &Shared, event: &Event, trouble: bool, what: &str) {
    let namespace = shared.names.name(event.namespace).unwrap_or_else(|| "".into());
    let agent = agent(&event.kind);
    let (task, attempt, run, state) = (event.task, event.attempt, event.run, event.state.as_str());
    if trouble {
        tracing::info!(namespace = &*namespace, %task, run, attempt, agent, state, "{what}");
    } else {
        tracing::debug!(namespace = &*namespace, %task, run, attempt, agent, state, "{what}");
    }
}

/// Whether somebody who is paged would want to see it.
fn is_trouble(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::HandedBack { .. }
            | EventKind::AttemptFailed { .. }
            | EventKind::AttemptTimedOut { .. }
            | EventKind::AttemptLost { .. }
            | EventKind::Failed { .. }
    )
}

fn describe(kind: &EventKind) -> String {
    match kind {
        EventKind::HandedBack { reason, .. } => format!("attempt handed back: {reason:?}"),
        EventKind::AttemptFailed { failure, .. } => format!("attempt failed: {:?}", failure.kind),
        EventKind::AttemptTimedOut { failure, .. } => format!("attempt timed out: {:?}", failure.kind),
        EventKind::AttemptLost { reason, .. } => format!("attempt lost: {reason:?}"),
        EventKind::Failed { failure } => format!("task failed: {:?}", failure.kind),
        EventKind::Created => "task created".into(),
        EventKind::Ready => "task ready".into(),
        EventKind::Assigned { .. } => "attempt assigned".into(),
        EventKind::Started { pause: None, .. } => "attempt started".into(),
        EventKind::Started { pause: Some(PauseTurn::Began), .. } => "attempt paused".into(),
        EventKind::Started { pause: Some(PauseTurn::Ended), .. } => "attempt resumed".into(),
        EventKind::Checkpointed { child: Some(child), .. } => format!("child created: {child}"),
        EventKind::Checkpointed { step: Some(step), .. } => format!("step recorded: {:?}", step.name),
        EventKind::Checkpointed { .. } => "checkpoint saved".into(),
        EventKind::RetryScheduled { .. } => "retry scheduled".into(),
        EventKind::Held { .. } => "task held".into(),
        EventKind::Released => "task released".into(),
        EventKind::Updated { fields, fallback: None } => format!("task updated: {fields}"),
        EventKind::Updated { fields, fallback: Some(_) } => format!("task fell back: {fields}"),
        EventKind::DependencyMet { .. } => "dependency met".into(),
        EventKind::CancelRequested { .. } => "cancellation requested".into(),
        EventKind::Completed { .. } => "task completed".into(),
        EventKind::Cancelled { .. } => "task cancelled".into(),
        EventKind::Skipped { .. } => "task skipped".into(),
        EventKind::RunOpened => "next run opened".into(),
    }
}

fn agent(kind: &EventKind) -> &str {
    match kind {
        EventKind::Assigned { agent, .. }
        | EventKind::Started { agent, .. }
        | EventKind::HandedBack { agent, .. }
        | EventKind::AttemptFailed { agent, .. }
        | EventKind::AttemptTimedOut { agent, .. }
        | EventKind::AttemptLost { agent, .. }
        | EventKind::Completed { agent } => agent,
        _ => "",
    }
}
