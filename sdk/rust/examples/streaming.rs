//! Output: a handler gives it word by word, and a client shows it as it comes. Start a server (`callboard serve`), then
//! `cargo run --example streaming`.

use std::time::Duration;

use callboard::{Agent, Client, Context, NewTask, OutputQuery, TaskError};

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("narrator").handle("tell", tell).spawn()?;

    let client = Client::from_env()?;
    let task = client.create(NewTask::new("tell").input("To be, or not to be")?).await?;
    let mut output = client.watch_output(OutputQuery::task(&task.task_id));
    while let Some(chunk) = output.next().await? {
        print!("{}", chunk.value::<String>()?);
    }
    println!();
    println!("{} words", client.result::<usize>(&task.task_id, None).await?);

    agent.drain();
    agent.join().await
}

async fn tell(ctx: Context, text: String) -> Result<usize, TaskError> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    for word in &words {
        ctx.output(word).await?;
        // As a model does that thinks about the next.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(words.len())
}
