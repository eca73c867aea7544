//! The one place where this crate draws random numbers. A program that embeds the SDK has no `Ids` to pass in.

use rand::Rng;

/// A unique id: of a request, kept through its retries, or of an agent. It begins with the time (UUIDv7), so that the server's
/// index of request ids grows at its end.
#[allow(clippy::disallowed_methods)] // A leaf: nothing that is decided here is replayed.
pub(crate) fn unique_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A number from 0 up to 1.
#[allow(clippy::disallowed_methods)] // A leaf, as above.
pub(crate) fn fraction() -> f64 {
    rand::rng().random()
}

/// A seed for generators that are passed on.
#[allow(clippy::disallowed_methods)] // A leaf, as above.
pub(crate) fn seed() -> u64 {
    rand::rng().random()
}
