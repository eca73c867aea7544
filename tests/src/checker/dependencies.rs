//! Rules on tasks that depend on others.

use super::observed::at;
use super::{Findings, Observed, Rule, Seen};
use crate::load::history::{HandlerRun, History};
use crate::load::work::text_of;
use callboard::v1;
use callboard::v1::EventType as E;

/// How a task fails when a dependency did not complete.
const DEPENDENCY_FAILED: &str = "callboard.dependency_failed";

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    for (id, seen) in &observed.tasks {
        for event in &seen.events {
            let by_dependency = event.r#type() == E::Skipped || failed_by_dependency(event);
            if event.r#type() == E::Assigned {
                ran_behind(id, seen, event, observed, findings);
            } else if by_dependency {
                one_did_not_complete(id, seen, event, observed, findings);
            }
        }
    }
    for run in &history.runs {
        was_shown_results(run, observed, findings);
    }
}

fn failed_by_dependency(event: &v1::Event) -> bool {
    event.r#type() == E::Failed && event.failure.as_ref().is_some_and(|failure| failure.r#type == DEPENDENCY_FAILED)
}

fn sources(seen: &Seen) -> impl Iterator<Item = &str> {
    seen.task.spec.iter().flat_map(|spec| &spec.dependencies).map(|dependency| dependency.task_id.as_str())
}

/// COMPLETED is for good, so that a dependent that runs has it of each dependency behind it.
fn ran_behind(id: &str, seen: &Seen, assigned: &v1::Event, observed: &Observed, findings: &mut Findings) {
    for source in sources(seen) {
        let ends = observed.tasks.get(source).into_iter().flat_map(Seen::ends);
        let mut completed = ends.filter(|end| end.r#type() == E::Completed);
        let behind = completed.any(|end| observed.is_before(at(end), not_before(seen, assigned)));
        findings.demand(behind, Rule::DependentsFollow, id, || {
            format!("attempt {} was assigned before {source} completed", assigned.attempt)
        });
    }
}

/// When an event was decided at the earliest, in nanoseconds: not before those in front of it. (Its own time may be a little
/// earlier: a replica looks at the clock, and then waits for the lock of a task that another one moves on.)
fn not_before(seen: &Seen, event: &v1::Event) -> i128 {
    let front = seen.events.iter().filter(|other| other.sequence <= event.sequence);
    front.map(at).max().unwrap_or_default()
}

fn one_did_not_complete(id: &str, seen: &Seen, end: &v1::Event, observed: &Observed, findings: &mut Findings) {
    let explained = sources(seen)
        .filter_map(|source| observed.tasks.get(source))
        .flat_map(Seen::ends)
        .filter(|other| other.r#type() != E::Completed)
        .any(|other| observed.is_before(at(other), not_before(seen, end)));
    findings.demand(explained, Rule::DependentsFollow, id, || {
        format!("it ended {} and no dependency did so before", end.r#type().as_str_name())
    });
}

fn was_shown_results(run: &HandlerRun, observed: &Observed, findings: &mut Findings) {
    for (source, state, result) in &run.dependencies {
        let truth = observed.tasks.get(source).map(|seen| text_of(seen.task.result.as_ref()));
        let same = *state == v1::TaskState::Completed && result.as_deref() == truth;
        findings.demand(same, Rule::DependentsFollow, &run.task_id, || {
            format!("attempt {} was shown {state:?} {result:?} of {source}, which gave {truth:?}", run.attempt)
        });
    }
    let asked = observed.tasks.get(&run.task_id).map(|seen| sources(seen).count()).unwrap_or_default();
    let shown = run.dependencies.len();
    // Only agents of the SDK say what they were shown.
    let complete = shown == asked || !run.agent.starts_with("sdk-") || run.gave.is_none();
    findings.demand(complete, Rule::DependentsFollow, &run.task_id, || {
        format!("attempt {} was shown {shown} of {asked} dependencies", run.attempt)
    });
}
