//! Measures how many durable tasks a second go through this SDK, and how long one takes that has the system for itself. Each
//! SDK has this program, with the same arguments and output; `cargo xtask throughput` runs them. The server is
//! `CALLBOARD_ADDRESS`.
//!
//! `throughput agent --slots N` handles the tasks. `throughput client --tasks N --in-flight N --idle N` submits them, and prints a
//! line of JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard::{Agent, Client, Context, NewTask, TaskError, v1};
use futures::future::try_join_all;
use tokio::time::Instant;

const TYPE: &str = "noop";

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((role, options)) if role == "agent" => agent(number(options, "--slots", 1)?).await,
        Some((role, options)) if role == "client" => {
            let tasks = number(options, "--tasks", 20_000)?;
            client(tasks, number(options, "--in-flight", 64)?, number(options, "--idle", 200)?).await
        }
        _ => Err("usage: throughput agent --slots N | client --tasks N --in-flight N --idle N".into()),
    }
}

/// The number behind an option; the default without it.
fn number<T: std::str::FromStr>(options: &[String], name: &str, default: T) -> Result<T, Failure> {
    let Some(at) = options.iter().position(|option| option == name) else { return Ok(default) };
    let value = options.get(at + 1).and_then(|value| value.parse().ok());
    value.ok_or_else(|| format!("{name} needs a number").into())
}

/// Does nothing with each task, until it is told to stop.
async fn agent(slots: i32) -> Result<(), Failure> {
    let noop = |_: Context, _: v1::Payload| async { Ok::<_, TaskError>(v1::Payload::default()) };
    Ok(Agent::builder("throughput").slots(slots).handle_payload(TYPE, noop).run().await?)
}

async fn client(tasks: usize, in_flight: usize, idle: usize) -> Result<(), Failure> {
    let client = Client::from_env()?;
    // What is done once, connecting above all, is no part of it.
    run(&client).await?;
    let tasks_per_second = throughput(&client, tasks, in_flight).await?;
    let mut times = Vec::with_capacity(idle);
    for _ in 0..idle {
        let began = Instant::now();
        run(&client).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!(
        r#"{{"sdk":"rust","tasks_per_second":{tasks_per_second:.0},"idle_p50_ms":{:.3},"idle_p99_ms":{:.3},"tasks":{tasks},"in_flight":{in_flight}}}"#,
        milliseconds(&times, 50),
        milliseconds(&times, 99),
    );
    Ok(())
}

/// So many tasks, of which so many are under way at any time.
async fn throughput(client: &Client, tasks: usize, in_flight: usize) -> Result<f64, Failure> {
    let begun = Arc::new(AtomicUsize::new(0));
    let submitters = (0..in_flight).map(|_| {
        let (client, begun) = (client.clone(), Arc::clone(&begun));
        async move {
            while begun.fetch_add(1, Ordering::Relaxed) < tasks {
                run(&client).await?;
            }
            Ok::<_, callboard::Error>(())
        }
    });
    let began = Instant::now();
    try_join_all(submitters).await?;
    Ok(tasks as f64 / began.elapsed().as_secs_f64())
}

async fn run(client: &Client) -> Result<(), callboard::Error> {
    let ended = client.run_until_ended(NewTask::new(TYPE), None).await?;
    match ended.state() {
        v1::TaskState::Completed => Ok(()),
        _ => Err(callboard::Error::TaskFailed(Box::new(ended))),
    }
}

/// The percentile of sorted times; nothing of none.
fn milliseconds(sorted: &[Duration], percentile: usize) -> f64 {
    let rank = (sorted.len() * percentile).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
