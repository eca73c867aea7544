//! What follows a failed attempt.

use callboard::NewTask;
use callboard::v1::{self, EventType, RetryPolicy, TaskState, WaitReason};
use callboard_tests::server::Server;
use callboard_tests::{claim, seconds, stamp, wait};

fn quick() -> RetryPolicy {
    RetryPolicy { max_attempts: 3, initial_backoff: seconds(0.05), max_backoff: seconds(0.1), ..Default::default() }
}

/// How long after its failure an attempt was followed by the next, in seconds.
fn delays(history: &[v1::Event]) -> Vec<f64> {
    history
        .iter()
        .filter(|e| e.r#type() == EventType::RetryScheduled)
        .map(|e| stamp(e.scheduled_at) - stamp(e.at))
        .collect()
}

#[tokio::test]
async fn failures_are_retried_with_growing_delays_until_the_attempts_are_used_up() {
    let server = Server::start().await;
    let client = server.client();
    let policy = RetryPolicy { max_backoff: seconds(10.0), multiplier: 3.0, ..quick() };
    let id = client.create(NewTask::new("t").retry_policy(policy)).await.unwrap().task_id;
    for used in 0..3 {
        let assignment = claim::one(&client, "ann", "t").await;
        assert_eq!(assignment.attempts_used, used);
        let receipt = claim::fail(&client, &assignment.attempt.unwrap(), claim::failure("Boom")).await.unwrap();
        assert_eq!(receipt.state(), if used < 2 { TaskState::Waiting } else { TaskState::Failed });
        if used == 0 {
            let task = client.get(&id).await.unwrap();
            assert!(task.waiting_for.is_empty() || task.waiting_for == [i32::from(WaitReason::RetryDelay)]);
            assert_eq!(task.failure.unwrap().r#type, "Boom", "the last failure can be seen");
        }
    }
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.attempt, task.attempts_used, task.failure.unwrap().r#type.as_str()), (3, 3, "Boom"));
    let delays = delays(&client.history(&id).await.unwrap());
    assert_eq!(delays.len(), 2);
    assert!((0.04..=0.05).contains(&delays[0]) && (0.12..=0.15).contains(&delays[1]), "{delays:?}");
}

#[tokio::test]
async fn some_failures_are_for_good() {
    let server = Server::start().await;
    let client = server.client();
    let policy = RetryPolicy { non_retryable_types: vec!["BadInput".into()], ..quick() };
    for failure in [claim::for_good("Boom"), claim::failure("BadInput")] {
        client.create(NewTask::new("t").retry_policy(policy.clone())).await.unwrap();
        let lease = claim::lease(&client, "ann", "t").await;
        assert_eq!(claim::fail(&client, &lease, failure).await.unwrap().state(), TaskState::Failed);
    }
}

#[tokio::test]
async fn a_failure_may_ask_for_a_longer_delay() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t").retry_policy(quick())).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let later = v1::Failure { retry_after: seconds(0.8), ..claim::failure("Busy") };
    claim::fail(&client, &lease, later).await.unwrap();
    let delay = delays(&client.history(&id).await.unwrap())[0];
    assert!((0.79..0.9).contains(&delay), "{delay}");
    let second = claim::one(&client, "ann", "t").await;
    assert_eq!(second.attempts_used, 1);
}

#[tokio::test]
async fn causes_and_details_are_kept() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let details = callboard::to_payload(&serde_json::json!({ "code": 404 })).unwrap();
    let mut failure = v1::Failure { details: Some(details.clone()), ..claim::for_good("Outer") };
    failure.cause = Some(Box::new(claim::failure("Inner")));
    claim::fail(&client, &lease, failure).await.unwrap();
    let kept = wait::ended(&client, &id).await.failure.unwrap();
    assert_eq!((kept.details.as_ref(), kept.cause.unwrap().r#type.as_str()), (Some(&details), "Inner"));
}
