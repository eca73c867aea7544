//! Page tokens and cursors: opaque to callers, and of use only for the query that they came from.

use crate::status;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_core::limits::{DEFAULT_PAGE, MAX_PAGE};
use callboard_core::rejection::Rejection;
use callboard_proto::MAX_FRAME_BYTES;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tonic::Status;

/// What tells a query from another, without its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query([u8; 8]);

impl Query {
    /// Of a method and the request's values, its page size and token left out.
    pub fn of<M: Message>(method: &str, values: &M) -> Self {
        let mut hash = Sha256::new();
        hash.update(method.as_bytes());
        hash.update([0]);
        hash.update(values.encode_to_vec());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(first)
    }

    /// A token for a place in the query's answer.
    pub fn token<T: Serialize>(self, place: &T) -> String {
        let mut bytes = self.0.to_vec();
        // A place is a few numbers or a name; writing it to memory does not fail.
        bytes.extend(serde_json::to_vec(place).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a token; `None` for an empty one.
    pub fn place<T: DeserializeOwned>(self, field: &str, token: &str) -> Result<Option<T>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| status::cursor(field))?;
        let place = bytes.strip_prefix(&self.0).ok_or_else(|| status::cursor(field))?;
        serde_json::from_slice(place).map(Some).map_err(|_| status::cursor(field))
    }
}

/// The room of a page in bytes: an answer is never larger than clients take.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// An empty page.
    pub fn new() -> Self {
        // Below what a message may have by more than a token and a few lengths need.
        Self(MAX_FRAME_BYTES)
    }

    /// Whether one more entry fits. The first always does: one alone is never larger than a message may be.
    pub fn takes<M: Message>(&mut self, entry: &M) -> bool {
        let length = entry.encoded_len() + 8;
        let fits = length <= self.0 || self.0 == MAX_FRAME_BYTES;
        self.0 = self.0.saturating_sub(length);
        fits
    }
}

/// How many entries a page has.
pub(crate) fn size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE),
        Ok(size) => Ok(size.min(MAX_PAGE)),
        Err(_) => {
            let fault = format!("is {asked}; must be 0 (the default of {DEFAULT_PAGE}) to {MAX_PAGE}");
            Err(status::of_rejection(Rejection::field("page_size", fault)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_proto::v1::{ListAgentsRequest, ListTasksRequest};

    #[test]
    fn a_token_works_for_its_own_query_only() {
        let query = Query::of("ListTasks", &ListTasksRequest::default());
        let token = query.token(&42u64);
        assert_eq!(query.place::<u64>("page_token", &token).unwrap(), Some(42));
        let other = Query::of("ListTasks", &ListTasksRequest { r#type: "x".into(), ..Default::default() });
        let foreign = Query::of("ListAgents", &ListAgentsRequest::default());
        for wrong in [other, foreign] {
            let status = wrong.place::<u64>("page_token", &token).unwrap_err();
            assert!(status.message().starts_with("page_token:"), "{status}");
        }
        for nonsense in ["!", "AAAA", &token[..4]] {
            assert!(query.place::<u64>("page_token", nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_page_takes_what_fits_and_at_least_one_entry() {
        let task = |bytes| callboard_proto::v1::Task { agent: "x".repeat(bytes), ..Default::default() };
        let mut room = Room::new();
        assert!(room.takes(&task(MAX_FRAME_BYTES)));
        assert!(!room.takes(&task(1)));
        let mut room = Room::new();
        let taken = (0..5).filter(|_| room.takes(&task(1 << 20))).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn page_sizes_have_a_default_and_bounds() {
        assert_eq!(size(0).unwrap(), DEFAULT_PAGE);
        assert_eq!(size(1_000_000).unwrap(), MAX_PAGE);
        assert!(size(-1).unwrap_err().message().contains("page_size"));
    }
}
