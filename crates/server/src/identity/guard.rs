//! Stands before every service: finds out who asks, and refuses what the table doesn't allow.

use super::access::{Place, place};
use super::revocation::{Credential, Revocation, until_revoked};
use super::{Caller, Grant, Identities};
use crate::listener::Peer;
use crate::pages::Refused;
use crate::reload::Current;
use crate::status;
use axum::extract::State;
use axum::middleware::Next;
use callboard_engine::Engine;
use callboard_proto::v1::ErrorReason;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, StatusCode};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};
use tower::Layer;

/// Whom the server knows.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Nobody: everybody may do everything.
    Anonymous(Arc<Grant>),
    /// Those in the identity file.
    Known(Current<Identities>),
}

impl Access {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::Anonymous(Arc::new(Grant::anonymous()))
    }
}

/// The layer that puts the guard before services.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub access: Access,
    /// Knows the time.
    pub engine: Engine,
    /// Who was not let in.
    pub refused: Refused,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// Services with the guard before them.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(Admitted { caller, revocation }) => {
                if let Some(grant) = caller {
                    request.extensions_mut().insert(Caller::new(grant, self.guard.refused.clone()));
                }
                let answer = self.inner.call(request);
                match revocation {
                    Some(revocation) => Box::pin(async move { Ok(until_revoked(answer.await?, revocation)) }),
                    None => Box::pin(answer),
                }
            }
            Err(status) => {
                tracing::info!(path = request.uri().path(), reason = status.message(), "refused");
                let answer = refusal(&status, request.headers());
                Box::pin(async move { Ok(answer) })
            }
        }
    }
}

/// The guard before pages, which are on the same port and are no calls.
pub(crate) async fn before_pages(
    State(guard): State<Guard>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    match guard.admit(&request) {
        Ok(_) => next.run(request).await,
        Err(status) => refusal(&status, request.headers()).map(axum::body::Body::new),
    }
}

/// Why somebody was not let in, and the answer that says so.
type Refusal = (ErrorReason, Status);

/// Who was let in.
struct Admitted {
    caller: Option<Arc<Grant>>,
    /// What ends the answer early.
    revocation: Option<Revocation>,
}

impl Guard {
    fn admit<B>(&self, request: &Request<B>) -> Result<Admitted, Status> {
        self.judge(request).map_err(|(reason, status)| {
            self.refused.count(reason);
            status
        })
    }

    fn judge<B>(&self, request: &Request<B>) -> Result<Admitted, Refusal> {
        let path = request.uri().path();
        let place = place(path);
        if place == Some(Place::Open) {
            return Ok(Admitted { caller: None, revocation: None });
        }
        let (grant, revocation) = match &self.access {
            Access::Anonymous(grant) => (grant.clone(), None),
            Access::Known(identities) => {
                let (grant, credential) = self.identify(&identities.get(), request)?;
                (grant.clone(), Some(Revocation::new(credential, grant, identities.clone(), self.engine.clone())))
            }
        };
        let method = path.rsplit('/').next().unwrap_or_default();
        match place {
            Some(Place::Roles(roles) | Place::Everywhere(roles))
                if !grant.roles.iter().any(|role| roles.contains(role)) =>
            {
                let allowed: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
                Err(not_allowed(format!(
                    "{method}: {:?} may not call it; one of these roles may: {}",
                    grant.principal,
                    allowed.join(", ")
                )))
            }
            Some(Place::Everywhere(_)) if grant.namespaces != super::Namespaces::All => Err(not_allowed(format!(
                "{method}: {:?} may not call it: it is about all namespaces, and needs an identity with namespaces = \"*\"",
                grant.principal
            ))),
            Some(_) => Ok(Admitted { caller: Some(grant), revocation }),
            None => Err((ErrorReason::UnknownMethod, status::unknown_method(&crate::convert::shorten(path), ""))),
        }
    }

    /// Finds out who asks. A token goes before a certificate: it is what the caller chose for this call.
    fn identify<B>(&self, identities: &Identities, request: &Request<B>) -> Result<(Arc<Grant>, Credential), Refusal> {
        let names = request.extensions().get::<Peer>().and_then(|peer| peer.names.clone());
        let (credential, remedy) = match (bearer(request.headers()).map_err(not_valid)?, names) {
            (Some(token), _) => {
                let credential = Credential::Token(super::TokenDigest::of(token));
                (credential, "the token is unknown: it was revoked, or is of another server; get one that is valid")
            }
            (None, Some(names)) => {
                let remedy =
                    "the client certificate is of nobody known: have one of its names added to the server's identities";
                (Credential::Certificate(names), remedy)
            }
            (None, None) => {
                let message = "authorization: is missing; send `authorization: Bearer TOKEN` (with the SDKs and the \
                               command: set CALLBOARD_TOKEN_FILE or CALLBOARD_TOKEN), or use a client certificate";
                let reason = ErrorReason::CredentialsMissing;
                return Err((reason, status::plain(Code::Unauthenticated, reason, message)));
            }
        };
        match identities.grant(&credential) {
            Some(grant) if grant.has_expired(self.engine.now()) => {
                Err(not_valid(invalid("authorization: the token has expired; get a new one")))
            }
            Some(grant) => Ok((grant.clone(), credential)),
            None => Err(not_valid(invalid(format!("authorization: {remedy}")))),
        }
    }
}

/// The token of a request, if it has one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    match (token, values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(invalid("authorization: must be once, and `Bearer TOKEN`")),
    }
}

/// The status of credentials that are not, or no longer, good.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    status::plain(Code::Unauthenticated, ErrorReason::CredentialsInvalid, message)
}

fn not_valid(status: Status) -> Refusal {
    (ErrorReason::CredentialsInvalid, status)
}

fn not_allowed(message: String) -> Refusal {
    let reason = ErrorReason::RoleNotAllowed;
    (reason, status::plain(Code::PermissionDenied, reason, message))
}

/// A refusal in the caller's own protocol.
fn refusal(status: &Status, headers: &HeaderMap) -> Response<Body> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|content_type| content_type.starts_with("application/grpc")) {
        return status.clone().into_http();
    }
    let mut response = Response::new(Body::new(format!("{}\n", status.message())));
    *response.status_mut() = match status.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::NOT_FOUND,
    };
    if status.code() == Code::Unauthenticated {
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_bearer_token_is_read_and_anything_else_refused_without_being_repeated() {
        assert_eq!(bearer(&with(&[])).unwrap(), None);
        assert_eq!(bearer(&with(&["Bearer abc"])).unwrap(), Some("abc"));
        assert_eq!(bearer(&with(&["bearer  abc "])).unwrap(), Some("abc"));
        for wrong in [&["secret"][..], &["Basic secret"], &["Bearer "], &["Bearer secret", "Bearer secret"]] {
            let status = bearer(&with(wrong)).unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            assert!(!format!("{status:?}").contains("secret"), "{status:?}");
        }
    }

    #[test]
    fn pages_are_refused_as_pages_and_calls_as_calls() {
        let status = invalid("no");
        let page = refusal(&status, &HeaderMap::new());
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
        let mut grpc = HeaderMap::new();
        grpc.insert(http::header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
        let call = refusal(&status, &grpc);
        assert_eq!((call.status(), call.headers()["grpc-status"].as_bytes()), (StatusCode::OK, &b"16"[..]));
    }
}
