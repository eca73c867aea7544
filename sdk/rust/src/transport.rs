//! Connections to a server.

use std::time::Duration;

use tonic::transport::{ClientTlsConfig, Endpoint, Uri};

use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How an address is connected to. tonic's own defaults have no keepalive and no connect timeout.
pub(crate) fn endpoint(address: &Uri) -> Result<Endpoint> {
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
        .tls_config(ClientTlsConfig::new().with_enabled_roots())
        .map_err(|error| Error::invalid("address", format!("address `{address}` can't be used with TLS: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_can_be_connected_to() {
        for address in ["http://127.0.0.1:7470", "https://callboard.example:7470"] {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(endpoint(&uri).unwrap().uri(), &uri);
        }
    }

    #[tokio::test]
    async fn a_connection_without_tls_on_the_other_side_fails_with_a_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let refusing = async { drop(listener.accept().await.unwrap()) };
        let connecting = endpoint(&uri).unwrap();
        let (connected, ()) = tokio::join!(connecting.connect(), refusing);
        assert!(connected.is_err(), "TLS was spoken, and not answered");
    }
}
