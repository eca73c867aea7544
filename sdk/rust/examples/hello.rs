//! An agent and a client in one program. Start a server (`callboard serve`), then `cargo run --example hello`.

use callboard::{Agent, Client, Context, NewTask, TaskError};

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("greeter").handle("greet", greet).spawn()?;

    let client = Client::from_env()?;
    let greeting: String = client.run(NewTask::new("greet").input("Ada")?).await?;
    println!("{greeting}");

    agent.drain();
    agent.join().await
}

async fn greet(ctx: Context, name: String) -> Result<String, TaskError> {
    ctx.progress(0.5, "executing", "thinking of a greeting");
    Ok(format!("Hello, {name}! This is attempt {} of task {}.", ctx.attempt(), ctx.task_id()))
}
