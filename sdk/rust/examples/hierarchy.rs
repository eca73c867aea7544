//! A hierarchy: a leader, one task of a workflow, gives its work to tasks of other types, which agents of other types do,
//! and joins their results. Its children are the workflow's, too. Start a server (`callboard serve`), then
//! `cargo run --example hierarchy`.

use callboard::{Agent, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError, v1};
use futures::{TryStreamExt, future::try_join_all};

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let leader = Agent::builder("leader").handle("survey", survey).handle("report", report).spawn()?;
    let counters = Agent::builder("counter").slots(2).handle("count", count).spawn()?;
    let measurers = Agent::builder("measurer").handle("measure", measure).spawn()?;

    let client = Client::from_env()?;
    let workflow = NewWorkflow::new("trees")
        .task(NewWorkflowTask::new("survey", NewTask::new("survey").input(&["north", "south"])?))
        .task(NewWorkflowTask::new("report", NewTask::new("report")).depends_on("survey"));
    let created = client.create_workflow(workflow).await?;
    let ended = client.wait_workflow(&created.workflow_id, None).await?;
    println!("{}", client.result::<String>(&created.receipt("report")?.task_id, None).await?);

    let request = v1::ListWorkflowTasksRequest { workflow_id: ended.id, ..Default::default() };
    let tasks: Vec<v1::Task> = client.workflow_tasks(request).try_collect().await?;
    let children = tasks.iter().filter(|task| task.parent.is_some()).count();
    println!("{} tasks, {children} of them children", ended.tasks);

    for agent in [leader, counters, measurers] {
        agent.drain();
        agent.join().await?;
    }
    Ok(())
}

/// The leader: it holds no slot while it waits for the others.
async fn survey(ctx: Context, regions: Vec<String>) -> Result<u32, TaskError> {
    let mut parts = Vec::new();
    for region in &regions {
        // An attempt that runs again, after a crash, finds the children that are there.
        parts.push(ctx.start_child(NewTask::new("count").input(region)?).await?);
        parts.push(ctx.start_child(NewTask::new("measure").input(region)?).await?);
    }
    let found: Vec<u32> = try_join_all(parts.iter().map(|part| part.result())).await?;
    // By turns: a region's trees on an acre, and its acres.
    Ok(found.chunks(2).map(|region| region.iter().product::<u32>()).sum())
}

async fn count(_: Context, region: String) -> Result<usize, TaskError> {
    Ok(region.len())
}

async fn measure(_: Context, region: String) -> Result<u32, TaskError> {
    Ok(if region == "north" { 2 } else { 3 })
}

async fn report(ctx: Context, _: String) -> Result<String, TaskError> {
    let trees: u32 = ctx.dependency("survey").await?.value()?;
    Ok(format!("{trees} trees"))
}
