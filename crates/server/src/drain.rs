//! The server's end, as streams and waiting calls see it.

use crate::status;
use std::future::Future;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Says when the server goes away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    /// Nothing new is begun, and what only waits is sent elsewhere.
    pub begun: CancellationToken,
}

impl Drain {
    /// Waits for something, at most until the server goes away.
    pub async fn unless<T>(&self, wait: impl Future<Output = T>) -> Result<T, Status> {
        tokio::select! {
            biased;
            () = self.begun.cancelled() => Err(status::draining()),
            value = wait => Ok(value),
        }
    }
}
