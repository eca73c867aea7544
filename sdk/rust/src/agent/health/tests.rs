use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch::Sender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::*;

/// An agent that never ends, its state, and where it answers.
struct Probed {
    status: Sender<Status>,
    address: SocketAddr,
    agent: AbortHandle,
}

impl Probed {
    fn start() -> Self {
        let health = Health::listen("127.0.0.1:0").unwrap();
        let address = health.address();
        let (status, told) = watch::channel(Status::default());
        let agent = health.answer_during(told, std::future::pending::<Result<()>>());
        let agent = tokio::runtime::Handle::current().spawn(agent).abort_handle();
        Self { status, address, agent }
    }

    fn is(&self, readiness: Readiness) {
        self.status.send_modify(|status| status.readiness = readiness);
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All that comes back until the connection is closed.
    async fn answer(&self, sent: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        all_of(stream).await
    }

    /// Status and text.
    async fn request(&self, line: &str) -> (u16, String) {
        let answer = self.answer(&format!("{line} HTTP/1.1\r\nHost: agent\r\n\r\n")).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.parse().unwrap(), text.to_owned())
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.agent.abort();
    }
}

async fn all_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn told(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn it_is_ready_while_it_is_attached_and_alive_all_the_time() {
    let probed = Probed::start();
    for (readiness, answer) in [
        (Readiness::Connecting, told(503, "connecting")),
        (Readiness::Attached, told(200, "attached")),
        (Readiness::Draining, told(503, "draining")),
        (Readiness::Stopped, told(503, "stopped")),
    ] {
        probed.is(readiness);
        assert_eq!(probed.request("GET /readyz").await, answer);
        assert_eq!(probed.request("GET /healthz").await, told(200, "ok"));
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let probed = Probed::start();
    for path in ["/", "/metrics", "/healthz/", "/readyz/x", "//healthz"] {
        assert_eq!(probed.request(&format!("GET {path}")).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "DELETE"] {
        assert_eq!(probed.request(&format!("{method} /healthz")).await.0, 405, "{method}");
        assert_eq!(probed.request(&format!("{method} /readyz")).await.0, 405, "{method}");
    }
}

#[tokio::test]
async fn an_answer_is_text_and_the_connection_is_closed_behind_it() {
    let probed = Probed::start();
    let request = "GET /healthz HTTP/1.1\r\nHost: agent\r\nConnection: keep-alive\r\n\r\n";
    let answer = probed.answer(&request.repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
    let head = answer.to_ascii_lowercase();
    for line in ["content-type: text/plain; charset=utf-8", "content-length: 2", "connection: close"] {
        assert!(head.lines().any(|given| given == line), "{line}: {answer}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let probed = Probed::start();
    for (sent, status) in [
        ("hello\r\n\r\n".to_owned(), "400"),
        (format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD_BYTES)), "431"),
    ] {
        let mut stream = probed.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What was not read may end the connection less politely than by closing it.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent:.20}: {answer}");
    }
    assert_eq!(probed.request("GET /healthz").await.0, 200, "it goes on");
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_cut_off() {
    let probed = Probed::start();
    let began = Instant::now();
    let mut stream = probed.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    assert_eq!(all_of(stream).await, "");
    assert!(began.elapsed() >= LONGEST, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn more_than_so_many_connections_wait() {
    let probed = Probed::start();
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(probed.connect().await);
    }
    assert_eq!(probed.request("GET /healthz").await, told(200, "ok"));
    assert!(began.elapsed() >= LONGEST, "{:?}", began.elapsed());
}

#[tokio::test]
async fn it_answers_no_longer_than_its_agent_lives() {
    let health = Health::listen("127.0.0.1:0").unwrap();
    let address = health.address();
    let (_status, told) = watch::channel(Status::default());
    let given = health.answer_during(told, async { Ok(7) }).await;
    assert_eq!(given.unwrap(), 7);
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn where_it_cannot_listen_is_named() {
    let listening = Health::listen("127.0.0.1:0").unwrap();
    let taken = listening.address().to_string();
    for bad in ["", "here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "http://127.0.0.1:0", &taken] {
        let Err(error) = Health::listen(bad) else { panic!("`{bad}` is listened at") };
        assert!(matches!(error, Error::InvalidArgument(_)), "{bad}");
        assert!(error.to_string().contains(&format!("`{bad}`")), "{error}");
        assert_eq!(error.violations()[0].field, "health");
    }
}
