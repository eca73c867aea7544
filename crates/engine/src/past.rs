//! Who was chosen for a task, as its events tell.

use crate::error::Result;
use crate::shared::Shared;
use callboard_core::model::{Chosen, Event, EventKind, Task, Timestamp};
use std::sync::Arc;

/// How many assignments are told.
const TOLD: usize = 20;
/// How many events are read at once, and how often at most: a task may have very many, of checkpoints and steps.
const PAGE: usize = 500;
const PAGES: usize = 20;

/// An assignment, as it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastAssignment {
    /// The attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// The agent.
    pub agent: Arc<str>,
    /// How it was chosen; none: it claimed the task, or it isn't known.
    pub chosen: Option<Chosen>,
}

/// The latest assignments of a task, oldest first. Of a task with very many events the latest 10,000 are looked at.
pub(crate) async fn of(shared: &Shared, task: &Task) -> Result<Vec<PastAssignment>> {
    let wanted = TOLD.min(task.attempt as usize);
    let mut newest_first = Vec::new();
    let mut end = task.last_event;
    for _ in 0..PAGES {
        if newest_first.len() >= wanted || end <= 0 {
            break;
        }
        let begin = end.saturating_sub(PAGE as i64).max(0);
        let page = shared.store.task_events((task.namespace, task.id), begin, (end - begin) as usize).await?;
        newest_first.extend(page.iter().rev().filter_map(assignment));
        end = begin;
    }
    newest_first.truncate(wanted);
    newest_first.reverse();
    Ok(newest_first)
}

fn assignment(event: &Event) -> Option<PastAssignment> {
    match &event.kind {
        EventKind::Assigned { agent, chosen } => {
            Some(PastAssignment { attempt: event.attempt, at: event.at, agent: agent.clone(), chosen: chosen.clone() })
        }
        _ => None,
    }
}
