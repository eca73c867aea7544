//! What makes a repetition safe.

use super::id::NamespaceId;
use super::time::Timestamp;

/// Under what an answer is remembered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The namespace; 0 for calls that have none.
    pub namespace: NamespaceId,
    /// Who asked.
    pub principal: String,
    /// The method, as in `CreateTask`.
    pub method: String,
    /// What the caller chose.
    pub request_id: String,
}

/// An answer that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRecord {
    /// Under what.
    pub key: RequestKey,
    /// The digest of the request's values; its first byte is the digest's version.
    pub digest: Vec<u8>,
    /// The answer, as JSON of [`crate::Reply`].
    pub reply: String,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}
