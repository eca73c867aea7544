//! Attached agents: what the stream promises, frame by frame, and through the SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancelling;
mod draining;
mod liveness;
mod pausing;
mod probing;
mod progress;
mod protocol;
mod reattaching;
mod reports;
mod sdk;
mod slots;
mod slow;

use callboard::{Client, NewTask};

/// Creates a task of type `t`.
async fn create(client: &Client) -> String {
    client.create(NewTask::new("t")).await.unwrap().task_id
}
