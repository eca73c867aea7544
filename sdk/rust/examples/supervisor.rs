//! A supervisor: its handler gives parts of its work to children, and waits for them without holding its slot, so that this
//! agent with one slot does them all. Start a server (`callboard serve`), then `cargo run --example supervisor`.

use callboard::{Agent, Client, Context, NewTask, TaskError};
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("supervisor").slots(1).handle("report", report).handle("survey", survey).spawn()?;

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
    Ok(format!("{} trees in {} regions", found.iter().sum::<u32>(), regions.len()))
}

async fn survey(_: Context, region: String) -> Result<usize, TaskError> {
    Ok(region.len())
}
