//! Submit and wait: so many tasks are in flight, each by a `RunTask` of its own, or all over a stream of `RunTasks`.

use std::time::Duration;

use callboard::v1::{RunTaskRequest, Task, TaskState};
use callboard::{Client, NewTask};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::agent::TASK;
use super::args::Amounts;
use super::error::Error;
use super::events;
use super::figures::{Figures, Latencies};
use super::verify::{Expected, Verifier};
use super::world::{self, World};

/// The input of every task: what a small one may have.
pub const INPUT: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The measured time.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its begin; before it is the warm-up.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
}

impl Window {
    /// Behind the warm-up.
    pub fn new(amounts: &Amounts) -> Self {
        let from = Instant::now() + amounts.warm_up;
        Self { from, to: from + amounts.window }
    }

    /// Whether this counts.
    pub fn contains(&self, at: Instant) -> bool {
        self.from <= at && at < self.to
    }
}

/// A task whose result is known.
struct Done {
    id: Uuid,
    /// None outside the measured time.
    latency: Option<Duration>,
}

/// How a task is submitted and waited for.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// By a call of its own.
    Call,
    /// As the SDK's `run` does: over a stream.
    Stream,
}

/// Measures it, and verifies every task.
pub async fn measure(world: &World, way: Way, in_flight: usize, amounts: &Amounts) -> Result<Figures, Error> {
    let mark = events::mark(&world.client).await?;
    let window = Window::new(amounts);
    let mut submitters = JoinSet::new();
    for _ in 0..in_flight {
        submitters.spawn(submit(world.client.clone(), way, window));
    }
    sleep_until(window.from).await;
    let before = world.usages();
    sleep_until(window.to).await;
    let after = world.usages();
    let mut latencies = Latencies::new();
    let mut verifier = Verifier::default();
    while let Some(seen) = submitters.join_next().await {
        let seen = seen.map_err(|_| Error::Interrupted)??;
        for done in seen {
            done.latency.into_iter().for_each(|latency| latencies.record(latency));
            verifier.expect(done.id, Expected::AT_ONCE);
        }
    }
    let took = window.to - window.from;
    let figures = Figures::of(&latencies, took).with_rate(latencies.count(), took).with_usages(&before, &after);
    Ok(figures.with_verified(events::verify(&world.client, &mark, verifier).await?))
}

async fn submit(client: Client, way: Way, window: Window) -> Result<Vec<Done>, Error> {
    let mut seen = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= window.to {
            return Ok(seen);
        }
        let task = run(&client, way).await?;
        let known = Instant::now();
        check(&task)?;
        let latency = window.contains(known).then(|| known - sent);
        seen.push(Done { id: world::parse(&task.id)?, latency });
    }
}

async fn run(client: &Client, way: Way) -> Result<Task, Error> {
    let task = NewTask::new(TASK).input(INPUT)?;
    let Way::Call = way else { return Ok(client.run_until_ended(task, None).await?) };
    let task = Some(task.spec().clone());
    let response = client.call(RunTaskRequest { task, ..RunTaskRequest::default() }).await?;
    // One that has not ended by then is found out by `check`.
    Ok(response.task.unwrap_or_default())
}

/// A task that the agents did gives the time at which its handler began.
pub fn check(task: &Task) -> Result<u64, Error> {
    let wrong = |fault: String| Error::Outcome { task: task.id.clone(), fault };
    if task.state() != TaskState::Completed {
        return Err(wrong(format!("ended {:?} instead of completing", task.state())));
    }
    let result: String = task.result.as_ref().map(callboard::from_payload).transpose()?.unwrap_or_default();
    result.parse().map_err(|_| wrong(format!("gave `{result}`, not the time at which its handler began")))
}
