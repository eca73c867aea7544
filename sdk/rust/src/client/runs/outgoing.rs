//! The sending side of a stream of runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use callboard_proto::v1;
use tokio_stream::Stream;

use super::Shared;

/// Frames of what is written in the book, whenever the transport has room for one.
pub(super) struct Outgoing {
    shared: Arc<Shared>,
    stream: u64,
    /// For the first frame.
    namespace: Option<String>,
    /// Others who were woken at the same time have had their turn to write.
    has_let_others: bool,
}

impl Outgoing {
    /// That of a new stream. Older ones end.
    pub(super) fn begin(shared: &Arc<Shared>, namespace: &str) -> Self {
        let stream = shared.lock().next_stream();
        Self { shared: shared.clone(), stream, namespace: Some(namespace.to_owned()), has_let_others: false }
    }
}

impl Stream for Outgoing {
    type Item = v1::RunTasksRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<v1::RunTasksRequest>> {
        // One frame of all that callers ask for who were answered by one frame, instead of one for the first of them and one for the rest.
        if !std::mem::replace(&mut self.has_let_others, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut state = self.shared.lock();
        if state.stream != self.stream {
            return Poll::Ready(None);
        }
        let frame: Option<v1::RunTasksRequest> = state.book.next_frame();
        // The server waits for a first frame, though it be empty.
        let Some(mut frame) = frame.or_else(|| self.namespace.is_some().then(Default::default)) else {
            state.sender = Some(cx.waker().clone());
            drop(state);
            self.has_let_others = false;
            return Poll::Pending;
        };
        drop(state);
        frame.namespace = self.namespace.take().unwrap_or_default();
        Poll::Ready(Some(frame))
    }
}
