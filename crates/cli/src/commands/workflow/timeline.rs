//! `callboard workflow timeline`

use callboard::Client;
use callboard::v1::Task;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Session, tasks_of};
use crate::args::workflow::{TimelineArgs, TimelineFormat};
use crate::error::Error;
use crate::output::{json, names, note, table, time};
use crate::workflow::graph::name_of;
use crate::workflow::timeline::{Attempt, Row, attempts, draw, micros};
use crate::{ids, values};

/// How many tasks are drawn unless all are asked for: what can be looked at, and some seconds of asking at most.
const TASKS: usize = 200;

/// How many histories are asked for at once.
const AT_ONCE: usize = 8;

/// Draws the attempts of a workflow's tasks, in the order of the tasks.
pub async fn run(session: &Session, args: &TimelineArgs) -> Result<(), Error> {
    let id = ids::resolve_workflow(&session.client, &args.id).await?;
    let workflow = session.client.get_workflow(&id).await?;
    let mut tasks = tasks_of(&session.client, &id).await?;
    let left_out = if args.all { 0 } else { tasks.len().saturating_sub(TASKS) };
    tasks.truncate(tasks.len() - left_out);
    let of_tasks: Vec<Vec<Attempt>> =
        stream::iter(&tasks).map(|task| attempts_of(&session.client, task)).buffered(AT_ONCE).try_collect().await?;
    let output = &session.output;
    if output.is_json() || args.format == TimelineFormat::Json {
        let told = tasks.iter().zip(&of_tasks).map(|(task, attempts)| {
            json!({
                "task_id": task.id,
                "name": name_of(task),
                "state": names::task_state(task.state),
                "attempts": attempts.iter().map(Attempt::to_json).collect::<Vec<_>>(),
            })
        });
        let tasks: Vec<_> = told.collect();
        return output
            .document(&json!({ "workflow": json::workflow(&workflow), "tasks": tasks, "left_out": left_out }));
    }
    let rows: Vec<Row> = tasks.iter().zip(of_tasks).map(|(task, attempts)| row(task, attempts)).collect();
    let width = args.width.map_or_else(|| output.width(), usize::from);
    output.table(&draw(&rows, micros(&time::to_proto(values::now())), width, output.style))?;
    if left_out > 0 {
        note(&format!("{left_out} more tasks are left out: --all draws them, too"));
    }
    Ok(())
}

/// One without attempts has no history that would be of interest.
async fn attempts_of(client: &Client, task: &Task) -> Result<Vec<Attempt>, Error> {
    if task.attempt == 0 {
        return Ok(Vec::new());
    }
    Ok(attempts(&client.history(&task.id).await?))
}

fn row(task: &Task, attempts: Vec<Attempt>) -> Row {
    Row { name: name_of(task), state: table::state_of(task), attempts }
}
