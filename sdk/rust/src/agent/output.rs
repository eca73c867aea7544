//! Output: what a handler gives while it works, kept and shown to who watches.

use callboard_proto::v1;
use serde::Serialize;
use tokio::sync::oneshot;
use tonic::Code;
use v1::payload::Content;

use super::context::Context;
use super::runner::HandlerEvent;
use super::session::{MAX_CHUNK_BYTES, Piece};
use crate::error::CallError;
use crate::{Error, Result, payload};

impl Context {
    /// Gives a piece of output: tokens, a log line, a partial result. It is kept, and others can watch it while the handler
    /// works: see [`crate::Client::watch_output`].
    ///
    /// Text and [`crate::Bytes`] may have up to 1 MiB; they are joined and divided on their way, so that who reads must not
    /// rely on where they end. Any other value is JSON, of at most 64 KiB, and stays by itself. Returns when the value waits
    /// to be sent, which is soon: it is sent with what comes within the next 50 ms. What is given before a checkpoint, a step
    /// or the result is sent before it. Waits while 1 MiB of output does.
    ///
    /// ```no_run
    /// # async fn handler(ctx: callboard::Context) -> Result<(), callboard::TaskError> {
    /// for word in ["To ", "be ", "…"] {
    ///     ctx.output(word).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when the value can't be a payload, or is too large; [`Error::ResourceExhausted`] when the
    /// run has 16 MiB or 50,000 chunks of output: nothing more of it is kept; [`Error::FailedPrecondition`] when the attempt
    /// is no longer current (stop the work), or the server takes no output; [`Error::Unavailable`] when the agent has
    /// stopped.
    pub async fn output<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let value = payload::to_payload(value)?;
        let is_json = value.content_type == payload::JSON;
        match value.content {
            Some(Content::Text(text)) if !is_json => self.give(Piece::Text(text)).await,
            Some(Content::Binary(bytes)) => self.give(Piece::Bytes(bytes.into())).await,
            _ => self.output_payload(value).await,
        }
    }

    /// The same of a payload, made by the handler, of at most 64 KiB. It stays by itself.
    ///
    /// # Errors
    ///
    /// As [`Context::output`].
    pub async fn output_payload(&self, value: v1::Payload) -> Result<()> {
        let size = payload::size(&value);
        if size > MAX_CHUNK_BYTES {
            let message = format!(
                "output has {size} bytes, more than the {MAX_CHUNK_BYTES} of a chunk: give it as text or bytes, or in parts"
            );
            return Err(CallError::local(Code::InvalidArgument, v1::ErrorReason::PayloadTooLarge, message).into());
        }
        self.give(Piece::Whole(value)).await
    }

    async fn give(&self, piece: Piece) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let (reply, taken) = oneshot::channel();
        let event = HandlerEvent::Output { handler: self.handler(), piece, reply };
        self.link().events.send(event).await.map_err(|_| Error::stopped())?;
        taken.await.map_err(|_| Error::stopped())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::context::{Cancellation, Link};
    use crate::agent::session::HandlerId;
    use crate::{Bytes, Client};
    use tokio::sync::mpsc;

    fn stage() -> (Context, mpsc::Receiver<HandlerEvent>) {
        let (events, heard) = mpsc::channel(8);
        let link = Link::for_tests(events, 1, Client::connect("http://127.0.0.1:1").unwrap()).0;
        (Context::new(HandlerId(1), Box::default(), true, &Cancellation::default(), link), heard)
    }

    #[tokio::test]
    async fn values_are_text_bytes_or_a_chunk_by_themselves() {
        let (ctx, mut heard) = stage();
        let json = payload::to_payload(&[1]).unwrap();
        let expected = [Piece::Text("x".repeat(1 << 20)), Piece::Bytes(vec![1]), Piece::Whole(json)];
        let giving = async {
            ctx.output(&"x".repeat(1 << 20)).await.unwrap();
            ctx.output(&Bytes(vec![1])).await.unwrap();
            ctx.output(&[1]).await.unwrap();
        };
        let taking = async {
            for expected in expected {
                let Some(HandlerEvent::Output { piece, reply, .. }) = heard.recv().await else { panic!("no output") };
                assert_eq!(piece, expected);
                reply.send(Ok(())).unwrap();
            }
        };
        tokio::join!(giving, taking);
    }

    #[tokio::test]
    async fn nothing_is_nothing_and_too_much_is_refused() {
        let (ctx, mut heard) = stage();
        ctx.output("").await.unwrap();
        ctx.output(&Bytes(Vec::new())).await.unwrap();
        for refused in [
            ctx.output(&vec![0; 40_000]).await,
            ctx.output(&"x".repeat((1 << 20) + 1)).await,
            ctx.output_payload(payload::to_payload(&"x".repeat(MAX_CHUNK_BYTES + 1)).unwrap()).await,
        ] {
            assert!(matches!(refused.unwrap_err(), Error::InvalidArgument(_)));
        }
        assert!(heard.try_recv().is_err());
    }
}
