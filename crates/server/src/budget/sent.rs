//! An answer's body. Its bytes count from when they are made until they are on their way to the client, or the call is gone: then
//! the transport drops them.

use super::no_room;
use super::traffic::{Held, Traffic};
use crate::pages::Refused;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

/// What is smaller isn't counted: most answers are, and ten thousand of them are a few megabytes.
const SMALL: usize = 1 << 10;

/// Bytes that are held as long as anybody has them.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts what is sent.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub all: Traffic,
    pub connection: Option<Traffic>,
    pub refused: Refused,
}

impl Counter {
    /// The same frame, counted; `None` when there is no room.
    fn count(&self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if frame.data_ref().is_none_or(|data| data.len() < SMALL) {
            return Some(frame);
        }
        let mut held = self.all.send(self.connection.as_ref());
        let counted = frame.map_data(|bytes| match held.resize(bytes.len()) {
            true => Bytes::from_owner(Counted { bytes, _held: held }),
            false => Bytes::new(),
        });
        Some(counted).filter(|frame| frame.data_ref().is_some_and(|data| !data.is_empty()))
    }
}

/// An answer, counted. What is ready of it is made now: an answer without room can still be refused then.
pub(super) fn counted(response: Response<Body>, counter: Counter) -> Response<Body> {
    let (parts, mut inner) = response.into_parts();
    let first = match Pin::new(&mut inner).poll_frame(&mut Context::from_waker(futures::task::noop_waker_ref())) {
        // A stream that has nothing to say yet.
        Poll::Pending => None,
        Poll::Ready(None) => return Response::from_parts(parts, Body::empty()),
        Poll::Ready(Some(Err(status))) => return status.into_http(),
        Poll::Ready(Some(Ok(frame))) => match counter.count(frame) {
            None => return no_room(&counter.refused).into_http(),
            first => first,
        },
    };
    Response::from_parts(parts, Body::new(Sent { first, inner, counter, over: false }))
}

/// The body.
#[derive(Debug)]
struct Sent {
    /// What was made ahead.
    first: Option<Frame<Bytes>>,
    inner: Body,
    counter: Counter,
    over: bool,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        let counted = self.counter.count(frame);
        self.over = counted.is_none();
        Poll::Ready(Some(counted.map_or_else(|| refusal(&self.counter.refused), Ok)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.over || self.inner.is_end_stream())
    }
}

/// A stream's end, as trailers.
fn refusal(refused: &Refused) -> Result<Frame<Bytes>, Status> {
    let mut trailers = tonic::codegen::http::HeaderMap::new();
    let written = no_room(refused).add_header(&mut trailers);
    written.map(|()| Frame::trailers(trailers)).map_err(|_| Status::new(Code::Unavailable, "no room"))
}
