use super::super::tests::{Stage, stage};
use super::*;
use crate::agent::runner::HandlerEvent;
use crate::agent::session::told_to_stop;
use crate::payload;
use v1::TaskState::{Completed, Failed, Unspecified};

/// What a handler asked its agent for.
struct Wait {
    children: Vec<String>,
    reply: oneshot::Sender<Result<Awaited>>,
    rest: Option<oneshot::Sender<Vec<String>>>,
}

impl Stage {
    fn children(&self) -> Vec<Child> {
        ["c1", "c2", "c3"].map(|id| self.child_of(id)).to_vec()
    }

    async fn wait(&mut self) -> Wait {
        match self.events.recv().await.unwrap() {
            HandlerEvent::Wait { quorum, reply, rest, .. } => {
                Wait { children: quorum.children().cloned().collect(), reply, rest }
            }
            other => panic!("not a wait: {other:?}"),
        }
    }

    /// Answers the next wait with these ends.
    async fn answer_ends(&mut self, ends: &[(&str, v1::TaskState)]) {
        let wait = self.wait().await;
        assert_eq!(wait.children, ["c1", "c2", "c3"]);
        assert!(wait.rest.is_none(), "the rest is kept");
        let ends = ends.iter().map(|(id, state)| v1::TaskEnd {
            task_id: (*id).to_owned(),
            state: (*state).into(),
            result: Some(payload::to_payload(id).unwrap()),
            ..Default::default()
        });
        wait.reply.send(Ok(Awaited::Ended(ends.collect()))).unwrap();
    }
}

#[tokio::test]
async fn a_count_that_can_not_be_and_a_child_twice_are_refused_before_anything_is_waited_for() {
    let mut stage = stage();
    let children = stage.children();
    let twice = || children.iter().chain(&children[..1]);
    for (wait, field) in [
        (stage.context.wait_children(&children).count(0), "count"),
        (stage.context.wait_children(&children).count(4).cancel_rest(), "count"),
        (stage.context.wait_children([]).count(1), "count"),
        (stage.context.wait_children(twice()).count(1), "children"),
        (stage.context.wait_children(twice()), "children"),
    ] {
        let error = wait.await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
        assert_eq!(error.violations()[0].field, field);
    }
    assert!(stage.events.try_recv().is_err());
}

#[tokio::test]
async fn all_of_none_are_none() {
    assert_eq!(stage().context.wait_children([]).cancel_rest().await.unwrap(), []);
}

#[tokio::test]
async fn those_that_completed_are_given() {
    let mut stage = stage();
    let wait = stage.context.wait_children(&stage.children()).count(1).into_future();
    let ends = [("c1", Failed), ("c3", Completed)];
    let (tasks, ()) = tokio::join!(wait, stage.answer_ends(&ends));
    let [task] = tasks.unwrap().try_into().unwrap();
    assert_eq!((task.id.as_str(), task.state()), ("c3", Completed));
    assert_eq!(payload::from_optional::<String>(task.result.as_ref()).unwrap(), "c3");
}

#[tokio::test]
async fn too_few_are_what_the_first_that_ended_badly_gives() {
    let mut stage = stage();
    let wait = |stage: &Stage| stage.context.wait_children(&stage.children()).count(2).into_future();
    let failed = wait(&stage);
    let (tasks, ()) =
        tokio::join!(failed, stage.answer_ends(&[("c1", Completed), ("c2", Failed), ("c3", Unspecified)]));
    match tasks.unwrap_err() {
        Error::TaskFailed(task) => assert_eq!(task.id, "c2"),
        other => panic!("{other:?}"),
    }
    let gone = wait(&stage);
    let (tasks, ()) = tokio::join!(gone, stage.answer_ends(&[("c1", Unspecified), ("c3", Failed)]));
    assert!(matches!(tasks.unwrap_err(), Error::NotFound(_)));
}

#[tokio::test]
async fn what_the_agent_says_is_given_to_the_handler_and_nothing_becomes_of_the_rest() {
    let mut stage = stage();
    let wait = stage.context.wait_children(&stage.children()).cancel_rest().into_future();
    let refuse = async {
        let wait = stage.wait().await;
        assert!(wait.rest.is_some());
        wait.reply.send(Err(told_to_stop())).unwrap();
    };
    let (tasks, ()) = tokio::join!(wait, refuse);
    assert_eq!(tasks.unwrap_err().reason(), "STALE_ATTEMPT");
}

/// Its server answers nobody.
#[tokio::test]
async fn the_rest_is_cancelled_while_the_end_is_held_back_and_an_error_of_that_is_told() {
    for (state, expected) in [(Completed, "Unavailable"), (Failed, "TaskFailed")] {
        let mut stage = stage();
        let mut wait = stage.context.wait_children(&stage.children()).count(1).cancel_rest().into_future();
        assert!(futures::poll!(wait.as_mut()).is_pending());
        let Wait { reply, rest, .. } = stage.wait().await;
        rest.unwrap().send(vec!["c1".into(), "c3".into()]).unwrap();
        assert!(futures::poll!(wait.as_mut()).is_pending());
        let end = v1::TaskEnd { task_id: "c2".into(), state: state.into(), ..Default::default() };
        reply.send(Ok(Awaited::Ended(vec![end]))).unwrap();
        assert!(futures::poll!(wait.as_mut()).is_pending(), "the rest is not cancelled yet");
        match wait.await.unwrap_err() {
            Error::Unavailable(_) => assert_eq!(expected, "Unavailable"),
            Error::TaskFailed(task) => {
                assert_eq!((task.id.as_str(), expected), ("c2", "TaskFailed"), "what the wait gives goes first")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_wait_that_is_dropped_says_so() {
    let mut stage = stage();
    let mut wait = stage.context.wait_children(&stage.children()).into_future();
    assert!(futures::poll!(wait.as_mut()).is_pending());
    let waited = stage.wait().await;
    drop(wait);
    assert!(waited.reply.is_closed());
    assert!(stage.given_up.try_recv().is_ok());
}
