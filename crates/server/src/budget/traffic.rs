//! Bytes that are held, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What one connection may hold, in each direction, unless it is said otherwise.
pub(crate) const CONNECTION: usize = 32 << 20;
/// How long a connection may leave all its answers lying, in milliseconds.
const UNREAD: u64 = 60_000;

/// What is held in both directions, of one connection or of all.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    receiving: Arc<Account>,
    sending: Arc<Account>,
}

/// Bytes that may be held at once.
#[derive(Debug)]
struct Account {
    limit: usize,
    held: AtomicUsize,
    begun: Instant,
    /// When something was last let go of, or first held; in milliseconds since it began.
    moved: AtomicU64,
}

/// Bytes that are held. They are let go of when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    accounts: [Option<Arc<Account>>; 2],
    bytes: usize,
}

impl Default for Traffic {
    /// Of one connection.
    fn default() -> Self {
        Self::limited(CONNECTION)
    }
}

impl Traffic {
    /// With a limit in each direction.
    pub fn limited(limit: usize) -> Self {
        let account = || Arc::new(Account { limit, held: 0.into(), begun: Instant::now(), moved: 0.into() });
        Self { receiving: account(), sending: account() }
    }

    /// Nothing yet, of what is received here and on the connection.
    pub(super) fn receive(&self, connection: Option<&Self>) -> Held {
        let connection = connection.map(|connection| connection.receiving.clone());
        Held { accounts: [connection, Some(self.receiving.clone())], bytes: 0 }
    }

    /// Nothing yet, of what is sent.
    pub(super) fn send(&self, connection: Option<&Self>) -> Held {
        let connection = connection.map(|connection| connection.sending.clone());
        Held { accounts: [connection, Some(self.sending.clone())], bytes: 0 }
    }

    /// Whether answers have been lying for so long that their reader is not to be waited for.
    pub fn is_stuck(&self) -> bool {
        let sending = &self.sending;
        sending.held.load(Ordering::Relaxed) > 0
            && sending.now().saturating_sub(sending.moved.load(Ordering::Relaxed)) > UNREAD
    }
}

impl Account {
    fn take(&self, bytes: usize) -> bool {
        let grown = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        if taken == Ok(0) {
            self.moved.store(self.now(), Ordering::Relaxed);
        }
        taken.is_ok()
    }

    fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        let elapsed: Duration = self.begun.elapsed();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Held {
    /// Holds so many bytes from now on; `false`, and as before, when there is no room.
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes < self.bytes {
            self.accounts.iter().flatten().for_each(|account| account.give(self.bytes - bytes));
        }
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let [first, second] = &self.accounts;
            if first.as_ref().is_some_and(|account| !account.take(more)) {
                return false;
            }
            if second.as_ref().is_some_and(|account| !account.take(more)) {
                first.iter().for_each(|account| account.give(more));
                return false;
            }
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_limited_for_a_connection_and_for_all() {
        let (all, connection, other) = (Traffic::limited(100), Traffic::limited(60), Traffic::limited(60));
        let (mut a, mut b, mut c) = (all.send(Some(&connection)), all.send(Some(&connection)), all.send(Some(&other)));
        assert!(a.resize(40) && !b.resize(30) && b.resize(20), "a connection has its limit");
        assert!(!c.resize(50) && c.resize(40), "all together have theirs");
        assert!(all.receive(Some(&connection)).resize(60), "the directions are apart");
        drop(a);
        assert!(c.resize(60) && b.resize(40) && !b.resize(41), "what is dropped is let go of");
        drop((b, c));
        assert_eq!(all.sending.held.load(Ordering::Relaxed), 0);
        assert_eq!(connection.sending.held.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_answers_lying_is_stuck() {
        let (all, connection) = (Traffic::limited(100), Traffic::limited(100));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(!connection.is_stuck(), "there is nothing to be read");
        let (mut first, mut second) = (all.send(Some(&connection)), all.send(Some(&connection)));
        assert!(first.resize(10) && second.resize(10));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(!connection.is_stuck());
        drop(first);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(!connection.is_stuck(), "it reads, if slowly");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(connection.is_stuck());
        drop(second);
        assert!(!connection.is_stuck());
    }
}
