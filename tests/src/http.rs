//! A page over HTTP/1, as a load balancer or Prometheus asks for it.

use crate::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer: the status, the headers as they came, the body.
#[derive(Debug)]
pub struct Page {
    /// 200, say.
    pub status: u16,
    /// In small letters.
    pub headers: String,
    /// As text.
    pub body: String,
}

/// Asks for a page.
pub async fn get(server: &Server, path: &str) -> Page {
    request(server, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

/// The value of a server's metric: its name with its labels as they are written.
pub async fn metric(server: &Server, name: &str) -> f64 {
    sample(&get(server, "/metrics").await.body, name)
}

/// The same in what `/metrics` gave.
pub fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Sends a request as it stands, and reads the answer to its end.
pub async fn request(server: &Server, text: &str) -> Page {
    let address = server.address();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.expect("a connection");
    stream.write_all(text.as_bytes()).await.expect("the request is sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(30), read).await.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
    Page { status, headers: head.to_ascii_lowercase(), body: body.to_owned() }
}
