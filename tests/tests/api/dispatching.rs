//! Who gets what, and in which order.

use callboard::v1::{self, Priority};
use callboard::{Client, NewTask};
use callboard_tests::agent::{RawAgent, hello, hello_with_slots};
use callboard_tests::server::Server;
use callboard_tests::{claim, refused, wait};
use std::time::Duration;
use tonic::Code;

/// Accepts and completes one task after the other, and gives their ids.
async fn work_through(agent: &mut RawAgent, count: usize) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..count {
        let attempt = agent.accepted().await;
        assert_eq!(agent.complete(&attempt, "").await.status(), v1::ReceiptStatus::Committed);
        done.push(attempt.task_id);
    }
    done
}

async fn create(client: &Client, new: NewTask) -> String {
    client.create(new).await.unwrap().task_id
}

#[tokio::test]
async fn one_slot_takes_tasks_by_priority() {
    let server = Server::start().await;
    let client = server.client();
    let mut expected = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent, Priority::Critical] {
        expected.push(create(&client, NewTask::new("t").priority(priority)).await);
    }
    expected.reverse();
    let mut agent = RawAgent::start(&server, "ann", "t").await;
    assert_eq!(work_through(&mut agent, 5).await, expected);
}

#[tokio::test]
async fn an_agent_with_several_types_takes_the_most_urgent_first() {
    let server = Server::start().await;
    let client = server.client();
    let low = create(&client, NewTask::new("a").priority(Priority::Low)).await;
    let urgent = create(&client, NewTask::new("b").priority(Priority::Urgent)).await;
    let mut hello = hello("ann", "a");
    let profile = hello.profile.as_mut().unwrap();
    profile.handles.push(v1::TaskHandler { r#type: "b".into(), ..Default::default() });
    let mut agent = RawAgent::attach(&server, hello).await.unwrap();
    assert_eq!(work_through(&mut agent, 2).await, [urgent, low]);
}

#[tokio::test]
async fn requirements_are_met_or_nobody_gets_it() {
    let server = Server::start().await;
    let client = server.client();
    let wants = [
        NewTask::new("t").skill("pdf").skill("web"),
        NewTask::new("t").tool("browser"),
        NewTask::new("t").role("lead"),
        NewTask::new("t").assignee("ann"),
        NewTask::new("other"),
    ];
    for new in wants {
        create(&client, new).await;
    }
    let plain = client.claim(claim::request_many("bob", "t", 10)).await.unwrap();
    assert!(plain.is_empty(), "{plain:?}");
    let mut request = claim::request_many("carl", "t", 10);
    let profile = request.profile.as_mut().unwrap();
    profile.skills = vec!["pdf".into(), "web".into(), "more".into()];
    profile.tools = vec!["browser".into()];
    profile.role = "lead".into();
    assert_eq!(client.claim(request).await.unwrap().len(), 3);
    assert_eq!(client.claim(claim::request_many("ann", "t", 10)).await.unwrap().len(), 1);
    assert_eq!(client.claim(claim::request_many("anybody", "*", 10)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_preferred_agent_goes_before_others_but_is_not_waited_for_long() {
    let server = Server::start().await;
    let client = server.client();
    let mut ann = RawAgent::start(&server, "ann", "t").await.beating();
    let mut bob = RawAgent::start(&server, "bob", "t").await.beating();
    // Free: it gets it.
    let first = create(&client, NewTask::new("t").preferred_agent("bob")).await;
    assert_eq!(bob.accepted().await.task_id, first);
    // Busy: another gets the next one after the head start.
    let second = create(&client, NewTask::new("t").preferred_agent("bob")).await;
    ann.hears_nothing("an assignment", is_assignment, Duration::from_millis(1000)).await;
    assert_eq!(ann.accepted().await.task_id, second);
    // Not attached: at once.
    let mut carl = RawAgent::start(&server, "carl", "t").await.beating();
    let third = create(&client, NewTask::new("t").preferred_agent("nobody")).await;
    let got = wait::within(Duration::from_millis(1500), "the task without a head start", carl.accepted()).await;
    assert_eq!(got.task_id, third);
}

#[tokio::test]
async fn affinity_chooses_among_those_that_fit() {
    let server = Server::start().await;
    let client = server.client();
    let mut zone = hello("bob", "t");
    zone.profile.as_mut().unwrap().labels.insert("zone".into(), "b".into());
    let _ann = RawAgent::start(&server, "ann", "t").await.beating();
    let mut bob = RawAgent::attach(&server, zone).await.unwrap().beating();
    let _carl = RawAgent::start(&server, "carl", "t").await.beating();
    let id = create(&client, NewTask::new("t").affinity("zone", "b")).await;
    assert_eq!(bob.accepted().await.task_id, id);
}

#[tokio::test]
async fn a_task_prefers_the_idler_agent() {
    let server = Server::start().await;
    let client = server.client();
    let mut busy = RawAgent::attach(&server, hello_with_slots("ann", "t", 2)).await.unwrap().beating();
    create(&client, NewTask::new("t")).await;
    busy.accepted().await;
    let mut idle = RawAgent::attach(&server, hello_with_slots("bob", "t", 2)).await.unwrap().beating();
    let second = create(&client, NewTask::new("t")).await;
    assert_eq!(idle.accepted().await.task_id, second);
}

#[tokio::test]
async fn the_number_of_lanes_is_limited() {
    let server = Server::start().await;
    let client = server.client();
    let settings = v1::NamespaceSettings { max_lanes: 2, ..Default::default() };
    client.create_namespace("narrow", settings).await.unwrap();
    let narrow = server.client_in("narrow");
    let first = create(&narrow, NewTask::new("a")).await;
    create(&narrow, NewTask::new("b")).await;
    let error = narrow.create(NewTask::new("c")).await.unwrap_err();
    refused(&error, Code::ResourceExhausted, "LIMIT_REACHED");
    assert!(error.to_string().contains("max_lanes"), "{error}");
    create(&narrow, NewTask::new("a")).await;
    create(&narrow, NewTask::new("a").preferred_agent("x").affinity("zone", "b")).await;
    narrow.cancel(&first, "").await.unwrap();
    for task in narrow.list_page(v1::ListTasksRequest { r#type: "a".into(), ..Default::default() }).await.unwrap().tasks
    {
        narrow.cancel(&task.id, "").await.unwrap();
    }
    create(&narrow, NewTask::new("c")).await;
}

fn is_assignment(frame: &v1::attach_response::Frame) -> bool {
    matches!(frame, v1::attach_response::Frame::Assignments(_))
}
