//! What tells a request from another under the same request id.

use crate::status;
use callboard_core::command::RequestToken;
use callboard_core::limits::MAX_REQUEST_ID;
use callboard_core::rejection::Rejection;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

/// The digest's version: its first byte. It changes when the way to digest does, so that an answer remembered by an older
/// release is never taken for a different request silently.
const VERSION: u8 = 1;

/// The same as [`read`], with the refusal as a status.
pub(crate) fn token<M: Message>(
    method: &'static str,
    request_id: &str,
    values: &M,
) -> Result<Option<RequestToken>, Status> {
    read(method, request_id, values).map_err(status::of_rejection)
}

/// What makes a repetition safe, if the request has an id. `values` is the request without its id and without what doesn't
/// belong to what is asked (how long to wait). Its maps are sorted, so that equal values have equal bytes.
pub(crate) fn read<M: Message>(
    method: &'static str,
    request_id: &str,
    values: &M,
) -> Result<Option<RequestToken>, Rejection> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let count = request_id.chars().count();
    if count > MAX_REQUEST_ID {
        let fault = format!("has {count} characters; at most {MAX_REQUEST_ID}: a UUID is enough");
        return Err(Rejection::field("request_id", fault));
    }
    let mut digest = vec![VERSION];
    digest.extend_from_slice(&Sha256::digest(values.encode_to_vec()));
    Ok(Some(RequestToken { method, id: request_id.to_owned(), digest }))
}
