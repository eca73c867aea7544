//! A pipeline: each page is fetched by a task of its own, and a task that depends on them all counts their words. Start a
//! server (`callboard serve`), then `cargo run --example pipeline`.

use callboard::{Agent, Client, Context, NewTask, TaskError};

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("pipeline").slots(2).handle("fetch", fetch).handle("count", count).spawn()?;

    let client = Client::from_env()?;
    let pages = client.create_all([NewTask::new("fetch").input("one")?, NewTask::new("fetch").input("two")?]).await?;
    let task = pages.iter().fold(NewTask::new("count"), |task, page| task.depends_on(&page.task_id));
    println!("{}", client.run::<String>(task).await?);

    agent.drain();
    agent.join().await
}

async fn fetch(_: Context, page: String) -> Result<&'static str, TaskError> {
    match page.as_str() {
        "one" => Ok("Hello, world"),
        "two" => Ok("again"),
        _ => Err(TaskError::new(format!("no such page: {page}")).of_type("NotFound").permanent()),
    }
}

async fn count(ctx: Context, _: String) -> Result<String, TaskError> {
    let pages = ctx.dependencies().await?;
    let texts: Vec<String> = pages.iter().map(|page| page.value()).collect::<Result<_, _>>()?;
    let words: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    Ok(format!("{words} words in {} pages", texts.len()))
}
