//! One task with very many dependents completes: what do unrelated submitters feel of it?
//!
//! Four of them submit one task at a time throughout. The dependents have agents of their own, which attach when all
//! dependents are READY: so the release is seen apart from the load that the dependents are.

use std::collections::HashSet;
use std::time::Duration;

use callboard::v1::TaskState;
use callboard::{Client, EventStream, NewTask, Receipt};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::agent::TASK;
use super::args::{Amounts, Part, SetupArgs};
use super::error::Error;
use super::figures::{Figures, Latencies, round};
use super::report::Report;
use super::submit::{INPUT, check};
use super::verify::{Expected, Verifier};
use super::world::{self, World};
use super::{events, fill};

/// Unrelated submitters.
const SUBMITTERS: usize = 4;
/// What dependents are, so that their agents can be chosen.
const DEPENDENT: &str = "bench.dependent";

/// A task of an unrelated submitter.
struct Submitted {
    id: Uuid,
    known: Instant,
    latency: Duration,
}

/// Between these the dependents were released, and done.
struct Course {
    released_from: Instant,
    released: Instant,
    done: Instant,
}

/// Measures it, and verifies every task.
pub async fn measure(
    world: &mut World,
    setup: &SetupArgs,
    amounts: &Amounts,
    report: &mut Report,
) -> Result<Figures, Error> {
    let client = world.client.clone();
    let mark = events::mark(&client).await?;
    let root = client.create(NewTask::new(TASK).input(INPUT)?.hold()).await?;
    let dependent = NewTask::new(DEPENDENT).input(INPUT)?.depends_on(&root.task_id);
    let dependents = fill::create(&client, &dependent, amounts.dependents).await?;

    let stop = CancellationToken::new();
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        submitters.spawn(submit(client.clone(), stop.clone()));
    }
    sleep(amounts.phase).await;
    let course = complete(world, setup, &root, &dependents).await?;
    sleep(amounts.phase).await;
    stop.cancel();

    let mut verifier = Verifier::default();
    verifier.expect(world::parse(&root.task_id)?, Expected::AT_ONCE);
    fill::expect_all(&mut verifier, &dependents)?;
    let mut submitted = Vec::new();
    while let Some(some) = submitters.join_next().await {
        submitted.extend(some.map_err(|_| Error::Interrupted)??);
    }
    submitted.iter().for_each(|task| verifier.expect(task.id, Expected::AT_ONCE));
    let verified = events::verify(&client, &mark, verifier).await?;

    let began = course.released_from - amounts.phase;
    let phase = |from, to| figures(&submitted, from, to);
    for (name, from, to) in [
        ("before", began, course.released_from),
        ("working_off", course.released, course.done),
        ("after", course.done, course.done + amounts.phase),
    ] {
        report.add(&format!("{}.{name}", Part::Dependents.key()), phase(from, to));
    }
    let release = course.released - course.released_from;
    let working_off = course.done - course.released;
    let rate = dependents.len() as f64 / working_off.as_secs_f64();
    Ok(phase(course.released_from, course.released)
        .with_verified(verified)
        .with_value("dependents", json!(dependents.len()))
        .with_value("release_s", json!(round(release.as_secs_f64())))
        .with_value("working_off_s", json!(round(working_off.as_secs_f64())))
        .with_value("working_off_tasks_per_s", json!(round(rate))))
}

/// Lets the task complete; waits until its dependents are READY, and then until agents have done them.
async fn complete(
    world: &mut World,
    setup: &SetupArgs,
    root: &Receipt,
    dependents: &[Receipt],
) -> Result<Course, Error> {
    let client = world.client.clone();
    let ids = || dependents.iter().map(|receipt| world::parse(&receipt.task_id)).collect::<Result<HashSet<_>, _>>();
    let (waiting, working) = (ids()?, ids()?);
    let mark = events::mark(&client).await?;
    let mut events = events::since(&client, &mark);
    let released_from = Instant::now();
    client.release(&root.task_id).await?;
    all_are(TaskState::Ready, &mut events, waiting).await?;
    let released = Instant::now();
    world.add_agents_for("dependents", DEPENDENT, setup).await?;
    all_are(TaskState::Completed, &mut events, working).await?;
    Ok(Course { released_from, released, done: Instant::now() })
}

async fn all_are(state: TaskState, events: &mut EventStream, mut missing: HashSet<Uuid>) -> Result<(), Error> {
    while !missing.is_empty() {
        let event = events::next(events).await?;
        if event.state() == state {
            missing.remove(&world::parse(&event.task_id)?);
        }
    }
    Ok(())
}

async fn submit(client: Client, stop: CancellationToken) -> Result<Vec<Submitted>, Error> {
    let mut submitted = Vec::new();
    while !stop.is_cancelled() {
        let sent = Instant::now();
        let task = client.run_until_ended(NewTask::new(TASK).input(INPUT)?, None).await?;
        let known = Instant::now();
        check(&task)?;
        submitted.push(Submitted { id: world::parse(&task.id)?, known, latency: known - sent });
    }
    Ok(submitted)
}

/// Of the tasks that were under way within this time.
fn figures(submitted: &[Submitted], from: Instant, to: Instant) -> Figures {
    let mut latencies = Latencies::new();
    let within = submitted.iter().filter(|task| task.known >= from && task.known - task.latency < to);
    within.for_each(|task| latencies.record(task.latency));
    Figures::of(&latencies, to - from).with_rate(latencies.count(), to - from)
}
