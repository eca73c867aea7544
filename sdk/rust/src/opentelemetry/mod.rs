//! Traces of submitting and running tasks, by OpenTelemetry. With the feature `opentelemetry`.
//!
//! This crate uses OpenTelemetry's API alone: the program chooses the SDK and where spans go.
//!
//! ```no_run
//! use callboard::opentelemetry::OpenTelemetry;
//! use callboard::{Agent, Client};
//!
//! # fn example() -> callboard::Result<()> {
//! // After `opentelemetry::global::set_tracer_provider(…)`.
//! let client = Client::builder().interceptor(OpenTelemetry::new()).build()?;
//! let agent = Agent::builder("greeter").interceptor(OpenTelemetry::new());
//! # Ok(())
//! # }
//! ```

mod trace_context;

use ::opentelemetry::global::{self, BoxedTracer};
use ::opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer};
use ::opentelemetry::{Context as TraceContext, KeyValue};
use callboard_proto::v1;

use crate::{BoxFuture, Context, HandleNext, Interceptor, NewTask, Result, SubmitNext, Submitted, TaskError};

/// The interceptor. Around submitting a task it begins a span `submit <type>`, and writes its context into the task's headers
/// by the W3C's rules (`traceparent`, `tracestate`). Around each attempt it begins a span `run <type>` whose parent is what the
/// headers say, and which is the current one while the handler runs.
#[derive(Debug)]
pub struct OpenTelemetry<T = BoxedTracer> {
    tracer: T,
}

impl OpenTelemetry {
    /// Spans of the global tracer provider's tracer `callboard`. Set the provider before.
    pub fn new() -> Self {
        Self { tracer: global::tracer("callboard") }
    }
}

impl Default for OpenTelemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Tracer> OpenTelemetry<T> {
    /// Spans of this tracer.
    pub fn with_tracer(tracer: T) -> Self {
        Self { tracer }
    }
}

impl<T> Interceptor for OpenTelemetry<T>
where
    T: Tracer + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        let builder = self.tracer.span_builder(format!("submit {}", task.spec().r#type));
        let span = self.tracer.build(builder.with_kind(SpanKind::Producer));
        let trace = TraceContext::current_with_span(span);
        let task = trace_context::write(trace.span().span_context(), task);
        Box::pin(async move {
            let submitted = next.run(task).with_context(trace.clone()).await;
            if let Err(error) = &submitted {
                trace.span().set_status(Status::error(error.to_string()));
            }
            trace.span().end();
            submitted
        })
    }

    fn handle<'a>(
        &'a self,
        context: &'a Context,
        input: v1::Payload,
        next: HandleNext<'a>,
    ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        let parent = trace_context::read(context.headers());
        let parent =
            parent.map_or_else(TraceContext::new, |remote| TraceContext::new().with_remote_span_context(remote));
        let builder = self.tracer.span_builder(format!("run {}", context.task_type()));
        let builder = builder.with_kind(SpanKind::Consumer).with_attributes(attributes(context));
        let trace = parent.with_span(self.tracer.build_with_context(builder, &parent));
        Box::pin(async move {
            let result = next.run(input).with_context(trace.clone()).await;
            if let Err(error) = &result {
                let failure = error.failure();
                trace.span().set_status(Status::error(format!("{}: {}", failure.r#type, failure.message)));
            }
            trace.span().end();
            result
        })
    }
}

fn attributes(context: &Context) -> [KeyValue; 5] {
    [
        KeyValue::new("callboard.task.id", context.task_id().to_owned()),
        KeyValue::new("callboard.task.type", context.task_type().to_owned()),
        KeyValue::new("callboard.task.attempt", i64::from(context.attempt())),
        KeyValue::new("callboard.namespace", context.namespace().to_owned()),
        KeyValue::new("callboard.agent", context.agent().to_owned()),
    ]
}

#[cfg(test)]
mod tests;
