//! Handlers that wait for some of their children, by the Rust SDK's agent and a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::TaskState;
use callboard::{Agent, AgentHandle, Client, Context, Error, NewChild, NewTask, TaskError};
use callboard_tests::server::Server;
use callboard_tests::wait;

/// A child that is not cancelled with its parent, and doesn't end by itself when it is `slow`.
fn search(kind: &str) -> NewChild {
    NewChild::new(NewTask::new("search").input(kind).unwrap().max_attempts(1)).detached()
}

async fn searching(ctx: Context, kind: String) -> Result<String, TaskError> {
    match kind.as_str() {
        "slow" => {
            ctx.cancelled().await;
            Err(TaskError::cancelled())
        }
        "bad" => Err(TaskError::new("nothing there")),
        _ => Ok(kind),
    }
}

/// Starts these, and waits for so many: gives those that completed and the others, or how the first ended that did so badly.
async fn race(
    ctx: Context,
    (count, cancels, kinds): (usize, bool, Vec<String>),
) -> Result<Vec<Vec<String>>, TaskError> {
    let mut children = Vec::new();
    for kind in &kinds {
        children.push(ctx.start_child(search(kind)).await?);
    }
    let wait = ctx.wait_children(&children).count(count);
    let done = if cancels { wait.cancel_rest().await } else { wait.await };
    let done = match done {
        Ok(done) => done.into_iter().map(|task| task.id).collect(),
        Err(Error::TaskFailed(task)) => vec![format!("{:?}", task.state()), task.id],
        Err(error) => return Err(error.into()),
    };
    Ok(vec![done, children.iter().map(|child| child.id().to_owned()).collect()])
}

fn agent(client: &Client, slots: i32) -> AgentHandle {
    let agent = Agent::builder("racer").client(client).slots(slots);
    agent.handle("search", searching).handle("race", race).spawn().unwrap()
}

/// What a race gave: those that completed, and all of its children.
async fn raced(client: &Client, count: usize, cancels: bool, kinds: &[&str]) -> (Vec<String>, Vec<String>) {
    let race = NewTask::new("race").input(&(count, cancels, kinds)).unwrap().max_attempts(1);
    let ended = wait::soon("the race", client.run::<Vec<Vec<String>>>(race)).await.unwrap();
    let [done, children] = ended.try_into().unwrap();
    (done, children)
}

/// The two slow ones have the agent's slots, and end by the cancellation alone: the handler could not go on if it had to do
/// so before it cancels them.
#[tokio::test]
async fn the_rest_is_cancelled_also_when_it_has_all_slots() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = agent(&client, 2);
    let (done, children) = raced(&client, 1, true, &["slow", "fast", "slow"]).await;
    assert_eq!(done, children[1..2]);
    for slow in [&children[0], &children[2]] {
        let ended = wait::soon("the cancellation", client.wait(slow, None)).await.unwrap();
        assert_eq!(ended.state(), TaskState::Cancelled);
    }
}

#[tokio::test]
async fn the_rest_is_kept_unless_it_is_to_be_cancelled() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = agent(&client, 3);
    let (done, children) = raced(&client, 2, false, &["fast", "slow", "faster"]).await;
    assert_eq!(done, [children[0].clone(), children[2].clone()]);
    assert!(!client.get(&children[1]).await.unwrap().cancel_requested);
}

#[tokio::test]
async fn too_few_that_can_complete_are_told_as_soon_as_it_is_so() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = agent(&client, 1);
    let (told, children) = raced(&client, 2, true, &["bad", "bad", "slow"]).await;
    assert_eq!(told, ["Failed", &children[0]]);
    let ended = wait::soon("the cancellation", client.wait(&children[2], None)).await.unwrap();
    assert_eq!(ended.state(), TaskState::Cancelled);
}
