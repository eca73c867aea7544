//! `WorkflowService.ForecastWorkflow`: reads what a forecast is made of, has core make it, and writes it.

use super::Host;
use crate::convert::forecast::{Tasks, to_forecast};
use crate::status;
use callboard_core::forecast::{Known, MAX_FORECAST_TASKS, forecast};
use callboard_core::model::{Edge, NamespaceId, Span, Workflow};
use callboard_core::rejection::Rejection;
use callboard_engine::Error;
use callboard_proto::v1;
use callboard_store::MAX_TYPES;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tonic::Status;

/// How many tasks are read at once.
const PAGE: usize = 1_000;

/// What is expected of a workflow; of one that has ended, nothing.
pub(super) async fn of_workflow(host: &Host, row: &Workflow, held: bool) -> Result<v1::WorkflowForecast, Status> {
    if row.ended_at.is_some() {
        return Ok(v1::WorkflowForecast::default());
    }
    check_size(row.tally.tasks as usize)?;
    let (tasks, edges) = read(host, row).await?;
    let durations = durations(host, row.namespace, &tasks.known).await?;
    let now = host.engine.now();
    // Ten thousand tasks are some 10 ms of work: too long for a thread that others wait for.
    let made = tokio::task::spawn_blocking(move || {
        let forecast = forecast(&tasks.known, &edges, &durations, now);
        to_forecast(&forecast, &tasks, &durations, held)
    });
    made.await.map_err(|gone| status::of_engine(Error::Internal(format!("a forecast was not finished: {gone}"))))
}

/// What a forecast costs grows with the workflow: in time, and in memory.
fn check_size(tasks: usize) -> Result<(), Status> {
    if tasks <= MAX_FORECAST_TASKS {
        return Ok(());
    }
    let remedy = format!("it has {tasks}; look at its progress (GetWorkflow), or split such a workflow into several");
    let rejection = Rejection::limit("workflow_id", format_args!("{MAX_FORECAST_TASKS} tasks for a forecast"), &remedy);
    Err(status::of_rejection(rejection))
}

/// All tasks, page after page. A task that changes between two pages is seen before or behind that, so a dependent may be read as
/// WAITING though what it waits for ended since, or the other way round: then it counts as one that begins now, which it does. Tasks
/// that are added meanwhile stand behind all others, and are seen or not: the next forecast has them.
async fn read(host: &Host, row: &Workflow) -> Result<(Tasks, Vec<Edge>), Status> {
    let (mut tasks, mut edges) = (Tasks::default(), Vec::new());
    let mut from = Some(0);
    while let Some(first) = from {
        let store = host.engine.store();
        let page = store.workflow_page((row.namespace, row.id), first, PAGE).await.map_err(status::of_store)?;
        for (place, task) in &page.tasks {
            tasks.known.push(Known::of(task));
            tasks.names.push(place.name.clone().unwrap_or_default());
        }
        edges.extend(page.edges);
        check_size(tasks.known.len())?;
        from = page.next;
    }
    Ok((tasks, edges))
}

/// How long tasks of the types take that are still to end.
async fn durations(host: &Host, namespace: NamespaceId, tasks: &[Known]) -> Result<HashMap<Arc<str>, Span>, Status> {
    let open = tasks.iter().filter(|task| !task.state.is_final());
    let types: BTreeSet<Arc<str>> = open.map(|task| task.task_type.clone()).collect();
    let types = Vec::from_iter(types);
    let mut durations = HashMap::with_capacity(types.len());
    for some in types.chunks(MAX_TYPES) {
        let found = host.engine.store().mean_durations(namespace, some).await.map_err(status::of_store)?;
        durations.extend(found);
    }
    Ok(durations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_for_a_forecast_is_told_what_to_do() {
        assert!(check_size(MAX_FORECAST_TASKS).is_ok());
        let refused = check_size(MAX_FORECAST_TASKS + 1).expect_err("too many tasks");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let message = refused.message();
        assert!(message.contains("20000 tasks") && message.contains("it has 20001"), "{message}");
    }
}
