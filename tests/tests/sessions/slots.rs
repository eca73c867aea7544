//! Slots: never more is pushed than is free.

use super::create;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::{self, ReceiptStatus};
use callboard_tests::agent::{RawAgent, hello_with_slots};
use callboard_tests::refusal;
use callboard_tests::server::Server;
use std::time::Duration;
use tonic::Code;

const QUIET: Duration = Duration::from_millis(400);

fn is_assignment(frame: &Frame) -> bool {
    matches!(frame, Frame::Assignments(_))
}

#[tokio::test]
async fn no_more_is_pushed_than_the_free_slots() {
    let server = Server::start().await;
    let client = server.client();
    for _ in 0..8 {
        create(&client).await;
    }
    let mut agent = RawAgent::attach(&server, hello_with_slots("ann", "t", 3)).await.unwrap().beating();
    let mut held = vec![agent.accepted().await, agent.accepted().await, agent.accepted().await];
    agent.hears_nothing("a fourth assignment", is_assignment, QUIET).await;
    assert_eq!(client.get_agent("ann").await.unwrap().leased_tasks, 3);
    // A slot that is freed is filled.
    assert_eq!(agent.complete(&held.remove(0), "").await.status(), ReceiptStatus::Committed);
    held.push(agent.accepted().await);
    agent.hears_nothing("a fourth assignment", is_assignment, QUIET).await;

    agent.say(Said::Slots(v1::SlotsChange { slots: 5 })).await;
    held.push(agent.accepted().await);
    held.push(agent.accepted().await);
    agent.hears_nothing("a sixth assignment", is_assignment, QUIET).await;

    agent.say(Said::Slots(v1::SlotsChange { slots: 0 })).await;
    for attempt in held.drain(..) {
        assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
    }
    agent.hears_nothing("an assignment without slots", is_assignment, QUIET).await;
    agent.say(Said::Slots(v1::SlotsChange { slots: 1 })).await;
    agent.accepted().await;
}

#[tokio::test]
async fn a_number_of_slots_that_can_not_be_is_refused() {
    let server = Server::start().await;
    for slots in [-1, 1001] {
        let mut agent = RawAgent::start(&server, "ann", "t").await;
        agent.say(Said::Slots(v1::SlotsChange { slots })).await;
        let details = refusal(&agent.end().await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "slots.slots");
    }
}

#[tokio::test]
async fn a_thousand_tasks_over_ten_agents_never_exceed_anyones_slots() {
    let server = Server::start().await;
    let client = server.client();
    client.create_all((0..1000).map(|_| callboard::NewTask::new("t"))).await.unwrap();
    let work = (0..10).map(|n| {
        let server = &server;
        async move {
            let hello = hello_with_slots(&format!("agent-{n}"), "t", 4);
            let mut agent = RawAgent::attach(server, hello).await.unwrap().beating();
            let mut held = std::collections::VecDeque::new();
            for _ in 0..50 {
                held.push_back(agent.assignment().await.attempt.unwrap());
                assert!(held.len() <= 4, "agent-{n} holds {}", held.len());
                if held.len() == 4 {
                    let attempt = held.pop_front().unwrap();
                    assert_eq!(agent.complete(&attempt, "").await.status(), ReceiptStatus::Committed);
                }
            }
        }
    });
    futures::future::join_all(work).await;
}
