use std::time::Duration;

use super::*;
use crate::Client;
use crate::agent::context::{Cancellation, Link};
use crate::agent::session::HandlerId;
use crate::payload;

const PARENT: &str = "0190a1b2-0000-7000-8000-000000000001";

pub(super) struct Stage {
    pub(super) context: Context,
    pub(super) cancellation: Cancellation,
    pub(super) events: mpsc::Receiver<HandlerEvent>,
    pub(super) given_up: mpsc::UnboundedReceiver<WaitId>,
}

pub(super) fn stage() -> Stage {
    let (events, heard) = mpsc::channel(8);
    let client = Client::builder().address("http://127.0.0.1:1").timeout(Duration::from_millis(200)).build().unwrap();
    let (link, given_up) = Link::for_tests(events, 1, client);
    let attempt = v1::Attempt { task_id: PARENT.into(), attempt: 1, lease_token: "x".into() };
    let assignment = v1::Assignment { attempt: Some(attempt), run: 1, ..Default::default() };
    let cancellation = Cancellation::default();
    let context = Context::new(HandlerId(1), Box::new(assignment), true, &cancellation, link);
    Stage { context, cancellation, events: heard, given_up }
}

impl Stage {
    fn child(&self) -> Child {
        self.child_of("c1")
    }

    pub(super) fn child_of(&self, task_id: &str) -> Child {
        let receipt = v1::TaskReceipt { task_id: task_id.into(), ..Default::default() };
        Child { receipt, context: self.context.clone() }
    }

    /// Answers the next wait.
    async fn answer(&mut self, answer: Result<Awaited>) {
        match self.events.recv().await.unwrap() {
            HandlerEvent::Wait { quorum, reply, .. } => {
                assert_eq!(quorum.children().collect::<Vec<_>>(), ["c1"]);
                reply.send(answer).unwrap();
            }
            other => panic!("not a wait: {other:?}"),
        }
    }
}

fn ended(state: v1::TaskState) -> Result<Awaited> {
    let result = Some(payload::to_payload("done").unwrap());
    let end = v1::TaskEnd { task_id: "c1".into(), state: state.into(), run: 2, result, ..Default::default() };
    Ok(Awaited::Ended(vec![end]))
}

/// The digits were computed by another implementation: all SDKs must agree.
#[test]
fn a_request_id_follows_from_parent_run_and_key() {
    let id = |run, name: &str, occurrence| request_id(PARENT, run, &Key { name: name.into(), occurrence }).unwrap();
    assert_eq!(id(1, "survey", 0), "child/909e6175-2800-575d-b99a-5e35225a3cc5");
    assert_ne!(id(1, "survey", 0), id(1, "survey", 1));
    assert_ne!(id(1, "survey", 0), id(2, "survey", 0));
    assert_ne!(id(1, "survey", 0), id(1, "other", 0));
}

#[tokio::test]
async fn children_are_counted_by_name_when_they_begin() {
    let stage = stage();
    let begin = |name: &str| stage.context.begin_child(name.into()).unwrap().occurrence;
    drop(stage.context.start_child(NewTask::new("survey")));
    drop(stage.context.start_child(NewChild::new(NewTask::new("survey")).name("north")));
    drop(stage.context.run_child::<String>(NewTask::new("survey")));
    assert_eq!((begin("survey"), begin("north"), begin("other")), (2, 1, 0));
    for name in ["", &"x".repeat(129)] {
        let refused = stage.context.start_child(NewChild::new(NewTask::new("survey")).name(name)).await;
        assert!(matches!(refused.unwrap_err(), Error::InvalidArgument(_)));
    }
}

#[tokio::test]
async fn a_server_without_children_is_not_called() {
    let stage = stage();
    stage.context.link().takes_children.store(false, Ordering::Relaxed);
    let error = stage.context.start_child(NewTask::new("survey")).await.unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition(_)), "{error:?}");
    assert_eq!(error.to_string(), "the server takes no children");
}

#[tokio::test]
async fn an_end_is_the_task_and_its_result() {
    let mut stage = stage();
    let child = stage.child();
    let (result, ()) = tokio::join!(child.result::<String>(), stage.answer(ended(v1::TaskState::Completed)));
    assert_eq!(result.unwrap(), "done");
    let (task, ()) = tokio::join!(child.wait(), stage.answer(ended(v1::TaskState::Failed)));
    let task = task.unwrap();
    assert_eq!((task.id.as_str(), task.state(), task.run), ("c1", v1::TaskState::Failed, 2));
    let (result, ()) = tokio::join!(child.result::<String>(), stage.answer(ended(v1::TaskState::Failed)));
    assert!(matches!(result.unwrap_err(), Error::TaskFailed(_)));
    let (result, ()) = tokio::join!(child.wait(), stage.answer(ended(v1::TaskState::Unspecified)));
    assert!(matches!(result.unwrap_err(), Error::NotFound(_)));
    assert!(stage.given_up.try_recv().is_err(), "none of these was given up");
}

#[tokio::test]
async fn a_wait_that_is_dropped_says_so() {
    let mut stage = stage();
    let child = stage.child();
    let mut wait = Box::pin(child.wait());
    assert!(futures::poll!(wait.as_mut()).is_pending());
    let Some(HandlerEvent::Wait { wait: id, reply, .. }) = stage.events.recv().await else { panic!("no wait") };
    drop(wait);
    assert!(reply.is_closed());
    assert_eq!(stage.given_up.try_recv(), Ok(id));
}

#[tokio::test]
async fn what_the_agent_says_is_given_to_the_handler() {
    let mut stage = stage();
    let child = stage.child();
    let (result, ()) = tokio::join!(child.wait(), stage.answer(Err(told_to_stop())));
    assert_eq!(result.unwrap_err().reason(), "STALE_ATTEMPT");
    stage.cancellation.cancel(v1::CancellationReason::Requested);
    let (result, ()) = tokio::join!(child.wait(), stage.answer(Ok(Awaited::Ask)));
    assert_eq!(result.unwrap_err().reason(), "STALE_ATTEMPT", "a call that nobody answers is not waited for");
}
