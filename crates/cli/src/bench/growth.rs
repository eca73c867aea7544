//! The same figures with many finished tasks in the store.

use indicatif::ProgressBar;
use serde_json::json;
use tokio::time::Instant;

use super::args::{Amounts, Part};
use super::error::Error;
use super::figures::{Figures, round};
use super::report::Report;
use super::world::World;
use super::{fill, measure};

/// The parts that are measured again; the first always is.
const PARTS: [Part; 4] = [Part::Unary64, Part::Unary512, Part::Batch, Part::Idle];

/// Measures what the report has already again, on a store full of finished tasks.
pub async fn measure(
    world: &World,
    amounts: &Amounts,
    bar: &ProgressBar,
    report: &mut Report,
) -> Result<Figures, Error> {
    if report.figures(Part::Unary64.key()).is_none() {
        let empty = measure::throughput(Part::Unary64, world, amounts).await?;
        report.add(&nested("empty"), empty);
    }
    let began = Instant::now();
    let filled = fill::run(&world.client, amounts.finished_tasks, |done| {
        measure::say(bar, &format!("growth: {done} of {} finished tasks", amounts.finished_tasks));
    })
    .await?;
    let took = began.elapsed();
    measure::say(bar, "growth: with finished tasks");
    let mut summary = Figures::default()
        .with_verified(filled)
        .with_value("finished_tasks", json!(filled.tasks))
        .with_value("fill_s", json!(round(took.as_secs_f64())))
        .with_value("fill_tasks_per_s", json!(round(filled.tasks as f64 / took.as_secs_f64())));
    if let Some((database, log)) = world.file_sizes() {
        summary = summary.with_value("database_bytes", json!(database + log));
    }
    for part in PARTS {
        let before = report.figures(part.key()).or_else(|| report.figures(&nested("empty")));
        // Only what was measured empty can be compared.
        let Some(empty) = before.filter(|_| part == Part::Unary64 || report.figures(part.key()).is_some()).cloned()
        else {
            continue;
        };
        let full = measure::throughput(part, world, amounts).await?;
        let ratio = ratio(&empty, &full);
        if part == Part::Unary64 {
            summary = summary.with_value("ratio", json!(ratio));
        }
        report.add(&nested(part.key()), full.with_value("ratio", json!(ratio)));
    }
    Ok(summary)
}

fn nested(name: &str) -> String {
    format!("{}.{name}", Part::Growth.key())
}

/// How much of the empty store's speed is left: of the throughput, or, where there is none, of the median latency.
fn ratio(empty: &Figures, full: &Figures) -> Option<f64> {
    match (empty.tasks_per_s, full.tasks_per_s) {
        (Some(empty), Some(full)) => (empty > 0.0).then(|| round(full / empty)),
        _ => Some(round(empty.p50_ms? / full.p50_ms?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_one_is_slower() {
        let rate = |tasks_per_s| Figures { tasks_per_s: Some(tasks_per_s), p50_ms: Some(1.0), ..Figures::default() };
        assert_eq!(ratio(&rate(100.0), &rate(80.0)), Some(0.8));
        let latency = |p50_ms| Figures { p50_ms: Some(p50_ms), ..Figures::default() };
        assert_eq!(ratio(&latency(1.0), &latency(2.0)), Some(0.5));
        assert_eq!(ratio(&Figures::default(), &latency(2.0)), None);
        assert_eq!(ratio(&rate(0.0), &rate(80.0)), None, "nothing came of it in time");
    }
}
