//! A supervisor: its handler gives parts of its work to children, and waits for them without holding its slot, so that this
//! agent with one slot does them all. Then it has the whole reviewed: two of three reviews are enough, and the third is
//! cancelled. Start a server (`callboard serve`), then `cargo run --example supervisor`.

use callboard::{Agent, Client, Context, NewTask, TaskError};
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("supervisor").slots(1).handle("report", report).handle("survey", survey);
    let agent = agent.handle("review", review).spawn()?;

    let client = Client::from_env()?;
    println!("{}", client.run::<String>(NewTask::new("report").input(&["north", "south", "east"])?).await?);

    agent.drain();
    agent.join().await
}

async fn report(ctx: Context, regions: Vec<String>) -> Result<String, TaskError> {
    let mut surveys = Vec::new();
    for region in &regions {
        // An attempt that runs again, after a crash, finds the children that are there.
        surveys.push(ctx.start_child(NewTask::new("survey").input(region)?).await?);
    }
    let found: Vec<u32> = try_join_all(surveys.iter().map(|survey| survey.result())).await?;
    let trees: u32 = found.iter().sum();

    let mut reviews = Vec::new();
    for _ in 0..3 {
        reviews.push(ctx.start_child(NewTask::new("review").input(&trees)?.max_attempts(1)).await?);
    }
    let quorum = ctx.wait_children(&reviews).count(2).cancel_rest().await?;
    Ok(format!("{trees} trees in {} regions, by {} of {} reviews", regions.len(), quorum.len(), reviews.len()))
}

async fn survey(_: Context, region: String) -> Result<usize, TaskError> {
    Ok(region.len())
}

/// One that doesn't agree fails.
async fn review(_: Context, trees: u32) -> Result<(), TaskError> {
    if trees > 0 { Ok(()) } else { Err(TaskError::new("there must be a tree somewhere")) }
}
