//! The handlers of an agent, by task type.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use callboard_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::payload;
use crate::task_error::{INVALID_INPUT, INVALID_RESULT, TaskError};

/// Takes any task type that no other handler takes.
pub(super) const ANY: &str = "*";

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<v1::Payload, TaskError>> + Send>>;

/// A handler, whatever types its author gave it.
pub(crate) type Handler = Arc<dyn Fn(Context, v1::Payload) -> HandlerFuture + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Handlers {
    by_type: HashMap<String, Handler>,
}

impl Handlers {
    pub(super) fn insert(&mut self, task_type: String, handler: Handler) {
        self.by_type.insert(task_type, handler);
    }

    pub(super) fn find(&self, task_type: &str) -> Option<&Handler> {
        self.by_type.get(task_type).or_else(|| self.by_type.get(ANY))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }
}

/// A handler of values: reads its input from the payload, and makes one of what it gives.
pub(super) fn of_values<F, Fut, I, O, E>(handler: F) -> Handler
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize,
    E: Into<TaskError>,
{
    let handler = Arc::new(handler);
    Arc::new(move |context: Context, input: v1::Payload| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let input = payload::from_payload(&input).map_err(|error| refused(INVALID_INPUT, &error))?;
            let output = handler(context, input).await.map_err(Into::into)?;
            payload::to_payload(&output).map_err(|error| refused(INVALID_RESULT, &error))
        })
    })
}

/// A handler of payloads: takes and gives them as they are.
pub(super) fn of_payloads<F, Fut, E>(handler: F) -> Handler
where
    F: Fn(Context, v1::Payload) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<v1::Payload, E>> + Send + 'static,
    E: Into<TaskError>,
{
    let handler = Arc::new(handler);
    Arc::new(move |context: Context, input: v1::Payload| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let output = handler(context, input).await.map_err(Into::into)?;
            payload::check("result", &output).map_err(|error| refused(INVALID_RESULT, &error))?;
            Ok(output)
        })
    })
}

/// Another attempt would meet the same input and the same code.
fn refused(name: &str, error: &crate::Error) -> TaskError {
    TaskError::new(error.to_string()).of_type(name).permanent()
}
