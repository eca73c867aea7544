//! TCP as the simulated network has it, on both sides.

use callboard::Connector;
use callboard_server::Listener;
use std::io;
use std::net::Ipv4Addr;
use turmoil::net::{TcpListener, TcpStream};

/// Where servers listen.
const PORT: u16 = 7470;

/// The address of a host's server.
pub(crate) fn address(host: &str) -> String {
    format!("http://{host}:{PORT}")
}

/// Connects the SDK over the network.
pub(crate) fn connector() -> Connector {
    Connector::new(|address| async move {
        let host = address.host().unwrap_or_default().to_owned();
        TcpStream::connect((host, address.port_u16().unwrap_or(PORT))).await
    })
}

/// Listens on the host that this is called on.
pub(crate) async fn listen() -> io::Result<Listener> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let connections = futures::stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    Ok(Listener::connections(connections))
}
