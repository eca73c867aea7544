//! Rules on what was asked and answered.

use super::{Findings, Observed, Rule};
use crate::load::history::{Creation, History, MARKER, Steering};
use callboard::v1;
use callboard::v1::EventType as E;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    let by_marker = by_marker(observed);
    let nobody = Vec::new();
    for creation in &history.creations {
        let made = by_marker.get(creation.marker.as_str()).unwrap_or(&nobody);
        acknowledged_tasks(creation, observed, findings);
        one_answer(&creation.marker, &creation.answers, findings);
        number_made(creation, made, findings);
    }
    nothing_invented(history, &by_marker, findings);
    for cancel in &history.cancels {
        one_answer(&cancel.task_id, &cancel.answers, findings);
        cancel_holds(cancel, observed, findings);
    }
    retries_hold(&history.retries, observed, findings);
}

/// The ids of the tasks of each creation.
fn by_marker(observed: &Observed) -> BTreeMap<&str, Vec<&str>> {
    let mut by_marker: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, seen) in observed.tasks.iter().filter(|(_, seen)| seen.task.parent.is_none()) {
        let marker = seen.task.spec.as_ref().and_then(|spec| spec.metadata.get(MARKER));
        by_marker.entry(marker.map_or("", String::as_str)).or_default().push(id);
    }
    by_marker
}

fn acknowledged_tasks(creation: &Creation, observed: &Observed, findings: &mut Findings) {
    for answer in &creation.answers {
        let complete = answer.len() == creation.specs.len();
        findings.demand(complete, Rule::AllOrNone, &creation.marker, || format!("it has {} receipts", answer.len()));
        for (receipt, asked) in answer.iter().zip(&creation.specs) {
            let id = &receipt.task_id;
            let Some(seen) = observed.tasks.get(id) else {
                findings.add(Rule::NothingLost, id, format!("{} got it as a receipt, and it is gone", creation.marker));
                continue;
            };
            let kept = seen.task.spec.clone().unwrap_or_default();
            let same = if receipt.existing { kept.key == asked.key } else { as_asked(&kept, asked) };
            findings.demand(same, Rule::NothingLost, id, || {
                format!("{} asked for {asked:?}, and it is {kept:?}", creation.marker)
            });
        }
    }
}

/// Whether a task is what was asked, in all that nobody changes and no default fills.
fn as_asked(kept: &v1::TaskSpec, asked: &v1::TaskSpec) -> bool {
    kept.r#type == asked.r#type
        && kept.description == asked.description
        && kept.input == asked.input
        && kept.key == asked.key
        && kept.metadata == asked.metadata
        && kept.dependencies.iter().map(in_full).eq(asked.dependencies.iter().map(in_full))
}

/// A dependency with what goes without saying.
fn in_full(dependency: &v1::Dependency) -> v1::Dependency {
    use v1::{DependencyCondition as C, DependencyFailureAction as Action};
    let condition = if dependency.condition() == C::Unspecified { C::Completed } else { dependency.condition() };
    let on_failure =
        if dependency.on_failure() == Action::Unspecified { Action::Skip } else { dependency.on_failure() };
    v1::Dependency { condition: condition.into(), on_failure: on_failure.into(), ..dependency.clone() }
}

/// All answers to one request are the same.
fn one_answer<T: PartialEq + std::fmt::Debug>(about: &str, answers: &[T], findings: &mut Findings) {
    for pair in answers.windows(2) {
        findings.demand(pair[0] == pair[1], Rule::RepeatedOnce, about, || {
            format!("the same request was answered with {:?}, then with {:?}", pair[0], pair[1])
        });
    }
}

fn number_made(creation: &Creation, made: &[&str], findings: &mut Findings) {
    let (marker, asked) = (&creation.marker, creation.specs.len());
    let say = || format!("{} of {asked} tasks exist: {made:?}", made.len());
    if let Some(answer) = creation.answers.first() {
        let new: BTreeSet<&str> =
            answer.iter().filter(|receipt| !receipt.existing).map(|receipt| receipt.task_id.as_str()).collect();
        let made: BTreeSet<&str> = made.iter().copied().collect();
        let more = made.difference(&new).count();
        findings.demand(more == 0, Rule::RepeatedOnce, marker, || format!("{more} more than its receipts: {}", say()));
        return;
    }
    if let Some(why) = &creation.refused {
        // Of a call that is tried again it is the last try that was refused. One before it, which waited at another server, may be carried
        // out behind that: but never has it refused itself.
        let by_itself = made.iter().any(|id| why.contains(id));
        let explained = made.is_empty() || (creation.with_request_id && !by_itself);
        findings.demand(explained, Rule::AllOrNone, marker, || format!("it was refused ({why}), but {}", say()));
    }
    // Of an unknown outcome those with a key may have been answered with tasks that existed.
    let keyed = creation.specs.iter().filter(|spec| !spec.key.is_empty()).count();
    let all_or_none = made.is_empty() || (asked - keyed..=asked).contains(&made.len());
    findings.demand(all_or_none, Rule::AllOrNone, marker, say);
}

fn nothing_invented(history: &History, by_marker: &BTreeMap<&str, Vec<&str>>, findings: &mut Findings) {
    let asked: BTreeSet<&str> = history.creations.iter().map(|creation| creation.marker.as_str()).collect();
    for (marker, ids) in by_marker.iter().filter(|(marker, _)| !asked.contains(*marker)) {
        findings.add(Rule::NothingInvented, ids[0], format!("nobody asked for it, as {marker:?}"));
    }
}

/// What had ended stays as it was; anything else ends CANCELLED, in the run that the receipt names.
fn cancel_holds(cancel: &Steering, observed: &Observed, findings: &mut Findings) {
    use v1::TaskState as S;
    let Some(receipt) = cancel.answers.first() else { return };
    let Some(seen) = observed.tasks.get(&cancel.task_id) else {
        return findings.add(Rule::NothingLost, &cancel.task_id, "it was cancelled, and is gone");
    };
    let wanted = match receipt.state() {
        ended @ (S::Completed | S::Failed | S::Skipped) => ended,
        _ => S::Cancelled,
    };
    let ended = seen.end_of(receipt.run).map(v1::Event::state);
    findings.demand(ended == Some(wanted), Rule::CancelHolds, &cancel.task_id, || {
        format!("run {} was to end {wanted:?}, as {receipt:?} says, and ended {ended:?}", receipt.run)
    });
}

fn retries_hold(retries: &[Steering], observed: &Observed, findings: &mut Findings) {
    let mut opened = BTreeSet::new();
    for retry in retries {
        one_answer(&retry.task_id, &retry.answers, findings);
        let Some(receipt) = retry.answers.first() else { continue };
        let events = observed.tasks.get(&retry.task_id).map(|seen| seen.events.as_slice()).unwrap_or_default();
        let has_run = events.iter().any(|event| event.r#type() == E::RunOpened && event.run == receipt.run);
        findings.demand(has_run, Rule::RetryHolds, &retry.task_id, || format!("it has no run {}", receipt.run));
        let first = opened.insert((&retry.task_id, receipt.run));
        findings.demand(first, Rule::RetryHolds, &retry.task_id, || format!("two requests opened run {}", receipt.run));
    }
}
