use ::opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use super::*;
use crate::agent::Context;
use crate::interceptor::Interceptors;
use crate::{Client, Error};
use std::sync::{Arc, Mutex};

struct Stage {
    interceptors: Interceptors,
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
}

fn stage() -> Stage {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let mut interceptors = Interceptors::default();
    interceptors.push(Arc::new(OpenTelemetry::with_tracer(provider.tracer("test"))));
    Stage { interceptors, exporter, _provider: provider }
}

impl Stage {
    fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    fn client(&self) -> Client {
        Client::builder().address("http://127.0.0.1:1").interceptors(self.interceptors.clone()).build().unwrap()
    }

    /// Submits a task; gives its headers.
    async fn submit(&self) -> std::collections::BTreeMap<String, String> {
        let seen = Mutex::default();
        let call = |task: NewTask| {
            *seen.lock().unwrap() = task.spec().headers.clone();
            async { Ok(Submitted::Created(v1::TaskReceipt::default())) }
        };
        self.client().submit(NewTask::new("work"), call).await.unwrap();
        seen.into_inner().unwrap()
    }
}

/// An attempt of a task with these headers.
fn attempt(headers: std::collections::BTreeMap<String, String>) -> Context {
    let spec = v1::TaskSpec { r#type: "work".into(), headers, ..Default::default() };
    let attempt = v1::Attempt { task_id: "t1".into(), attempt: 2, ..Default::default() };
    Context::for_tests(v1::Assignment {
        attempt: Some(attempt),
        namespace: "n".into(),
        spec: Some(spec),
        ..Default::default()
    })
}

#[tokio::test]
async fn an_attempt_is_a_child_of_what_submitted_it_and_parent_of_what_its_handler_submits() {
    let stage = Arc::new(stage());
    let context = attempt(stage.submit().await);
    let inside = stage.clone();
    let handler: crate::agent::Handler = Arc::new(move |_, input| {
        let stage = inside.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            stage.submit().await;
            Ok(input)
        })
    });
    stage.interceptors.handle(&context, &handler).await.unwrap();

    let spans = stage.spans();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["submit work", "submit work", "run work"]);
    let [submit, nested, run] = &spans[..] else { panic!("three spans") };
    assert_eq!((submit.span_kind.clone(), run.span_kind.clone()), (SpanKind::Producer, SpanKind::Consumer));
    assert_eq!(submit.parent_span_id, SpanId::INVALID);
    assert_eq!((run.parent_span_id, run.parent_span_is_remote), (submit.span_context.span_id(), true));
    assert_eq!(nested.parent_span_id, run.span_context.span_id());
    assert!(spans.iter().all(|span| span.span_context.trace_id() == submit.span_context.trace_id()));
    let attributes: Vec<String> = run.attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
    assert_eq!(
        attributes,
        [
            "callboard.task.id=t1",
            "callboard.task.type=work",
            "callboard.task.attempt=2",
            "callboard.namespace=n",
            "callboard.agent=a"
        ]
    );
}

#[tokio::test]
async fn errors_set_the_status() {
    let stage = stage();
    let failing: crate::agent::Handler =
        Arc::new(|_, _| Box::pin(async { Err(TaskError::new("away").of_type("Away")) }));
    stage.interceptors.handle(&attempt(Default::default()), &failing).await.unwrap_err();
    let refused = stage.client().submit(NewTask::new("work"), |_| async { Err(Error::stopped()) }).await;
    refused.unwrap_err();
    let statuses: Vec<Status> = stage.spans().into_iter().map(|span| span.status).collect();
    assert_eq!(statuses, [Status::error("Away: away"), Status::error("the agent has stopped")]);
}
