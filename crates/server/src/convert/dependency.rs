//! Dependencies of tasks, and their conditions.

use super::{some, task_id};
use callboard_core::limits::MAX_DEPENDENCIES;
use callboard_core::model::{Condition, Edge, JsonText, NewDependency, OnFailure, ResultCondition, Terms, Test};
use callboard_core::validate::{Faults, Within};
use callboard_proto::v1;
use std::fmt::Display;
use std::sync::Arc;

/// Reads what a task that exists is to wait for, too.
pub(crate) fn added(
    field: impl Display + Copy,
    messages: Vec<v1::Dependency>,
    faults: &mut Faults,
) -> Vec<NewDependency> {
    let count = messages.len();
    if !(1..=MAX_DEPENDENCIES).contains(&count) {
        faults.add(field, format!("has {count} entries; give 1 to {MAX_DEPENDENCIES}"));
        return Vec::new();
    }
    let read = messages.into_iter().enumerate();
    let read = read.map(|(index, message)| new_dependency(format_args!("{field}[{index}]"), message, faults));
    let dependencies: Vec<NewDependency> = read.collect();
    faults.dependencies(field, &dependencies);
    dependencies
}

/// Reads a dependency of a task to create.
pub(super) fn new_dependency(at: impl Display + Copy, message: v1::Dependency, faults: &mut Faults) -> NewDependency {
    let source = task_id(Within(at, "task_id"), &message.task_id, faults);
    NewDependency { source, terms: terms(at, message, faults) }
}

/// What is asked of a dependency, whichever it is.
pub(super) fn terms(at: impl Display + Copy, message: v1::Dependency, faults: &mut Faults) -> Terms {
    Terms {
        condition: condition(at, message.condition, message.result, faults),
        on_failure: on_failure(Within(at, "on_failure"), message.on_failure, faults),
        name: some(message.name).map(Arc::from),
    }
}

fn condition(
    at: impl Display + Copy,
    condition: i32,
    result: Option<v1::ResultCondition>,
    faults: &mut Faults,
) -> Condition {
    use v1::DependencyCondition as C;
    let condition = match C::try_from(condition) {
        Ok(C::Unspecified | C::Completed) => Condition::Completed,
        Ok(C::Failed) => Condition::Failed,
        Ok(C::NotCompleted) => Condition::NotCompleted,
        Ok(C::Ended) => Condition::Ended,
        Err(_) => {
            let remedy = "use COMPLETED (1), FAILED (2), NOT_COMPLETED (3) or ENDED (4)";
            faults.add(Within(at, "condition"), format!("{condition} is not a condition; {remedy}"));
            Condition::Completed
        }
    };
    let Some(result) = result else { return condition };
    let at = Within(at, "result");
    if condition != Condition::Completed {
        faults.add(
            at,
            format!("only a task that COMPLETED has one, and condition is {}; leave one of them out", condition.name()),
        );
    }
    match test(at, result.comparison, result.value, faults) {
        Some(test) => Condition::Result(Arc::new(ResultCondition { pointer: result.pointer, test })),
        None => condition,
    }
}

fn test(at: impl Display + Copy, comparison: i32, value: String, faults: &mut Faults) -> Option<Test> {
    use v1::ResultComparison as C;
    let field = Within(at, "value");
    let make: fn(JsonText) -> Test = match C::try_from(comparison) {
        Ok(C::Exists | C::NotExists) if !value.is_empty() => {
            faults.add(field, "is compared with nothing; leave it empty, or use EQUAL (1)");
            return None;
        }
        Ok(C::Exists) => return Some(Test::Exists),
        Ok(C::NotExists) => return Some(Test::NotExists),
        Ok(C::Equal) => Test::Equal,
        Ok(C::NotEqual) => Test::NotEqual,
        Ok(C::Less) => Test::Less,
        Ok(C::LessOrEqual) => Test::LessOrEqual,
        Ok(C::Greater) => Test::Greater,
        Ok(C::GreaterOrEqual) => Test::GreaterOrEqual,
        Ok(C::Unspecified) | Err(_) => {
            let remedy = "use EQUAL (1) to NOT_EXISTS (8)";
            faults.add(Within(at, "comparison"), format!("{comparison} is not a comparison; {remedy}"));
            return None;
        }
    };
    match JsonText::try_from(value) {
        Ok(value) => Some(make(value)),
        Err(error) => {
            faults.add(field, format!("is not JSON ({error}); a text has quotation marks: \"en\""));
            None
        }
    }
}

fn on_failure(field: impl Display + Copy, value: i32, faults: &mut Faults) -> OnFailure {
    use v1::DependencyFailureAction as Action;
    match Action::try_from(value) {
        Ok(Action::Unspecified | Action::Skip) => OnFailure::Skip,
        Ok(Action::Fail) => OnFailure::Fail,
        Err(_) => {
            faults.add(field, format!("{value} is not an action; use SKIP (1) or FAIL (2)"));
            OnFailure::Skip
        }
    }
}

/// Writes a dependency.
pub(super) fn to_dependency(edge: &Edge) -> v1::Dependency {
    let Terms { condition, on_failure, name } = &edge.terms;
    let (condition, result) = to_condition(condition);
    let action = match on_failure {
        OnFailure::Skip => v1::DependencyFailureAction::Skip,
        OnFailure::Fail => v1::DependencyFailureAction::Fail,
    };
    v1::Dependency {
        task_id: edge.source.to_string(),
        on_failure: action.into(),
        condition: condition.into(),
        result,
        name: name.as_deref().unwrap_or_default().to_owned(),
    }
}

fn to_condition(condition: &Condition) -> (v1::DependencyCondition, Option<v1::ResultCondition>) {
    use v1::DependencyCondition as C;
    match condition {
        Condition::Completed => (C::Completed, None),
        Condition::Failed => (C::Failed, None),
        Condition::NotCompleted => (C::NotCompleted, None),
        Condition::Ended => (C::Ended, None),
        Condition::Result(condition) => (C::Completed, Some(to_result_condition(condition))),
    }
}

fn to_result_condition(condition: &ResultCondition) -> v1::ResultCondition {
    use v1::ResultComparison as C;
    let comparison = match &condition.test {
        Test::Exists => C::Exists,
        Test::NotExists => C::NotExists,
        Test::Equal(_) => C::Equal,
        Test::NotEqual(_) => C::NotEqual,
        Test::Less(_) => C::Less,
        Test::LessOrEqual(_) => C::LessOrEqual,
        Test::Greater(_) => C::Greater,
        Test::GreaterOrEqual(_) => C::GreaterOrEqual,
    };
    v1::ResultCondition {
        pointer: condition.pointer.clone(),
        comparison: comparison.into(),
        value: condition.test.value().map_or(String::new(), |value| value.as_str().to_owned()),
    }
}
