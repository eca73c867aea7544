//! Rules on children, pauses and output.

use super::observed::{at, is_attempt_end, is_end};
use super::{Findings, Observed, Rule, Seen};
use crate::load::history::{HandlerRun, History};
use crate::load::work::{Work, text_of};
use callboard::v1::EventType as E;
use std::collections::BTreeMap;

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    one_child_of_a_key(observed, findings);
    for child in &history.children {
        let link = observed.tasks.get(&child.task_id).and_then(|seen| seen.task.parent.as_ref());
        let is_there = link.is_some_and(|link| {
            (&link.task_id, link.run, i64::from(link.occurrence))
                == (&child.parent, child.run, i64::from(child.occurrence))
        });
        findings.demand(is_there, Rule::ChildOfOneKey, &child.task_id, || {
            format!("a handler was given it as {child:?}, and it is {link:?}")
        });
    }
    for (id, seen) in &observed.tasks {
        ends_with_its_parent(id, seen, observed, findings);
        pauses_alternate(id, seen, findings);
    }
    output_is_whole(history, observed, findings);
}

fn one_child_of_a_key(observed: &Observed, findings: &mut Findings) {
    let mut known = BTreeMap::new();
    for (id, seen) in &observed.tasks {
        let Some(link) = &seen.task.parent else { continue };
        let parent = observed.tasks.get(&link.task_id);
        let asked = parent.map_or(0, |parent| Work::asked(parent.task.spec.as_ref()).children);
        let was_asked = u32::try_from(link.occurrence).is_ok_and(|occurrence| occurrence < asked);
        findings.demand(was_asked, Rule::NothingInvented, id, || format!("no handler asked for it: {link:?}"));
        if let Some(other) = known.insert((&link.task_id, link.run, &link.name, link.occurrence), id) {
            findings.add(Rule::ChildOfOneKey, id, format!("{other} is the same child: {link:?}"));
        }
    }
}

/// A child's cancellation is in the commit that ends its parent. Who opens another run of it behind that has it go on by itself.
fn ends_with_its_parent(id: &str, seen: &Seen, observed: &Observed, findings: &mut Findings) {
    let Some(link) = &seen.task.parent else { return };
    let Some(over) = observed.tasks.get(&link.task_id).and_then(|parent| parent.end_of(link.run)) else { return };
    for end in seen.ends().filter(|end| end.r#type() != E::Cancelled) {
        let mut opened = seen.events.iter().filter(|event| event.r#type() == E::RunOpened && event.run == end.run);
        let fits =
            observed.is_before(at(end), at(over)) || opened.any(|opened| observed.is_before(at(over), at(opened)));
        findings.demand(fits, Rule::ChildrenEnd, id, || {
            format!("it ended {:?} behind run {} of its parent {}", end.state(), link.run, link.task_id)
        });
    }
}

fn pauses_alternate(id: &str, seen: &Seen, findings: &mut Findings) {
    let mut running = None;
    let mut paused = false;
    for event in &seen.events {
        match event.r#type() {
            E::Assigned => (running, paused) = (Some(event.attempt), false),
            kind @ (E::Paused | E::Resumed) => {
                let fits = running == Some(event.attempt) && paused == (kind == E::Resumed);
                findings.demand(fits, Rule::PausesAlternate, id, || {
                    format!("event {} is {} of attempt {}", event.sequence, kind.as_str_name(), event.attempt)
                });
                paused = kind == E::Paused;
            }
            _ if is_attempt_end(event) || is_end(event) => running = None,
            _ => {}
        }
    }
}

fn output_is_whole(history: &History, observed: &Observed, findings: &mut Findings) {
    let given: BTreeMap<(&str, i32), &HandlerRun> =
        history.runs.iter().map(|run| ((run.task_id.as_str(), run.attempt), run)).collect();
    for (id, seen) in &observed.tasks {
        let completed = seen.events.iter().rev().find(|event| event.r#type() == E::Completed);
        let mut told: BTreeMap<i32, String> = completed.map(|end| (end.attempt, String::new())).into_iter().collect();
        let mut offset = 0;
        for chunk in &seen.output {
            let text = text_of(chunk.payload());
            findings.demand(chunk.offset() == offset, Rule::OutputWhole, id, || {
                format!("a chunk begins at {}, and the one before ended at {offset}", chunk.offset())
            });
            offset = chunk.offset() + i64::try_from(text.len()).unwrap_or_default();
            told.entry(chunk.attempt()).or_default().push_str(text);
        }
        for (attempt, text) in told {
            let gave = given.get(&(id.as_str(), attempt)).map_or("", |run| run.output.as_str());
            let all = completed.is_some_and(|end| end.attempt == attempt);
            let holds = if all { text == gave } else { gave.starts_with(&text) };
            findings.demand(holds, Rule::OutputWhole, id, || {
                format!("attempt {attempt} gave {gave:?}, and its output is {text:?}")
            });
        }
    }
}
