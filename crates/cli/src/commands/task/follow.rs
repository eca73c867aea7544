//! `callboard task watch|wait`

use std::time::Duration;

use callboard::Watch;
use callboard::v1::{Event, Task, TaskState};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Session;
use crate::args::task::{WaitArgs, WatchArgs};
use crate::error::Error;
use crate::ids;
use crate::output::{Output, json, table};

/// Writes events as they come: of a task until it has ended, of the namespace until someone ends it.
pub async fn watch(session: &Session, args: WatchArgs) -> Result<(), Error> {
    let mut watch = match &args.id {
        Some(id) => Watch::task(ids::resolve(&session.client, id).await?).until_ended(),
        None => {
            // A server that isn't there, or a namespace, is said at once.
            session.client.get_namespace(session.client.namespace()).await?;
            Watch::namespace()
        }
    };
    if let Some(cursor) = args.cursor {
        watch = watch.after(cursor);
    }
    let mut events = session.patient()?.watch(watch);
    while let Some(event) = events.next().await? {
        write(&session.output, &event, events.cursor())?;
    }
    Ok(())
}

fn write(output: &Output, event: &Event, cursor: &str) -> Result<(), Error> {
    if output.is_json() {
        output.line(&event_with_cursor(event, cursor).to_string())
    } else {
        output.line(&table::event_line(event))
    }
}

/// Resuming at the cursor skips nothing; it may repeat events that were committed together with this one.
fn event_with_cursor(event: &Event, cursor: &str) -> Value {
    let mut value = json::event(event);
    value["cursor"] = json!(cursor);
    value
}

/// Waits for all of them, however they end.
pub async fn wait(session: &Session, args: &WaitArgs) -> Result<(), Error> {
    let until = args.wait_for.map(|wait| Instant::now() + wait);
    let ids = ids::resolve_all(&session.client, &args.ids).await?;
    let mut tasks = Vec::with_capacity(ids.len());
    let mut running = None;
    for id in ids {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match until_ended(session, &id, left).await {
            Ok(task) => tasks.push(task),
            Err(Error::StillRunning(task)) => {
                tasks.push((*task).clone());
                running.get_or_insert(task);
            }
            Err(error) => return Err(error),
        }
    }
    match session.output.is_json() {
        true => session.output.document(&json!({ "tasks": tasks.iter().map(json::task).collect::<Vec<_>>() }))?,
        false => session.output.table(&table::ends(&tasks, session.output.style))?,
    }
    judge(running, tasks)
}

fn judge(running: Option<Box<Task>>, tasks: Vec<Task>) -> Result<(), Error> {
    if let Some(task) = running {
        return Err(Error::StillRunning(task));
    }
    match tasks.into_iter().find(|task| task.state() != TaskState::Completed) {
        Some(task) => Err(Error::NotCompleted(Box::new(task))),
        None => Ok(()),
    }
}

/// Waits for the end of a task; `StillRunning` when the time is over.
pub async fn until_ended(session: &Session, id: &str, wait_for: Option<Duration>) -> Result<Task, Error> {
    // A server that isn't there, or a task, is said at once; later the server may well be away for a while.
    session.client.get(id).await?;
    match session.patient()?.wait(id, wait_for).await {
        Err(callboard::Error::DeadlineExceeded(_)) => Err(Error::StillRunning(Box::new(session.client.get(id).await?))),
        ended => Ok(ended?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn task(state: TaskState) -> Task {
        Task { id: "x".into(), state: state.into(), ..Task::default() }
    }

    #[test]
    fn the_worst_decides() {
        assert!(judge(None, vec![task(TaskState::Completed)]).is_ok());
        let failed = judge(None, vec![task(TaskState::Completed), task(TaskState::Skipped)]).unwrap_err();
        assert_eq!((failed.exit(), failed.to_string().as_str()), (Exit::NotCompleted, "task x was skipped"));
        let running = Some(Box::new(task(TaskState::Running)));
        assert_eq!(judge(running, vec![task(TaskState::Failed)]).unwrap_err().exit(), Exit::Timeout);
    }

    #[test]
    fn a_line_of_json_has_the_cursor() {
        let value = event_with_cursor(&Event { sequence: 3, ..Event::default() }, "c3");
        assert_eq!((&value["sequence"], &value["cursor"]), (&json!(3), &json!("c3")));
        assert!(!value.to_string().contains('\n'));
    }
}
