//! Durable steps: what was recorded before a crash is not done again behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::report::Kind;
use callboard::v1::{self, ErrorReason, EventType, ReceiptStatus, StepRecord, TaskState};
use callboard::{Agent, AgentHandle, Client, Context, NewTask, TaskError, Watch};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, refused, seconds, text, text_of, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tonic::Code;

const MIB: usize = 1 << 20;

/// A task that is tried again at once.
fn task() -> NewTask {
    let policy = v1::RetryPolicy { max_attempts: 5, initial_backoff: seconds(0.001), ..Default::default() };
    NewTask::new("t").retry_policy(policy)
}

fn record(name: &str, occurrence: i32, result: impl Into<String>) -> StepRecord {
    StepRecord { name: name.into(), occurrence, result: Some(text(result)) }
}

/// Names, occurrences, ordinals and attempts.
fn told(steps: &[v1::Step]) -> Vec<(&str, i32, i32, i32)> {
    steps.iter().map(|step| (step.name.as_str(), step.occurrence, step.ordinal, step.attempt)).collect()
}

/// What runs of the two steps of [`two_steps`] there were, and what the second waits for.
#[derive(Default)]
struct Counted {
    first: AtomicUsize,
    second: AtomicUsize,
    gate: Option<Semaphore>,
}

/// An agent whose task has two steps; the second waits at the gate before it begins.
fn two_steps(client: &Client, counted: &Arc<Counted>) -> AgentHandle {
    let counted = Arc::clone(counted);
    let agent = Agent::builder("stepper").client(client).handle("t", move |ctx: Context, _: String| {
        let counted = Arc::clone(&counted);
        async move {
            let first: usize = ctx
                .step("first", || async {
                    Ok::<_, TaskError>(1 + counted.first.fetch_add(1, Ordering::SeqCst))
                })
                .await?;
            if let Some(gate) = &counted.gate {
                gate.acquire().await?.forget();
            }
            let second: usize = ctx
                .step("second", || async {
                    Ok::<_, TaskError>(10 + counted.second.fetch_add(1, Ordering::SeqCst))
                })
                .await?;
            Ok::<_, TaskError>((ctx.attempt(), first, second))
        }
    });
    agent.spawn().unwrap()
}

#[tokio::test]
async fn an_agent_that_dies_between_two_steps_does_the_first_only_once() {
    let server = Server::with("--reattach-grace 200ms").await;
    let client = server.client();
    let counted = Arc::new(Counted { gate: Some(Semaphore::new(0)), ..Counted::default() });
    let id = client.create(task()).await.unwrap().task_id;
    let dying = two_steps(&client, &counted);
    wait::event_type(&client, &id, EventType::StepRecorded).await;
    // It says nothing any more, as if it had been killed.
    dying.stop();
    let next = two_steps(&client, &counted);
    counted.gate.as_ref().unwrap().add_permits(1);
    let result: (i32, usize, usize) = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(result, (2, 1, 10));
    assert_eq!(counted.first.load(Ordering::SeqCst), 1);
    let steps = client.steps(&id, 0).await.unwrap();
    assert_eq!(told(&steps), [("first", 0, 1, 1), ("second", 0, 2, 2)]);
    next.stop();
}

#[tokio::test]
async fn a_server_that_is_killed_between_two_steps_keeps_the_first() {
    let mut server = Server::start().await;
    let client = server.client();
    let counted = Arc::new(Counted { gate: Some(Semaphore::new(0)), ..Counted::default() });
    let id = client.create(task()).await.unwrap().task_id;
    let agent = two_steps(&client, &counted);
    wait::event_type(&client, &id, EventType::StepRecorded).await;
    server.kill_9().await;
    counted.gate.as_ref().unwrap().add_permits(1);
    server.restart().await;
    let result: (i32, usize, usize) = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(result, (1, 1, 10), "the same attempt goes on");
    let steps = client.steps(&id, 0).await.unwrap();
    assert_eq!(told(&steps), [("first", 0, 1, 1), ("second", 0, 2, 1)]);
    agent.stop();
}

/// A loop under one name, steps beside each other, and errors on the way, over several attempts.
#[tokio::test]
async fn the_sdk_counts_occurrences_the_same_way_in_every_attempt() {
    let server = Server::start().await;
    let client = server.client();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let agent = Agent::builder("looper").client(&client).handle("t", move |ctx: Context, _: String| {
        let runs = Arc::clone(&counted);
        async move {
            let mut sum = 0;
            for n in 0..4_i32 {
                let failing = n == ctx.attempts_used() + 1 && ctx.attempts_used() < 3;
                sum += ctx
                    .step("add", || async {
                        runs.fetch_add(1, Ordering::SeqCst);
                        if failing { Err(TaskError::new("not yet")) } else { Ok(n) }
                    })
                    .await?;
            }
            let (left, right) = tokio::join!(
                ctx.step("left", || async { Ok::<_, TaskError>("l".to_owned()) }),
                ctx.step("right", || async { Ok::<_, TaskError>("r".to_owned()) }),
            );
            Ok::<_, TaskError>((sum, left? + &right?))
        }
    });
    let agent = agent.spawn().unwrap();
    let id = client.create(task()).await.unwrap().task_id;
    let result: (i32, String) = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(result, (6, "lr".to_owned()));
    assert_eq!(runs.load(Ordering::SeqCst), 7, "four that were recorded, and three that failed");
    let steps = client.steps(&id, 0).await.unwrap();
    let adds: Vec<_> = told(&steps).into_iter().filter(|step| step.0 == "add").map(|step| (step.1, step.3)).collect();
    assert_eq!(adds, [(0, 1), (1, 2), (2, 3), (3, 4)]);
    agent.stop();
}

#[tokio::test]
async fn a_step_is_told_in_the_history_and_to_watchers() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    assert!(agent.welcome.features.contains(&"steps".to_owned()), "{:?}", agent.welcome.features);
    let attempt = agent.accepted().await;
    let receipt = agent.receipt_of(&attempt, Kind::Step(record("fetch", 3, "page"))).await;
    assert_eq!((receipt.status(), receipt.state()), (ReceiptStatus::Committed, TaskState::Running));
    agent.complete(&attempt, "done").await;
    let history = client.history(&id).await.unwrap();
    let told = history.iter().find(|event| event.r#type() == EventType::StepRecorded).unwrap();
    assert_eq!((told.step.as_str(), told.step_occurrence, told.attempt), ("fetch", 3, 1));
    let mut watch = client.watch(Watch::task(&id).until_ended());
    let mut watched = Vec::new();
    while let Some(event) = wait::soon("an event", watch.next()).await.unwrap() {
        watched.push(event);
    }
    assert!(watched.contains(told));
}

#[tokio::test]
async fn the_first_result_counts_and_the_stale_have_no_say() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let first = agent.accepted().await;
    for (report_id, step, expected) in [
        (100, record("fetch", 0, "page"), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (100, record("fetch", 0, "page"), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (101, record("fetch", 0, "page"), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
        (102, record("fetch", 0, "other"), (ReceiptStatus::Refused, ErrorReason::StepExists)),
        (103, record("fetch", 1, "other"), (ReceiptStatus::Committed, ErrorReason::Unspecified)),
    ] {
        agent.report_as(report_id, &first, Kind::Step(step)).await;
        let receipt = agent.receipt(report_id).await;
        assert_eq!((receipt.status(), receipt.reason()), expected, "{receipt:?}");
    }
    agent.receipt_of(&first, Kind::Failed(v1::FailureReport { failure: Some(claim::failure("Boom")) })).await;
    let second = agent.assignment().await;
    assert_eq!((told(&second.steps).len(), second.step_count), (2, 2));
    assert_eq!(text_of(second.steps[0].result.as_ref()), "page");
    let late = agent.receipt_of(&first, Kind::Step(record("late", 0, ""))).await;
    assert_eq!((late.status(), late.reason()), (ReceiptStatus::Refused, ErrorReason::StaleAttempt));
    assert_eq!(client.steps(&id, 0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_retried_task_begins_its_run_without_steps_and_those_of_the_run_before_can_be_read() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(task()).await.unwrap().task_id;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    agent.receipt_of(&attempt, Kind::Step(record("fetch", 0, "old"))).await;
    agent.receipt_of(&attempt, Kind::Checkpoint(v1::Checkpoint { data: Some(text("half")) })).await;
    agent.receipt_of(&attempt, Kind::Failed(v1::FailureReport { failure: Some(claim::for_good("Boom")) })).await;
    wait::ended(&client, &id).await;
    client.retry(&id).await.unwrap();
    let again = agent.assignment().await;
    assert_eq!((again.run, again.steps.len(), again.step_count), (2, 0, 0));
    assert_eq!(text_of(again.checkpoint.as_ref()), "half", "a checkpoint is kept over runs");
    let attempt = again.attempt.unwrap();
    agent.receipt_of(&attempt, Kind::Step(record("fetch", 0, "new"))).await;
    for (run, expected) in [(1, &["old"][..]), (2, &["new"]), (0, &["new"]), (3, &[])] {
        let steps = client.steps(&id, run).await.unwrap();
        let results: Vec<String> = steps.iter().map(|step| text_of(step.result.as_ref())).collect();
        assert_eq!(results, expected, "run {run}");
    }
}

/// What an assignment has no room for is fetched; and a run has its limits.
#[tokio::test]
async fn many_large_steps_come_in_pages_up_to_the_limit() {
    let server = Server::start().await;
    let client = server.client();
    let new = task().input_payload(text("i".repeat(MIB)));
    let id = client.create(new).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let beat = async |steps: Vec<StepRecord>| {
        let attempt = Some(lease.clone());
        client.heartbeat(v1::HeartbeatTaskRequest { attempt, steps, ..Default::default() }).await
    };
    for n in 0..15 {
        beat(vec![record("load", n, "x".repeat(MIB))]).await.unwrap();
    }
    beat(vec![record("last", 0, "x".repeat(MIB - 2))]).await.unwrap();
    let full = beat(vec![record("too", 0, "xyz")]).await.unwrap_err();
    refused(&full, Code::ResourceExhausted, "LIMIT_REACHED");
    beat(vec![record("fits", 0, "xy")]).await.unwrap();
    claim::fail(&client, &lease, claim::failure("Boom")).await.unwrap();
    let again = claim::one(&client, "ann", "t").await;
    assert_eq!(again.step_count, 17);
    assert!(again.steps.len() < 17, "it has no room for all");
    let steps = client.steps(&id, again.run).await.unwrap();
    let ordinals: Vec<i32> = steps.iter().map(|step| step.ordinal).collect();
    assert_eq!(ordinals, (1..=17).collect::<Vec<_>>());
    assert_eq!(text_of(steps[16].result.as_ref()), "xy");
    let mut tasks = server.tasks().await;
    let page = v1::ListStepsRequest { task_id: id, ..Default::default() };
    let page = tasks.list_steps(page).await.unwrap().into_inner();
    assert_eq!((page.steps.len(), page.next_page_token.is_empty()), (2, false), "a page has at most 2 MiB");
}

#[tokio::test]
async fn an_agent_fetches_what_its_assignment_had_no_room_for() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("loader").client(&client).handle("t", |ctx: Context, _: String| async move {
        for n in 0..5_usize {
            let fresh = || async { Ok::<_, TaskError>(format!("{n}").repeat(700_000)) };
            let text = if ctx.attempts_used() == 0 {
                ctx.step("load", fresh).await?
            } else {
                ctx.step("load", || async { Err::<String, _>(TaskError::new("it must not run").permanent()) }).await?
            };
            assert!(text.starts_with(&n.to_string()) && text.len() == 700_000);
        }
        if ctx.attempts_used() == 0 { Err(TaskError::new("once more")) } else { Ok("all were there") }
    });
    let agent = agent.spawn().unwrap();
    let result: String = wait::soon("the result", client.run(task())).await.unwrap();
    assert_eq!(result, "all were there");
    agent.stop();
}

#[tokio::test]
async fn a_run_has_a_thousand_steps_and_a_handler_is_told_when_there_is_no_room() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("counter").client(&client).handle("t", |ctx: Context, _: String| async move {
        for n in 0..1_000_u32 {
            ctx.step("count", || async { Ok::<_, TaskError>(n) }).await?;
        }
        let full = ctx.step("count", || async { Ok::<_, callboard::Error>(1_000) }).await.unwrap_err();
        assert!(!ctx.is_cancelled(), "the attempt goes on");
        Ok::<_, TaskError>((full.reason().to_owned(), format!("{:?}", full.code())))
    });
    let agent = agent.spawn().unwrap();
    let id = client.create(task()).await.unwrap().task_id;
    let result: (String, String) = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(result, ("LIMIT_REACHED".to_owned(), "Some(ResourceExhausted)".to_owned()));
    assert_eq!(client.steps(&id, 0).await.unwrap().len(), 1_000);
    agent.stop();
}

#[tokio::test]
async fn a_handler_that_reads_a_step_as_another_type_fails_with_an_error_that_names_it() {
    let server = Server::start().await;
    let client = server.client();
    let agent = Agent::builder("changed").client(&client).handle("t", |ctx: Context, _: String| async move {
        if ctx.attempts_used() == 0 {
            ctx.step("fetch", || async { Ok::<_, TaskError>("page".to_owned()) }).await?;
            return Err(TaskError::new("deployed anew"));
        }
        let error = ctx.step::<Vec<u32>, callboard::Error, _, _>("fetch", || async { Ok(Vec::new()) }).await.unwrap_err();
        Ok((matches!(error, callboard::Error::Decode(_)), error.to_string()))
    });
    let agent = agent.spawn().unwrap();
    let (is_decode, said): (bool, String) = wait::soon("the result", client.run(task())).await.unwrap();
    assert!(is_decode && said.contains("\"fetch\" (occurrence 0)"), "{said}");
    agent.stop();
}
