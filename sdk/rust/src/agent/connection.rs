//! The stream to the server: opening it, what comes in, what goes out.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use callboard_proto::v1::agent_service_client::AgentServiceClient;
use callboard_proto::{MAX_MESSAGE_BYTES, v1};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::HeaderValue;
use tonic::{Status, Streaming};

use crate::connector::{self, Connector};
use crate::credentials::Identity;
use crate::error::CallError;
use crate::{Result, settings, transport};

/// Frames on their way to the socket. What does not fit waits in the session, where reports are batched.
const OUTGOING: usize = 16;

type Opening = Pin<Box<dyn Future<Output = Result<Streaming<v1::AttachResponse>, CallError>> + Send>>;

/// What the stream gives.
pub(super) enum Incoming {
    Frame(Box<v1::AttachResponse>),
    /// It has ended, or could not be opened. `None`: without an error.
    Ended(Option<CallError>),
}

/// A stream, or none.
pub(super) struct Connection {
    outgoing: Option<mpsc::Sender<v1::AttachRequest>>,
    state: State,
    identity: Arc<Identity>,
    connector: Option<Connector>,
    /// What the stream was opened with.
    authorization: Option<HeaderValue>,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Opening(Opening),
    Open(Box<Streaming<v1::AttachResponse>>),
}

impl Connection {
    /// None yet; who opens one is this, and how.
    pub(super) fn new(identity: Arc<Identity>, connector: Option<Connector>) -> Self {
        Self { outgoing: None, state: State::Closed, identity, connector, authorization: None }
    }

    /// Begins to open a stream whose first frame is the hello. The outcome comes from [`Connection::next`].
    pub(super) fn open(&mut self, address: &str, hello: v1::AttachRequest) {
        let (sender, receiver) = mpsc::channel(OUTGOING);
        // The channel is new: there is room.
        let _ = sender.try_send(hello);
        self.outgoing = Some(sender);
        self.authorization = self.identity.authorization();
        let (identity, connector) = (self.identity.clone(), self.connector.clone());
        self.state = State::Opening(Box::pin(attach(address.to_owned(), identity, connector, receiver)));
    }

    /// What comes next; never, while there is no stream. Can be dropped without losing a frame.
    pub(super) async fn next(&mut self) -> Incoming {
        loop {
            match &mut self.state {
                State::Closed => return pending().await,
                State::Opening(opening) => match opening.await {
                    Ok(stream) => self.state = State::Open(Box::new(stream)),
                    Err(refused) => return self.ended(Some(refused)),
                },
                State::Open(stream) => match stream.message().await {
                    Ok(Some(frame)) => return Incoming::Frame(Box::new(frame)),
                    Ok(None) => return self.ended(None),
                    Err(status) => return self.ended(Some(status.into())),
                },
            }
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| outgoing.capacity() > 0)
    }

    /// Completes when a stream that is full has room again; never, when there is none or it has room.
    pub(super) fn room(&self) -> impl Future<Output = ()> + use<> {
        let full = self.outgoing.clone().filter(|outgoing| outgoing.capacity() == 0);
        async move {
            match full {
                Some(outgoing) => drop(outgoing.reserve().await),
                None => pending().await,
            }
        }
    }

    /// Sends a frame. Ask [`Connection::has_room`] first. A stream that is gone says so in [`Connection::next`].
    pub(super) fn send(&mut self, frame: v1::AttachRequest) {
        if let Some(outgoing) = &self.outgoing {
            let _ = outgoing.try_send(frame);
        }
    }

    /// Drops the stream.
    pub(super) fn cut(&mut self) {
        self.outgoing = None;
        self.state = State::Closed;
    }

    /// Closes the sending side, and waits for the server to end the stream, for so long at most.
    pub(super) async fn finish(&mut self, longest: Duration) {
        self.outgoing = None;
        if matches!(self.state, State::Open(_)) {
            let _ = timeout(longest, async { while let Incoming::Frame(_) = self.next().await {} }).await;
        }
        self.cut();
    }

    fn ended(&mut self, refused: Option<CallError>) -> Incoming {
        self.cut();
        Incoming::Ended(refused.map(|refused| self.unless_renewed(refused)))
    }

    /// A token that was revoked and has been changed by now is no reason to end: the session attaches again.
    fn unless_renewed(&self, refused: CallError) -> CallError {
        if self.identity.is_renewed(&refused, self.authorization.as_ref()) {
            return Status::unavailable("the token was changed: attaching with the new one").into();
        }
        refused
    }
}

async fn attach(
    address: String,
    identity: Arc<Identity>,
    connector: Option<Connector>,
    outgoing: mpsc::Receiver<v1::AttachRequest>,
) -> Result<Streaming<v1::AttachResponse>, CallError> {
    let endpoint = settings::parse_address(&address).and_then(|uri| transport::endpoint(&uri, &identity));
    let endpoint = endpoint.map_err(|error| CallError::from(Status::unavailable(error.to_string())))?;
    let channel = connector::channel(&endpoint, connector.as_ref());
    let mut client = AgentServiceClient::new(transport::Connection::new(channel, identity))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    Ok(client.attach(ReceiverStream::new(outgoing)).await?.into_inner())
}
