//! Reports and their receipts.

use super::create;
use callboard::v1::report::Kind;
use callboard::v1::{self, Attempt, ErrorReason, Hello, Receipt, ReceiptStatus, TaskState};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::server::Server;
use callboard_tests::{claim, text};
use std::time::Duration;

fn verdict(receipt: &Receipt) -> (ReceiptStatus, ErrorReason, TaskState) {
    (receipt.status(), receipt.reason(), receipt.state())
}

fn completed(result: &str) -> Kind {
    Kind::Completed(v1::Completion { result: Some(text(result)) })
}

fn refused(reason: ErrorReason) -> (ReceiptStatus, ErrorReason, TaskState) {
    (ReceiptStatus::Refused, reason, TaskState::Unspecified)
}

fn committed(state: TaskState) -> (ReceiptStatus, ErrorReason, TaskState) {
    (ReceiptStatus::Committed, ErrorReason::Unspecified, state)
}

#[tokio::test]
async fn every_report_gets_a_receipt_after_its_commit() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.assignment().await.attempt.unwrap();
    let accepted = agent.receipt_of(&attempt, Kind::Accepted(v1::Accepted {})).await;
    assert_eq!(verdict(&accepted), committed(TaskState::Running));
    assert_eq!(accepted.attempt.as_ref(), Some(&attempt));
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Running, "what a receipt says can be read");
    let checkpoint = v1::Checkpoint { data: Some(text("half")) };
    let saved = agent.receipt_of(&attempt, Kind::Checkpoint(checkpoint)).await;
    assert_eq!(verdict(&saved), committed(TaskState::Running));
    let done = agent.complete(&attempt, "done").await;
    assert_eq!(verdict(&done), committed(TaskState::Completed));
    // The same report, under its old id or a new one, gets the same receipt; another outcome is refused.
    agent.report_as(done.report_id, &attempt, completed("done")).await;
    assert_eq!(agent.receipt(done.report_id).await, done);
    assert_eq!(verdict(&agent.complete(&attempt, "done").await), committed(TaskState::Completed));
    assert_eq!(verdict(&agent.complete(&attempt, "other").await), refused(ErrorReason::StaleAttempt));
    let failed = Kind::Failed(v1::FailureReport { failure: Some(claim::failure("Boom")) });
    assert_eq!(verdict(&agent.receipt_of(&attempt, failed).await), refused(ErrorReason::StaleAttempt));
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.state(), callboard_tests::text_of(task.result.as_ref()).as_str()), (TaskState::Completed, "done"));
}

#[tokio::test]
async fn a_failure_with_a_retry_says_where_the_task_is_now() {
    let server = Server::start().await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    let failed = Kind::Failed(v1::FailureReport { failure: Some(claim::failure("Boom")) });
    assert_eq!(verdict(&agent.receipt_of(&attempt, failed).await), committed(TaskState::Waiting));
    let second = agent.assignment().await;
    assert_eq!((second.attempts_used, second.attempt.unwrap().attempt), (1, 2));
}

#[tokio::test]
async fn what_is_not_the_current_lease_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut ann = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = ann.accepted().await;
    let mut bob = RawAgent::start(&server, "bob", "t").await.beating();
    let wrong_token = Attempt { lease_token: "0".repeat(32), ..attempt.clone() };
    let other_attempt = Attempt { attempt: 2, ..attempt.clone() };
    let nowhere = Attempt { task_id: "01989b0e-3c1a-7000-8000-0000dddddddd".into(), ..attempt.clone() };
    assert_eq!(verdict(&ann.complete(&wrong_token, "x").await), refused(ErrorReason::WrongLeaseToken));
    assert_eq!(verdict(&ann.complete(&other_attempt, "x").await), refused(ErrorReason::StaleAttempt));
    assert_eq!(verdict(&ann.complete(&nowhere, "x").await), refused(ErrorReason::TaskNotFound));
    assert_eq!(verdict(&bob.complete(&attempt, "x").await), refused(ErrorReason::NotYourLease));
    let late = Kind::Progress(v1::Progress { fraction: Some(0.5), ..Default::default() });
    assert_eq!(verdict(&ann.receipt_of(&wrong_token, late).await), refused(ErrorReason::WrongLeaseToken));
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.state(), task.attempt), (TaskState::Running, 1));
    assert_eq!(verdict(&ann.complete(&attempt, "mine").await), committed(TaskState::Completed));
}

#[tokio::test]
async fn a_report_without_a_receipt_is_repeated_after_attaching_again() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    let done = agent.complete(&attempt, "done").await;
    // As if the receipt had not come.
    drop(agent);
    let back = Hello { held: vec![attempt.clone()], previous_epoch: 1, ..hello("ann", "t") };
    let mut agent = RawAgent::attach(&server, back).await.unwrap();
    assert!(agent.welcome.held.is_empty(), "it is done, and nobody's any more");
    agent.report_as(done.report_id, &attempt, completed("done")).await;
    assert_eq!(agent.receipt(done.report_id).await, done);
    assert_eq!(client.get(&id).await.unwrap().attempt, 1);
}

#[tokio::test]
async fn what_is_not_accepted_in_time_goes_to_another() {
    let server = Server::with("--accept-within 1s --restart-grace 0s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut lazy = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = lazy.assignment().await.attempt.unwrap();
    let mut other = RawAgent::start(&server, "bob", "t").await.beating();
    let second = other.accepted().await;
    assert_eq!((second.task_id.as_str(), second.attempt), (id.as_str(), 2));
    let told = lazy.cancellation().await;
    assert_eq!((told.attempt.as_ref(), told.reason()), (Some(&attempt), v1::CancellationReason::LeaseLost));
    let late = lazy.receipt_of(&attempt, Kind::Accepted(v1::Accepted {})).await;
    assert_eq!(verdict(&late), refused(ErrorReason::StaleAttempt));
    assert_eq!(client.get(&id).await.unwrap().attempts_used, 0, "what did not begin does not count");
}

#[tokio::test]
async fn what_is_rejected_goes_to_another_and_does_not_count() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut ann = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = ann.assignment().await.attempt.unwrap();
    let mut bob = RawAgent::start(&server, "bob", "t").await.beating();
    let rejected = Kind::Rejected(v1::Rejected { reason: "too hot".into() });
    assert_eq!(verdict(&ann.receipt_of(&attempt, rejected).await), committed(TaskState::Ready));
    let second = bob.accepted().await;
    assert_eq!((second.task_id.as_str(), second.attempt), (id.as_str(), 2));
    let history = client.history(&id).await.unwrap();
    let handed_back = history.iter().find(|event| event.r#type() == v1::EventType::HandedBack).unwrap();
    assert_eq!((handed_back.reason.as_str(), handed_back.agent.as_str()), ("too hot", "ann"));
    assert_eq!(client.get(&id).await.unwrap().attempts_used, 0);
}

#[tokio::test]
async fn what_its_only_agent_rejects_again_and_again_is_not_a_busy_loop() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut ann = RawAgent::start(&server, "ann", "t").await.beating();
    for _ in 0..2 {
        let attempt = ann.assignment().await.attempt.unwrap();
        ann.receipt_of(&attempt, Kind::Rejected(v1::Rejected::default())).await;
    }
    let is_assignment =
        |frame: &v1::attach_response::Frame| matches!(frame, v1::attach_response::Frame::Assignments(_));
    ann.hears_nothing("an assignment", is_assignment, Duration::from_millis(300)).await;
    assert_eq!(client.get(&id).await.unwrap().state(), TaskState::Waiting);
    ann.accepted().await;
}
