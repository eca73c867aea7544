//! Lists: filters, pages, short ids.

use callboard::NewTask;
use callboard::v1::{self, ListTasksRequest, TaskState};
use callboard_tests::server::Server;
use callboard_tests::{agent, claim, refusal, refused};
use futures::TryStreamExt;
use std::collections::BTreeSet;
use tonic::Code;

async fn ids(client: &callboard::Client, request: ListTasksRequest) -> BTreeSet<String> {
    client.list(request).map_ok(|task| task.id).try_collect().await.unwrap()
}

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).clone()).collect()
}

#[tokio::test]
async fn filters_are_combined() {
    let server = Server::start().await;
    let client = server.client();
    let a = client.create(NewTask::new("a").tag("red").tag("big").key("k")).await.unwrap().task_id;
    let b = client.create(NewTask::new("b").tag("red")).await.unwrap().task_id;
    let c = client.create(NewTask::new("a").hold()).await.unwrap().task_id;
    let lease = claim::lease(&client, "bob", "b").await;
    let all = ListTasksRequest::default;
    assert_eq!(ids(&client, all()).await, set(&[&a, &b, &c]));
    assert_eq!(ids(&client, ListTasksRequest { r#type: "a".into(), ..all() }).await, set(&[&a, &c]));
    assert_eq!(ids(&client, ListTasksRequest { tags: vec!["red".into()], ..all() }).await, set(&[&a, &b]));
    let both = vec!["red".to_owned(), "big".to_owned()];
    assert_eq!(ids(&client, ListTasksRequest { tags: both, ..all() }).await, set(&[&a]));
    assert_eq!(ids(&client, ListTasksRequest { key: "k".into(), ..all() }).await, set(&[&a]));
    assert_eq!(ids(&client, ListTasksRequest { agent: "bob".into(), ..all() }).await, set(&[&b]));
    let of = |states: &[TaskState]| ListTasksRequest { states: states.iter().map(|s| *s as i32).collect(), ..all() };
    assert_eq!(ids(&client, of(&[TaskState::Waiting])).await, set(&[&c]));
    assert_eq!(ids(&client, of(&[TaskState::Ready, TaskState::Waiting])).await, set(&[&a, &c]));
    claim::complete(&client, &lease, "").await.unwrap();
    assert_eq!(ids(&client, of(&[TaskState::Completed])).await, set(&[&b]));
    let none = ListTasksRequest { r#type: "a".into(), agent: "bob".into(), ..all() };
    assert_eq!(ids(&client, none).await, set(&[]));

    let middle = client.get(&b).await.unwrap().created_at;
    let before = ListTasksRequest { created_before: middle, ..all() };
    assert_eq!(ids(&client, before).await, set(&[&a]));
    let after = ListTasksRequest { created_after: middle, ..all() };
    assert_eq!(ids(&client, after).await, set(&[&b, &c]));

    let digits = b.replace('-', "");
    let short = ListTasksRequest { id_suffix: digits[digits.len() - 8..].to_uppercase(), ..all() };
    assert_eq!(ids(&client, short).await, set(&[&b]));
    for wrong in ["abc", "not hex"] {
        let request = ListTasksRequest { id_suffix: wrong.into(), ..all() };
        let error = client.list_page(request).await.unwrap_err();
        refused(&error, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(error.violations()[0].field, "id_suffix");
    }
}

#[tokio::test]
async fn pages_are_newest_first_and_stay_so_while_tasks_come() {
    let server = Server::start().await;
    let client = server.client();
    let created = client.create_all((0..25).map(|_| NewTask::new("t"))).await.unwrap();
    let mut expected: Vec<String> = created.into_iter().map(|receipt| receipt.task_id).collect();
    expected.reverse();
    let mut request = ListTasksRequest { page_size: 10, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = client.list_page(request.clone()).await.unwrap();
        assert!(page.tasks.len() <= 10);
        assert!(page.tasks.iter().all(|task| task.spec.as_ref().is_some_and(|spec| spec.input.is_none())));
        seen.extend(page.tasks.into_iter().map(|task| task.id));
        client.create(NewTask::new("t")).await.unwrap();
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_page_token_is_of_its_query_alone() {
    let server = Server::start().await;
    let (client, mut tasks, mut agents) = (server.client(), server.tasks().await, server.agents().await);
    client.create_all((0..3).map(|_| NewTask::new("t"))).await.unwrap();
    let first = ListTasksRequest { page_size: 1, ..Default::default() };
    let page_token = tasks.list_tasks(first.clone()).await.unwrap().into_inner().next_page_token;
    assert!(!page_token.is_empty());
    let other = ListTasksRequest { r#type: "t".into(), page_token: page_token.clone(), ..first.clone() };
    let status = tasks.list_tasks(other).await.unwrap_err();
    let details = refusal(&status, Code::InvalidArgument, "INVALID_CURSOR");
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "page_token");
    let foreign = v1::ListAgentsRequest { page_token: page_token.clone(), ..Default::default() };
    refusal(&agents.list_agents(foreign).await.unwrap_err(), Code::InvalidArgument, "INVALID_CURSOR");
    let nonsense = ListTasksRequest { page_token: "nonsense".into(), ..first.clone() };
    refusal(&tasks.list_tasks(nonsense).await.unwrap_err(), Code::InvalidArgument, "INVALID_CURSOR");
    // Another size is the same query.
    let larger = ListTasksRequest { page_token, page_size: 5, ..first.clone() };
    assert_eq!(tasks.list_tasks(larger).await.unwrap().into_inner().tasks.len(), 2);
    let negative = ListTasksRequest { page_size: -1, ..first };
    refusal(&tasks.list_tasks(negative).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn agents_and_namespaces_are_listed_by_name() {
    let server = Server::start().await;
    let client = server.client();
    for name in ["carl", "ann", "bob"] {
        let request = v1::ClaimTasksRequest { profile: Some(agent::profile(name, "t")), ..Default::default() };
        client.claim(request).await.unwrap();
    }
    let names: Vec<String> = client
        .list_agents(v1::ListAgentsRequest { page_size: 2, ..Default::default() })
        .map_ok(|a| a.profile.unwrap().name)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(names, ["ann", "bob", "carl"]);
    let of = |state: v1::AgentState| v1::ListAgentsRequest { states: vec![state.into()], ..Default::default() };
    let claiming: Vec<_> = client.list_agents(of(v1::AgentState::Claiming)).try_collect().await.unwrap();
    let attached: Vec<_> = client.list_agents(of(v1::AgentState::Attached)).try_collect().await.unwrap();
    assert_eq!((claiming.len(), attached.len()), (3, 0));

    for name in ["zeta", "beta"] {
        client.create_namespace(name, Default::default()).await.unwrap();
    }
    let names: Vec<String> = client.list_namespaces().map_ok(|n| n.name).try_collect().await.unwrap();
    assert_eq!(names, ["beta", "default", "zeta"]);
}

#[tokio::test]
async fn a_cordoned_agent_gets_nothing_new_and_a_removed_one_is_forgotten() {
    let server = Server::start().await;
    let client = server.client();
    client.create_all((0..2).map(|_| NewTask::new("t"))).await.unwrap();
    let request = || claim::request_many("ann", "t", 1);
    let held = client.claim(request()).await.unwrap().remove(0).attempt.unwrap();
    assert!(client.cordon("ann").await.unwrap().cordoned);
    claim::complete(&client, &held, "").await.expect("what it has it keeps");
    assert!(client.claim(request()).await.unwrap().is_empty());
    assert!(!client.uncordon("ann").await.unwrap().cordoned);
    let task_id = client.claim(request()).await.unwrap().remove(0).attempt.unwrap().task_id;
    client.remove_agent("ann").await.unwrap();
    refused(&client.get_agent("ann").await.unwrap_err(), Code::NotFound, "AGENT_NOT_FOUND");
    refused(&client.remove_agent("ann").await.unwrap_err(), Code::NotFound, "AGENT_NOT_FOUND");
    assert_eq!(client.get(&task_id).await.unwrap().state(), TaskState::Ready, "its tasks are requeued");
}
