//! Describing what a task to be created depends on.

use callboard_proto::v1;
use serde::Serialize;

use crate::{Receipt, Result, payload};

/// A task that must end before another is eligible, how it must end, and what becomes of the other if it ends otherwise.
/// An id, a [`Receipt`] or a task is one by itself: it must complete.
///
/// ```
/// use callboard::v1::{DependencyCondition, ResultComparison};
/// use callboard::{NewDependency, NewTask, ResultCondition};
///
/// # fn example(draft: callboard::Receipt, check: callboard::Receipt) -> callboard::Result<()> {
/// let good = ResultCondition::new("/score", ResultComparison::GreaterOrEqual, &0.8)?;
/// let publish = NewTask::new("publish")
///     .depends_on(NewDependency::on(&draft).named("draft"))
///     .depends_on(NewDependency::on(&check).result(good).or_fail());
/// let apologize = NewTask::new("apologize")
///     .depends_on(NewDependency::on(&draft).condition(DependencyCondition::Failed));
/// # Ok(())
/// # }
/// ```
///
/// Nothing of it is checked here: the server says what is wrong when the task is created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDependency {
    pub(crate) dependency: v1::Dependency,
}

impl NewDependency {
    /// On this task: an id, a receipt or a task. Unless more is said it must complete, and if it does not, the dependent
    /// is skipped.
    pub fn on(task: impl Into<Self>) -> Self {
        task.into()
    }

    /// How it must end: [`v1::DependencyCondition::Failed`] for a fallback, `NotCompleted` to undo what was done before,
    /// `Ended` to clean up.
    #[must_use]
    pub fn condition(mut self, condition: v1::DependencyCondition) -> Self {
        self.dependency.condition = condition.into();
        self
    }

    /// What its result must be, besides. Only when it must complete.
    #[must_use]
    pub fn result(mut self, condition: ResultCondition) -> Self {
        self.dependency.result = Some(condition.condition);
        self
    }

    /// When it ends otherwise, the dependent fails. Else it is skipped.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        self.dependency.on_failure = v1::DependencyFailureAction::Fail.into();
        self
    }

    /// What the dependent's handler calls it: see [`crate::Context::dependency`]. 1 to 128 letters, digits and `-_./:`,
    /// each name once.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.dependency.name = name.into();
        self
    }
}

impl From<v1::Dependency> for NewDependency {
    fn from(dependency: v1::Dependency) -> Self {
        Self { dependency }
    }
}

impl From<String> for NewDependency {
    fn from(task_id: String) -> Self {
        v1::Dependency { task_id, ..v1::Dependency::default() }.into()
    }
}

impl From<&String> for NewDependency {
    fn from(task_id: &String) -> Self {
        task_id.clone().into()
    }
}

impl From<&str> for NewDependency {
    fn from(task_id: &str) -> Self {
        task_id.to_owned().into()
    }
}

impl From<&Receipt> for NewDependency {
    fn from(receipt: &Receipt) -> Self {
        (&receipt.task_id).into()
    }
}

impl From<&v1::Task> for NewDependency {
    fn from(task: &v1::Task) -> Self {
        (&task.id).into()
    }
}

/// What a result must be: a value in it, compared with another.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultCondition {
    pub(crate) condition: v1::ResultCondition,
}

impl ResultCondition {
    /// The value at a JSON Pointer (`/score`; empty means the whole result) compared with one that JSON has. Numbers and
    /// texts have an order; anything else is only equal or not.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when the value can't be JSON: NaN, infinity, a map with keys that are no strings,
    /// [`crate::Bytes`].
    pub fn new<T: Serialize + ?Sized>(
        pointer: impl Into<String>,
        comparison: v1::ResultComparison,
        value: &T,
    ) -> Result<Self> {
        let value = payload::to_json("result.value", value)?;
        Ok(v1::ResultCondition { pointer: pointer.into(), comparison: comparison.into(), value }.into())
    }

    /// There is a value at this JSON Pointer, `null` too.
    pub fn exists(pointer: impl Into<String>) -> Self {
        Self::without_value(pointer, v1::ResultComparison::Exists)
    }

    /// There is no value at this JSON Pointer.
    pub fn not_exists(pointer: impl Into<String>) -> Self {
        Self::without_value(pointer, v1::ResultComparison::NotExists)
    }

    fn without_value(pointer: impl Into<String>, comparison: v1::ResultComparison) -> Self {
        v1::ResultCondition { pointer: pointer.into(), comparison: comparison.into(), value: String::new() }.into()
    }
}

impl From<v1::ResultCondition> for ResultCondition {
    fn from(condition: v1::ResultCondition) -> Self {
        Self { condition }
    }
}

#[cfg(test)]
mod tests {
    use v1::{DependencyCondition, DependencyFailureAction, ResultComparison};

    use super::*;

    #[test]
    fn an_id_a_receipt_and_a_task_ask_for_nothing_more() {
        let receipt = Receipt { task_id: "t".into(), run: 1, ..Receipt::default() };
        let task = v1::Task { id: "t".into(), ..v1::Task::default() };
        let bare = v1::Dependency { task_id: "t".into(), ..v1::Dependency::default() };
        let id = "t".to_owned();
        for one in [
            NewDependency::on("t"),
            NewDependency::on(&id),
            NewDependency::on(id.clone()),
            NewDependency::on(&receipt),
            NewDependency::on(&task),
            NewDependency::on(NewDependency::on("t")),
        ] {
            assert_eq!(one.dependency, bare);
        }
    }

    #[test]
    fn what_is_said_arrives() {
        let good = ResultCondition::new("/score", ResultComparison::GreaterOrEqual, &0.8).unwrap();
        let said = NewDependency::on("t").result(good).or_fail().named("draft").dependency;
        assert_eq!((said.task_id.as_str(), said.name.as_str()), ("t", "draft"));
        assert_eq!(said.on_failure(), DependencyFailureAction::Fail);
        let result = said.result.unwrap();
        assert_eq!((result.pointer.as_str(), result.value.as_str()), ("/score", "0.8"));
        assert_eq!(result.comparison(), ResultComparison::GreaterOrEqual);
        let fallback = NewDependency::on("t").condition(DependencyCondition::Failed).dependency;
        assert_eq!(fallback.condition(), DependencyCondition::Failed);
    }

    #[test]
    fn a_value_is_json_and_a_string_has_its_quotes() {
        let value = |value: &serde_json::Value| {
            ResultCondition::new("", ResultComparison::Equal, value).unwrap().condition.value
        };
        assert_eq!(value(&"e\"n".into()), r#""e\"n""#);
        assert_eq!(value(&serde_json::Value::Null), "null");
        assert_eq!(value(&serde_json::json!({ "a": [1, true] })), r#"{"a":[1,true]}"#);
        let whole = ResultCondition::new("", ResultComparison::Equal, &u64::MAX).unwrap();
        assert_eq!(whole.condition.value, "18446744073709551615");
        assert_eq!(ResultCondition::exists("/a").condition.value, "");
        assert_eq!(ResultCondition::not_exists("/a").condition.comparison(), ResultComparison::NotExists);
    }

    #[test]
    fn what_json_has_not_is_refused() {
        for error in [
            ResultCondition::new("", ResultComparison::Equal, &f64::NAN).unwrap_err(),
            ResultCondition::new("", ResultComparison::Equal, &crate::Bytes(vec![0])).unwrap_err(),
        ] {
            assert_eq!(error.reason(), "INVALID_FIELD");
            assert_eq!(error.violations()[0].field, "result.value");
            assert!(error.to_string().contains("JSON has no"), "{error}");
        }
    }
}
