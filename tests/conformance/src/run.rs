//! Runs scenarios: some beside each other, each in its own namespace. Proxies live in the same runtime, which has more threads than there are
//! cores for that: what reads a large output, in a build that is not optimized, must not make other scenarios' streams stand still.

use crate::proxy::record::Entry;
use crate::report::{Row, Verdict};
use crate::scenario::{Scenario, Step};
use crate::sdk::Sdk;
use crate::stage::Stage;
use crate::steps;
use crate::value::short;
use crate::world::World;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// More than the slowest takes.
const LONGEST: Duration = Duration::from_secs(90);
/// The same of those that wait for limits of their own, and of those that do more than others.
const LONGER: Duration = Duration::from_secs(600);
/// How many of those that only wait do so beside the others.
const WAITING: usize = 16;

/// Runs all scenarios with all SDKs, so many beside each other, and gives a row for each, which is told as soon as it is there.
pub async fn all(
    stage: Arc<Stage>,
    scenarios: &[Scenario],
    sdks: &[Sdk],
    beside: usize,
    tell: impl Fn(&Row),
) -> Vec<Row> {
    let places = Arc::new(Semaphore::new(beside.max(1)));
    let seats = Arc::new(Semaphore::new(WAITING));
    let mut running = JoinSet::new();
    let mut number = 0;
    for scenario in scenarios {
        for sdk in sdks {
            number += 1;
            let places = if scenario.waits { seats.clone() } else { places.clone() };
            let (stage, scenario, sdk) = (stage.clone(), scenario.clone(), *sdk);
            running.spawn(async move {
                let _place = places.acquire_owned().await;
                let began = Instant::now();
                let verdict = isolated(stage, sdk, scenario.clone(), number).await;
                Row { scenario: scenario.name, sdk, verdict, took: began.elapsed() }
            });
        }
    }
    let mut rows = Vec::new();
    while let Some(row) = running.join_next().await {
        if let Ok(row) = row {
            tell(&row);
            rows.push(row);
        }
    }
    rows
}

/// The harness of servers panics when it can't do its part: that is a failure like others.
async fn isolated(stage: Arc<Stage>, sdk: Sdk, scenario: Scenario, number: usize) -> Verdict {
    let limit = if scenario.long || scenario.waits { LONGER } else { LONGEST };
    let mut alone = JoinSet::new();
    alone.spawn(async move { one(&stage, sdk, &scenario, number).await });
    match timeout(limit, alone.join_next()).await {
        Ok(Some(Ok(Ok(())))) => Verdict::Passed,
        Ok(Some(Ok(Err(fault)))) => Verdict::Failed(fault),
        Ok(Some(Err(panic))) => Verdict::Failed(format!("the harness gave up: {panic}")),
        Ok(None) => Verdict::Failed("it was not run".to_owned()),
        Err(_) => Verdict::Failed(format!("not done within {limit:?}")),
    }
}

async fn one(stage: &Stage, sdk: Sdk, scenario: &Scenario, number: usize) -> Result<(), String> {
    let mut world = World::set_up(stage, sdk, scenario, number).await?;
    let outcome = play(&mut world, scenario).await.map_err(|fault| {
        let entries = world.wire.record.entries();
        let tail = &entries[entries.len().saturating_sub(30)..];
        let line = |entry: &Entry| format!("  {:6} ms {}", entry.at.as_millis(), short(&json!(entry.said)));
        let lines: Vec<String> = tail.iter().map(line).collect();
        format!("{fault}\n--- the last on the wire:\n{}\n{}", lines.join("\n"), world.logs())
    });
    world.clean_up().await;
    outcome
}

async fn play(world: &mut World<'_>, scenario: &Scenario) -> Result<(), String> {
    for (number, fields) in (1..).zip(&scenario.steps) {
        let step = Step::read(fields)?;
        steps::take(world, &step).await.map_err(|fault| format!("step {number}, {}: {fault}", step.verb))?;
    }
    Ok(())
}
