//! Whether the engine can take work.

use crate::engine::Engine;
use callboard_core::Want;
use callboard_core::model::Span;
use std::time::Duration;

/// How long the committer and the store may take to answer; slower is as good as not at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// A sweep comes every quarter of a second; one that is so late means that timeouts are not seen.
const SWEEP_AGE: Span = Span::seconds(10);

impl Engine {
    /// Why no work should be sent here now; nothing when all is well. It asks the committer, which waits behind all that was
    /// taken in before, and begins a transaction, which it gives up.
    pub async fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.shared.is_draining() {
            reasons.push("the server is draining".to_owned());
        }
        if self.shared.has_failed() {
            reasons.push("the store can't be trusted; the process is about to end".to_owned());
            return reasons;
        }
        let age = self.shared.sweep_age();
        if age > SWEEP_AGE {
            reasons.push(format!("the last complete sweep was {} s ago", age.0 / 1_000_000));
        }
        if tokio::time::timeout(PATIENCE, self.shared.queue.is_served()).await != Ok(true) {
            reasons.push(format!("no transaction ended within {} s", PATIENCE.as_secs()));
            return reasons;
        }
        // Not cancelled half-way: a store's future runs to its end, so that it is the answer that is not waited for.
        let store = self.shared.store.clone();
        let begin = self.tasks.spawn(async move {
            let mut transaction = store.begin().await?;
            // Nothing is asked for: that it begins is what is asked.
            transaction.load(&Want::default()).await?;
            transaction.roll_back().await;
            Ok::<(), callboard_store::Error>(())
        });
        match tokio::time::timeout(PATIENCE, begin).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "the store can't be written");
                reasons.push("the store can't be written; the server's log says why".to_owned());
            }
            _ => reasons.push(format!("the store began no transaction within {} s", PATIENCE.as_secs())),
        }
        reasons
    }

    /// The engine's metrics as OpenMetrics text, without the mark at its end.
    pub async fn metrics(&self) -> String {
        let mut text = String::new();
        crate::metrics::scrape(&self.shared, &mut text).await;
        text
    }
}
