//! What the server counts itself: frames of agents' streams.

use callboard_engine::METRICS_PREFIX;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// Counters of frames. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    registry: Arc<Registry>,
    /// From agents.
    pub received: Counter,
    /// To agents.
    pub sent: Counter,
}

impl Frames {
    /// At zero.
    pub fn new() -> Self {
        let family: Family<Direction, Counter> = Family::default();
        let received = family.get_or_create_owned(&Direction { direction: "received" });
        let sent = family.get_or_create_owned(&Direction { direction: "sent" });
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        registry.register("stream_frames", "Frames of agents' streams", family);
        Self { registry: Arc::new(registry), received, sent }
    }

    /// Writes them as OpenMetrics text, with the mark that ends all metrics.
    pub fn write(&self, out: &mut String) -> std::fmt::Result {
        encode_registry(out, &self.registry)?;
        encode_eof(out)
    }
}
