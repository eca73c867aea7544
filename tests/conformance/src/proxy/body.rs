//! gRPC's messages within HTTP bodies, taken apart and put together.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What can go wrong with a body: it was broken off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Before each message: a byte that says whether it is compressed, and its length.
const HEAD: usize = 5;
/// More than the server or an SDK takes.
const LARGEST: usize = 16 << 20;

/// A body that is sent piece by piece. An error breaks its stream off.
#[derive(Debug)]
pub struct Pieces(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

/// Where its pieces go in.
pub type PiecesIn = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

/// A body, and where its pieces go in.
pub fn pieces() -> (PiecesIn, tonic::body::Body) {
    let (send, receive) = mpsc::channel(64);
    (send, tonic::body::Body::new(Pieces(receive)))
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

/// The next piece of a body.
pub async fn next_piece<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Result<Frame<Bytes>, B::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// All of a body that is not too large.
pub async fn whole<B>(mut body: B) -> Result<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut all = BytesMut::new();
    while let Some(piece) = next_piece(&mut body).await {
        if let Ok(data) = piece.map_err(Into::into)?.into_data() {
            all.put(data);
        }
        if all.len() > LARGEST {
            return Err("the body of a call is too large".into());
        }
    }
    Ok(all.freeze())
}

/// Takes gRPC's messages out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Messages {
    waiting: BytesMut,
}

impl Messages {
    /// More bytes came.
    pub fn push(&mut self, data: &[u8]) {
        self.waiting.extend_from_slice(data);
    }

    /// The next message that is whole.
    pub fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(mut head) = self.waiting.get(..HEAD) else { return Ok(None) };
        let compressed = head.get_u8();
        let length = head.get_u32() as usize;
        if compressed != 0 || length > LARGEST {
            return Err("a message is compressed, or too large".into());
        }
        if self.waiting.len() < HEAD + length {
            return Ok(None);
        }
        self.waiting.advance(HEAD);
        Ok(Some(self.waiting.split_to(length).freeze()))
    }
}

/// A message with its head.
pub fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD + message.len());
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(message);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_their_bytes_are_cut() {
        let bytes = [framed(b"one"), framed(b""), framed(b"three")].concat();
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for byte in bytes {
            messages.push(&[byte]);
            while let Some(message) = messages.next().unwrap() {
                found.push(message);
            }
        }
        assert_eq!(found, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn compressed_messages_are_refused() {
        let mut messages = Messages::default();
        messages.push(&[1, 0, 0, 0, 0]);
        assert!(messages.next().is_err());
    }
}
