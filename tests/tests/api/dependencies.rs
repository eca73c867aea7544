//! Dependencies: what waits for what, what becomes of it, and results handed over.

use callboard::v1::{self, EventType, TaskState, WaitReason};
use callboard::{Agent, Context, NewTask, TaskError};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::{claim, text, text_of, wait};

#[tokio::test]
async fn a_dependent_gets_the_results_in_their_order() {
    let server = Server::start().await;
    let client = server.client();
    let a = client.create(NewTask::new("part").key("a")).await.unwrap().task_id;
    let b = client.create(NewTask::new("part").hold()).await.unwrap().task_id;
    let id = client.create(NewTask::new("sum").depends_on(&b).depends_on(&a)).await.unwrap().task_id;
    let task = client.get(&id).await.unwrap();
    assert_eq!((task.state(), task.unmet_dependencies), (TaskState::Waiting, 2));
    assert_eq!(task.waiting_for, [i32::from(WaitReason::Dependencies)]);
    assert_eq!(task.spec.unwrap().dependencies.len(), 2);

    let lease = claim::lease(&client, "ann", "part").await;
    claim::complete(&client, &lease, "from a").await.unwrap();
    assert_eq!(client.get(&id).await.unwrap().unmet_dependencies, 1);
    wait::event_type(&client, &id, EventType::DependencyMet).await;
    client.release(&b).await.unwrap();
    let lease = claim::lease(&client, "ann", "part").await;
    claim::complete(&client, &lease, "from b").await.unwrap();

    let assignment = claim::one(&client, "ann", "sum").await;
    assert!(!assignment.dependencies_truncated);
    let results: Vec<_> =
        assignment.dependencies.iter().map(|d| (d.task_id.as_str(), text_of(d.result.as_ref()))).collect();
    assert_eq!(results, [(b.as_str(), "from b".to_owned()), (a.as_str(), "from a".to_owned())]);
    assert_eq!(assignment.dependencies[1].key, "a");
    let listed = client.dependency_results(&id).await.unwrap();
    assert_eq!(listed, assignment.dependencies);
}

/// What is pushed with the commit that released it is from memory, what is listed is read.
#[tokio::test]
async fn a_result_from_memory_is_the_one_that_is_read() {
    let server = Server::start().await;
    let client = server.client();
    let first = client.create(NewTask::new("link").key("a")).await.unwrap().task_id;
    let second = client.create(NewTask::new("link").depends_on(&first)).await.unwrap().task_id;
    // Completed by its second attempt: how the first failed is not the dependent's.
    let lease = claim::lease(&client, "ann", "link").await;
    let retry_now = v1::Failure { retryable: Some(true), ..claim::failure("Again") };
    claim::fail(&client, &lease, retry_now).await.unwrap();
    let mut agent = RawAgent::start(&server, "bob", "link").await;
    let attempt = agent.accepted().await;
    assert_eq!(attempt.task_id, first);
    agent.complete(&attempt, "done").await;
    let assignment = agent.assignment().await;
    assert_eq!(assignment.attempt.as_ref().unwrap().task_id, second);
    let [given] = &assignment.dependencies[..] else { panic!("one dependency: {assignment:?}") };
    assert_eq!(
        (given.state(), text_of(given.result.as_ref()), &given.failure),
        (TaskState::Completed, "done".into(), &None)
    );
    assert_eq!((given.key.as_str(), given.r#type.as_str()), ("a", "link"));
    assert_eq!(client.dependency_results(&second).await.unwrap(), assignment.dependencies);
}

#[tokio::test]
async fn a_dependency_that_does_not_complete_skips_or_fails_what_waits() {
    let server = Server::start().await;
    let client = server.client();
    let source = client.create(NewTask::new("t")).await.unwrap().task_id;
    let skipped = client.create(NewTask::new("d").depends_on(&source)).await.unwrap().task_id;
    let failed = client.create(NewTask::new("d").depends_on_or_fail(&source)).await.unwrap().task_id;
    let next = client.create(NewTask::new("d").depends_on_or_fail(&skipped)).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    claim::fail(&client, &lease, claim::for_good("Boom")).await.unwrap();
    assert_eq!(wait::ended(&client, &skipped).await.state(), TaskState::Skipped);
    let task = wait::ended(&client, &failed).await;
    assert_eq!(
        (task.state(), task.failure.unwrap().r#type.as_str()),
        (TaskState::Failed, "callboard.dependency_failed")
    );
    assert_eq!(wait::ended(&client, &next).await.state(), TaskState::Failed, "it goes on down the line");
    // One that is created when its dependency has ended already.
    let late = client.create(NewTask::new("d").depends_on(&source)).await.unwrap();
    assert_eq!(late.state(), TaskState::Skipped);
    let done = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "").await.unwrap();
    assert_eq!(client.create(NewTask::new("d").depends_on(&done)).await.unwrap().state(), TaskState::Ready);
}

#[tokio::test]
async fn a_thousand_dependents_are_all_released() {
    let server = Server::start().await;
    let client = server.client();
    let source = client.create(NewTask::new("t")).await.unwrap().task_id;
    client.create_all((0..1000).map(|_| NewTask::new("d").depends_on(&source))).await.unwrap();
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "").await.unwrap();
    wait::look("all dependents to be ready", || async {
        let waiting = v1::ListTasksRequest { states: vec![TaskState::Waiting.into()], ..Default::default() };
        client.list_page(waiting).await.unwrap().tasks.is_empty().then_some(())
    })
    .await;
}

/// Three results of 900 KiB are more than an assignment carries.
async fn large_results(client: &callboard::Client) -> (String, Vec<String>) {
    let mut sources = Vec::new();
    for n in 0..3 {
        sources.push(client.create(NewTask::new("part")).await.unwrap().task_id);
        let lease = claim::lease(client, "ann", "part").await;
        let result = n.to_string().repeat(900 << 10);
        claim::complete(client, &lease, &result).await.unwrap();
    }
    let mut sum = NewTask::new("sum").input_payload(text("x".repeat(1 << 20)));
    for source in &sources {
        sum = sum.depends_on(source);
    }
    (client.create(sum).await.unwrap().task_id, sources)
}

#[tokio::test]
async fn large_results_come_in_pages() {
    let server = Server::start().await;
    let client = server.client();
    let (id, sources) = large_results(&client).await;
    let mut agent = RawAgent::start(&server, "bob", "sum").await;
    let assignment = agent.assignment().await;
    assert!(assignment.dependencies_truncated && assignment.dependencies.len() < 3);
    let mut tasks = server.tasks().await;
    let first = v1::ListDependencyResultsRequest { task_id: id.clone(), ..Default::default() };
    let first = tasks.list_dependency_results(first).await.unwrap().into_inner();
    assert!(first.results.len() < 3 && !first.next_page_token.is_empty(), "a page ends before it passes 2 MiB");
    let all = client.dependency_results(&id).await.unwrap();
    let ids: Vec<_> = all.iter().map(|result| result.task_id.clone()).collect();
    assert_eq!(ids, sources);
    assert!(all.iter().all(|result| text_of(result.result.as_ref()).len() == 900 << 10));
}

#[tokio::test]
async fn a_claim_with_large_results_fits_into_its_answer() {
    let server = Server::start().await;
    let client = server.client();
    let (id, _) = large_results(&client).await;
    let lease = claim::lease(&client, "ann", "sum").await;
    let heartbeat = v1::HeartbeatTaskRequest {
        attempt: Some(lease.clone()),
        checkpoint: Some(text("c".repeat(1 << 20))),
        ..Default::default()
    };
    client.heartbeat(heartbeat).await.unwrap();
    let retry_now = v1::Failure { retryable: Some(true), ..claim::failure("Again") };
    claim::fail(&client, &lease, retry_now).await.unwrap();
    let second = claim::one(&client, "ann", "sum").await;
    assert_eq!(text_of(second.checkpoint.as_ref()).len(), 1 << 20);
    assert!(second.dependencies_truncated);
    assert_eq!(client.dependency_results(&id).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_handler_sees_all_results_however_they_come() {
    let server = Server::start().await;
    let client = server.client();
    let (id, _) = large_results(&client).await;
    let agent = Agent::builder("summer").client(&client).handle("sum", |ctx: Context, _: String| async move {
        let dependencies = ctx.dependencies().await?;
        let lengths: Result<Vec<usize>, _> =
            dependencies.iter().map(|d| d.value::<String>().map(|v| v.len())).collect();
        Ok::<_, TaskError>(lengths?)
    });
    let agent = agent.spawn().unwrap();
    let lengths: Vec<usize> = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(lengths, [900 << 10; 3]);
    agent.stop();
}
