//! One task at a time on an idle server: how long until the handler begins, and until the submitter knows the result.

use std::time::Duration;

use callboard::NewTask;
use tokio::time::Instant;

use super::agent::TASK;
use super::args::Amounts;
use super::error::Error;
use super::figures::{Figures, Latencies};
use super::submit::{INPUT, check};
use super::verify::{Expected, Verifier};
use super::world::{self, World};
use super::{clock, events};

/// Tasks before those that count, at most.
const WARM_UP: u64 = 200;

/// Both latencies of the same tasks.
#[derive(Debug, Clone)]
pub struct Idle {
    /// From the call to the result, in the submitter.
    pub whole: Figures,
    /// From the call in the submitter to the begin of the handler in the agent.
    pub dispatch: Figures,
}

/// Measures it, and verifies every task.
pub async fn measure(world: &World, amounts: &Amounts) -> Result<Idle, Error> {
    let mark = events::mark(&world.client).await?;
    let mut verifier = Verifier::default();
    submit(world, WARM_UP.min(amounts.latency_tasks), &mut verifier).await?;
    let before = world.usages();
    let began = Instant::now();
    let (whole, dispatch) = submit(world, amounts.latency_tasks, &mut verifier).await?;
    let took = began.elapsed();
    let after = world.usages();
    let verified = events::verify(&world.client, &mark, verifier).await?;
    let figures = |latencies: &Latencies| Figures::of(latencies, took).with_verified(verified);
    Ok(Idle { whole: figures(&whole).with_usages(&before, &after), dispatch: figures(&dispatch) })
}

async fn submit(world: &World, tasks: u64, verifier: &mut Verifier) -> Result<(Latencies, Latencies), Error> {
    let (mut whole, mut dispatch) = (Latencies::new(), Latencies::new());
    for _ in 0..tasks {
        let task = NewTask::new(TASK).input(INPUT)?;
        let sent = clock::nanoseconds();
        let task = world.client.run_until_ended(task, None).await?;
        let known = clock::nanoseconds();
        let handler = check(&task)?;
        verifier.expect(world::parse(&task.id)?, Expected::AT_ONCE);
        whole.record(Duration::from_nanos(known.saturating_sub(sent)));
        dispatch.record(Duration::from_nanos(handler.saturating_sub(sent)));
    }
    Ok((whole, dispatch))
}
