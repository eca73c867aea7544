//! One agent with one slot: its handler waits for a task that only it can do.

use super::create;
use callboard::v1::attach_request::Frame as Said;
use callboard::v1::attach_response::Frame;
use callboard::v1::report::Kind;
use callboard::v1::{self, EventType, Hello, PauseReason, ReceiptStatus, TaskState};
use callboard_tests::agent::{RawAgent, hello};
use callboard_tests::server::Server;
use callboard_tests::text;
use futures::TryStreamExt;

fn waiting_hello() -> Hello {
    let features = ["cancellation", "drain", "children"].map(str::to_owned).to_vec();
    Hello { features, ..hello("ann", "t") }
}

async fn attach(server: &Server) -> RawAgent {
    let agent = RawAgent::attach(server, waiting_hello()).await.unwrap().beating();
    assert!(agent.welcome.features.contains(&"children".to_owned()), "{:?}", agent.welcome.features);
    agent
}

async fn end(agent: &mut RawAgent) -> v1::TaskEnd {
    let first = |frame: &mut Frame| match frame {
        Frame::TaskEnds(batch) => Some(batch.ends.remove(0)),
        _ => None,
    };
    agent.pick("an end", first).await
}

#[tokio::test]
async fn a_handler_waits_for_a_task_that_its_own_agent_does() {
    let server = Server::start().await;
    let client = server.client();
    let mut agent = attach(&server).await;
    let parent_id = create(&client).await;
    let parent = agent.accepted().await;
    let child_id = create(&client).await;
    agent.say(Said::Awaits(v1::TaskAwaitBatch { task_ids: vec![child_id.clone()] })).await;
    let receipt = agent.receipt_of(&parent, Kind::Pause(v1::Pause {})).await;
    assert_eq!((receipt.status(), receipt.state()), (ReceiptStatus::Committed, TaskState::Paused));
    let paused = client.get(&parent_id).await.unwrap();
    assert_eq!((paused.state(), paused.paused_for()), (TaskState::Paused, PauseReason::Children));

    let child = agent.accepted().await;
    assert_eq!(child.task_id, child_id, "the slot is free for it");
    let receipt = agent.receipt_of(&parent, Kind::Resume(v1::Resume {})).await;
    assert_eq!(receipt.state(), TaskState::Paused, "the child has the slot");
    assert_eq!(client.get(&parent_id).await.unwrap().paused_for(), PauseReason::Slot);
    let states = vec![TaskState::Paused.into()];
    let listed: Vec<v1::Task> =
        client.list(v1::ListTasksRequest { states, ..Default::default() }).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), [&parent_id]);

    assert_eq!(agent.complete(&child, "42").await.status(), ReceiptStatus::Committed);
    let told = end(&mut agent).await;
    assert_eq!((told.task_id.as_str(), told.state(), told.run), (child_id.as_str(), TaskState::Completed, 1));
    assert_eq!((told.result, told.result_omitted), (Some(text("42")), false));
    let first = |frame: &mut Frame| match frame {
        Frame::Resumptions(batch) => Some(batch.resumptions.remove(0)),
        _ => None,
    };
    let resumption = agent.pick("a resumption", first).await;
    assert_eq!(resumption.attempt.as_ref(), Some(&parent));
    assert!(resumption.deadline.is_some());
    assert_eq!(client.get(&parent_id).await.unwrap().state(), TaskState::Running);
    assert_eq!(agent.complete(&parent, "done").await.status(), ReceiptStatus::Committed);

    let events = client.history(&parent_id).await.unwrap();
    let kinds: Vec<EventType> = events.iter().map(v1::Event::r#type).collect();
    use EventType as E;
    assert_eq!(kinds, [E::Created, E::Assigned, E::Started, E::Paused, E::Resumed, E::Completed]);
    assert_eq!((events[3].state(), events[4].state()), (TaskState::Paused, TaskState::Running));
}

#[tokio::test]
async fn an_id_of_no_task_is_answered_without_a_state_and_one_that_ended_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let id = create(&client).await;
    client.cancel(&id, "").await.unwrap();
    let mut agent = attach(&server).await;
    let nobody = "01989b0e-3c1a-7000-8000-000000000000".to_owned();
    agent.say(Said::Awaits(v1::TaskAwaitBatch { task_ids: vec![nobody.clone(), id.clone()] })).await;
    let mut told = vec![end(&mut agent).await, end(&mut agent).await];
    told.sort_by_key(|end| end.state);
    assert_eq!((told[0].task_id.as_str(), told[0].state()), (nobody.as_str(), TaskState::Unspecified));
    assert_eq!((told[1].task_id.as_str(), told[1].state()), (id.as_str(), TaskState::Cancelled));
}
