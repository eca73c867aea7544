//! A task that kills its agents is given up, without harm to others.

use callboard::{NewTask, v1};
use callboard_tests::load::crew::{Crew, Kind, POISON};
use callboard_tests::server::Server;
use callboard_tests::wait::within;
use std::collections::BTreeSet;
use std::time::Duration;

const SETTINGS: &str = "--stream-lease 5s --reattach-grace 500ms --cancel-grace 5s --log warn";
/// How long the tasks may take to end after the last kill.
const HEALING: Duration = Duration::from_secs(60);
/// The program of this crate's own agent.
const RUST_AGENT: &str = env!("CARGO_BIN_EXE_callboard-test-agent");
/// The attempts that the default policy gives a task.
const DEFAULT_ATTEMPTS: usize = 3;
/// The losses in a row after which a task is given up in any case.
const POISON_LIMIT: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_its_agents_is_given_up() {
    let server = Server::with(SETTINGS).await;
    let client = server.client();
    let mut crew = Crew::start(&server.address(), server.directory(), RUST_AGENT, &Kind::ALL);
    let poison = client.create(NewTask::new(POISON)).await.expect("a task");
    let mut others = Vec::new();
    for _ in 0..20 {
        let other = NewTask::new("load.sdk").max_attempts(30).input(&serde_json::json!({"millis": 50, "failures": 0}));
        others.push(client.create(other.expect("an input")).await.expect("a task").task_id);
    }
    let supervise = async {
        loop {
            crew.replace_dead();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = async {
        for other in &others {
            let other = client.wait(other, None).await.expect("the others' ends");
            assert_eq!(other.state(), v1::TaskState::Completed, "harmed by another's poison: {other:?}");
        }
        client.wait(&poison.task_id, None).await.expect("the poison's end")
    };
    let ended = within(HEALING, "the tasks to end", async {
        tokio::select! { ended = ended => ended, never = supervise => never }
    })
    .await;
    assert_eq!(ended.state(), v1::TaskState::Failed);
    assert_eq!(ended.failure.map(|failure| failure.r#type).unwrap_or_default(), "callboard.poisoned");
    let runs = crew.diary().read();
    let poisoned: BTreeSet<&str> =
        runs.iter().filter(|run| run.task_id == poison.task_id).map(|run| run.agent.as_str()).collect();
    // One that dies before its acceptance comes through uses up no attempt; what ends it then is the poison limit.
    assert!((DEFAULT_ATTEMPTS..=POISON_LIMIT).contains(&poisoned.len()), "each attempt kills one agent: {poisoned:?}");
}
