//! Waiting for what others tell of.

use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Looks at each piece of news until a look gives something, at most so long.
pub async fn until<T>(news: &Notify, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let notified = news.notified();
        tokio::pin!(notified);
        // Before the look: what comes between the two is not missed.
        notified.as_mut().enable();
        if let Some(found) = look() {
            return Some(found);
        }
        if timeout_at(end, notified).await.is_err() {
            return look();
        }
    }
}
