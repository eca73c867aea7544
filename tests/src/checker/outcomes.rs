//! Rules on what handlers gave and agents reported.

use super::{Findings, Observed, Rule, Seen};
use crate::load::history::{History, Reported, Said, Verdict};
use crate::load::work::text_of;
use callboard::v1;
use callboard::v1::EventType as E;
use std::collections::BTreeMap;

/// How an attempt fails that was told to stop.
const CANCELLED: &str = "callboard.cancelled";

/// What handlers gave, by attempt.
type Given<'a> = BTreeMap<(&'a str, i32), Vec<&'a Said>>;

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    let given = given(history);
    for (id, seen) in &observed.tasks {
        true_outcomes(id, seen, &given, findings);
    }
    attempts_run_once(history, findings);
    tokens_differ(history, findings);
    for report in &history.reports {
        receipts_hold(report, observed, findings);
    }
}

fn given(history: &History) -> Given<'_> {
    let mut given = Given::new();
    for run in &history.runs {
        let outcomes = given.entry((&run.task_id, run.attempt)).or_default();
        outcomes.extend(&run.gave);
    }
    given
}

fn true_outcomes(id: &str, seen: &Seen, given: &Given<'_>, findings: &mut Findings) {
    for event in &seen.events {
        let said = given.get(&(id, event.attempt)).map(Vec::as_slice).unwrap_or_default();
        match event.r#type() {
            E::Completed => {
                let result = Said::Completed(text_of(seen.task.result.as_ref()).to_owned());
                findings.demand(said.contains(&&result), Rule::TrueResult, id, || {
                    format!("attempt {} gave {result:?}, its handler {said:?}", event.attempt)
                });
            }
            E::AttemptFailed => {
                let kind = event.failure.as_ref().map(|failure| failure.r#type.clone()).unwrap_or_default();
                // An agent that was told to stop a handler says so for it.
                let stopped = kind == CANCELLED && seen.has(E::CancelRequested, event.attempt);
                let failure = Said::Failed(kind);
                findings.demand(stopped || said.contains(&&failure), Rule::TrueFailure, id, || {
                    format!("attempt {} failed with {failure:?}, its handler gave {said:?}", event.attempt)
                });
            }
            _ => {}
        }
    }
    let completed = seen.task.state() == v1::TaskState::Completed;
    findings.demand(completed || seen.task.result.is_none(), Rule::TrueResult, id, || {
        format!("it is {:?}, and has a result", seen.task.state())
    });
}

fn attempts_run_once(history: &History, findings: &mut Findings) {
    let mut runs = BTreeMap::new();
    for run in &history.runs {
        *runs.entry((&run.task_id, run.attempt)).or_insert(0) += 1;
    }
    for ((id, attempt), times) in runs.into_iter().filter(|(_, times)| *times > 1) {
        findings.add(Rule::AttemptRunsOnce, id, format!("{times} handlers ran attempt {attempt}"));
    }
}

/// What agents were given: their true reports name it.
fn tokens_differ(history: &History, findings: &mut Findings) {
    let mut tokens = BTreeMap::new();
    for report in history.reports.iter().filter(|report| !report.bogus) {
        let v1::Attempt { task_id, attempt, lease_token } = &report.attempt;
        let first = *tokens.entry((task_id, lease_token)).or_insert(*attempt);
        findings.demand(first == *attempt, Rule::TokensDiffer, task_id, || {
            format!("attempts {first} and {attempt} have the same token")
        });
    }
}

fn receipts_hold(report: &Reported, observed: &Observed, findings: &mut Findings) {
    let (id, attempt) = (&report.attempt.task_id, report.attempt.attempt);
    let same = report.receipts.windows(2).all(|pair| pair[0] == pair[1]);
    findings.demand(same, Rule::ReceiptHolds, id, || {
        format!("attempt {attempt}: the same report got {:?}", report.receipts)
    });
    if !report.receipts.contains(&Verdict::Committed) {
        return;
    }
    findings.demand(!report.bogus, Rule::LiesRefused, id, || format!("attempt {attempt}: {:?} was taken", report.said));
    let shows = observed.tasks.get(id).is_some_and(|seen| shows(seen, attempt, &report.said));
    findings.demand(shows, Rule::ReceiptHolds, id, || {
        format!("attempt {attempt}: {:?} was committed, and does not show", report.said)
    });
}

/// A committed completion is the task's result, unless its cancellation had been asked for; a failure stands in the history.
fn shows(seen: &Seen, attempt: i32, said: &Said) -> bool {
    match said {
        Said::Completed(result) => {
            let completed = seen.has(E::Completed, attempt) && text_of(seen.task.result.as_ref()) == result;
            completed || (seen.has(E::CancelRequested, attempt) && seen.has(E::Cancelled, attempt))
        }
        Said::Failed(_) => seen.has(E::AttemptFailed, attempt),
    }
}
