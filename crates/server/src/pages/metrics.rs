//! What the server counts itself: frames of agents' streams, and calls that got no further than to its door.

use callboard_engine::METRICS_PREFIX;
use callboard_proto::v1::ErrorReason;
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

/// Everything. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    registry: Arc<Registry>,
    pub frames: Frames,
    pub refused: Refused,
}

/// Counters of frames.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    /// From agents.
    pub received: Counter,
    /// To agents.
    pub sent: Counter,
}

/// Counters of calls that were refused before any rule was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Family<Reason, Counter>);

impl Refused {
    /// One call was refused for this reason.
    pub fn count(&self, reason: ErrorReason) {
        self.counter(reason).inc();
    }

    fn counter(&self, reason: ErrorReason) -> Counter {
        let reason = crate::status::name(reason);
        self.0.get_or_create_owned(&Reason { reason })
    }
}

impl Counts {
    /// At zero.
    pub fn new() -> Self {
        let frames: Family<Direction, Counter> = Family::default();
        let received = frames.get_or_create_owned(&Direction { direction: "received" });
        let sent = frames.get_or_create_owned(&Direction { direction: "sent" });
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        registry.register("stream_frames", "Frames of agents' streams", frames);
        let refused = Refused::default();
        let text = "Calls that were refused before any rule was asked, by the reason (as in the protocol)";
        registry.register("calls_refused", text, refused.0.clone());
        for reason in [
            ErrorReason::CredentialsMissing,
            ErrorReason::CredentialsInvalid,
            ErrorReason::RoleNotAllowed,
            ErrorReason::NamespaceNotFound,
            ErrorReason::NotYourAgent,
            ErrorReason::UnknownMethod,
            ErrorReason::Overloaded,
        ] {
            drop(refused.counter(reason));
        }
        Self { registry: Arc::new(registry), frames: Frames { received, sent }, refused }
    }

    /// Writes them as OpenMetrics text, with the mark that ends all metrics.
    pub fn write(&self, out: &mut String) -> std::fmt::Result {
        encode_registry(out, &self.registry)?;
        encode_eof(out)
    }
}
