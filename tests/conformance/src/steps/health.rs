//! What an agent answers to probes, over HTTP/1.1.

use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What is asked, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    address: String,
    #[serde(default = "ready")]
    path: String,
    #[serde(default = "get")]
    method: String,
}

fn ready() -> String {
    "/readyz".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

impl Probe {
    /// Asks, and reads until the connection is closed: `{"status": 200, "type": "text/plain; charset=utf-8", "body": "attached"}`, or
    /// `{"refused": true}` where nobody listens.
    pub(super) async fn ask(&self) -> Result<Value, String> {
        let Ok(mut stream) = TcpStream::connect(&self.address).await else { return Ok(json!({ "refused": true })) };
        let request = format!("{} {} HTTP/1.1\r\nhost: {}\r\n\r\n", self.method, self.path, self.address);
        let answered = async {
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.map(|_| answer)
        };
        let answer = timeout(LIMIT, answered).await.map_err(|_| format!("no answer, or no end of it, in {LIMIT:?}"))?;
        read(&String::from_utf8_lossy(&answer.map_err(|error| error.to_string())?))
    }
}

fn read(answer: &str) -> Result<Value, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{answer:?} is no answer"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
    let content_type =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let status = status.ok_or_else(|| format!("{head:?} has no status"))?;
    Ok(json!({ "status": status, "type": content_type.map(|(_, value)| value.trim()), "body": body.trim_end() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let answer = read("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\ndraining\n").unwrap();
        assert_eq!(answer, json!({ "status": 503, "type": "text/plain", "body": "draining" }));
        assert!(read("nothing").is_err());
    }
}
