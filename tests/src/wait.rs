//! Waiting for what a test expects: by the events that the server sends, with a limit that names what did not come.

use callboard::v1::{Agent, AgentState, Event, EventType, Task, TaskState};
use callboard::{Client, Watch};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take, on a slow machine that does much else.
pub const LONG: Duration = Duration::from_secs(20);
/// Between two looks at what has no event.
const LOOK: Duration = Duration::from_millis(10);

/// Waits for something, at most [`LONG`].
#[track_caller]
pub fn soon<T>(what: &str, event: impl Future<Output = T>) -> impl Future<Output = T> {
    within(LONG, what, event)
}

/// Waits for something, at most so long.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, event: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move { timeout(limit, event).await.unwrap_or_else(|_| panic!("{caller}: waited {limit:?} in vain for {what}")) }
}

/// The first event of a task, from its beginning, that is as asked.
pub async fn event(client: &Client, task: &str, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    let mut events = client.watch(Watch::task(task));
    let mut seen = Vec::new();
    let found = async {
        loop {
            let event = events.next().await.expect("events").expect("a watch without an end");
            if wanted(&event) {
                return event;
            }
            seen.push((event.r#type(), event.attempt));
        }
    };
    match timeout(LONG, found).await {
        Ok(event) => event,
        Err(_) => panic!("waited {LONG:?} in vain for {what}; there were {seen:?}"),
    }
}

/// The first event of a task that is of a type.
pub async fn event_type(client: &Client, task: &str, kind: EventType) -> Event {
    event(client, task, kind.as_str_name(), |event| event.r#type() == kind).await
}

/// Waits until a task has been in a state.
pub async fn state(client: &Client, task: &str, state: TaskState) -> Event {
    event(client, task, state.as_str_name(), |event| event.state() == state).await
}

/// Waits until a task runs: its latest attempt was accepted.
pub async fn started(client: &Client, task: &str) -> Event {
    event_type(client, task, EventType::Started).await
}

/// Waits for a task's end.
pub async fn ended(client: &Client, task: &str) -> Task {
    let task = soon("a task's end", client.wait(task, Some(LONG))).await;
    task.unwrap_or_else(|error| panic!("waiting for a task's end: {error}"))
}

/// Waits until a look gives something. Only for what the server has no event for: the state of an agent, a file.
pub async fn look<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let until = Instant::now() + LONG;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "looked for {LONG:?} in vain for {what}");
        sleep(LOOK).await;
    }
}

/// Waits until an agent is known and in a state.
pub async fn agent_state(client: &Client, name: &str, state: AgentState) -> Agent {
    let what = format!("agent {name} to be {}", state.as_str_name());
    look(&what, || async { client.get_agent(name).await.ok().filter(|agent| agent.state() == state) }).await
}
