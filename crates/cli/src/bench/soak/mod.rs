//! A constant mixed load for a long time, sampled as it goes: throughput, latency, memory, file sizes. Every history is
//! verified on the way, in memory that is bounded by what is under way.

mod load;
mod sample;

use callboard::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::agent::{FLAKY, TASK};
use super::args::SoakArgs;
use super::error::Error;
use super::verify::{Expected, Verified, Verifier};
use super::world::{Target, World};
use super::{events, machine, measure, world};
use crate::output::{self, Output};
use load::Load;
use sample::{Sample, Samples};

/// Tasks that submitters may be ahead of the events that were read. Beyond that they wait.
const AHEAD: usize = 100_000;

/// What a submitter knows of a task.
type Known = (Uuid, Expected);

/// Loads a server for as long as was asked, and writes the samples.
pub async fn run(args: &SoakArgs, target: &Target, output: &Output) -> Result<(), Error> {
    let mut world = World::start(target, &args.setup).await?;
    world.add_agents_for("worker", &format!("{TASK},{FLAKY}"), &args.setup).await?;
    let outcome = soak(args, &world).await.map_err(|error| error.with_log(world.server_log()));
    let surroundings = json!({
        "machine": machine::describe(&args.setup)?,
        "version": machine::version(),
        "settings": settings(args, target),
    });
    world.end().await;
    let (samples, verified) = outcome?;
    sample::write(output, &samples, verified, surroundings)
}

fn settings(args: &SoakArgs, target: &Target) -> serde_json::Value {
    json!({
        "server": target.name(),
        "serve_args": args.setup.serve_arg,
        "agents": args.setup.agents,
        "slots": args.setup.slots,
        "for_s": args.length.as_secs_f64(),
        "sample_s": args.sample.as_secs_f64(),
        "rate": args.rate,
        "in_flight": args.in_flight,
    })
}

async fn soak(args: &SoakArgs, world: &World) -> Result<(Vec<Sample>, Verified), Error> {
    let stop = CancellationToken::new();
    let (knows, known) = mpsc::channel(1_024);
    let mark = events::mark(&world.client).await?;
    let samples = Samples::default();
    let mut submitters = JoinSet::new();
    for number in 0..args.in_flight {
        let load = Load::new(world.client.clone(), number, args, samples.clone(), knows.clone());
        submitters.spawn(load.run(stop.clone()));
    }
    let checking = check(world.client.clone(), mark, known);
    let sampling = async {
        let samples = sample_until_over(args, world, &samples, &mut submitters).await;
        stop.cancel();
        while let Some(ended) = submitters.join_next().await {
            ended.map_err(|_| Error::Interrupted)??;
        }
        let samples = samples?;
        let last = world.client.run_until_ended(callboard::NewTask::new(TASK).input("")?, None).await?;
        // Gone only when the verifier has failed, which it then says.
        let _ = knows.send((world::parse(&last.id)?, Expected::AT_ONCE)).await;
        drop(knows);
        Ok(samples)
    };
    let (verified, samples) = tokio::try_join!(checking, sampling)?;
    Ok((samples, verified))
}

/// Samples at each interval, until the time is over or a submitter fails.
async fn sample_until_over(
    args: &SoakArgs,
    world: &World,
    samples: &Samples,
    submitters: &mut JoinSet<Result<(), Error>>,
) -> Result<Vec<Sample>, Error> {
    let began = Instant::now();
    let spinner = measure::spinner("soak");
    let mut ticks = interval_at(began + args.sample, args.sample);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken = Vec::new();
    let mut from = began;
    while began.elapsed() < args.length {
        let failed = timeout_at(began + args.length, async {
            tokio::select! {
                _ = ticks.tick() => None,
                ended = submitters.join_next() => ended,
            }
        });
        if let Ok(Some(ended)) = failed.await {
            ended.map_err(|_| Error::Interrupted)??;
        }
        let now = Instant::now();
        let sample = samples.take(world, now - began, now - from).await?;
        spinner.suspend(|| output::note(&sample.line()));
        taken.push(sample);
        from = now;
    }
    spinner.finish_and_clear();
    Ok(taken)
}

/// Verifies all events from a mark on, until nobody submits any more and nothing is open.
async fn check(client: Client, mark: String, mut known: mpsc::Receiver<Known>) -> Result<Verified, Error> {
    let mut events = events::since(&client, &mark);
    let mut verifier = Verifier::default();
    let mut submitting = true;
    while submitting || !verifier.is_done() {
        tokio::select! {
            next = known.recv(), if submitting && verifier.open() < AHEAD => match next {
                Some((task, expected)) => verifier.expect(task, expected),
                None => submitting = false,
            },
            event = events::next(&mut events) => verifier.take(&event?),
        }
        verifier.so_far().map_err(Error::Violations)?;
    }
    verifier.finish().map_err(Error::Violations)
}
