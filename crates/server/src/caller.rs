//! Who asks.

use std::sync::Arc;
use tonic::{Request, Status};

/// The principal of a request. An open server knows only `anonymous`; it listens on loopback alone unless it is told to be
/// insecure.
pub(crate) fn principal<T>(_request: &Request<T>) -> Result<Arc<str>, Status> {
    Ok("anonymous".into())
}

/// The namespace of a request; empty means `default`.
pub(crate) fn namespace(name: &str) -> Arc<str> {
    if name.is_empty() { callboard_core::model::id::DEFAULT_NAMESPACE.into() } else { name.into() }
}
