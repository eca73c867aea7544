//! Agents of the Rust SDK, in this process: they outlive the server's deaths.

use super::history::{Child, Recorder, Running, Said};
use super::work::{ASKED_TO_FAIL, SDK, Work, resources, result_of, text_of};
use super::{Reach, Size};
use callboard::{Agent, AgentHandle, Context, Error, NewTask, TaskError};
use serde_json::Value;
use std::sync::Arc;

/// How a handler that was told to stop fails.
const CANCELLED: &str = "callboard.cancelled";
/// How one fails whose children could not be created, or waited for.
const CHILDLESS: &str = "Childless";

/// Starts one.
pub(super) fn start(
    reach: &Reach,
    name: String,
    size: &Size,
    recorder: &Arc<Recorder>,
) -> callboard::Result<AgentHandle> {
    let (recorder, agent) = (recorder.clone(), name.clone());
    let has = resources(size);
    recorder.declares(&name, &has);
    if size.families {
        recorder.history().slots.insert(name.clone(), size.slots);
    }
    let handler = move |context: Context, work: Value| {
        let (recorder, agent) = (recorder.clone(), agent.clone());
        async move { handle(&recorder, &agent, context, Work::read(&work)).await }
    };
    let agent = Agent::builder("load").client(&reach.client(size.call)).own_thread(reach.own_threads);
    let agent = has.into_iter().fold(agent, |agent, (resource, amount)| agent.resource(resource, amount));
    agent.name(name).slots(size.slots).handle(SDK, handler).spawn()
}

async fn handle(recorder: &Recorder, agent: &str, context: Context, work: Work) -> Result<String, TaskError> {
    let running = recorder.run(context.task_id(), context.attempt(), agent);
    let seen = context.dependencies().await.map_err(TaskError::from)?;
    let told = |seen: &callboard::Dependency| seen.payload().map(|payload| text_of(Some(payload)).to_owned());
    running.saw(seen.iter().map(|seen| (seen.task_id().to_owned(), seen.state(), told(seen))).collect());
    if work.checkpoint {
        // A cancellation or the server's absence may be in its way; the outcome doesn't hang on it.
        let _ = tokio::time::timeout(work.length(), context.save_checkpoint("half way")).await;
    }
    context.progress(0.5, "executing", "half way");
    give_output(&running, &context, work).await;
    if let Err(error) = raise(&running, &context, work).await {
        running.gives(Said::Failed(CHILDLESS.to_owned()));
        return Err(TaskError::new(error.to_string()).of_type(CHILDLESS));
    }
    tokio::select! {
        () = tokio::time::sleep(work.length()) => {}
        () = context.cancelled(), if work.obeys => {
            running.gives(Said::Failed(CANCELLED.to_owned()));
            return Err(TaskError::cancelled());
        }
    }
    if work.fails(context.attempts_used()) {
        running.gives(Said::Failed(ASKED_TO_FAIL.to_owned()));
        return Err(TaskError::new("as asked").of_type(ASKED_TO_FAIL));
    }
    let result = result_of(context.task_id(), context.attempt(), agent);
    running.gives(Said::Completed(result.clone()));
    Ok(result)
}

/// Gives output piece by piece. An attempt that is lost can't, and is told so when it ends.
async fn give_output(running: &Running<'_>, context: &Context, work: Work) {
    for number in 0..work.output {
        let text = format!("{} attempt {} piece {number};", context.task_id(), context.attempt());
        running.outputs(&text);
        if context.output(&text).await.is_err() {
            return;
        }
    }
}

/// Creates children, and waits for all of them, however they end.
async fn raise(running: &Running<'_>, context: &Context, work: Work) -> Result<(), Error> {
    let mut children = Vec::new();
    for occurrence in 0..work.children {
        let child = NewTask::new(SDK).input_payload(work.of_child(occurrence).to_input());
        let child = context.start_child(child).await?;
        let (parent, run) = (context.task_id().to_owned(), context.run());
        running.has_child(Child { parent, run, occurrence, task_id: child.id().to_owned() });
        children.push(child);
    }
    for child in children {
        child.wait().await?;
    }
    Ok(())
}
