//! The output of a run: what there is, page by page, or as it comes.

use std::collections::VecDeque;
use std::time::SystemTime;

use callboard_proto::v1;
use futures::stream::{self, Stream, StreamExt};
use serde::de::DeserializeOwned;

use super::Client;
use super::resume::{Resumed, ended_early};
use super::tasks::{flatten, following};
use crate::error::CallError;
use crate::{Result, payload, time};

/// Which output, and from where.
#[derive(Debug, Clone)]
pub struct OutputQuery {
    task_id: String,
    run: i32,
    offset: i64,
    page_size: i32,
}

impl OutputQuery {
    /// All output of the latest run of a task.
    pub fn task(id: impl Into<String>) -> Self {
        Self { task_id: id.into(), run: 0, offset: 0, page_size: 0 }
    }

    /// Of this run, from 1. 0 means the latest.
    #[must_use]
    pub fn run(mut self, run: i32) -> Self {
        self.run = run;
        self
    }

    /// Leaves out chunks that end at or before this byte of the run's output: [`OutputStream::next_offset`], to go on. A
    /// chunk that it falls into comes whole.
    #[must_use]
    pub fn offset(mut self, offset: i64) -> Self {
        self.offset = offset;
        self
    }

    /// How many chunks [`Client::output`] fetches at once: at most 1,000. Default: the server's, 100.
    #[must_use]
    pub fn page_size(mut self, page_size: i32) -> Self {
        self.page_size = page_size;
        self
    }
}

/// A piece of a run's output. Where pieces of text or bytes end has no meaning: join them.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputChunk {
    chunk: v1::OutputChunk,
}

impl OutputChunk {
    /// How many bytes of the run's output, of all its attempts, come before it.
    pub fn offset(&self) -> i64 {
        self.chunk.offset
    }

    /// The attempt that gave it. When this rises, an attempt began anew: what came of those before may come again.
    pub fn attempt(&self) -> i32 {
        self.chunk.attempt
    }

    /// When it was given.
    pub fn given_at(&self) -> Option<SystemTime> {
        self.chunk.given_at.as_ref().and_then(time::system_time)
    }

    /// What was given, decoded.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Decode`] when it is no `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        payload::from_optional(self.chunk.data.as_ref())
    }

    /// What was given, as it came.
    pub fn payload(&self) -> Option<&v1::Payload> {
        self.chunk.data.as_ref()
    }

    /// The byte of the run's output behind it.
    fn end(&self) -> i64 {
        let size = self.payload().map_or(0, payload::size);
        self.offset().saturating_add(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl From<v1::OutputChunk> for OutputChunk {
    fn from(chunk: v1::OutputChunk) -> Self {
        Self { chunk }
    }
}

impl Client {
    /// The output that a run gave so far, in its order, fetching page after page.
    pub fn output(&self, query: OutputQuery) -> impl Stream<Item = Result<OutputChunk>> + Send + 'static {
        let OutputQuery { task_id, run, offset, page_size } = query;
        let first = v1::ListOutputRequest { task_id, run, offset, page_size, ..Default::default() };
        let client = self.clone();
        let pages = stream::try_unfold(Some(first), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.call(request.clone()).await?;
                let next =
                    following(page.next_page_token, |page_token| v1::ListOutputRequest { page_token, ..request });
                Ok(Some((page.chunks, next)))
            }
        });
        flatten(pages).map(|chunk| chunk.map(OutputChunk::from))
    }

    /// Gives the output of a run, what there is and then what comes, each chunk once, until the run has ended. Nothing is
    /// connected before the first [`OutputStream::next`].
    pub fn watch_output(&self, query: OutputQuery) -> OutputStream {
        let OutputQuery { task_id, run, offset, page_size: _ } = query;
        let request = v1::WatchOutputRequest { namespace: self.namespace().to_owned(), task_id, run, offset };
        OutputStream {
            source: Resumed::new(self.clone()),
            delivered: offset,
            request,
            waiting: VecDeque::new(),
            ended: false,
        }
    }
}

/// Output as it comes. Read it with [`OutputStream::next`], or as a [`Stream`] with [`OutputStream::into_stream`].
#[derive(Debug)]
pub struct OutputStream {
    source: Resumed<v1::WatchOutputResponse>,
    /// Its offset is behind everything that was received; its run is what the server said first.
    request: v1::WatchOutputRequest,
    /// The offset behind everything that was given out.
    delivered: i64,
    /// Received, not given out yet. Never more than one frame.
    waiting: VecDeque<OutputChunk>,
    ended: bool,
}

impl OutputStream {
    /// The next chunk; `None` when the run has ended and this was all. Can be dropped and called again without losing a
    /// chunk.
    ///
    /// # Errors
    ///
    /// What the server answers; [`crate::Error::Unavailable`] when it could not be reached for as long as the client's
    /// timeout. The stream has ended then.
    pub async fn next(&mut self) -> Result<Option<OutputChunk>> {
        loop {
            if let Some(chunk) = self.waiting.pop_front() {
                self.delivered = chunk.end();
                return Ok(Some(chunk));
            }
            if self.ended {
                return Ok(None);
            }
            if let Err(refused) = self.receive().await {
                let resumed = self.source.pause_before_resuming(refused).await;
                self.ended = resumed.is_err();
                resumed?;
            }
        }
    }

    /// Where to go on later, with [`OutputQuery::offset`], behind the chunks given so far.
    pub fn next_offset(&self) -> i64 {
        self.delivered
    }

    /// The run that is watched. 0 before the server said which is the latest.
    pub fn run(&self) -> i32 {
        self.request.run
    }

    /// The chunks as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<OutputChunk>> + Send + 'static {
        stream::try_unfold(self, |mut output| async move {
            let chunk = output.next().await?;
            Ok(chunk.map(|chunk| (chunk, output)))
        })
    }

    /// Takes one frame.
    async fn receive(&mut self) -> Result<(), CallError> {
        let request = self.request.clone();
        match self.source.receive(|client| async move { client.tasks().watch_output(request).await }).await? {
            Some(frame) => self.take(frame),
            None => return Err(ended_early()),
        }
        Ok(())
    }

    fn take(&mut self, frame: v1::WatchOutputResponse) {
        if self.request.run == 0 {
            self.request.run = frame.run;
        }
        // What was received before does not come again.
        let received = self.request.offset;
        let new = frame.chunks.into_iter().map(OutputChunk::from).filter(|chunk| chunk.end() > received);
        self.waiting.extend(new);
        self.request.offset = received.max(frame.next_offset);
        self.ended = frame.ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(offset: i64) -> OutputStream {
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        client.watch_output(OutputQuery::task("t").offset(offset))
    }

    fn frame(chunks: &[(i64, &str)], next_offset: i64, ended: bool) -> v1::WatchOutputResponse {
        let chunk = |(offset, text): &(i64, &str)| v1::OutputChunk {
            offset: *offset,
            data: Some(payload::to_payload(*text).unwrap()),
            attempt: 1,
            ..Default::default()
        };
        v1::WatchOutputResponse { chunks: chunks.iter().map(chunk).collect(), next_offset, run: 2, ended }
    }

    #[tokio::test]
    async fn the_offset_follows_what_was_given_out() {
        let mut output = watching(0);
        output.take(frame(&[(0, "ab"), (2, "c")], 3, false));
        assert_eq!(output.next().await.unwrap().unwrap().value::<String>().unwrap(), "ab");
        assert_eq!((output.next_offset(), output.run()), (2, 2));
        assert_eq!(output.next().await.unwrap().unwrap().offset(), 2);
        assert_eq!(output.next_offset(), 3);
        assert_eq!((output.request.run, output.request.offset), (2, 3), "resuming goes on from there");
    }

    #[tokio::test]
    async fn what_came_before_the_stream_broke_is_not_given_again() {
        let mut output = watching(0);
        output.take(frame(&[(0, "ab")], 2, false));
        output.take(frame(&[(0, "ab"), (2, "c")], 3, true));
        let given: Vec<_> = output.into_stream().map(|chunk| chunk.unwrap().offset()).collect().await;
        assert_eq!(given, [0, 2]);
    }

    #[tokio::test]
    async fn a_chunk_that_the_offset_falls_into_comes_whole() {
        let mut output = watching(1);
        output.take(frame(&[(0, "ab")], 2, true));
        assert_eq!(output.next().await.unwrap().unwrap().value::<String>().unwrap(), "ab");
        assert!(output.next().await.unwrap().is_none());
    }
}
