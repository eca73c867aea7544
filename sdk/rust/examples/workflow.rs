//! A workflow: three tasks in a row, then three beside each other, then one that joins them; all are created together, and
//! each finds the results of those that it waits for by their names. Start a server (`callboard serve`), then
//! `cargo run --example workflow`.

use callboard::{Agent, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError};

#[tokio::main]
async fn main() -> Result<(), callboard::Error> {
    let agent = Agent::builder("editor")
        .slots(3)
        .handle(
            "outline",
            |_: Context, subject: String| async move { Ok::<_, TaskError>(format!("outline of {subject}")) },
        )
        .handle("draft", |ctx: Context, _: String| revised(ctx, "outline", "draft"))
        .handle("polish", |ctx: Context, _: String| revised(ctx, "draft", "polished"))
        .handle("translate", translate)
        .handle("publish", publish)
        .spawn()?;

    let client = Client::from_env()?;
    let created = client.create_workflow(book()?).await?;
    let ended = client.wait_workflow(&created.workflow_id, None).await?;
    println!("{}", client.result::<String>(&created.receipt("publish")?.task_id, None).await?);
    println!("{} of {} tasks completed", ended.completed_tasks, ended.tasks);

    agent.drain();
    agent.join().await
}

fn book() -> Result<NewWorkflow, callboard::Error> {
    let mut book = NewWorkflow::new("book")
        .task(NewWorkflowTask::new("outline", NewTask::new("outline").input("trees")?))
        .task(NewWorkflowTask::new("draft", NewTask::new("draft")).depends_on("outline"))
        .task(NewWorkflowTask::new("polish", NewTask::new("polish")).depends_on("draft"));
    let mut publish = NewWorkflowTask::new("publish", NewTask::new("publish"));
    for language in ["de", "fr", "ja"] {
        let translation = NewWorkflowTask::new(language, NewTask::new("translate").input(language)?);
        // Three times the work of each of the others: the workflow's progress counts it so.
        book = book.task(translation.depends_on("polish").weight(3));
        publish = publish.depends_on(language);
    }
    Ok(book.task(publish))
}

async fn revised(ctx: Context, from: &str, what: &str) -> Result<String, TaskError> {
    let text: String = ctx.dependency(from).await?.value()?;
    Ok(format!("{what} {text}"))
}

async fn translate(ctx: Context, language: String) -> Result<String, TaskError> {
    let text: String = ctx.dependency("polish").await?.value()?;
    Ok(format!("{text} in {language}"))
}

async fn publish(ctx: Context, _: String) -> Result<String, TaskError> {
    let translations = ctx.dependencies().await?;
    let texts: Vec<String> = translations.iter().map(|one| one.value()).collect::<Result<_, _>>()?;
    Ok(texts.join("\n"))
}
