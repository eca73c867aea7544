//! Rules on the history of one task alone.

use super::observed::{at, is_attempt_end, is_end};
use super::{Findings, Observed, Rule, Seen};
use callboard::v1;
use callboard::v1::EventType as E;
use std::collections::BTreeMap;

pub(super) fn check(observed: &Observed, findings: &mut Findings) {
    for (id, seen) in &observed.tasks {
        every_task_ends(id, seen, findings);
        gapless(id, seen, findings);
        one_end_per_run(id, seen, findings);
        one_lease(id, seen, findings);
        state_is_history(id, seen, findings);
    }
    one_live_per_key(observed, findings);
}

fn every_task_ends(id: &str, seen: &Seen, findings: &mut Findings) {
    use v1::TaskState as S;
    let state = seen.task.state();
    let ended = matches!(state, S::Completed | S::Failed | S::Cancelled | S::Skipped);
    findings.demand(ended, Rule::EveryTaskEnds, id, || format!("it still is {}", state.as_str_name()));
}

fn gapless(id: &str, seen: &Seen, findings: &mut Findings) {
    let sequences: Vec<i64> = seen.events.iter().map(|event| event.sequence).collect();
    let wanted = (1..).take(sequences.len());
    let holds = !sequences.is_empty() && sequences.iter().copied().eq(wanted);
    findings.demand(holds, Rule::Gapless, id, || format!("the sequence is {sequences:?}"));
}

fn one_end_per_run(id: &str, seen: &Seen, findings: &mut Findings) {
    let mut run = 1;
    let mut ended = false;
    for event in &seen.events {
        let place = || format!("event {} ({})", event.sequence, event.r#type().as_str_name());
        if event.r#type() == E::RunOpened {
            findings
                .demand(ended, Rule::OneEndPerRun, id, || format!("{} opens a run before run {run} ended", place()));
            run += 1;
            ended = false;
        } else {
            findings
                .demand(!ended, Rule::OneEndPerRun, id, || format!("{} comes behind the end of run {run}", place()));
            ended = is_end(event);
        }
        findings.demand(event.run == run, Rule::OneEndPerRun, id, || format!("{} is of run {}", place(), event.run));
    }
}

fn one_lease(id: &str, seen: &Seen, findings: &mut Findings) {
    let mut leased = None;
    let mut last = 0;
    for event in &seen.events {
        let attempt = event.attempt;
        if event.r#type() == E::Assigned {
            findings.demand(leased.is_none(), Rule::OneLease, id, || {
                format!("attempt {attempt} is leased while attempt {} is", leased.unwrap_or_default())
            });
            findings.demand(attempt == last + 1, Rule::AttemptsRise, id, || {
                format!("attempt {attempt} comes behind attempt {last}")
            });
            (leased, last) = (Some(attempt), attempt);
        } else if is_attempt_end(event) || event.r#type() == E::Started || event.r#type() == E::Completed {
            findings.demand(leased == Some(attempt), Rule::OneLease, id, || {
                format!("event {} is of attempt {attempt}, which is not leased", event.sequence)
            });
        }
        if is_attempt_end(event) || is_end(event) {
            leased = None;
        }
    }
}

fn state_is_history(id: &str, seen: &Seen, findings: &mut Findings) {
    let Some(last) = seen.events.last() else { return };
    let told = (seen.task.state(), seen.task.run, seen.task.attempt);
    let happened = (last.state(), last.run, last.attempt);
    findings.demand(told == happened, Rule::StateIsHistory, id, || {
        format!("the task says {told:?}, its last event {happened:?}")
    });
}

/// From when until when a task was live, and which.
type Life<'a> = (i128, i128, &'a str);

fn one_live_per_key(observed: &Observed, findings: &mut Findings) {
    let mut by_key: BTreeMap<&str, Vec<Life<'_>>> = BTreeMap::new();
    for (id, seen) in &observed.tasks {
        let key = seen.task.spec.as_ref().map_or("", |spec| spec.key.as_str());
        if !key.is_empty() {
            by_key.entry(key).or_default().extend(lives(id, seen));
        }
    }
    for (key, lives) in &mut by_key {
        lives.sort_unstable();
        for pair in lives.windows(2) {
            let ((_, _, first), (_, _, second)) = (pair[0], pair[1]);
            // Where clocks are apart, the later one may seem to have begun first.
            let is_apart = is_behind(observed, pair[0], pair[1]) || is_behind(observed, pair[1], pair[0]);
            findings.demand(is_apart, Rule::OneLivePerKey, second, || {
                format!("it has the key {key:?} while {first} is live with it")
            });
        }
    }
}

fn is_behind(observed: &Observed, (_, until, _): Life<'_>, (from, _, _): Life<'_>) -> bool {
    observed.is_before(until, from)
}

fn lives<'a>(id: &'a str, seen: &'a Seen) -> Vec<Life<'a>> {
    let mut lives = Vec::new();
    let mut from = None;
    for event in &seen.events {
        if matches!(event.r#type(), E::Created | E::RunOpened) {
            from = Some(at(event));
        } else if is_end(event)
            && let Some(from) = from.take()
        {
            lives.push((from, at(event), id));
        }
    }
    lives.extend(from.map(|from| (from, i128::MAX, id)));
    lives
}
