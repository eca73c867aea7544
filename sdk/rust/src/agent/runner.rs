//! Running one handler, on the runtime of the user's program.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use callboard_proto::v1;
use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::context::{Context, ProgressSlot};
use super::handlers::Handler;
use super::message::{Message, MessageHandler};
use super::session::{Awaited, HandlerId, Outcome, Piece, Quorum, WaitId};
use crate::Result;
use crate::interceptor::Interceptors;
use crate::task_error::{self, TaskError};

/// What handlers tell the agent's connection.
#[derive(Debug)]
pub(super) enum HandlerEvent {
    /// The handler has ended.
    Finished { handler: HandlerId, outcome: Outcome },
    /// The slot has progress to be taken.
    Progress { handler: HandlerId, slot: Arc<ProgressSlot> },
    /// A checkpoint is to be reported, and its receipt awaited. The permit is given back with the receipt.
    Checkpoint {
        handler: HandlerId,
        data: v1::Payload,
        reply: oneshot::Sender<Result<()>>,
        permit: OwnedSemaphorePermit,
    },
    /// A step is to be recorded, and its receipt awaited. The permit is given back with the receipt.
    Step {
        handler: HandlerId,
        record: v1::StepRecord,
        reply: oneshot::Sender<Result<()>>,
        permit: OwnedSemaphorePermit,
    },
    /// Output is given. The reply says that it was taken.
    Output { handler: HandlerId, piece: Piece, reply: oneshot::Sender<Result<()>> },
    /// The handler waits for children. `rest` is told those that have not ended, as soon as the quorum is over.
    Wait {
        handler: HandlerId,
        quorum: Quorum,
        wait: WaitId,
        reply: oneshot::Sender<Result<Awaited>>,
        rest: Option<oneshot::Sender<Vec<String>>>,
    },
    /// A message is to be sent, and its receipt awaited. The permit is given back with the receipt.
    Send {
        send: Box<v1::MessageSend>,
        reply: oneshot::Sender<Result<v1::MessageReceipt>>,
        permit: OwnedSemaphorePermit,
    },
    /// The handler of a message has ended: with an error, when there is one.
    Handled { id: String, error: Option<String> },
}

/// Runs the handler of a message to its end, or until it is aborted, and says how it ended.
pub(super) async fn handle(
    handler: MessageHandler,
    message: Message,
    abort: CancellationToken,
    events: mpsc::Sender<HandlerEvent>,
) {
    let id = message.id().to_owned();
    let running = AssertUnwindSafe(async move { handler(message).await }).catch_unwind();
    let error = tokio::select! {
        biased;
        ended = running => match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.into_failure().message),
            Err(panic) => Some(task_error::panicked(panic.as_ref()).into_failure().message),
        },
        () = abort.cancelled() => Some("the agent stopped".to_owned()),
    };
    // The agent has stopped when nobody receives: then there is nobody to tell.
    let _ = events.send(HandlerEvent::Handled { id, error }).await;
}

/// Runs the handler to its end, or until it is aborted, and says how it ended: exactly once, whatever happens.
pub(super) async fn run(
    id: HandlerId,
    handler: Handler,
    interceptors: Interceptors,
    context: Context,
    abort: CancellationToken,
    events: mpsc::Sender<HandlerEvent>,
) {
    let mut notice = Notice { id, events: Some(events) };
    let running = async move { interceptors.handle(&context, &handler).await };
    // The handler's panics are errors by now; an interceptor's are not.
    let running = AssertUnwindSafe(running).catch_unwind();
    let outcome = tokio::select! {
        biased;
        ended = running => match ended {
            Ok(Ok(result)) => Outcome::Completed(result),
            Ok(Err(error)) => Outcome::failed(error.into_failure()),
            Err(panic) => Outcome::failed(task_error::panicked(panic.as_ref()).into_failure()),
        },
        () = abort.cancelled() => Outcome::failed(TaskError::cancelled().into_failure()),
    };
    notice.send(outcome).await;
}

/// Tells the connection even when the future is dropped because its runtime shuts down.
struct Notice {
    id: HandlerId,
    events: Option<mpsc::Sender<HandlerEvent>>,
}

impl Notice {
    async fn send(&mut self, outcome: Outcome) {
        if let Some(events) = self.events.take() {
            // The agent has stopped when nobody receives: then there is nobody to tell.
            let _ = events.send(HandlerEvent::Finished { handler: self.id, outcome }).await;
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            let outcome = Outcome::failed(TaskError::cancelled().into_failure());
            let _ = events.try_send(HandlerEvent::Finished { handler: self.id, outcome });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::context::{Cancellation, Link};
    use crate::agent::handlers;
    use crate::{Client, Error, payload};

    struct Stage {
        context: Context,
        cancellation: Cancellation,
        abort: CancellationToken,
        events: mpsc::Sender<HandlerEvent>,
        heard: mpsc::Receiver<HandlerEvent>,
    }

    /// A handler's surroundings, with an input and a checkpoint.
    fn stage(capacity: usize) -> Stage {
        let (events, heard) = mpsc::channel(capacity);
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        let link = Link::for_tests(events.clone(), 1, client).0;
        let cancellation = Cancellation::default();
        let assignment = v1::Assignment {
            attempt: Some(v1::Attempt { task_id: "t1".into(), attempt: 3, lease_token: "x".into() }),
            spec: Some(v1::TaskSpec {
                r#type: "work".into(),
                input: Some(payload::to_payload(&7).unwrap()),
                ..Default::default()
            }),
            run: 2,
            checkpoint: Some(payload::to_payload(&vec!["half"]).unwrap()),
            ..Default::default()
        };
        let context = Context::new(HandlerId(1), Box::new(assignment), true, &cancellation, link);
        Stage { context, cancellation, abort: CancellationToken::new(), events, heard }
    }

    async fn outcome_of(handler: Handler) -> Outcome {
        let mut stage = stage(8);
        run(HandlerId(1), handler, Interceptors::default(), stage.context, stage.abort, stage.events).await;
        finished(stage.heard.recv().await)
    }

    fn finished(event: Option<HandlerEvent>) -> Outcome {
        match event {
            Some(HandlerEvent::Finished { handler: HandlerId(1), outcome }) => outcome,
            other => panic!("not an end: {other:?}"),
        }
    }

    fn failure(outcome: Outcome) -> v1::Failure {
        match outcome {
            Outcome::Failed(failure) => *failure,
            Outcome::Completed(result) => panic!("completed with {result:?}"),
        }
    }

    #[tokio::test]
    async fn values_go_in_and_come_out() {
        let handler = handlers::of_values(|context: Context, number: u32| async move {
            let before: Vec<String> = context.checkpoint()?.unwrap_or_default();
            Ok::<_, TaskError>(format!("{} {} {number} {before:?}", context.task_id(), context.attempt()))
        });
        match outcome_of(handler).await {
            Outcome::Completed(result) => {
                assert_eq!(payload::from_payload::<String>(&result).unwrap(), r#"t1 3 7 ["half"]"#);
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn errors_panics_and_wrong_inputs_are_failures() {
        let failing =
            handlers::of_values(|_: Context, _: u32| async move { Err::<(), _>(std::io::Error::other("disk full")) });
        let failed = failure(outcome_of(failing).await);
        assert_eq!((failed.r#type.as_str(), failed.message.as_str()), ("Error", "disk full"));
        assert_eq!(failed.retryable, Some(true));

        let panicking = handlers::of_values(|_: Context, number: u32| async move {
            assert_eq!(number, 8, "not eight");
            Ok::<_, TaskError>(())
        });
        let failed = failure(outcome_of(panicking).await);
        assert_eq!(failed.r#type, "panic");
        assert!(failed.message.contains("not eight"), "{}", failed.message);

        let mistaken = handlers::of_values(|_: Context, _: Vec<String>| async move { Ok::<_, TaskError>(()) });
        let failed = failure(outcome_of(mistaken).await);
        assert_eq!((failed.r#type.as_str(), failed.retryable), ("InvalidInput", Some(false)));

        let boundless = handlers::of_values(|_: Context, _: u32| async move { Ok::<_, TaskError>(f64::NAN) });
        assert_eq!(failure(outcome_of(boundless).await).r#type, "InvalidResult");
    }

    #[tokio::test]
    async fn a_cancelled_handler_may_clean_up() {
        let mut stage = stage(8);
        let handler = handlers::of_values(|context: Context, _: u32| async move {
            context.cancelled().await;
            assert_eq!(context.cancellation(), Some(v1::CancellationReason::Requested));
            Err::<(), _>(TaskError::cancelled())
        });
        assert!(!stage.context.is_cancelled());
        stage.cancellation.cancel(v1::CancellationReason::Requested);
        run(HandlerId(1), handler, Interceptors::default(), stage.context, stage.abort, stage.events).await;
        assert_eq!(failure(finished(stage.heard.recv().await)).r#type, "callboard.cancelled");
    }

    #[tokio::test]
    async fn an_aborted_handler_is_dropped() {
        let mut stage = stage(8);
        let handler = handlers::of_values(|_: Context, _: u32| async move {
            std::future::pending::<()>().await;
            Ok::<_, TaskError>(())
        });
        stage.abort.cancel();
        run(HandlerId(1), handler, Interceptors::default(), stage.context, stage.abort, stage.events).await;
        assert_eq!(failure(finished(stage.heard.recv().await)).r#type, "callboard.cancelled");
    }

    #[tokio::test]
    async fn a_handler_whose_runtime_shuts_down_is_not_forgotten() {
        let mut stage = stage(8);
        let handler = handlers::of_values(|_: Context, _: u32| async move {
            std::future::pending::<()>().await;
            Ok::<_, TaskError>(())
        });
        let mut running =
            Box::pin(run(HandlerId(1), handler, Interceptors::default(), stage.context, stage.abort, stage.events));
        assert!(futures::poll!(running.as_mut()).is_pending());
        drop(running);
        failure(finished(stage.heard.recv().await));
    }

    #[tokio::test]
    async fn the_latest_progress_is_told_once() {
        let mut stage = stage(8);
        stage.context.progress(0.25, "reasoning", "a quarter");
        stage.context.progress(7.0, "executing", "more than all");
        let Some(HandlerEvent::Progress { slot, .. }) = stage.heard.recv().await else { panic!("no progress") };
        let latest = slot.take().unwrap();
        assert_eq!((latest.fraction, latest.phase.as_str()), (Some(1.0), "executing"));
        assert!(stage.heard.try_recv().is_err());
        stage.context.progress(None, "", "no figure");
        assert!(stage.heard.try_recv().is_ok(), "the slot was emptied: tell again");
    }

    #[tokio::test]
    async fn progress_never_waits() {
        let stage = stage(1);
        let other = stage.context.clone();
        stage.events.try_send(HandlerEvent::Progress { handler: HandlerId(2), slot: Arc::default() }).unwrap();
        other.progress(0.5, "", "");
        let mut heard = stage.heard;
        heard.recv().await.unwrap();
        other.progress(0.6, "", "");
        assert!(heard.try_recv().is_ok(), "what could not be told is told next time");
    }

    #[tokio::test]
    async fn checkpoints_wait_for_their_receipt_and_for_each_other() {
        let mut stage = stage(8);
        let first = stage.context.save_checkpoint("one");
        let second = stage.context.save_checkpoint("two");
        let server = async {
            for verdict in [Ok(()), Err(Error::stopped())] {
                let Some(HandlerEvent::Checkpoint { reply, permit, .. }) = stage.heard.recv().await else {
                    panic!("no checkpoint")
                };
                assert!(stage.heard.try_recv().is_err(), "the second waits for the first");
                reply.send(verdict).unwrap();
                drop(permit);
            }
        };
        let (first, second, ()) = tokio::join!(first, second, server);
        assert!(first.is_ok());
        assert!(second.is_err());
    }
}
