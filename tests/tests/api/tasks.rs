//! A task's life by calls: create, get, wait, run, history, batches, namespaces.

use callboard::v1::{self, EventType, TaskState};
use callboard::{NewTask, Watch};
use callboard_tests::server::Server;
use callboard_tests::{claim, refused, seconds, stamp, text_of, wait};
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn a_task_goes_from_creation_to_its_result() {
    let server = Server::start().await;
    let client = server.client();
    let new = NewTask::new("echo").description("say it").input("hello").unwrap().tag("x").metadata("a", "b");
    let created = client.create(new.header("traceparent", "00-1")).await.unwrap();
    assert_eq!((created.state(), created.run, created.existing), (TaskState::Ready, 1, false));

    let task = client.get(&created.task_id).await.unwrap();
    let spec = task.spec.as_ref().unwrap();
    assert_eq!((text_of(spec.input.as_ref()).as_str(), spec.description.as_str()), ("hello", "say it"));
    assert_eq!((task.namespace.as_str(), task.attempt, task.created_by.as_str()), ("default", 0, "anonymous"));
    assert!(task.created_at.is_some() && task.ready_at.is_some() && task.ended_at.is_none());

    let assignment = claim::one(&client, "ann", "echo").await;
    let spec = assignment.spec.unwrap();
    assert_eq!((text_of(spec.input.as_ref()).as_str(), &spec.headers["traceparent"][..]), ("hello", "00-1"));
    assert_eq!((assignment.run, assignment.attempts_used, &spec.metadata["a"][..]), (1, 0, "b"));
    let lease = assignment.attempt.unwrap();
    assert_eq!((lease.attempt, lease.lease_token.len()), (1, 32));
    assert!(assignment.deadline.is_some() && assignment.lease_expires_at.is_some());

    let done = claim::complete(&client, &lease, "HELLO").await.unwrap();
    assert_eq!(done.state(), TaskState::Completed);
    let task = client.get(&created.task_id).await.unwrap();
    assert_eq!((text_of(task.result.as_ref()).as_str(), task.agent.as_str()), ("HELLO", "ann"));
    assert!(task.ended_at.is_some() && task.version > created.version);

    let history = client.history(&created.task_id).await.unwrap();
    let kinds: Vec<EventType> = history.iter().map(|event| event.r#type()).collect();
    use EventType::*;
    assert_eq!(kinds, [Created, Assigned, Started, Completed]);
    let numbers: Vec<i64> = history.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(history.windows(2).all(|two| stamp(two[0].at) <= stamp(two[1].at)));
}

#[tokio::test]
async fn history_comes_in_pages() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let task_id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "").await.unwrap();
    let mut request = v1::ListTaskEventsRequest { task_id, page_size: 2, ..Default::default() };
    let mut sizes = Vec::new();
    let mut numbers = Vec::new();
    loop {
        let page = tasks.list_task_events(request.clone()).await.unwrap().into_inner();
        sizes.push(page.events.len());
        numbers.extend(page.events.iter().map(|event| event.sequence));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

#[tokio::test]
async fn waiting_ends_with_the_task_or_the_time() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let task_id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let mut look = async |wait: f64| {
        let request = v1::WaitTaskRequest { task_id: task_id.clone(), wait: seconds(wait), ..Default::default() };
        wait::soon("an answer", tasks.wait_task(request)).await.unwrap().into_inner()
    };
    let at_once = look(0.0).await;
    assert_eq!((at_once.ended, at_once.task.unwrap().state()), (false, TaskState::Ready));
    assert!(!look(0.2).await.ended);
    let error = client.wait(&task_id, Some(Duration::from_millis(200))).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::DeadlineExceeded), "{error:?}");

    let (ended, ()) = tokio::join!(look(60.0), async {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::complete(&client, &lease, "done").await.unwrap();
    });
    assert!(ended.ended);
    let task = ended.task.unwrap();
    assert_eq!((task.state(), text_of(task.result.as_ref()).as_str()), (TaskState::Completed, "done"));
    assert!(task.spec.unwrap().input.is_none(), "a wait does not give the input back");
    assert!(look(60.0).await.ended, "waiting for what has ended answers at once");
}

#[tokio::test]
async fn run_creates_and_waits_in_one_call() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let work = async {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::complete(&client, &lease, "42").await.unwrap();
    };
    let (result, ()) = tokio::join!(client.run::<String>(NewTask::new("t")), work);
    assert_eq!(result.unwrap(), "42");

    let fail = async {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::fail(&client, &lease, claim::for_good("Boom")).await.unwrap();
    };
    let (result, ()) = tokio::join!(client.run::<String>(NewTask::new("t")), fail);
    let error = result.unwrap_err();
    assert!(matches!(&error, callboard::Error::TaskFailed(task) if task.state() == TaskState::Failed), "{error:?}");
    assert!(error.to_string().contains("Boom happened"), "{error}");

    let task = Some(v1::TaskSpec { r#type: "nobody".into(), ..Default::default() });
    let request = v1::RunTaskRequest { task, wait: seconds(0.1), ..Default::default() };
    let cut = tasks.run_task(request).await.unwrap().into_inner();
    assert!(!cut.ended, "the time is over, and the task goes on");
    assert_eq!(client.get(&cut.task.unwrap().id).await.unwrap().state(), TaskState::Ready);
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let server = Server::start().await;
    let client = server.client();
    let batch = (0..1000).map(|n| NewTask::new("t").metadata("n", n.to_string()));
    let receipts = client.create_all(batch).await.unwrap();
    assert_eq!(receipts.len(), 1000);
    let first = client.get(&receipts[0].task_id).await.unwrap();
    let last = client.get(&receipts[999].task_id).await.unwrap();
    assert_eq!((&first.spec.unwrap().metadata["n"][..], &last.spec.unwrap().metadata["n"][..]), ("0", "999"));

    let bad = [NewTask::new("u"), NewTask::new("not a type"), NewTask::new("u")];
    let error = client.create_all(bad).await.unwrap_err();
    refused(&error, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(error.violations()[0].field, "tasks[1].type");
    // What only the rules can see.
    let nobody = "01989b0e-3c1a-7000-8000-0000dddddddd";
    let error = client.create_all([NewTask::new("u"), NewTask::new("u").depends_on(nobody)]).await.unwrap_err();
    refused(&error, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(error.violations()[0].field, "tasks[1].dependencies[0].task_id");
    let taken = [NewTask::new("u").key("k"), NewTask::new("u").key("k").on_key_conflict(v1::KeyConflictPolicy::Fail)];
    refused(&client.create_all(taken).await.unwrap_err(), Code::AlreadyExists, "KEY_EXISTS");
    let listed = client.list_page(v1::ListTasksRequest { r#type: "u".into(), ..Default::default() }).await.unwrap();
    assert_eq!(listed.tasks.len(), 0, "nothing of a refused batch was created");

    for count in [0, 1001] {
        let error = client.create_all((0..count).map(|_| NewTask::new("u"))).await.unwrap_err();
        refused(&error, Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(error.violations()[0].field, "tasks");
    }
}

#[tokio::test]
async fn namespaces_isolate() {
    let server = Server::start().await;
    let client = server.client();
    let made = client.create_namespace("other", v1::NamespaceSettings::default()).await.unwrap();
    assert!(made.settings.unwrap().max_lanes > 0, "defaults are filled in");
    let other = server.client_in("other");
    let error = client.create_namespace("other", Default::default()).await.unwrap_err();
    refused(&error, Code::AlreadyExists, "NAMESPACE_EXISTS");
    let error = client.create_namespace("Not Good", Default::default()).await.unwrap_err();
    refused(&error, Code::InvalidArgument, "INVALID_FIELD");

    let here = client.create(NewTask::new("t").key("k")).await.unwrap();
    let there = other.create(NewTask::new("t").key("k")).await.unwrap();
    assert_ne!(here.task_id, there.task_id, "a key is of its namespace");
    refused(&other.get(&here.task_id).await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    refused(&other.cancel(&here.task_id, "").await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    let error = other.create(NewTask::new("t").depends_on(&here.task_id)).await.unwrap_err();
    refused(&error, Code::InvalidArgument, "INVALID_FIELD");
    let listed = other.list_page(Default::default()).await.unwrap();
    assert_eq!(listed.tasks.iter().map(|task| &task.id).collect::<Vec<_>>(), [&there.task_id]);

    let mut events = other.watch(Watch::task(&there.task_id));
    assert_eq!(events.next().await.unwrap().unwrap().task_id, there.task_id);
    let lease = claim::lease(&other, "ann", "t").await;
    assert_eq!(lease.task_id, there.task_id);
    refused(&claim::complete(&client, &lease, "").await.unwrap_err(), Code::NotFound, "TASK_NOT_FOUND");
    refused(&client.get_agent("ann").await.unwrap_err(), Code::NotFound, "AGENT_NOT_FOUND");

    let nowhere = server.client_in("nowhere");
    let error = nowhere.create(NewTask::new("t")).await.unwrap_err();
    refused(&error, Code::NotFound, "NAMESPACE_NOT_FOUND");
    refused(&nowhere.claim(claim::request("ann", "t")).await.unwrap_err(), Code::NotFound, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn the_settings_of_a_namespace_are_what_its_tasks_get() {
    let server = Server::start().await;
    let client = server.client();
    let settings = v1::NamespaceSettings {
        max_live_tasks: 2,
        retry_policy: Some(v1::RetryPolicy { max_attempts: 1, ..Default::default() }),
        start_to_close: seconds(7.0),
        ..Default::default()
    };
    client.create_namespace("small", settings).await.unwrap();
    let small = server.client_in("small");
    let first = small.create(NewTask::new("t")).await.unwrap();
    let spec = small.get(&first.task_id).await.unwrap().spec.unwrap();
    assert_eq!(spec.retry_policy.unwrap().max_attempts, 1);
    assert_eq!(spec.timeouts.unwrap().start_to_close, seconds(7.0));
    small.create(NewTask::new("t")).await.unwrap();
    let error = small.create(NewTask::new("t")).await.unwrap_err();
    refused(&error, Code::ResourceExhausted, "LIMIT_REACHED");

    let lease = claim::lease(&small, "ann", "t").await;
    let failed = claim::fail(&small, &lease, claim::failure("Boom")).await.unwrap();
    assert_eq!(failed.state(), TaskState::Failed, "one attempt is all it has");
    small.create(NewTask::new("t")).await.expect("there is room again");
    let wider = v1::NamespaceSettings { max_live_tasks: 3, ..Default::default() };
    client.update_namespace("small", wider).await.unwrap();
    small.create(NewTask::new("t")).await.expect("the limit was raised");
    assert_eq!(client.get_namespace("small").await.unwrap().settings.unwrap().max_live_tasks, 3);
}
