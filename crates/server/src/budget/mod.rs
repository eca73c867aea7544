//! How many bytes calls under way may hold: what was received of messages that are not whole yet, and answers that are not read
//! yet. A client decides about both, so both are limited, for each connection and for all together.
//!
//! HTTP/2 alone doesn't: a connection may have ten thousand calls, each with an answer of megabytes that its client has no window
//! for. What would go beyond is refused with OVERLOADED, and a connection that has left its answers lying is cut.

mod received;
mod sent;
mod traffic;

pub(crate) use traffic::Traffic;

use received::Received;
use sent::Counter;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// What all connections may hold together, in each direction.
const ALL: usize = 128 << 20;

/// The bytes of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Traffic);

impl Budget {
    /// A budget that nobody has touched.
    pub fn new() -> Self {
        Self(Traffic::limited(ALL))
    }

    /// A request's body, counted.
    pub fn received(&self, body: Body, connection: Option<&Traffic>) -> Body {
        let held = self.0.receive(connection);
        Body::new(Received::new(body, held))
    }

    /// An answer, counted. What has no room is refused instead.
    pub fn sent(&self, response: Response<Body>, connection: Option<Traffic>) -> Response<Body> {
        // A refusal is headers alone.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            return response;
        }
        sent::counted(response, Counter { all: self.0.clone(), connection })
    }
}
