//! The namespace of a request.

use std::sync::Arc;

/// The namespace of a request; empty means `default`.
pub(crate) fn namespace(name: &str) -> Arc<str> {
    if name.is_empty() { callboard_core::model::id::DEFAULT_NAMESPACE.into() } else { name.into() }
}
