//! Rules on tasks that depend on others.

use super::observed::at;
use super::{Findings, Observed, Rule, Seen};
use crate::load::history::{HandlerRun, History};
use crate::load::work::text_of;
use callboard::v1;
use callboard::v1::{
    DependencyCondition as Condition, DependencyFailureAction as Action, EventType as E, TaskState as S,
};

/// How a task fails when a dependency ended otherwise than it was to.
const DEPENDENCY_FAILED: &str = "callboard.dependency_failed";

pub(super) fn check(history: &History, observed: &Observed, findings: &mut Findings) {
    for (id, seen) in &observed.tasks {
        for event in &seen.events {
            if event.r#type() == E::Assigned {
                ran_behind(id, seen, event, observed, findings);
            } else if let Some(action) = by_dependency(event) {
                one_ended_otherwise(id, seen, event, action, observed, findings);
            }
        }
    }
    for run in &history.runs {
        was_shown_results(run, observed, findings);
    }
}

/// What a task ended by, if it was a dependency: what it was to do then.
fn by_dependency(event: &v1::Event) -> Option<Action> {
    let failed = || event.failure.as_ref().is_some_and(|failure| failure.r#type == DEPENDENCY_FAILED);
    match event.r#type() {
        E::Skipped => Some(Action::Skip),
        E::Failed if failed() => Some(Action::Fail),
        _ => None,
    }
}

fn dependencies(seen: &Seen) -> impl Iterator<Item = &v1::Dependency> {
    seen.task.spec.iter().flat_map(|spec| &spec.dependencies)
}

/// Whether a task ended as a dependency on it says. (The load asks for no certain results.)
fn is_as_asked(dependency: &v1::Dependency, end: &v1::Event) -> bool {
    match dependency.condition() {
        Condition::Unspecified | Condition::Completed => end.r#type() == E::Completed,
        Condition::Failed => end.r#type() == E::Failed,
        Condition::NotCompleted => end.r#type() != E::Completed,
        Condition::Ended => true,
    }
}

/// How the task that a dependency names ended, each time, before a moment.
fn ends_before<'a>(
    dependency: &v1::Dependency,
    moment: i128,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a v1::Event> {
    let ends = observed.tasks.get(&dependency.task_id).into_iter().flat_map(Seen::ends);
    ends.filter(move |end| observed.is_before(at(end), moment))
}

/// A dependent that runs has an end as it asked for of each dependency behind it. COMPLETED is for good; of what was retried since, an earlier
/// end may have released it.
fn ran_behind(id: &str, seen: &Seen, assigned: &v1::Event, observed: &Observed, findings: &mut Findings) {
    for dependency in dependencies(seen) {
        let mut ends = ends_before(dependency, not_before(seen, assigned), observed);
        let behind = ends.any(|end| is_as_asked(dependency, end));
        findings.demand(behind, Rule::DependentsFollow, id, || {
            let (attempt, source) = (assigned.attempt, &dependency.task_id);
            format!("attempt {attempt} was assigned before {source} was {}", dependency.condition().as_str_name())
        });
    }
}

/// When an event was decided at the earliest, in nanoseconds: not before those in front of it. (Its own time may be a little
/// earlier: a replica looks at the clock, and then waits for the lock of a task that another one moves on.)
fn not_before(seen: &Seen, event: &v1::Event) -> i128 {
    let front = seen.events.iter().filter(|other| other.sequence <= event.sequence);
    front.map(at).max().unwrap_or_default()
}

/// A dependent that ended by a dependency did what was asked for in the case of one that ended otherwise before.
fn one_ended_otherwise(
    id: &str,
    seen: &Seen,
    end: &v1::Event,
    action: Action,
    observed: &Observed,
    findings: &mut Findings,
) {
    let moment = not_before(seen, end);
    let explained = dependencies(seen)
        .filter(|dependency| asked_action(dependency) == action)
        .any(|dependency| ends_before(dependency, moment, observed).any(|other| !is_as_asked(dependency, other)));
    findings.demand(explained, Rule::DependentsFollow, id, || {
        let ended = end.r#type().as_str_name();
        format!("it ended {ended}, and no dependency that asks for that had ended otherwise than it was to")
    });
}

fn asked_action(dependency: &v1::Dependency) -> Action {
    match dependency.on_failure() {
        Action::Fail => Action::Fail,
        Action::Unspecified | Action::Skip => Action::Skip,
    }
}

fn was_shown_results(run: &HandlerRun, observed: &Observed, findings: &mut Findings) {
    let asked: Vec<&v1::Dependency> = observed.tasks.get(&run.task_id).into_iter().flat_map(dependencies).collect();
    for (source, state, result) in &run.dependencies {
        let asked = asked.iter().find(|dependency| dependency.task_id == *source);
        let truth = observed.tasks.get(source);
        let same = asked.zip(truth).is_some_and(|(asked, truth)| may_be_shown(asked, *state, result.as_deref(), truth));
        findings.demand(same, Rule::DependentsFollow, &run.task_id, || {
            let truth = truth.map(|seen| text_of(seen.task.result.as_ref()));
            format!("attempt {} was shown {state:?} {result:?} of {source}, which gave {truth:?}", run.attempt)
        });
    }
    let (asked, shown) = (asked.len(), run.dependencies.len());
    // Only agents of the SDK say what they were shown.
    let complete = shown == asked || !run.agent.starts_with("sdk-") || run.gave.is_none();
    findings.demand(complete, Rule::DependentsFollow, &run.task_id, || {
        format!("attempt {} was shown {shown} of {asked} dependencies", run.attempt)
    });
}

/// A result is shown of a task that completed, and it is its own. One that was not to complete is shown as it is by then: it may have
/// been retried since.
fn may_be_shown(asked: &v1::Dependency, state: S, result: Option<&str>, truth: &Seen) -> bool {
    let has_ended = |how: E| truth.ends().any(|end| end.r#type() == how);
    match state {
        S::Completed => has_ended(E::Completed) && result == Some(text_of(truth.task.result.as_ref())),
        _ if result.is_some() || matches!(asked.condition(), Condition::Unspecified | Condition::Completed) => false,
        S::Failed => has_ended(E::Failed),
        S::Cancelled => has_ended(E::Cancelled),
        S::Skipped => has_ended(E::Skipped),
        _ => truth.events.iter().any(|event| event.r#type() == E::RunOpened),
    }
}
