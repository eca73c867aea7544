//! Whole workflows, one at a time, as a user sees them: from the call that creates one to the answer that it has ended.

use callboard::v1::WorkflowState;
use callboard::{NewTask, NewWorkflow, NewWorkflowTask};
use serde_json::json;
use tokio::time::Instant;

use super::agent::{FIBONACCI, SLEEP};
use super::args::{Amounts, SetupArgs};
use super::error::Error;
use super::events;
use super::figures::{Figures, Latencies};
use super::fill;
use super::verify::Verifier;
use super::world::World;

/// Tasks behind each other.
const CHAIN: usize = 40;
/// How long each of them takes, in milliseconds.
const LINK_MS: usize = 10;
/// Tasks beside each other.
const FAN_OUT: usize = 400;
/// Which Fibonacci number each of them computes.
const FIBONACCI_OF: u32 = 10;
/// The agents that do them, with one slot each.
const AGENTS: u32 = 10;

/// Forty tasks of ten milliseconds, one behind the other. Done by our own agents, or by a program of the user's.
pub async fn chain(
    world: &mut World,
    setup: &SetupArgs,
    amounts: &Amounts,
    worker: Option<&str>,
) -> Result<Figures, Error> {
    match worker {
        Some(command) => world.add_worker(command).await?,
        None => world.add_agents_for("sleeper", SLEEP, setup).await?,
    }
    let link = NewTask::new(SLEEP).input(&LINK_MS)?;
    let tasks: Vec<NewWorkflowTask> = (0..CHAIN)
        .map(|place| {
            let task = NewWorkflowTask::new(name(place), link.clone());
            if place == 0 { task } else { task.depends_on(name(place - 1)) }
        })
        .collect();
    let figures = repeat(world, &tasks, amounts).await?;
    Ok(figures.with_value("bound_ms", json!(CHAIN * LINK_MS)))
}

/// Four hundred light tasks, of ten agents with one slot each.
pub async fn fan_out(world: &mut World, setup: &SetupArgs, amounts: &Amounts) -> Result<Figures, Error> {
    let setup = SetupArgs { agents: AGENTS, slots: 1, ..setup.clone() };
    world.add_agents_for("fibonacci", FIBONACCI, &setup).await?;
    let task = NewTask::new(FIBONACCI).input(&FIBONACCI_OF)?;
    let tasks: Vec<NewWorkflowTask> =
        (0..FAN_OUT).map(|place| NewWorkflowTask::new(name(place), task.clone())).collect();
    repeat(world, &tasks, amounts).await
}

/// Runs the same workflow again and again, once unmeasured before, and verifies every task.
async fn repeat(world: &World, tasks: &[NewWorkflowTask], amounts: &Amounts) -> Result<Figures, Error> {
    let mark = events::mark(&world.client).await?;
    let mut verifier = Verifier::default();
    run(world, tasks, &mut verifier).await?;
    let mut latencies = Latencies::new();
    let before = world.usages();
    let began = Instant::now();
    for _ in 0..amounts.workflows {
        let sent = Instant::now();
        run(world, tasks, &mut verifier).await?;
        latencies.record(sent.elapsed());
    }
    let took = began.elapsed();
    let done = amounts.workflows * tasks.len() as u64;
    let figures = Figures::of(&latencies, took).with_rate(done, took).with_usages(&before, &world.usages());
    let verified = events::verify(&world.client, &mark, verifier).await?;
    Ok(figures.with_verified(verified).with_value("workflows", json!(amounts.workflows)))
}

async fn run(world: &World, tasks: &[NewWorkflowTask], verifier: &mut Verifier) -> Result<(), Error> {
    let created = world.client.create_workflow(NewWorkflow::new("bench").tasks(tasks.iter().cloned())).await?;
    let workflow = world.client.wait_workflow(&created.workflow_id, None).await?;
    if workflow.state() != WorkflowState::Completed {
        let fault = format!("its workflow ended {:?} instead of completing", workflow.state());
        return Err(Error::Outcome { task: workflow.id, fault });
    }
    fill::expect_all(verifier, &created.receipts.into_values().collect::<Vec<_>>())
}

fn name(place: usize) -> String {
    format!("t{place}")
}
