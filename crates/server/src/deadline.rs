//! The time that a caller gives its call (`grpc-timeout`).
//!
//! tonic ends a call whose time is over with a bare CANCELLED, outside of every layer of ours. But it asks what is inside once
//! more before it does: then the call is answered here, with its reason. So nothing here needs a timer.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tonic::codegen::http::HeaderMap;

const HEADER: &str = "grpc-timeout";

/// When the caller of a request with these headers gives up. What can't be read counts as not said, as it does for tonic.
pub(crate) fn of(headers: &HeaderMap) -> Option<Instant> {
    let timeout = read(headers.get(HEADER)?.to_str().ok()?)?;
    Instant::now().checked_add(timeout)
}

/// At most eight digits and a unit.
fn read(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// What `work` gives; nothing when it is asked after the deadline and has nothing yet.
pub(crate) async fn before<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let ended = std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if deadline.is_some_and(|at| Instant::now() >= at) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    ended.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("1m"), Some(Duration::from_millis(1)));
        assert_eq!(read("0u"), Some(Duration::ZERO));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for wrong in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "100000000S", "1 S", "é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_counts_though_it_is_late() {
        let past = Some(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(before(past, async { 1 }).await, Some(1));
        assert_eq!(before(past, std::future::pending::<i32>()).await, None);
        assert_eq!(before(None, async { 1 }).await, Some(1));
    }
}
