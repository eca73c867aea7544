//! Connections to a server.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};

use crate::credentials::Identity;
use crate::{Error, Result};

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How an address is connected to. tonic's own defaults have no keepalive and no connect timeout. Refuses an address that must not
/// have the token.
pub(crate) fn endpoint(address: &Uri, identity: &Identity) -> Result<Endpoint> {
    identity.check(address)?;
    let endpoint = Endpoint::from(address.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    if address.scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    endpoint
        .tls_config(tls(identity))
        .map_err(|error| Error::invalid("address", format!("address `{address}` can't be used with TLS: {error}")))
}

fn tls(identity: &Identity) -> ClientTlsConfig {
    let tls = match &identity.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    match &identity.client {
        Some((cert, key)) => tls.identity(tonic::transport::Identity::from_pem(cert, key)),
        None => tls,
    }
}

/// A connection that says with every call who is calling.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    identity: Arc<Identity>,
}

impl Connection {
    /// Of a channel to an address that may have the token.
    pub(crate) fn new(channel: Channel, identity: Arc<Identity>) -> Self {
        Self { channel, identity }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = tonic::transport::channel::ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(authorization) = self.identity.authorization() {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        self.channel.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credentials;

    #[test]
    fn both_schemes_can_be_connected_to() {
        let identity = Credentials::new().resolve().unwrap();
        for address in ["http://127.0.0.1:7470", "https://callboard.example:7470"] {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(endpoint(&uri, &identity).unwrap().uri(), &uri);
        }
    }

    #[test]
    fn a_token_is_not_taken_to_where_it_can_be_read() {
        let identity = Credentials::new().token("secret").allow_plaintext(false).resolve().unwrap();
        let refused = endpoint(&"http://192.0.2.1:7470".parse().unwrap(), &identity).unwrap_err();
        assert!(refused.to_string().contains("allow_plaintext"), "{refused}");
    }

    #[tokio::test]
    async fn a_connection_without_tls_on_the_other_side_fails_with_a_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let refusing = async { drop(listener.accept().await.unwrap()) };
        let connecting = endpoint(&uri, &Credentials::new().resolve().unwrap()).unwrap();
        let (connected, ()) = tokio::join!(connecting.connect(), refusing);
        assert!(connected.is_err(), "TLS was spoken, and not answered");
    }
}
