//! Tasks that are made to wait for more: over kills, by several servers at once, and in workflows that are retried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, TaskState, WaitReason, WorkflowState};
use callboard::{Client, NewTask, NewWorkflow, NewWorkflowTask};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::{claim, text, wait};

/// How often servers try to close a cycle together.
const ROUNDS: usize = 25;

fn request(task: &str, sources: &[&str]) -> v1::AddDependenciesRequest {
    let on = |source: &&str| v1::Dependency { task_id: (*source).to_owned(), ..Default::default() };
    let dependencies = sources.iter().map(on).collect();
    v1::AddDependenciesRequest { task_id: task.to_owned(), dependencies, ..Default::default() }
}

async fn depend(client: &Client, task: &str, sources: &[&str]) -> callboard::Result<v1::TaskReceipt> {
    Ok(client.call(request(task, sources)).await?.receipt.unwrap())
}

async fn create(client: &Client, new: NewTask) -> String {
    client.create(new).await.unwrap().task_id
}

/// Does the next task of a type.
async fn done(client: &Client, task_type: &str) -> v1::Assignment {
    let assignment = claim::one(client, "claimer", task_type).await;
    claim::complete(client, assignment.attempt.as_ref().unwrap(), task_type).await.unwrap();
    assignment
}

async fn sources(client: &Client, task: &str) -> Vec<String> {
    let spec = client.get(task).await.unwrap().spec.unwrap();
    spec.dependencies.into_iter().map(|dependency| dependency.task_id).collect()
}

async fn a_kill_takes_nothing_away(mut server: Server) {
    let client = server.client();
    let first = create(&client, NewTask::new("first")).await;
    let more = create(&client, NewTask::new("more")).await;
    let target = create(&client, NewTask::new("target").depends_on(&first)).await;
    let asked = v1::AddDependenciesRequest { request_id: "once".into(), ..request(&target, &[&more]) };
    let receipt = client.call(asked.clone()).await.unwrap().receipt.unwrap();
    server.kill_9().await;
    server.restart().await;
    // Asked again, since nobody may have heard the answer, it is the same; under the id nothing else can be asked.
    assert_eq!(client.call(asked).await.unwrap().receipt.unwrap(), receipt);
    let other = v1::AddDependenciesRequest { request_id: "once".into(), ..request(&target, &[&first]) };
    assert_eq!(client.call(other).await.unwrap_err().reason(), "REQUEST_ID_REUSED");
    assert_eq!(sources(&client, &target).await, [first.as_str(), more.as_str()]);
    done(&client, "first").await;
    let task = client.get(&target).await.unwrap();
    assert_eq!((task.state(), task.unmet_dependencies), (TaskState::Waiting, 1));
    assert_eq!(task.waiting_for().collect::<Vec<_>>(), [WaitReason::Dependencies]);
    server.kill_9().await;
    server.restart().await;
    done(&client, "more").await;
    let assignment = done(&client, "target").await;
    let given: Vec<_> = assignment.dependencies.into_iter().map(|given| given.result.unwrap()).collect();
    assert_eq!(given, [text("first"), text("more")]);
    let listed = client.dependency_results(&target).await.unwrap();
    assert_eq!(listed.len(), 2);
    let history = client.history(&target).await.unwrap();
    let updated = history.iter().find(|event| event.r#type() == v1::EventType::Updated).unwrap();
    assert_eq!(updated.reason, "dependencies (1 more)");
}

#[tokio::test]
async fn a_kill_takes_no_added_dependency_away_on_sqlite() {
    a_kill_takes_nothing_away(Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_takes_no_added_dependency_away_on_postgres() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    a_kill_takes_nothing_away(Server::builder().database(&url).start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_close_no_cycle_together() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let url = cluster.database().await;
    let servers = [Server::builder().database(&url).start().await, Server::builder().database(&url).start().await];
    let [one, other] = servers.each_ref().map(Server::client);
    for round in 0..ROUNDS {
        let held = || NewTask::new("held").hold();
        let (a, b) = (create(&one, held()).await, create(&one, held()).await);
        let (x, y) = (create(&one, held()).await, create(&one, held()).await);
        // Behind each of the two stands another in half of the rounds, so that they meet on the way only.
        if round % 2 == 0 {
            depend(&one, &a, &[&x]).await.unwrap();
            depend(&one, &b, &[&y]).await.unwrap();
        }
        let (to_a, to_b) = if round % 2 == 0 { (&x, &y) } else { (&a, &b) };
        let (on_a, on_b) = ([a.as_str()], [b.as_str()]);
        let (here, there) = tokio::join!(depend(&one, to_a, &on_b), depend(&other, to_b, &on_a));
        let refused: Vec<_> = [here, there].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].to_string().contains("is a cycle"), "{}", refused[0]);
        // So all of them end.
        for id in [&a, &b, &x, &y] {
            one.release(id).await.unwrap();
        }
        for _ in 0..4 {
            done(&other, "held").await;
        }
    }
}

#[tokio::test]
async fn a_plan_is_changed_and_retried_in_the_order_that_it_has_by_then() {
    let server = Server::start().await;
    let client = server.client();
    let new = NewWorkflow::new("report").task(NewWorkflowTask::new("draft", NewTask::new("draft")));
    let publish = NewWorkflowTask::new("publish", NewTask::new("publish")).depends_on("draft");
    let created = client.create_workflow(new.task(publish)).await.unwrap();
    let id = &created.workflow_id;
    let publish = created.receipts["publish"].task_id.clone();
    let legal = v1::WorkflowTask {
        name: "legal".into(),
        task: Some(v1::TaskSpec { r#type: "legal".into(), ..Default::default() }),
        ..Default::default()
    };
    let add = v1::AddWorkflowTasksRequest { workflow_id: id.clone(), tasks: vec![legal], ..Default::default() };
    let legal = client.call(add).await.unwrap().receipts.remove(0).task_id;
    depend(&client, &publish, &[&legal]).await.unwrap();
    done(&client, "draft").await;
    let lease = claim::lease(&client, "claimer", "legal").await;
    claim::fail(&client, &lease, claim::for_good("Refused")).await.unwrap();
    let workflow = wait::soon("its end", client.wait_workflow(id, None)).await.unwrap();
    assert_eq!((workflow.state(), workflow.skipped_tasks), (WorkflowState::Failed, 1));
    client.retry_workflow(id).await.unwrap();
    wait::look("what was skipped to wait again", || async {
        let task = client.get(&publish).await.unwrap();
        (task.state() == TaskState::Waiting && task.unmet_dependencies == 1).then_some(())
    })
    .await;
    done(&client, "legal").await;
    done(&client, "publish").await;
    let workflow = wait::soon("its end", client.wait_workflow(id, None)).await.unwrap();
    assert_eq!((workflow.state(), workflow.completed_tasks), (WorkflowState::Completed, 3));
}
