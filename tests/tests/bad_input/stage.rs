//! A server with something of everything: tasks in every state, agents, leases, tokens. Requests name them by `$name`.

use crate::case::expand;
use bytes::Bytes;
use callboard::v1::{self, Attempt, ListTasksRequest};
use callboard::{Client, NewTask, NewWorkflow, NewWorkflowTask, Watch};
use callboard_tests::agent::{RawAgent, hello, hello_with_slots};
use callboard_tests::server::Server;
use callboard_tests::wire::RawClient;
use callboard_tests::{claim, descriptors, seconds, text, wait};
use futures::TryStreamExt;
use prost_reflect::MethodDescriptor;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Every namespace there is.
const NAMESPACES: [&str; 4] = ["default", "other", "tight", "one-lane"];

/// Everything there is, as it was at one moment.
#[derive(Debug)]
pub struct Snapshot(BTreeMap<String, String>);

/// The server, and who is on it.
pub struct Stage {
    pub server: Server,
    pub client: RawClient,
    names: BTreeMap<&'static str, String>,
    /// One for each namespace.
    clients: Vec<Client>,
    /// Methods of the contract that this server does not have yet.
    unserved: Vec<String>,
    /// Keeps its lease.
    _streamer: RawAgent,
}

/// Asked with bytes that no method takes.
async fn unserved(client: &RawClient) -> Vec<String> {
    let mut unserved = Vec::new();
    for method in descriptors::methods().into_iter().filter(|method| !method.is_client_streaming()) {
        let answer = client.call(&method, Bytes::from_static(&[0xff; 11])).await;
        if answer.is_err_and(|status| status.code() == tonic::Code::Unimplemented) {
            unserved.push(method.name().to_owned());
        }
    }
    println!("not served yet: {unserved:?}");
    unserved
}

/// A lease as it stands in a request.
fn written(attempt: &Attempt) -> String {
    let Attempt { task_id, attempt, lease_token } = attempt;
    format!("task_id: '{task_id}' attempt: {attempt} lease_token: '{lease_token}'")
}

/// Claims a task for so long that nothing runs out while the tables are worked off.
async fn claimed(client: &Client, task_type: &str) -> Attempt {
    claimed_by(client, "claimer", task_type).await
}

/// The session by claims lasts as long: it must not end while the stage is looked at.
async fn claimed_by(client: &Client, name: &str, task_type: &str) -> Attempt {
    let request = v1::ClaimTasksRequest { lease: seconds(36_000.0), ..claim::request(name, task_type) };
    let mut assignments = wait::soon("a claim", client.claim(request)).await.unwrap();
    assignments.remove(0).attempt.unwrap()
}

impl Stage {
    /// Sets it.
    pub async fn set() -> Self {
        let server = Server::start().await;
        let (client, mut names) = (server.client(), BTreeMap::new());
        names.insert("nobody", "01989b0e-3c1a-7000-8000-0000dddddddd".to_owned());
        set_tasks(&client, &mut names).await;
        set_leases(&client, &mut names).await;
        let streamer = set_streamer(&server, &client, &mut names).await;
        set_workflows(&client, &mut names).await;
        set_other_namespaces(&server, &mut names).await;
        set_pages(&server, &mut names).await;
        let raw = RawClient::new(server.channel().await);
        let unserved = unserved(&raw).await;
        let clients = NAMESPACES.map(|name| server.client_in(name)).into();
        Self { server, client: raw, names, clients, unserved, _streamer: streamer }
    }

    /// Whether the server has a method. What is in the contract before it is in the server is looked at when it is.
    pub fn serves(&self, rpc: &str) -> bool {
        !self.unserved.iter().any(|unserved| unserved == rpc)
    }

    /// The methods that it has.
    pub fn methods(&self) -> impl Iterator<Item = MethodDescriptor> {
        descriptors::methods().into_iter().filter(|method| self.serves(method.name()))
    }

    /// A request with its names and repetitions written out.
    pub fn fill(&self, request: &str) -> String {
        let mut parts = request.split('$');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
            match self.names.get(&part[..end]) {
                Some(value) => out.extend([value.as_str(), &part[end..]]),
                None if end == 0 => out.extend(["$", part]),
                None => panic!("the stage has no ${} in {request}", &part[..end]),
            }
        }
        expand(&out)
    }

    /// Texts with their names written out.
    pub fn fill_all(&self, texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| self.fill(text)).collect()
    }

    /// Looks at every row, whose version rises with each change: namespaces, tasks, agents, the log's filter.
    pub async fn glance(&self) -> Snapshot {
        self.look(false).await
    }

    /// Looks at everything: tasks also with their payloads and histories.
    pub async fn snapshot(&self) -> Snapshot {
        self.look(true).await
    }

    async fn look(&self, closely: bool) -> Snapshot {
        let mut all = BTreeMap::new();
        let mut keep = |name: String, value: &dyn Debug| all.insert(name, format!("{value:?}"));
        let namespaces: Vec<_> = self.clients[0].list_namespaces().try_collect().await.unwrap();
        assert_eq!(namespaces.len(), NAMESPACES.len(), "{namespaces:?}");
        keep("namespaces".into(), &namespaces);
        keep("the log's filter".into(), &self.clients[0].log_filter().await.unwrap());
        for client in &self.clients {
            let tasks: Vec<_> = client.list(Default::default()).try_collect().await.unwrap();
            for task in tasks {
                if closely {
                    keep(format!("whole task {}", task.id), &client.get(&task.id).await.unwrap());
                    keep(format!("history of {}", task.id), &client.history(&task.id).await.unwrap());
                }
                keep(format!("task {}", task.id), &task);
            }
            let workflows: Vec<_> = client.list_workflows(Default::default()).try_collect().await.unwrap();
            for workflow in workflows {
                keep(format!("workflow {}", workflow.id), &workflow);
            }
            let agents: Vec<v1::Agent> = client.list_agents(Default::default()).try_collect().await.unwrap();
            for agent in agents {
                keep(format!("agent {}", agent.id), &agent);
            }
        }
        Snapshot(all)
    }

    /// Removes an agent wherever it is, if it is.
    pub async fn forget(&self, name: &str) {
        for client in &self.clients {
            let _ = client.remove_agent(name).await;
        }
    }

    /// A sane task still comes to its end, by a stream and by calls.
    pub async fn still_works(&self) {
        let client = self.server.client();
        let task_id = client.create(NewTask::new("sane.stream")).await.unwrap().task_id;
        let mut agent = RawAgent::start(&self.server, "sane", "sane.stream").await;
        let attempt = agent.accepted().await;
        agent.complete(&attempt, "done").await;
        assert_eq!(wait::ended(&client, &task_id).await.state(), v1::TaskState::Completed);
        let task_id = client.create(NewTask::new("sane.call")).await.unwrap().task_id;
        let lease = claim::lease(&client, "caller", "sane.call").await;
        claim::complete(&client, &lease, "done").await.unwrap();
        assert_eq!(wait::ended(&client, &task_id).await.state(), v1::TaskState::Completed);
        let log = self.server.logs();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "the server's log:\n{log}");
    }
}

impl Snapshot {
    /// The first thing that is not as it was.
    pub fn changed(&self, after: &Self) -> Option<String> {
        let mut names = self.0.keys().chain(after.0.keys());
        let differs = |name: &&String| self.0.get(*name) != after.0.get(*name);
        let name = names.find(differs)?;
        Some(format!("{name}:\n      was {:?}\n      is  {:?}", self.0.get(name), after.0.get(name)))
    }
}

/// Tasks that nobody has: ready, held, waiting, and ended in each way.
async fn set_tasks(client: &Client, names: &mut BTreeMap<&'static str, String>) {
    let create = async |new: NewTask| client.create(new).await.unwrap().task_id;
    let ready = create(NewTask::new("stage.ready").key("taken").request_id("used")).await;
    let done = create(NewTask::new("stage.done")).await;
    let lease = claimed(client, "stage.done").await;
    claim::complete(client, &lease, "result").await.unwrap();
    let also_done = create(NewTask::new("stage.done")).await;
    claim::complete(client, &claimed(client, "stage.done").await, "result").await.unwrap();
    let failed = create(NewTask::new("stage.failed")).await;
    claim::fail(client, &claimed(client, "stage.failed").await, claim::for_good("Broken")).await.unwrap();
    let cancelled = create(NewTask::new("stage.cancelled")).await;
    client.cancel(&cancelled, "").await.unwrap();
    let keyed = create(NewTask::new("stage.cancelled").key("taken.again")).await;
    client.cancel(&keyed, "").await.unwrap();
    create(NewTask::new("stage.held").key("taken.again").hold()).await;
    let overdue =
        create(NewTask::new("stage.failed").deadline(callboard_tests::now() + std::time::Duration::from_secs(1)));
    let overdue = overdue.await;
    wait::ended(client, &overdue).await;
    let skipped = create(NewTask::new("stage.skipped").depends_on(&failed)).await;
    let waiting = NewTask::new("stage.waiting").depends_on(&done).depends_on(&also_done).depends_on(&ready);
    names.insert("waiting", create(waiting).await);
    let held = create(NewTask::new("stage.held").hold()).await;
    names.insert("behind_held", create(NewTask::new("stage.held").depends_on(&held)).await);
    names.insert("held", held);
    names.insert("ended", written(&lease));
    for (name, id) in [
        ("ready", ready),
        ("done", done),
        ("failed", failed),
        ("cancelled", cancelled),
        ("keyed", keyed),
        ("overdue", overdue),
        ("skipped", skipped),
    ] {
        names.insert(name, id);
    }
}

/// A task in its second attempt, claimed; and what else might be said of it.
async fn set_leases(client: &Client, names: &mut BTreeMap<&'static str, String>) {
    let backoff = v1::RetryPolicy { initial_backoff: seconds(0.001), ..Default::default() };
    let new = NewTask::new("stage.claimed").retry_policy(backoff);
    let id = client.create(new).await.unwrap().task_id;
    let stale = claimed(client, "stage.claimed").await;
    claim::fail(client, &stale, claim::failure("Once")).await.unwrap();
    let lease = claimed(client, "stage.claimed").await;
    let step = |occurrence| v1::StepRecord { name: "fetch".into(), occurrence, result: Some(text("page")) };
    let output = v1::OutputBatch { offset: 0, chunks: vec![text("to"), text("kens")] };
    let said = v1::HeartbeatTaskRequest {
        attempt: Some(lease.clone()),
        steps: vec![step(0), step(1)],
        output: Some(output),
        ..Default::default()
    };
    client.heartbeat(said).await.unwrap();
    for occurrence in [0, 1] {
        let child = v1::CreateChildRequest {
            parent: Some(lease.clone()),
            name: "child".into(),
            occurrence,
            task: Some(v1::TaskSpec { r#type: "stage.child".into(), ..Default::default() }),
            request_id: if occurrence == 0 { "stage.child".into() } else { String::new() },
            ..Default::default()
        };
        client.create_child(child).await.unwrap();
    }
    names.insert("claimed", id);
    names.insert("stale", written(&stale));
    names.insert("lease", written(&lease));
    names.insert("wrong_token", written(&Attempt { lease_token: stale.lease_token, ..lease.clone() }));
    names.insert("future", written(&Attempt { attempt: 3, ..lease.clone() }));
    names.insert("foreign", written(&Attempt { task_id: names["nobody"].clone(), ..lease }));
}

/// An agent with a stream and a running task, in its second session.
async fn set_streamer(server: &Server, client: &Client, names: &mut BTreeMap<&'static str, String>) -> RawAgent {
    names.insert("running", client.create(NewTask::new("stage.running")).await.unwrap().task_id);
    drop(RawAgent::attach(server, hello("streamer", "nothing.yet")).await.unwrap());
    wait::agent_state(client, "streamer", v1::AgentState::Reconnecting).await;
    let again = hello_with_slots("streamer", "stage.running", 1);
    let mut streamer = RawAgent::attach(server, again).await.unwrap().beating();
    names.insert("streamed", written(&streamer.accepted().await));
    streamer
}

/// Workflows: one that runs, and one that failed.
async fn set_workflows(client: &Client, names: &mut BTreeMap<&'static str, String>) {
    let create = async |new: NewWorkflow| client.create_workflow(new).await.unwrap().workflow_id;
    let of = |name: &str| NewWorkflowTask::new(name, NewTask::new(format!("stage.workflow.{name}")));
    let runs = NewWorkflow::new("runs").task(of("idle")).task(of("idle.too")).request_id("stage.workflow");
    let runs = create(runs).await;
    let failed = create(NewWorkflow::new("failed").task(of("broken"))).await;
    claim::fail(client, &claimed_by(client, "worker", "stage.workflow.broken").await, claim::for_good("Broken"))
        .await
        .unwrap();
    names.insert("workflow", runs);
    names.insert("failed_workflow", failed);
}

/// Another namespace with a task and an agent; and one that is full.
async fn set_other_namespaces(server: &Server, names: &mut BTreeMap<&'static str, String>) {
    let client = server.client();
    client.create_namespace("other", Default::default()).await.unwrap();
    let other = server.client_in("other");
    let tasks = other.create_all((0..2).map(|_| NewTask::new("stage.other"))).await.unwrap();
    names.insert("elsewhere", tasks[0].task_id.clone());
    claimed(&other, "stage.other").await;
    let tight = v1::NamespaceSettings { max_lanes: 1, max_live_tasks: 2, ..Default::default() };
    client.create_namespace("tight", tight).await.unwrap();
    let tight = server.client_in("tight");
    names.insert("tight_retry", tight.create(NewTask::new("stage.tight")).await.unwrap().task_id);
    tight.cancel(&names["tight_retry"], "").await.unwrap();
    tight.create_all((0..2).map(|_| NewTask::new("stage.tight"))).await.unwrap();
    let lanes = v1::NamespaceSettings { max_lanes: 1, ..Default::default() };
    client.create_namespace("one-lane", lanes).await.unwrap();
    let one_lane = server.client_in("one-lane").create(NewTask::new("stage.lane")).await.unwrap();
    names.insert("one_lane", one_lane.task_id);
}

/// Page tokens and cursors of every list.
async fn set_pages(server: &Server, names: &mut BTreeMap<&'static str, String>) {
    let client = server.client();
    let first = ListTasksRequest { page_size: 1, ..Default::default() };
    let done = names["done"].clone();
    let waiting = names["waiting"].clone();
    let (mut tasks, mut agents, mut namespaces) =
        (server.tasks().await, server.agents().await, server.namespaces().await);
    let page = tasks.list_tasks(first.clone()).await.unwrap().into_inner();
    names.insert("tasks_page", page.next_page_token);
    let typed = ListTasksRequest { r#type: "stage.done".into(), ..first.clone() };
    names.insert("typed_page", tasks.list_tasks(typed).await.unwrap().into_inner().next_page_token);
    let other = ListTasksRequest { namespace: "other".into(), ..first };
    names.insert("other_page", tasks.list_tasks(other).await.unwrap().into_inner().next_page_token);
    let events = v1::ListTaskEventsRequest { task_id: done, page_size: 1, ..Default::default() };
    names.insert("events_page", tasks.list_task_events(events).await.unwrap().into_inner().next_page_token);
    let results = v1::ListDependencyResultsRequest { task_id: waiting, page_size: 1, ..Default::default() };
    names.insert("results_page", tasks.list_dependency_results(results).await.unwrap().into_inner().next_page_token);
    let steps = v1::ListStepsRequest { task_id: names["claimed"].clone(), page_size: 1, ..Default::default() };
    names.insert("steps_page", tasks.list_steps(steps).await.unwrap().into_inner().next_page_token);
    let output = v1::ListOutputRequest { task_id: names["claimed"].clone(), page_size: 1, ..Default::default() };
    names.insert("output_page", tasks.list_output(output).await.unwrap().into_inner().next_page_token);
    let children = v1::ListChildrenRequest { task_id: names["claimed"].clone(), page_size: 1, ..Default::default() };
    names.insert("children_page", tasks.list_children(children).await.unwrap().into_inner().next_page_token);
    let mut workflows = server.workflows().await;
    let some = v1::ListWorkflowsRequest { page_size: 1, ..Default::default() };
    names.insert("workflows_page", workflows.list_workflows(some).await.unwrap().into_inner().next_page_token);
    let some =
        v1::ListWorkflowTasksRequest { workflow_id: names["workflow"].clone(), page_size: 1, ..Default::default() };
    names
        .insert("workflow_tasks_page", workflows.list_workflow_tasks(some).await.unwrap().into_inner().next_page_token);
    let some = v1::ListAgentsRequest { page_size: 1, ..Default::default() };
    names.insert("agents_page", agents.list_agents(some).await.unwrap().into_inner().next_page_token);
    let some = v1::ListNamespacesRequest { page_size: 1, ..Default::default() };
    names.insert("namespaces_page", namespaces.list_namespaces(some).await.unwrap().into_inner().next_page_token);
    let mut watch = client.watch(Watch::task(&names["done"]));
    wait::soon("an event", watch.next()).await.unwrap();
    names.insert("cursor", watch.cursor().to_owned());
    assert!(names.values().all(|value| !value.is_empty()), "every list has a second page: {names:?}");
}
