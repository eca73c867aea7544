//! The op `output`, and the instructions `output.…`.

use crate::program::{self, read};
use crate::shown;
use crate::value::Any;
use callboard::v1::payload::Content;
use callboard::{Client, Context, OutputChunk, OutputQuery, TaskError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Gives output.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Giving {
    value: Value,
    times: Option<u64>,
    #[serde(default)]
    catch: bool,
}

impl Giving {
    /// Gives the value, so many times. An error that is caught is put into what was seen.
    pub async fn give(&self, context: &Context, seen: &mut program::Seen) -> Result<(), TaskError> {
        for time in 0..self.times.unwrap_or(1) {
            let value = match &self.value {
                Value::String(text) => text.replace("{n}", &time.to_string()).into(),
                other => other.clone(),
            };
            let given = match read(value)? {
                Any::Payload(payload) => context.output_payload(payload).await,
                value => context.output(&value).await,
            };
            match given {
                Ok(()) => {}
                Err(error) if self.catch => {
                    seen.values.insert("output".to_owned(), json!({ "error": shown::error(&error) }));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The fields of `output.start`, without those that the driver looks at itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    task_id: String,
    run: Option<i32>,
    offset: Option<i64>,
}

/// A watch of output that goes on.
#[derive(Clone, Debug)]
pub struct Gathering {
    seen: watch::Receiver<Seen>,
    task: Arc<Mutex<JoinHandle<()>>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    chunks: Vec<Value>,
    bytes: u64,
    ended: bool,
    error: Option<Value>,
}

impl Start {
    /// Begins to gather.
    pub fn start(self, client: Client) -> Gathering {
        let (tell, seen) = watch::channel(Seen::default());
        let query =
            OutputQuery::task(self.task_id).run(self.run.unwrap_or_default()).offset(self.offset.unwrap_or_default());
        let task = tokio::task::spawn_local(gather(client, query, tell));
        Gathering { seen, task: Arc::new(Mutex::new(task)) }
    }
}

async fn gather(client: Client, query: OutputQuery, tell: watch::Sender<Seen>) {
    let mut output = client.watch_output(query);
    loop {
        let next = output.next().await;
        let goes_on = matches!(next, Ok(Some(_)));
        tell.send_modify(|seen| {
            seen.ended = !goes_on;
            let line = next.and_then(|chunk| chunk.map(|chunk| Ok((size(&chunk), shown::chunk(&chunk)?))).transpose());
            match line {
                Ok(Some((bytes, chunk))) => {
                    seen.bytes += bytes;
                    seen.chunks.push(chunk);
                }
                Ok(None) => {}
                Err(error) => seen.error = Some(shown::error(&error)),
            }
        });
        if !goes_on {
            return;
        }
    }
}

fn size(chunk: &OutputChunk) -> u64 {
    let bytes = match chunk.payload().and_then(|payload| payload.content.as_ref()) {
        Some(Content::Text(text)) => text.len(),
        Some(Content::Binary(bytes)) => bytes.len(),
        None => 0,
    };
    bytes as u64
}

impl Gathering {
    /// All so far, when there are so many bytes, or it has ended, or the time is over.
    pub async fn wait(&self, bytes: u64, limit: Duration) -> Value {
        let mut seen = self.seen.clone();
        let _ = timeout(limit, seen.wait_for(|seen| seen.ended || seen.bytes >= bytes)).await;
        self.seen.borrow().line()
    }

    /// All so far, and no more.
    pub fn stop(&self) -> Value {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).abort();
        self.seen.borrow().line()
    }
}

impl Seen {
    fn line(&self) -> Value {
        match &self.error {
            Some(error) => json!({ "error": error }),
            None => json!({ "ok": { "chunks": self.chunks, "ended": self.ended } }),
        }
    }
}
