//! Being an agent by single calls: what moves a task on without a stream.

use crate::{agent, seconds, text, wait};
use callboard::v1::{self, Assignment, Attempt, ClaimTasksRequest, CompleteTaskRequest, FailTaskRequest, Failure};
use callboard::{Client, Receipt, Result};

/// Asks for one task of a type, and waits up to 10 s for it.
pub fn request(name: &str, task_type: &str) -> ClaimTasksRequest {
    ClaimTasksRequest { profile: Some(agent::profile(name, task_type)), wait: seconds(10.0), ..Default::default() }
}

/// The same with many slots, for several tasks, and without waiting.
pub fn request_many(name: &str, task_type: &str, max: i32) -> ClaimTasksRequest {
    let profile = v1::AgentProfile { slots: max, ..agent::profile(name, task_type) };
    ClaimTasksRequest { profile: Some(profile), max_tasks: max, ..Default::default() }
}

/// Claims one task of a type.
pub async fn one(client: &Client, name: &str, task_type: &str) -> Assignment {
    let mut claimed = wait::soon("a claim", client.claim(request(name, task_type))).await.expect("a claim");
    assert_eq!(claimed.len(), 1, "nothing of type {task_type} came for {name}");
    claimed.remove(0)
}

/// Claims one task of a type, and gives its lease.
pub async fn lease(client: &Client, name: &str, task_type: &str) -> Attempt {
    one(client, name, task_type).await.attempt.expect("a lease")
}

/// Completes an attempt with a text.
pub async fn complete(client: &Client, attempt: &Attempt, result: &str) -> Result<Receipt> {
    let (attempt, result) = (Some(attempt.clone()), Some(text(result)));
    client.complete(CompleteTaskRequest { attempt, result, ..Default::default() }).await
}

/// Fails an attempt.
pub async fn fail(client: &Client, attempt: &Attempt, failure: Failure) -> Result<Receipt> {
    let (attempt, failure) = (Some(attempt.clone()), Some(failure));
    client.fail(FailTaskRequest { attempt, failure, ..Default::default() }).await
}

/// A failure that may be retried.
pub fn failure(kind: &str) -> Failure {
    Failure { r#type: kind.into(), message: format!("{kind} happened"), ..Default::default() }
}

/// A failure that is not retried.
pub fn for_good(kind: &str) -> Failure {
    Failure { retryable: Some(false), ..failure(kind) }
}
