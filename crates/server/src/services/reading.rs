//! A stream of what is read from the store piece by piece, no faster than its reader takes it.

use futures::stream::{self, Stream};
use std::future::Future;
use tonic::Status;

/// What is read.
pub(super) trait Reading: Send + Sized + 'static {
    /// What its reader gets.
    type Message: Send + 'static;

    /// The next message, if one is there.
    fn take(&mut self) -> Option<Self::Message>;

    /// Whether nothing comes behind what is there.
    fn is_over(&self) -> bool;

    /// Reads more; waits when there is none. A status is the stream's end.
    fn advance(&mut self) -> impl Future<Output = Result<(), Status>> + Send;
}

/// Everything that is read, to its end.
pub(super) fn to_end<R: Reading>(reading: R) -> impl Stream<Item = Result<R::Message, Status>> + Send {
    stream::unfold(Some(reading), next)
}

/// The next message, and what is read behind it; nothing is behind a status.
async fn next<R: Reading>(reading: Option<R>) -> Option<(Result<R::Message, Status>, Option<R>)> {
    let mut reading = reading?;
    loop {
        if let Some(message) = reading.take() {
            return Some((Ok(message), Some(reading)));
        }
        if reading.is_over() {
            return None;
        }
        // The transport asks for more before it sends what it has. Behind what fills the reader's window it then asks no more, and
        // a read that had begun would keep one of the store's few readers for as long as nobody reads.
        tokio::task::yield_now().await;
        if let Err(status) = reading.advance().await {
            return Some((Err(status), None));
        }
    }
}
