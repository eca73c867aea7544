//! Which agent gets which task, and how it is explained afterwards: with real servers, and agents that speak for themselves or by the SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, AssignmentObstacleType as Obstacle, EventType, TaskState};
use callboard::{Agent, AgentHandle, Client, Context, NewDependency, NewTask, TaskError};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::agent::{RawAgent, hello_with_slots};
use callboard_tests::server::Server;
use callboard_tests::{claim, seconds, stamp, wait};
use futures::TryStreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

const EPSILON: f64 = 1e-6;

async fn create(client: &Client, task: NewTask) -> String {
    client.create(task).await.unwrap().task_id
}

async fn raw(server: &Server, name: &str, change: impl FnOnce(&mut v1::AgentProfile)) -> RawAgent {
    RawAgent::attach(server, greeting(name, change)).await.unwrap().beating()
}

/// Of an agent for `work` with four slots.
fn greeting(name: &str, change: impl FnOnce(&mut v1::AgentProfile)) -> v1::Hello {
    let mut hello = hello_with_slots(name, "work", 4);
    change(hello.profile.as_mut().unwrap());
    hello
}

fn has_gpus(amount: f64) -> impl FnOnce(&mut v1::AgentProfile) {
    move |profile| profile.resources.extend([("gpu".into(), amount)])
}

/// Who was given its first attempt.
async fn given_to(client: &Client, task: &str) -> String {
    wait::event_type(client, task, EventType::Assigned).await.agent
}

/// What keeps an agent from having a task.
fn obstacles(explanation: &v1::AssignmentExplanation, agent: &str) -> Vec<Obstacle> {
    let found = explanation.candidates.iter().find(|candidate| candidate.agent == agent).expect("it is told");
    found.obstacles.iter().map(v1::AssignmentObstacle::r#type).collect()
}

/// An agent of the SDK with two gpus and more slots than it has gpus for, whose handlers need a permit each.
fn trainer(client: &Client, name: &str, gate: &Arc<Semaphore>) -> AgentHandle {
    let gate = gate.clone();
    let train = move |_: Context, _: Value| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.map_err(|_| TaskError::new("the gate is gone"))?.forget();
            Ok::<_, TaskError>(())
        }
    };
    Agent::builder("trainer")
        .client(client)
        .name(name)
        .slots(6)
        .resource("gpu", 2.0)
        .handle("train", train)
        .spawn()
        .unwrap()
}

/// The most that the tasks of each agent took at a time, by their histories. One server's times are in order; what ends and what begins in one
/// decision have the same, and the end was first.
async fn most_taken(client: &Client, tasks: &[(String, f64)]) -> BTreeMap<String, f64> {
    let mut turns = Vec::new();
    for (id, amount) in tasks {
        let mut holder = None;
        for event in client.history(id).await.unwrap() {
            match event.r#type() {
                EventType::Assigned => {
                    turns.push((stamp(event.at), *amount, event.agent.clone()));
                    assert_eq!(holder.replace(event.agent), None, "one lease at a time");
                }
                EventType::Completed => {
                    turns.push((stamp(event.at), -amount, holder.take().expect("it had one")));
                }
                _ => {}
            }
        }
    }
    turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (mut taken, mut most) = (BTreeMap::<String, f64>::new(), BTreeMap::<String, f64>::new());
    for (_, amount, agent) in turns {
        let now = taken.entry(agent.clone()).or_default();
        *now += amount;
        let most = most.entry(agent).or_default();
        *most = most.max(*now);
    }
    most
}

async fn running(client: &Client) -> usize {
    let request = v1::ListTasksRequest { states: vec![TaskState::Running.into()], ..Default::default() };
    client.list(request).try_collect::<Vec<_>>().await.unwrap().len()
}

async fn no_agent_is_given_more_than_it_has(server: Server) {
    let client = server.client();
    let gate = Arc::new(Semaphore::new(0));
    let mut tasks = Vec::new();
    for amount in [1.0, 1.5].iter().flat_map(|amount| [*amount; 12]) {
        tasks.push((create(&client, NewTask::new("train").resource("gpu", amount)).await, amount));
    }
    let agents = ["ann", "bob"].map(|name| trainer(&client, name, &gate));
    // Those that take 1 come first, and fill both.
    wait::look("four tasks to run", || async { (running(&client).await == 4).then_some(()) }).await;
    let waiting = client.explain(&tasks[23].0).await.unwrap();
    assert_eq!((waiting.state(), waiting.fitting), (TaskState::Ready, 2));
    assert_eq!(obstacles(&waiting, "ann"), [Obstacle::ResourceTaken], "it has slots");
    gate.add_permits(tasks.len());
    for (id, _) in &tasks {
        assert_eq!(wait::ended(&client, id).await.state(), TaskState::Completed);
    }
    let most = most_taken(&client, &tasks).await;
    assert_eq!(most, [("ann".to_owned(), 2.0), ("bob".to_owned(), 2.0)].into(), "all of it, and no more");
    for agent in agents {
        agent.drain();
        wait::soon("an agent to drain", agent.join()).await.unwrap();
    }
}

async fn who_comes_back_with_less_keeps_what_it_has_and_gets_what_it_has_room_for(server: Server) {
    let client = server.client();
    let mut ann = raw(&server, "ann", has_gpus(2.0)).await;
    let large = create(&client, NewTask::new("work").resource("gpu", 1.5)).await;
    let held = ann.accepted().await;
    let back = v1::Hello {
        held: vec![held.clone()],
        previous_epoch: ann.welcome.session_epoch,
        ..greeting("ann", has_gpus(1.0))
    };
    let mut ann = RawAgent::attach(&server, back).await.unwrap().beating();
    assert_eq!(ann.welcome.held, std::slice::from_ref(&held), "it takes more than there is now, and stays");
    let small = create(&client, NewTask::new("work").resource("gpu", 0.5)).await;
    let larger = create(&client, NewTask::new("work").resource("gpu", 1.001)).await;
    let told = client.explain(&small).await.unwrap();
    assert_eq!((told.state(), obstacles(&told, "ann")), (TaskState::Ready, vec![Obstacle::ResourceTaken]));
    assert_eq!(ann.complete(&held, "done").await.status(), v1::ReceiptStatus::Committed);
    assert_eq!(ann.accepted().await.task_id, small);
    let told = client.explain(&larger).await.unwrap();
    assert_eq!((told.fitting, obstacles(&told, "ann")), (0, vec![Obstacle::Resource]));
    assert_eq!(client.get(&large).await.unwrap().state(), TaskState::Completed);
}

/// Two agents, each of which is given a task by what it wishes, and against what the score says without that.
async fn wishes_decide_and_are_kept(mut server: Server) {
    let client = server.client();
    let mut ann = raw(&server, "ann", |_| {}).await;
    let mut bob = raw(&server, "bob", |profile| drop(profile.labels.insert("zone".into(), "east".into()))).await;
    let draft = create(&client, NewTask::new("work").assignee("bob")).await;
    let attempt = bob.accepted().await;
    bob.complete(&attempt, "draft").await;
    let behind = || NewTask::new("work").depends_on(NewDependency::on(draft.as_str()).named("draft"));

    // Who has completed more is better: bob has 2 of 3, and ann 1 of 2.
    let plain = create(&client, behind()).await;
    assert_eq!(given_to(&client, &plain).await, "bob");
    let attempt = bob.accepted().await;
    bob.complete(&attempt, "").await;
    let apart = create(&client, behind().apart("draft")).await;
    assert_eq!(given_to(&client, &apart).await, "ann");
    let attempt = ann.accepted().await;
    ann.complete(&attempt, "").await;
    let elsewhere = create(&client, NewTask::new("work").anti_affinity("zone", "east")).await;
    assert_eq!(given_to(&client, &elsewhere).await, "ann");
    let attempt = ann.accepted().await;
    ann.complete(&attempt, "").await;

    // Both have 3 of 4, and bob is busier.
    create(&client, NewTask::new("work").assignee("bob")).await;
    bob.accepted().await;
    let plain = create(&client, behind()).await;
    assert_eq!(given_to(&client, &plain).await, "ann");
    let attempt = ann.accepted().await;
    ann.complete(&attempt, "").await;
    let near = create(&client, behind().near("draft")).await;
    assert_eq!(given_to(&client, &near).await, "bob");
    let attempt = bob.accepted().await;
    bob.complete(&attempt, "").await;

    server.kill_9().await;
    server.restart().await;
    let told = client.explain(&near).await.unwrap();
    assert_eq!((told.state(), told.past.len()), (TaskState::Completed, 1));
    let choice = &told.past[0];
    assert_eq!((choice.attempt, choice.agent.as_str(), choice.claimed, choice.compared), (1, "bob", false, 2));
    // 0.4 * 3/4 + 0.3 * 3/4 + 0.25 + 0.05; ann 0.4 * 4/5 + 0.3 + 0 + 0.05.
    assert!((choice.score - 0.825).abs() < EPSILON, "{choice:?}");
    let [other] = &choice.runners_up[..] else { panic!("one other: {choice:?}") };
    assert_eq!(other.agent, "ann");
    assert!((other.score - 0.67).abs() < EPSILON, "{choice:?}");
    let assigned = wait::event_type(&client, &near, EventType::Assigned).await;
    assert_eq!(choice.at, assigned.at);
    let alone = client.explain(&draft).await.unwrap().past;
    assert_eq!((alone.len(), alone[0].compared, alone[0].runners_up.len()), (1, 1, 0));
    assert!((alone[0].score - 0.8).abs() < EPSILON, "{alone:?}");
}

/// Saves so many checkpoints; each is an event.
async fn checkpoints(client: &Client, attempt: &v1::Attempt, count: usize) {
    let save = |number: usize| {
        let checkpoint = Some(callboard_tests::text(format!("checkpoint {number}")));
        client.heartbeat(v1::HeartbeatTaskRequest { attempt: Some(attempt.clone()), checkpoint, ..Default::default() })
    };
    let saved = futures::future::try_join_all((0..count).map(save));
    wait::soon("checkpoints", saved).await.unwrap();
}

async fn explanations_name_obstacles_and_the_latest_assignments(server: Server) {
    const CLAIMS: i32 = 22;
    let client = server.client();
    let policy = v1::RetryPolicy {
        max_attempts: CLAIMS + 2,
        initial_backoff: seconds(0.001),
        max_backoff: seconds(0.001),
        ..Default::default()
    };
    let id = create(&client, NewTask::new("work").skill("rust").retry_policy(policy)).await;
    let able = |profile: &mut v1::AgentProfile| profile.skills.push("rust".into());
    let claims = v1::AgentProfile { skills: vec!["rust".into()], ..callboard_tests::agent::profile("cron", "work") };
    let request = || v1::ClaimTasksRequest { profile: Some(claims.clone()), ..claim::request("cron", "work") };
    for number in 1..=CLAIMS {
        let claimed = wait::soon("a claim", client.claim(request())).await.unwrap();
        let attempt = claimed[0].attempt.as_ref().unwrap();
        if number == CLAIMS {
            // More events than are read at once.
            checkpoints(&client, attempt, 600).await;
        }
        claim::fail(&client, attempt, claim::failure("Sick")).await.unwrap();
    }
    let _unable = raw(&server, "unable", |_| {}).await;
    let mut ann = raw(&server, "ann", able).await;
    let attempt = ann.accepted().await;
    let told = client.explain(&id).await.unwrap();
    assert_eq!((told.state(), told.agents, told.fitting), (TaskState::Running, 3, 2));
    assert_eq!(obstacles(&told, "unable"), [Obstacle::Skill]);
    assert!(obstacles(&told, "cron").contains(&Obstacle::Claims));
    ann.complete(&attempt, "done").await;

    let past = client.explain(&id).await.unwrap().past;
    let attempts: Vec<i32> = past.iter().map(|choice| choice.attempt).collect();
    assert_eq!(attempts, (CLAIMS - 18..=CLAIMS + 1).collect::<Vec<_>>(), "the latest 20, oldest first");
    let (last, claimed) = past.split_last().unwrap();
    let of_cron = |choice: &v1::AssignmentChoice| choice.agent == "cron" && choice.claimed && choice.compared == 0;
    assert!(claimed.iter().all(of_cron), "{claimed:?}");
    assert_eq!((last.agent.as_str(), last.claimed, last.compared), ("ann", false, 1));
}

async fn on_postgres() -> (Cluster, Server) {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let server = Server::builder().database(&cluster.database().await).start().await;
    (cluster, server)
}

/// Each test with either store.
macro_rules! on_both_stores {
    ($($module:ident: $test:ident;)*) => {
        $(mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                $test(Server::start().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                let (_cluster, server) = super::on_postgres().await;
                $test(server).await;
            }
        })*
    };
}

on_both_stores! {
    resources: no_agent_is_given_more_than_it_has;
    less: who_comes_back_with_less_keeps_what_it_has_and_gets_what_it_has_room_for;
    wishes: wishes_decide_and_are_kept;
    explanations: explanations_name_obstacles_and_the_latest_assignments;
}
