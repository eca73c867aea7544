//! A client that speaks HTTP/2 by hand, and as no client should.

use callboard_tests::server::Server;
use callboard_tests::wait::{LONG, within};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The setting for how much a server may send on a stream before it is told that it was read.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// How long a server may take nothing before its client counts as stopped.
const STUCK: Duration = Duration::from_secs(1);

/// A frame as it is on the wire.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A header, literal and not indexed.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [&[0], &string(name)[..], &string(value)].concat()
}

/// A string with its length in HPACK: seven bits, and the rest in groups of seven.
fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend(text.bytes());
    out
}

/// The headers of a gRPC call.
pub fn call(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// A gRPC message.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was taken.
    Taken,
    /// The server cut the connection.
    Cut,
    /// The server takes no more: it waits until its answers are read.
    Stuck,
}

/// A connection that only ever writes, unless it is told to read.
pub struct Hostile(pub TcpStream);

impl Hostile {
    /// Connects, and says nothing.
    pub async fn connect(server: &Server) -> Self {
        let address = server.address();
        let address = address.trim_start_matches("http://");
        Self(within(LONG, "a connection", TcpStream::connect(address)).await.unwrap())
    }

    /// Connects, and begins HTTP/2 with some settings.
    pub async fn begin(server: &Server, settings: &[(u16, u32)]) -> Self {
        let mut hostile = Self::connect(server).await;
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        let first = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat();
        assert_eq!(hostile.say(&first).await, End::Taken);
        hostile
    }

    /// Writes some bytes.
    pub async fn say(&mut self, bytes: &[u8]) -> End {
        match tokio::time::timeout(STUCK, self.0.write_all(bytes)).await {
            Ok(Ok(())) => End::Taken,
            Ok(Err(_)) => End::Cut,
            Err(_) => End::Stuck,
        }
    }

    /// Writes what is made for each number, until all is written or no more is taken.
    pub async fn flood(&mut self, count: u32, make: impl Fn(u32) -> Vec<u8>) -> End {
        let mut out = Vec::new();
        for n in 0..count {
            out.extend(make(n));
            if out.len() > 32 << 10 || n + 1 == count {
                match self.say(&out).await {
                    End::Taken => out.clear(),
                    end => return end,
                }
            }
        }
        End::Taken
    }

    /// Reads until the server cuts the connection. Fails the test when it does not in time.
    pub async fn cut(&mut self, limit: Duration) {
        let mut buffer = [0; 4096];
        let ended = async { while matches!(self.0.read(&mut buffer).await, Ok(n) if n > 0) {} };
        within(limit, "the server to cut the connection", ended).await;
    }
}
