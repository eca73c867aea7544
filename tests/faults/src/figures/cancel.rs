//! How soon a handler is told to stop whose task is cancelled at another replica.

use super::{Outcome, replicas};
use callboard::{Agent, Client, Context, NewTask, TaskError};
use callboard_tests::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What it is to be within.
const WITHIN: u64 = 250;
/// Tasks of a round, between each two replicas; one after the other, while those between other replicas go on.
const TASKS: usize = 10;

/// What handlers say: that they run, and when they were told to stop.
#[derive(Debug, Default)]
struct Heard {
    began: bool,
    told: Option<oneshot::Sender<Instant>>,
}

type Handlers = Arc<Mutex<BTreeMap<String, Heard>>>;

/// Between each two of three replicas.
pub async fn across(rounds: u32) -> Outcome {
    let system = replicas().await;
    let handlers = Handlers::default();
    let (mut agents, mut between) = (Vec::new(), JoinSet::new());
    for (place, server) in system.servers.iter().enumerate() {
        let heard = handlers.clone();
        let handler = move |context: Context, _: Value| {
            let heard = heard.clone();
            async move { until_told(&heard, &context).await }
        };
        let agent = Agent::builder("cancel").client(&server.client()).slots(8).own_thread(true);
        let mut agent = agent.handle(task_type(place), handler).spawn().expect("an agent starts");
        wait::soon("an agent to attach", agent.attached()).await.expect("an agent attaches");
        agents.push(agent);
        for (_, asked) in system.servers.iter().enumerate().filter(|(other, _)| *other != place) {
            let times = rounds as usize * TASKS;
            between.spawn(cancel_some(asked.client(), task_type(place), times, handlers.clone()));
        }
    }
    let mut lengths = Vec::new();
    while let Some(measured) = between.join_next().await {
        lengths.extend(measured.expect("tasks are cancelled"));
    }
    for agent in agents {
        agent.drain();
        wait::soon("an agent's end", agent.join()).await.expect("an agent ends in an orderly way");
    }
    Outcome::of("cancel", Some(WITHIN), lengths)
}

/// Done by the agent of one replica alone.
fn task_type(place: usize) -> String {
    format!("figures.cancel.{place}")
}

async fn cancel_some(client: Client, task_type: String, times: usize, handlers: Handlers) -> Vec<Duration> {
    let mut lengths = Vec::new();
    for _ in 0..times {
        let id = client.create(NewTask::new(&task_type)).await.expect("a task is taken in").task_id;
        wait::look("its handler", || async { entry(&handlers, &id, |heard| heard.began.then_some(())) }).await;
        let (told, heard) = oneshot::channel();
        entry(&handlers, &id, |handler| handler.told = Some(told));
        let asked = Instant::now();
        client.cancel(&id, "measured").await.expect("it is cancelled");
        let told = wait::soon("its handler to be told", heard).await.expect("its handler says so");
        lengths.push(told.duration_since(asked));
        // So that the replicas' looks, which are a second apart, are met at any time.
        sleep(Duration::from_millis(37)).await;
    }
    lengths
}

async fn until_told(handlers: &Handlers, context: &Context) -> Result<String, TaskError> {
    entry(handlers, context.task_id(), |heard| heard.began = true);
    context.cancelled().await;
    let now = Instant::now();
    if let Some(told) = entry(handlers, context.task_id(), |heard| heard.told.take()) {
        let _ = told.send(now);
    }
    Err(TaskError::cancelled())
}

fn entry<T>(handlers: &Handlers, task: &str, act: impl FnOnce(&mut Heard) -> T) -> T {
    let mut all = handlers.lock().unwrap_or_else(PoisonError::into_inner);
    act(all.entry(task.to_owned()).or_default())
}
