//! Workflows that grow, are held, and are asked when they end.

use super::*;

fn task(name: &str) -> NewWorkflowTask {
    NewWorkflowTask::new(name, NewTask::new("t")).depends_on("draft")
}

#[tokio::test]
async fn tasks_are_added_and_their_receipts_are_by_their_names() {
    let server = Server::start();
    let receipts = server.client.add_workflow_tasks("w", [task("b"), task("a")]).await.unwrap();
    let ids: Vec<_> = receipts.iter().map(|(name, receipt)| (name.as_str(), receipt.task_id.as_str())).collect();
    assert_eq!(ids, [("a", "id of a"), ("b", "id of b")]);
    server.client.add_workflow_tasks("w", [task("c")]).request_id("mine").await.unwrap();
    let told = server.script.0.lock().unwrap();
    let [first, second] = told.added.as_slice() else { panic!("{:?}", told.added) };
    assert_eq!((first.namespace.as_str(), first.workflow_id.as_str()), ("n", "w"));
    assert!(!first.request_id.is_empty(), "a retry would add them again");
    assert_eq!(second.request_id, "mine");
    let sent: Vec<_> = first.tasks.iter().map(|task| (task.name.as_str(), task.depends_on[0].task.as_str())).collect();
    assert_eq!(sent, [("b", "draft"), ("a", "draft")]);
    assert_eq!(first.tasks[0].task.as_ref().unwrap().r#type, "t");
}

#[tokio::test]
async fn what_is_added_goes_through_the_interceptors_whole() {
    let server = Server::start_for(Client::builder().interceptor(Tenant));
    server.client.add_workflow_tasks("w", [task("a"), task("b")]).await.unwrap();
    let known = NewWorkflowTask::new("known", NewTask::new("known"));
    let error = server.client.add_workflow_tasks("w", [task("c"), known]).await.unwrap_err();
    assert_eq!(error.violations()[0].field, "interceptors");
    let told = server.script.0.lock().unwrap();
    let [added] = told.added.as_slice() else { panic!("{:?}", told.added) };
    assert!(added.tasks.iter().all(|task| task.task.as_ref().unwrap().headers["tenant"] == "blue"));
}

#[tokio::test]
async fn that_nothing_is_added_is_the_servers_to_refuse() {
    let server = Server::start_for(Client::builder().interceptor(Tenant));
    server.client.add_workflow_tasks("w", Vec::<NewWorkflowTask>::new()).await.unwrap();
    assert_eq!(server.script.0.lock().unwrap().added.len(), 1);
    let error = server.client.add_workflow_tasks("w", [task("forgotten")]).await.unwrap_err();
    assert!(error.to_string().contains("`receipts`"), "{error}");
}

#[tokio::test]
async fn one_is_held_and_released() {
    let server = Server::start();
    assert!(server.client.hold_workflow("w", "lunch").await.unwrap().held);
    assert!(!server.client.release_workflow("w").await.unwrap().held);
    let told = server.script.0.lock().unwrap();
    let (hold, release) = (&told.held[0], &told.released[0]);
    assert_eq!((hold.workflow_id.as_str(), hold.reason.as_str(), hold.namespace.as_str()), ("w", "lunch", "n"));
    assert_eq!((release.workflow_id.as_str(), release.namespace.as_str()), ("w", "n"));
    assert!(!hold.request_id.is_empty() && !release.request_id.is_empty());
}

#[tokio::test]
async fn of_one_that_has_ended_nothing_is_forecast() {
    let server = Server::start();
    assert_eq!(server.client.forecast_workflow("w").await.unwrap().unknown_types, ["n"]);
    assert_eq!(server.client.forecast_workflow("ended").await.unwrap(), v1::WorkflowForecast::default());
}
