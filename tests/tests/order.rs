//! The order in which ready tasks are given out, with real servers and an agent of one slot, which gets them one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, Priority, TaskSpec};
use callboard::{Agent, AgentHandle, Client, Context, NewTask, NewWorkflow, NewWorkflowTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{text, wait};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A task that says who it is.
fn task(name: &str) -> TaskSpec {
    TaskSpec { r#type: "work".into(), input: Some(text(format!("\"{name}\""))), ..Default::default() }
}

fn of_tenant(name: &str, priority: Priority) -> TaskSpec {
    TaskSpec { fairness_key: name.into(), priority: priority.into(), ..task(name) }
}

fn due_in(name: &str, seconds: u64) -> TaskSpec {
    let deadline = callboard_tests::now() + Duration::from_secs(seconds);
    TaskSpec { deadline: Some(deadline.into()), ..task(name) }
}

async fn create(client: &Client, spec: TaskSpec) -> String {
    client.create(NewTask::from(json(spec))).await.unwrap().task_id
}

fn json(mut spec: TaskSpec) -> TaskSpec {
    if let Some(input) = &mut spec.input {
        input.content_type = "application/json".into();
    }
    spec
}

/// An agent of one slot, and what it was given so far.
struct Worker {
    agent: AgentHandle,
    given: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    fn start(client: &Client) -> Self {
        let given = Arc::new(Mutex::new(Vec::new()));
        let noted = given.clone();
        let agent = Agent::builder("worker").client(client).slots(1).handle("work", move |_: Context, name: String| {
            noted.lock().unwrap().push(name);
            async { Ok::<_, TaskError>(()) }
        });
        Self { agent: agent.spawn().unwrap(), given }
    }

    /// The first so many, in their order.
    async fn first(&self, count: usize) -> Vec<String> {
        wait::look("the tasks to be given out", || async {
            let given = self.given.lock().unwrap();
            (given.len() >= count).then(|| given[..count].to_vec())
        })
        .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.agent.stop();
    }
}

/// One tenant has a hundred critical tasks, the other five of no priority: they alternate as long as both have any.
async fn tenants_alternate(server: &Server) {
    let client = server.client();
    for _ in 0..100 {
        create(&client, of_tenant("many", Priority::Critical)).await;
    }
    for _ in 0..5 {
        create(&client, of_tenant("few", Priority::Low)).await;
    }
    let worker = Worker::start(&client);
    assert_eq!(worker.first(12).await, [["many", "few"].repeat(5), vec!["many"; 2]].concat());
    assert_eq!(worker.first(105).await.iter().filter(|name| *name == "many").count(), 100);
}

#[tokio::test]
async fn two_tenants_alternate_whatever_they_call_urgent() {
    tenants_alternate(&Server::start().await).await;
}

#[tokio::test]
async fn two_tenants_alternate_on_postgresql() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    tenants_alternate(&Server::builder().database(&url).start().await).await;
}

/// The order is of the rows: a server that has just come up has the same.
#[tokio::test]
async fn a_near_deadline_goes_first_also_after_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    create(&client, task("old")).await;
    create(&client, due_in("far", 100_000)).await;
    create(&client, due_in("near", 500)).await;
    create(&client, due_in("nearer", 400)).await;
    let moved = create(&client, due_in("moved", 100_000)).await;
    let mut update = v1::UpdateTaskRequest { task_id: moved, ..Default::default() };
    update.deadline = due_in("", 450).deadline;
    update.update_mask = Some(prost_types::FieldMask { paths: vec!["deadline".into()] });
    client.update(update).await.unwrap();
    server.kill_9().await;
    server.restart().await;
    let worker = Worker::start(&client);
    let given = worker.first(5).await;
    assert_eq!(given[..3], ["nearer", "moved", "near"]);
}

#[tokio::test]
async fn what_most_stands_behind_goes_first() {
    let mut server = Server::start().await;
    let client = server.client();
    let named = |name: &str| NewWorkflowTask::new(name, NewTask::from(json(task(name))));
    let workflow = NewWorkflow::new("report").tasks([
        named("alone"),
        named("short"),
        named("s1").depends_on("short"),
        named("long"),
        named("l1").depends_on("long"),
        named("l2").depends_on("l1"),
        named("l3").depends_on("l2"),
    ]);
    let created = client.create_workflow(workflow).await.unwrap();
    for (name, expected) in [("alone", 0), ("short", 1), ("long", 3), ("l1", 2), ("l3", 0)] {
        let task = client.get(&created.receipts[name].task_id).await.unwrap();
        assert_eq!(task.workflow.unwrap().tasks_behind, expected, "{name}");
    }
    server.kill_9().await;
    server.restart().await;
    let worker = Worker::start(&client);
    let given = worker.first(7).await;
    let place = |name: &str| given.iter().position(|given| given == name).unwrap();
    assert_eq!(place("long"), 0, "{given:?}");
    assert!(place("short") < place("alone"), "{given:?}");
}
