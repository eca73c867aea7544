//! How many bytes calls under way may hold: what was received of messages that are not whole yet, and answers that are not read
//! yet. A client decides about both, so both are limited, for each connection and for all together.
//!
//! HTTP/2 alone doesn't: a connection may have ten thousand calls, each with an answer of megabytes that its client has no window
//! for. What would go beyond is refused with OVERLOADED, and a connection that has left its answers lying is cut.

mod received;
mod sent;
mod traffic;

pub(crate) use traffic::{CONNECTION, Traffic};

use crate::pages::Refused;
use crate::status;
use callboard_proto::v1::ErrorReason;
use received::Received;
use sent::Counter;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// What all connections may hold together, in each direction, unless it is said otherwise.
pub(crate) const ALL: usize = 128 << 20;

/// There was no room for something.
fn no_room(refused: &Refused) -> Status {
    refused.count(ErrorReason::Overloaded);
    status::no_room()
}

/// The bytes of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    all: Traffic,
    refused: Refused,
}

impl Budget {
    /// A budget that nobody has touched: so many bytes in each direction.
    pub fn new(limit: usize, refused: Refused) -> Self {
        Self { all: Traffic::limited(limit), refused }
    }

    /// A request's body, counted.
    pub fn received(&self, body: Body, connection: Option<&Traffic>) -> Body {
        let held = self.all.receive(connection);
        Body::new(Received::new(body, held, self.refused.clone()))
    }

    /// An answer, counted. What has no room is refused instead.
    pub fn sent(&self, response: Response<Body>, connection: Option<Traffic>) -> Response<Body> {
        // A refusal is headers alone.
        if response.headers().contains_key(Status::GRPC_STATUS) {
            return response;
        }
        let refused = self.refused.clone();
        sent::counted(response, Counter { all: self.all.clone(), connection, refused })
    }
}
