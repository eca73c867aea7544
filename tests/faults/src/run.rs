//! Runs a fault, and says how it ended.

use crate::fault::{Fault, Plan};
use crate::report::{Facts, Outcome, Report};
use std::any::Any;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// A word on it.
    pub note: String,
    /// What was seen.
    pub facts: Facts,
}

/// Runs a fault as planned, to its end, whatever that is.
pub async fn run(fault: &'static dyn Fault, plan: &Plan) -> Ended {
    let report = Arc::new(Report::default());
    let mut runs = JoinSet::new();
    let (told, planned) = (report.clone(), plan.clone());
    runs.spawn(async move { fault.run(&planned, &told).await });
    if let Some(Err(error)) = runs.join_next().await {
        let said = error.try_into_panic().map_or_else(|error| error.to_string(), |payload| words(payload.as_ref()));
        report.broken(format!("the run broke off: {said}"));
    }
    let facts = report.facts();
    let (outcome, note) = facts.outcome(plan.rounds, u64::from(plan.rounds) * fault.operations_per_round());
    Ended { outcome, note, facts }
}

/// What a panic says.
fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref().copied());
    text.unwrap_or("a panic without words").to_owned()
}
