//! A request's body. What counts is the beginning of a message that is not whole yet: a whole one is taken at once.

use super::no_room;
use super::traffic::Held;
use crate::pages::Refused;
use crate::status;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

/// How long a message may take to come.
const WHOLE: Duration = Duration::from_secs(30);
/// A message's flag and length come before it.
const HEAD: usize = 5;

/// The body.
#[derive(Debug)]
pub(super) struct Received {
    inner: Body,
    held: Held,
    refused: Refused,
    framing: Framing,
    /// When the message under way is late.
    late: Option<Pin<Box<Sleep>>>,
}

/// Where in the sequence of messages a body is.
#[derive(Debug, Default)]
struct Framing {
    head: [u8; HEAD],
    /// How much of the head has come.
    begun: usize,
    /// How much of the message has come, and how much it has.
    come: usize,
    whole: usize,
}

impl Framing {
    /// Goes on by some bytes; gives how many there are of a message that is not whole.
    fn feed(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() {
            if self.begun < HEAD {
                let count = bytes.len().min(HEAD - self.begun);
                self.head[self.begun..self.begun + count].copy_from_slice(&bytes[..count]);
                self.begun += count;
                bytes = &bytes[count..];
                let [_, length @ ..] = self.head;
                self.whole = u32::from_be_bytes(length) as usize;
            }
            if self.begun == HEAD {
                let count = bytes.len().min(self.whole - self.come);
                self.come += count;
                bytes = &bytes[count..];
                if self.come == self.whole {
                    *self = Self::default();
                }
            }
        }
        self.begun + self.come
    }
}

impl Received {
    pub fn new(inner: Body, held: Held, refused: Refused) -> Self {
        Self { inner, held, refused, framing: Framing::default(), late: None }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let held = self.framing.feed(bytes);
        if held == 0 {
            self.late = None;
        } else if self.late.is_none() {
            self.late = Some(Box::pin(sleep(WHOLE)));
        }
        if self.held.resize(held) { Ok(()) } else { Err(no_room(&self.refused)) }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(Ok(()), |data| self.take(data));
                Poll::Ready(Some(taken.map(|()| frame)))
            }
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => match self.late.as_mut().map(|late| late.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Some(Err(status::late_message(WHOLE)))),
                _ => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_counted_however_it_comes_in_pieces() {
        let message = |length: u8| [&[0, 0, 0, 0, length][..], &vec![7; length.into()]].concat();
        let bytes = [message(3), message(0), message(200), message(1)].concat();
        for piece in 1..bytes.len() {
            let mut framing = Framing::default();
            let mut come = 0;
            for piece in bytes.chunks(piece) {
                come += piece.len();
                let ends = [8, 13, 218, 224];
                let whole = ends.iter().rfind(|end| **end <= come).copied().unwrap_or(0);
                assert_eq!(framing.feed(piece), come - whole, "after {come} bytes");
            }
        }
    }
}
