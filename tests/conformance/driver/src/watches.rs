//! The instructions `watch.…`.

use crate::shown;
use callboard::{Client, Watch};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The fields of `watch.start`, without those that the driver looks at itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    task_id: Option<String>,
    cursor: Option<String>,
    #[serde(default)]
    until_ended: bool,
    mailbox: Option<String>,
}

/// A watch that goes on.
#[derive(Clone, Debug)]
pub struct Watching {
    seen: watch::Receiver<Seen>,
    gathering: Arc<Mutex<JoinHandle<()>>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    is_mailbox: bool,
    items: Vec<Value>,
    cursor: String,
    ended: bool,
    error: Option<Value>,
}

impl Start {
    /// Begins to gather.
    pub fn start(self, client: Client) -> Watching {
        let (tell, seen) = watch::channel(Seen { is_mailbox: self.mailbox.is_some(), ..Seen::default() });
        let gathering = match self.mailbox {
            Some(agent) => tokio::task::spawn_local(gather_messages(client.watch_messages(&agent), tell)),
            None => {
                let mut watch = self.task_id.map_or_else(Watch::namespace, Watch::task);
                if let Some(cursor) = self.cursor {
                    watch = watch.after(cursor);
                }
                if self.until_ended {
                    watch = watch.until_ended();
                }
                tokio::task::spawn_local(gather_events(client, watch, tell))
            }
        };
        Watching { seen, gathering: Arc::new(Mutex::new(gathering)) }
    }
}

async fn gather_events(client: Client, watch: Watch, tell: watch::Sender<Seen>) {
    let mut events = client.watch(watch);
    loop {
        let next = events.next().await;
        let cursor = events.cursor().to_owned();
        let goes_on = matches!(next, Ok(Some(_)));
        tell.send_modify(|seen| {
            seen.cursor = cursor;
            seen.ended = !goes_on;
            match next {
                Ok(Some(event)) => seen.items.push(shown::event(&event)),
                Ok(None) => {}
                Err(error) => seen.error = Some(shown::error(&error)),
            }
        });
        if !goes_on {
            return;
        }
    }
}

async fn gather_messages(
    messages: impl Stream<Item = callboard::Result<callboard::v1::Message>>,
    tell: watch::Sender<Seen>,
) {
    let mut messages = std::pin::pin!(messages);
    loop {
        let next = messages.next().await.map(|message| message.and_then(|message| shown::message(&message)));
        let goes_on = matches!(next, Some(Ok(_)));
        tell.send_modify(|seen| {
            seen.ended = !goes_on;
            match next {
                Some(Ok(message)) => seen.items.push(message),
                Some(Err(error)) => seen.error = Some(shown::error(&error)),
                None => {}
            }
        });
        if !goes_on {
            return;
        }
    }
}

impl Watching {
    /// All so far, when there are so many, or it has ended, or the time is over.
    pub async fn wait(&self, count: usize, limit: Duration) -> Value {
        let mut seen = self.seen.clone();
        let _ = timeout(limit, seen.wait_for(|seen| seen.ended || seen.items.len() >= count)).await;
        self.seen.borrow().line()
    }

    /// All so far, and no more.
    pub fn stop(&self) -> Value {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner).abort();
        self.seen.borrow().line()
    }
}

impl Seen {
    fn line(&self) -> Value {
        match &self.error {
            Some(error) => json!({ "error": error }),
            None if self.is_mailbox => json!({ "ok": { "messages": self.items, "ended": self.ended } }),
            None => json!({ "ok": { "events": self.items, "cursor": self.cursor, "ended": self.ended } }),
        }
    }
}
