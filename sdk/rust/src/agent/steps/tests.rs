use super::*;
use crate::agent::context::{Cancellation, Link};
use crate::agent::session::HandlerId;
use crate::{Client, TaskError};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc;

/// A handler's surroundings, with recorded steps, and a server that gives each new one the verdict.
#[allow(clippy::disallowed_methods)] // It ends with the context, whose events it answers.
fn stage(
    recorded: Vec<v1::Step>,
    has_steps: bool,
    verdict: Result<()>,
) -> (Context, mpsc::UnboundedReceiver<v1::StepRecord>) {
    let (events, mut heard) = mpsc::channel(8);
    let client = Client::connect("http://127.0.0.1:1").unwrap();
    let link = Link::for_tests(events, 2, client).0;
    let step_count = i32::try_from(recorded.len()).unwrap();
    let assignment = v1::Assignment { steps: recorded, step_count, run: 1, ..Default::default() };
    let context = Context::new(HandlerId(1), Box::new(assignment), has_steps, &Cancellation::default(), link);
    let (seen, records) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = heard.recv().await {
            let HandlerEvent::Step { record, reply, .. } = event else { panic!("not a step: {event:?}") };
            let _ = seen.send(record);
            let _ = reply.send(verdict.clone());
        }
    });
    (context, records)
}

fn recorded(name: &str, occurrence: i32, value: &str) -> v1::Step {
    let result = Some(payload::to_payload(value).unwrap());
    v1::Step { name: name.into(), occurrence, result, ..Default::default() }
}

#[tokio::test]
async fn a_recorded_step_does_not_run_and_a_new_one_is_recorded() {
    let (ctx, mut records) = stage(vec![recorded("fetch", 0, "page")], true, Ok(()));
    let runs = AtomicU32::new(0);
    let fetch = || async {
        runs.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>("another page".to_owned())
    };
    assert_eq!(ctx.step("fetch", fetch).await.unwrap(), "page");
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    assert_eq!(ctx.step("fetch", fetch).await.unwrap(), "another page");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    let record = records.recv().await.unwrap();
    assert_eq!((record.name.as_str(), record.occurrence), ("fetch", 1));
    assert_eq!(record.result, Some(payload::to_payload("another page").unwrap()));
}

/// Steps beside each other are counted in the order in which they were begun, and not in that in which they end.
#[tokio::test]
async fn occurrences_are_counted_by_name_when_a_step_is_begun() {
    let (ctx, _records) = stage(Vec::new(), true, Ok(()));
    let later = ctx.step("one", || async { Ok::<_, Error>(1) });
    let sooner = ctx.step("one", || async { Ok::<_, Error>(2) });
    let other = ctx.step("two", || async { Ok::<_, Error>(3) });
    drop(other);
    let (sooner, later) = tokio::join!(sooner, later);
    assert_eq!((later.unwrap(), sooner.unwrap()), (1, 2));
    let next = |name: &str| ctx.steps().begin(name.to_owned()).unwrap().occurrence;
    assert_eq!((next("one"), next("two")), (2, 1));
}

#[tokio::test]
async fn an_error_of_the_function_is_given_back_and_not_recorded() {
    let (ctx, mut records) = stage(Vec::new(), true, Ok(()));
    let failed: std::result::Result<u32, TaskError> =
        ctx.step("fetch", || async { Err(TaskError::new("away").of_type("Away")) }).await;
    assert_eq!(failed.unwrap_err().into_failure().r#type, "Away");
    ctx.step("fetch", || async { Ok::<_, Error>(1) }).await.unwrap();
    assert_eq!(records.recv().await.unwrap().occurrence, 1, "the failed one counts");
}

#[tokio::test]
async fn what_is_recorded_as_another_type_is_an_error_that_names_the_step() {
    let (ctx, _records) = stage(vec![recorded("fetch", 0, "page")], true, Ok(()));
    let read = ctx.step("fetch", || async { Ok::<Vec<u32>, Error>(Vec::new()) }).await;
    let error = read.unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error:?}");
    assert!(error.to_string().contains("\"fetch\" (occurrence 0)"), "{error}");
}

#[tokio::test]
async fn what_can_not_be_recorded_is_refused_before_anything_is_sent() {
    let (ctx, mut records) = stage(Vec::new(), true, Ok(()));
    for name in ["", &"x".repeat(129)] {
        let refused = ctx.step(name, || async { panic!("it must not run") });
        let refused: Result<()> = refused.await;
        assert!(matches!(refused.unwrap_err(), Error::InvalidArgument(_)));
    }
    let large = ctx.step("large", || async { Ok::<_, Error>("x".repeat((1 << 20) + 1)) }).await;
    assert_eq!(large.unwrap_err().reason(), "PAYLOAD_TOO_LARGE");
    let boundless = ctx.step("boundless", || async { Ok::<_, Error>(f64::NAN) }).await;
    assert!(matches!(boundless.unwrap_err(), Error::InvalidArgument(_)));
    assert!(records.try_recv().is_err());
}

#[tokio::test]
async fn a_server_without_steps_runs_none() {
    let (ctx, _records) = stage(Vec::new(), false, Ok(()));
    let refused: Result<()> = ctx.step("fetch", || async { panic!("it must not run") }).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition(_)), "{error:?}");
    assert_eq!(error.to_string(), NO_STEPS);
}

#[tokio::test]
async fn a_refusal_is_given_to_the_handler() {
    let (ctx, _records) = stage(Vec::new(), true, Err(Error::stopped()));
    assert!(ctx.step("fetch", || async { Ok::<_, Error>(1) }).await.is_err());
}

#[tokio::test]
async fn what_did_not_come_whole_is_fetched_and_a_failure_to_do_so_is_told() {
    let (mut ctx, _records) = stage(vec![recorded("fetch", 0, "page")], true, Ok(()));
    let client = Client::builder().address("http://127.0.0.1:1").timeout(std::time::Duration::from_millis(1)).build();
    ctx = {
        let mut assignment = ctx.assignment().clone();
        assignment.step_count = 2;
        let link = Link { client: client.unwrap(), ..ctx.link().clone() };
        Context::new(HandlerId(1), Box::new(assignment), true, &Cancellation::default(), link)
    };
    let refused: Result<()> = ctx.step("fetch", || async { panic!("it must not run") }).await;
    assert!(matches!(refused.unwrap_err(), Error::Unavailable(_) | Error::DeadlineExceeded(_)));
}
