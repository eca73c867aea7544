//! One address for whichever PostgreSQL is the primary now: what a load balancer or a virtual address is in production.

use callboard_test_postgres::SOCKET_NAME;
use std::path::{Path, PathBuf};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Takes connections, and passes what they say to where it leads. They are cut when it leads elsewhere.
#[derive(Debug)]
pub struct Forwarder {
    port: u16,
    leads_to: watch::Sender<PathBuf>,
    // Kept: it ends with us.
    _accepting: JoinSet<()>,
}

impl Forwarder {
    /// One that leads to a cluster, by the folder of its socket.
    pub async fn start(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (leads_to, target) = watch::channel(socket.join(SOCKET_NAME));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target));
        Self { port, leads_to, _accepting: accepting }
    }

    /// Cuts all connections, and leads those that come to another cluster.
    pub fn lead_to(&self, socket: &Path) {
        self.leads_to.send_replace(socket.join(SOCKET_NAME));
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

async fn accept(listener: TcpListener, target: watch::Receiver<PathBuf>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(forward(stream, target.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that can't be made, or breaks, is closed on both sides.
async fn forward(mut client: TcpStream, mut target: watch::Receiver<PathBuf>) {
    let path = target.borrow_and_update().clone();
    let Ok(mut server) = UnixStream::connect(path).await else { return };
    let _ = client.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = target.changed() => {}
    }
}
