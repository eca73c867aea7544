//! A line when an attempt begins, and one when it ends.

use callboard_proto::v1;
use tokio::time::Instant;

use super::{BoxFuture, HandleNext, Interceptor};
use crate::agent::Context;
use crate::task_error::TaskError;

/// Logs by `tracing` that an attempt begins, and how it ended and after how long. Inputs, results and headers are not shown.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Logging;

impl Logging {
    /// The interceptor.
    pub fn new() -> Self {
        Self
    }
}

impl Interceptor for Logging {
    fn handle<'a>(
        &'a self,
        context: &'a Context,
        input: v1::Payload,
        next: HandleNext<'a>,
    ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        Box::pin(async move {
            let (task, task_type, attempt) = (context.task_id(), context.task_type(), context.attempt());
            tracing::info!(task, r#type = task_type, attempt, "attempt begins");
            let mut line = EndLine { context, began: Instant::now(), ended: "dropped".to_owned() };
            let result = next.run(input).await;
            line.ended = match &result {
                Ok(_) => "completed".to_owned(),
                Err(error) => format!("failed {}", error.failure().r#type),
            };
            result
        })
    }
}

/// Is written also when the handler is dropped before its end.
struct EndLine<'a> {
    context: &'a Context,
    began: Instant,
    ended: String,
}

impl Drop for EndLine<'_> {
    fn drop(&mut self) {
        let Self { context, began, ended } = self;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (task, task_type, attempt) = (context.task_id(), context.task_type(), context.attempt());
        tracing::info!(task, r#type = task_type, attempt, ended, ms, "attempt ended");
    }
}
