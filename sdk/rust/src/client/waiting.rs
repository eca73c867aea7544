//! Waiting for an end that may be far away, by calls that each wait for a while.

use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use super::unary::Unary;
use crate::Result;
use crate::time::proto_duration;

/// How long one call waits. Shorter than what proxies leave an idle request.
const WAIT_SLICE: Duration = Duration::from_secs(50);

impl Client {
    /// Asks again and again, until `ended` finds in an answer what has ended. `None` when the time is over before.
    pub(super) async fn until_ended<R: Unary, T>(
        &self,
        until: Option<Instant>,
        ask: impl Fn(prost_types::Duration) -> R,
        ended: impl Fn(R::Response) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let slice = left.map_or(WAIT_SLICE, |left| left.min(WAIT_SLICE));
            // A retry waits only for what its call has left, so that the answer comes before the deadline.
            let spare = self.timeout();
            let wait = |left: Duration| ask(proto_duration(left.saturating_sub(spare)));
            let answer = self.call_repeatedly(slice.saturating_add(spare), wait).await?;
            if let Some(end) = ended(answer)? {
                return Ok(Some(end));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(None);
            }
        }
    }
}
