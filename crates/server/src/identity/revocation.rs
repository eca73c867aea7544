//! Ends what goes on when its caller's identity does: a stream outlives the call's check by days.

use super::guard::invalid;
use super::{Grant, Identities, TokenDigest};
use crate::reload::Current;
use crate::status;
use callboard_engine::Engine;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// By what a caller is known.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// A token.
    Token(TokenDigest),
    /// The names in a client certificate.
    Certificate(Arc<[String]>),
}

impl Identities {
    /// What a credential stands for.
    pub(super) fn grant(&self, credential: &Credential) -> Option<&Arc<Grant>> {
        match credential {
            Credential::Token(digest) => self.token(digest),
            Credential::Certificate(names) => self.certificate(names),
        }
    }
}

/// Watches over one caller's identity.
pub(super) struct Revocation {
    credential: Credential,
    grant: Arc<Grant>,
    identities: Current<Identities>,
    engine: Engine,
}

impl Revocation {
    pub fn new(credential: Credential, grant: Arc<Grant>, identities: Current<Identities>, engine: Engine) -> Self {
        Self { credential, grant, identities, engine }
    }

    /// Waits until the identity is not any more what it was when the call was let in.
    async fn over(mut self) -> Status {
        loop {
            let wait = self.grant.expires.map(|at| at.since(self.engine.now()).to_std());
            tokio::select! {
                () = self.identities.changed() => {}
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
            }
            match self.identities.get().grant(&self.credential) {
                None => return invalid("authorization: the identity was revoked while the stream was open"),
                Some(grant) if grant.has_expired(self.engine.now()) => {
                    return invalid("authorization: the token expired while the stream was open; get a new one");
                }
                Some(grant) if **grant != *self.grant => return status::identity_changed(),
                Some(_) => {}
            }
        }
    }
}

/// The answer, cut off with a status when its caller's identity is over. One that ends by itself before is as it was.
pub(super) fn until_revoked(answer: Response<Body>, revocation: Revocation) -> Response<Body> {
    if answer.body().is_end_stream() || answer.headers().contains_key("grpc-status") {
        return answer;
    }
    answer.map(|body| Body::new(Revocable { body, state: State::Begun(Some(revocation)) }))
}

struct Revocable {
    body: Body,
    state: State,
}

enum State {
    /// Nothing was waited for yet: most calls end here.
    Begun(Option<Revocation>),
    Watched(Pin<Box<dyn Future<Output = Status> + Send>>),
    Over,
}

impl http_body::Body for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let State::Begun(revocation) = &mut self.state
            && let Some(revocation) = revocation.take()
        {
            self.state = State::Watched(Box::pin(revocation.over()));
        }
        let State::Watched(over) = &mut self.state else { return Poll::Pending };
        let status = std::task::ready!(over.as_mut().poll(cx));
        self.state = State::Over;
        // Whoever writes the stream is dropped with it, and so its other half ends.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
