//! How a handler fails its attempt.

use std::error::Error as StdError;
use std::time::Duration;

use callboard_proto::v1;
use serde::Serialize;

use crate::time::proto_duration;
use crate::{Result, payload};

pub(crate) const CANCELLED: &str = "callboard.cancelled";

/// The type of the failure when an input is not what the handler takes, or its result can't be a payload.
pub(crate) const INVALID_INPUT: &str = "InvalidInput";
pub(crate) const INVALID_RESULT: &str = "InvalidResult";

const MAX_TYPE_BYTES: usize = 256;
const MAX_MESSAGE_BYTES: usize = 16 << 10;
const MAX_CAUSES: usize = 8;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How a handler fails its attempt. Every [`std::error::Error`] becomes one by `?`: it is retried, has the error's type
/// and text, and its sources as causes. (So this type can't be a `std::error::Error` itself.)
#[derive(Debug, Clone)]
pub struct TaskError {
    /// Boxed, so that a handler's `Result` stays small.
    failure: Box<v1::Failure>,
}

impl TaskError {
    /// A failure of type `TaskError` that is retried.
    pub fn new(message: impl Into<String>) -> Self {
        Self::from_parts("TaskError", message.into(), None)
    }

    /// The failure of a handler that stopped because it was told to.
    pub fn cancelled() -> Self {
        Self::from_parts(CANCELLED, "the handler stopped because it was told to".to_owned(), None)
    }

    /// Of an error whose type is not known: what libraries such as `anyhow` give.
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self::from_parts("Error", error.to_string(), causes(error.source(), MAX_CAUSES))
    }

    /// A short name that programs can act on: `InvalidInput`. Retry policies can name it.
    #[must_use]
    pub fn of_type(mut self, name: impl Into<String>) -> Self {
        self.failure.r#type = cut(name.into(), MAX_TYPE_BYTES);
        self
    }

    /// Another attempt can't succeed: the task fails.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.failure.retryable = Some(false);
        self
    }

    /// The least delay before the next attempt; at most 24 hours.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.failure.retry_after = Some(proto_duration(delay.min(MAX_RETRY_AFTER)));
        self
    }

    /// Anything else about the failure.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when the value can't be a payload: see [`crate::to_payload`].
    pub fn details<T: Serialize + ?Sized>(mut self, details: &T) -> Result<Self> {
        self.failure.details = Some(payload::to_payload(details)?);
        Ok(self)
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// The failure as it will be reported.
    pub fn failure(&self) -> &v1::Failure {
        &self.failure
    }

    /// The failure as it is reported.
    pub fn into_failure(self) -> v1::Failure {
        *self.failure
    }

    fn from_parts(name: &str, message: String, cause: Option<Box<v1::Failure>>) -> Self {
        let failure = v1::Failure {
            r#type: cut(name.to_owned(), MAX_TYPE_BYTES),
            message: cut(message, MAX_MESSAGE_BYTES),
            retryable: Some(true),
            cause,
            ..v1::Failure::default()
        };
        Self { failure: Box::new(failure) }
    }
}

impl std::fmt::Display for TaskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.failure.message)
    }
}

impl<E: StdError> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::from_parts(&class_name::<E>(), error.to_string(), causes(error.source(), MAX_CAUSES))
    }
}

/// The error of a handler that panicked.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> TaskError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    TaskError::from_parts("panic", text, None)
}

/// An error's class: the last part of its type's name, without parameters.
fn class_name<E: ?Sized>() -> String {
    let full = std::any::type_name::<E>();
    let bare = full.split('<').next().unwrap_or(full);
    bare.rsplit("::").next().unwrap_or(bare).to_owned()
}

fn causes(error: Option<&(dyn StdError + 'static)>, left: usize) -> Option<Box<v1::Failure>> {
    let error = error.filter(|_| left > 0)?;
    let cause = causes(error.source(), left - 1);
    Some(Box::new(TaskError::from_parts("Error", error.to_string(), cause).into_failure()))
}

/// Cut at the end of a character.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("level {0}")]
    struct Nested(u32, #[source] Option<Box<Nested>>);

    fn nested(levels: u32) -> Nested {
        (1..levels).fold(Nested(levels, None), |inner, level| Nested(levels - level, Some(Box::new(inner))))
    }

    #[test]
    fn any_error_becomes_a_failure_with_its_causes() {
        let failure = TaskError::from(nested(3)).into_failure();
        assert_eq!((failure.r#type.as_str(), failure.message.as_str()), ("Nested", "level 1"));
        assert_eq!(failure.retryable, Some(true));
        let cause = failure.cause.unwrap();
        assert_eq!(cause.message, "level 2");
        assert_eq!(cause.cause.unwrap().message, "level 3");
    }

    #[test]
    fn causes_end_at_eight() {
        let mut failure = TaskError::from(nested(20)).into_failure();
        let mut depth = 0;
        while let Some(cause) = failure.cause {
            failure = *cause;
            depth += 1;
        }
        assert_eq!(depth, 8);
    }

    #[test]
    fn a_task_error_fails_with_just_that() {
        let error = TaskError::new("no such page").of_type("NotThere").permanent().retry_after(Duration::from_secs(5));
        let failure = error.details(&404).unwrap().into_failure();
        assert_eq!(failure.r#type, "NotThere");
        assert_eq!(failure.retryable, Some(false));
        assert_eq!(failure.retry_after.unwrap().seconds, 5);
        assert_eq!(failure.details.unwrap().content_type, "application/json");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let failure = TaskError::new("é".repeat(MAX_MESSAGE_BYTES)).into_failure();
        assert_eq!(failure.message.len(), MAX_MESSAGE_BYTES);
        assert_eq!(cut("aé".to_owned(), 2), "a");
    }

    #[test]
    fn parameters_are_no_part_of_a_class() {
        assert_eq!(class_name::<std::sync::PoisonError<Vec<u8>>>(), "PoisonError");
        assert_eq!(panicked(&"boom").message(), "boom");
    }
}
