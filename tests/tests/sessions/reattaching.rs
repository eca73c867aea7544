//! Streams that break, come back, or are superseded.

use super::create;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::{self, AgentState, Attempt, EventType, Hello, ReceiptStatus, TaskState};
use callboard_tests::agent::{RawAgent, frame, hello, hello_with_slots, open};
use callboard_tests::server::Server;
use callboard_tests::{claim, refusal, refused, wait};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// What an agent says that comes back with what it holds.
fn back(name: &str, held: &[&Attempt], previous_epoch: i64) -> Hello {
    Hello { held: held.iter().map(|a| (*a).clone()).collect(), previous_epoch, ..hello_with_slots(name, "t", 2) }
}

#[tokio::test]
async fn an_agent_that_comes_back_keeps_what_it_holds_and_loses_the_rest() {
    let server = Server::start().await;
    let client = server.client();
    let (kept, lost) = (create(&client).await, create(&client).await);
    let mut agent = RawAgent::attach(&server, hello_with_slots("ann", "t", 2)).await.unwrap();
    let (mut first, mut second) = (agent.accepted().await, agent.accepted().await);
    if first.task_id == lost {
        std::mem::swap(&mut first, &mut second);
    }
    drop(agent);
    let mut agent = RawAgent::attach(&server, back("ann", &[&first], 1)).await.unwrap();
    assert_eq!(agent.welcome.session_epoch, 2, "the epoch rises");
    assert_eq!(agent.welcome.held, [first.clone()], "the same token");
    let again = agent.accepted().await;
    assert_eq!((again.task_id.as_str(), again.attempt), (lost.as_str(), 2), "what it lost comes again at once");
    assert_ne!(again.lease_token, second.lease_token);
    assert_eq!(agent.complete(&second, "stale").await.reason(), v1::ErrorReason::StaleAttempt);
    assert_eq!(agent.complete(&first, "kept").await.state(), TaskState::Completed);
    let task = client.get(&kept).await.unwrap();
    assert_eq!((task.attempt, task.attempts_used), (1, 0));
    let lost = client.get(&lost).await.unwrap();
    assert_eq!(lost.attempts_used, 1, "a lost attempt counts");
}

#[tokio::test]
async fn an_attempt_that_was_never_accepted_is_lost_without_counting() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    agent.assignment().await;
    drop(agent);
    let mut agent = RawAgent::attach(&server, Hello { previous_epoch: 1, ..hello("ann", "t") }).await.unwrap();
    assert_eq!(agent.accepted().await.attempt, 2);
    assert_eq!(client.get(&id).await.unwrap().attempts_used, 0);
}

#[tokio::test]
async fn what_is_claimed_to_be_held_must_be_proven() {
    let server = Server::start().await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    drop(agent);
    let forged = Attempt { lease_token: "0".repeat(32), ..attempt };
    let agent = RawAgent::attach(&server, back("ann", &[&forged], 1)).await.unwrap();
    assert!(agent.welcome.held.is_empty());
}

#[tokio::test]
async fn the_attempts_of_a_broken_stream_go_to_another_after_the_grace() {
    let server = Server::with("--reattach-grace 1s --restart-grace 0s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    agent.accepted().await;
    drop(agent);
    let broken = Instant::now();
    let mut other = RawAgent::start(&server, "bob", "t").await.beating();
    let attempt = other.accepted().await;
    let took = broken.elapsed();
    println!("measured: a broken stream's attempt went to another after {took:?} (grace 1 s)");
    assert_eq!((attempt.task_id.as_str(), attempt.attempt), (id.as_str(), 2));
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let known = client.get_agent("ann").await.unwrap();
    assert_eq!((known.state(), known.failed_attempts), (AgentState::Detached, 1));
    assert!(known.detached_at.is_some());
}

#[tokio::test]
async fn an_agent_that_is_back_in_time_is_shown_as_reconnecting_meanwhile() {
    let server = Server::with("--reattach-grace 10s").await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    let attempt = agent.accepted().await;
    drop(agent);
    wait::agent_state(&client, "ann", AgentState::Reconnecting).await;
    let mut agent = RawAgent::attach(&server, back("ann", &[&attempt], 1)).await.unwrap();
    assert_eq!(client.get_agent("ann").await.unwrap().state(), AgentState::Attached);
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
}

#[tokio::test]
async fn a_silent_session_ends_within_its_lease_and_two_seconds() {
    let server = Server::with("--stream-lease 1s --restart-grace 0s").await;
    let client = server.client();
    let id = create(&client).await;
    let mut silent = RawAgent::start(&server, "ann", "t").await;
    silent.accepted().await;
    let since = Instant::now();
    let mut other = RawAgent::start(&server, "bob", "t").await.beating();
    let attempt = other.accepted().await;
    let took = since.elapsed();
    println!("measured: a silent agent's attempt went to another after {took:?} (lease 1 s)");
    assert_eq!((attempt.task_id.as_str(), attempt.attempt), (id.as_str(), 2));
    assert!(took < Duration::from_secs(5), "{took:?}");
    refusal(&silent.end().await.unwrap_err(), Code::Aborted, "SESSION_EXPIRED");
    let history = client.history(&id).await.unwrap();
    assert!(history.iter().any(|event| event.r#type() == EventType::AttemptLost && event.agent == "ann"));
}

#[tokio::test]
async fn a_newer_session_supersedes_the_older_which_is_told() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    let mut old = RawAgent::start(&server, "ann", "t").await;
    let attempt = old.accepted().await;
    let other_program = Hello { instance_id: "other".into(), ..hello("ann", "t") };
    let mut new = RawAgent::attach(&server, other_program).await.unwrap();
    refusal(&old.end().await.unwrap_err(), Code::Aborted, "SESSION_SUPERSEDED");
    assert_eq!(new.welcome.session_epoch, 2);
    let again = new.accepted().await;
    assert_eq!((again.task_id.as_str(), again.attempt), (id.as_str(), 2));
    let stale = claim::complete(&client, &attempt, "by another way").await.unwrap_err();
    refused(&stale, Code::FailedPrecondition, "STALE_ATTEMPT");
    // The older program must not take the name back: the two would take turns.
    let (_open, mut frames) = match open(&server, [frame(Said::Hello(back("ann", &[&attempt], 1)))]).await {
        Err(status) => return refusal_is_superseded(&status),
        Ok(opened) => opened,
    };
    refusal_is_superseded(&frames.message().await.unwrap_err());
}

fn refusal_is_superseded(status: &tonic::Status) {
    refusal(status, Code::Aborted, "SESSION_SUPERSEDED");
}

#[tokio::test]
async fn the_same_program_may_attach_again_before_its_old_stream_is_noticed_to_be_dead() {
    let server = Server::start().await;
    let client = server.client();
    create(&client).await;
    let mut old = RawAgent::start(&server, "ann", "t").await;
    let attempt = old.accepted().await;
    let mut new = RawAgent::attach(&server, back("ann", &[&attempt], 1)).await.unwrap();
    assert_eq!(new.welcome.held, std::slice::from_ref(&attempt));
    // Not superseded, which would end the program: it is its own newer stream, or the newer one came late.
    refusal(&old.end().await.unwrap_err(), Code::Aborted, "SESSION_EXPIRED");
    assert_eq!(new.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
}

#[tokio::test]
async fn a_removed_agent_is_told_and_a_cordoned_one_keeps_what_it_has() {
    let server = Server::start().await;
    let client = server.client();
    create(&client).await;
    let mut agent = RawAgent::start(&server, "ann", "t").await.beating();
    let attempt = agent.accepted().await;
    client.cordon("ann").await.unwrap();
    let second = create(&client).await;
    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
    let is_assignment =
        |frame: &v1::attach_response::Frame| matches!(frame, v1::attach_response::Frame::Assignments(_));
    agent.hears_nothing("an assignment", is_assignment, Duration::from_millis(500)).await;
    client.uncordon("ann").await.unwrap();
    assert_eq!(agent.accepted().await.task_id, second);
    client.remove_agent("ann").await.unwrap();
    refusal(&agent.end().await.unwrap_err(), Code::Aborted, "SESSION_EXPIRED");
    let mut other = RawAgent::start(&server, "bob", "t").await;
    assert_eq!(other.accepted().await.task_id, second, "its task is another's at once");
}
