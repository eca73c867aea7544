//! This version beside the one before it on one database, as during an upgrade and a rollback. Each does what the other took in, and
//! nobody loses anything.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::v1::{self, DependencyCondition, ResultComparison};
use callboard::{
    Agent, AgentBuilder, AgentHandle, Client, Context, NewDependency, NewFallback, NewTask, NewWorkflow,
    NewWorkflowTask, OutputQuery, Receipt, ResultCondition, TaskError,
};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::checker::{self, Observed};
use callboard_tests::load::chance::Seed;
use callboard_tests::load::{Load, Size};
use callboard_tests::server::Server;
use callboard_tests::{previous, program, text_of, wait};
use futures::TryStreamExt;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

const SETTINGS: &str = "--stream-lease 5s --reattach-grace 3s --restart-grace 10s --cancel-grace 5s --log warn";
const REPLICAS: usize = 3;
/// What the load is to get done with each mixture of versions.
const OPERATIONS: u64 = 60;
/// By how much times of replicas may be off.
const APART: Duration = Duration::from_secs(2);
/// Where tasks cross that are none of the load's.
const CROSSING: &str = "crossing";

/// The older version makes the database; then one server after the other becomes the newer, and then the older again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_a_rollback_one_server_after_the_other() {
    let Some(older) = previous::callboard() else { return };
    let newer = program::callboard();
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Settings { fsync: true, autovacuum: true }));
    let cluster = cluster.await.unwrap();
    let url = cluster.database().await;
    let mut servers = Vec::new();
    for _ in 0..REPLICAS {
        servers.push(Server::builder().args(SETTINGS).database(&url).program(&older).start().await);
    }
    servers[0].client().create_namespace(CROSSING, Default::default()).await.unwrap();
    let addresses: Vec<String> = servers.iter().map(Server::address).collect();
    let mut load = Load::start_on(&addresses, Seed::choose().0, what_both_know());
    for version in [&newer, &older] {
        for replica in 0..REPLICAS {
            works(&load).await;
            become_another(&mut servers[replica], version).await;
            crosses(&servers[replica], &servers[(replica + 1) % REPLICAS]).await;
            crosses(&servers[(replica + 1) % REPLICAS], &servers[replica]).await;
            is_a_family(&servers[replica], &servers[(replica + 1) % REPLICAS]).await;
            is_a_family(&servers[(replica + 1) % REPLICAS], &servers[replica]).await;
        }
    }
    works(&load).await;
    load.stop_asking().await;
    load.heal().await;
    let mut observed = Observed::read(&servers[0].client()).await.unwrap();
    observed.apart = APART;
    wait::look("everything to be watched", || async {
        let history = load.recorder.history().clone();
        checker::is_all_watched(&history, &observed).then_some(())
    })
    .await;
    let history = load.stop().await.history().clone();
    checker::assert_kept(&history, &observed);
    checker::assert_none_taken(&history, &observed);
}

/// The load that the version before this one can do, too. What a change adds that closes the way back for versions that don't know it is
/// to be left out here, until the version before knows it. Of a binary that somebody names nothing is known.
fn what_both_know() -> Size {
    match previous::is_named() {
        false => Size::default(),
        true => Size {
            conditions: false,
            workflows: false,
            fallbacks: false,
            resources: false,
            turns: false,
            limits: 0,
            ..Size::default()
        },
    }
}

/// The version before conditions knows neither what they ask nor the rows that they are kept in: there is none while a server of it lives,
/// and none of it comes back behind the first. It is played by its registration: which version the one before this is changes with every
/// commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_waits_until_every_server_knows_it() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Settings { fsync: true, autovacuum: true }));
    let cluster = cluster.await.unwrap();
    let url = cluster.database().await;
    let name = url.rsplit('/').next().unwrap();
    let mut server = Server::builder().args(SETTINGS).database(&url).start().await;
    assert!(server.terminate().await.success());
    cluster.run(name, OLDER_REGISTERS).await;
    server.restart().await;
    let client = server.client();
    let first = client.create(NewTask::new("echo").hold()).await.unwrap();
    let renewals = async {
        loop {
            cluster.run(name, OLDER_RENEWS).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let refused = async {
        for dependency in conditions(&first) {
            let refused = client.create(NewTask::new("echo").depends_on(dependency)).await.unwrap_err();
            assert_eq!((refused.reason(), refused.code()), ("UPGRADE_UNFINISHED", Some(Code::FailedPrecondition)));
        }
        for (what, answer) in newer(&client, &first).await {
            let refused = answer.expect_err(what);
            assert_eq!(refused.reason(), "UPGRADE_UNFINISHED", "{what}: {refused}");
        }
        let plain = NewTask::new("echo").depends_on(NewDependency::on(&first).or_fail().named("first"));
        client.create(plain).await.unwrap();
    };
    tokio::select! { () = renewals => {}, () = refused => {} }
    cluster.run(name, OLDER_MAY_START).await;
    cluster.run(name, OLDER_RESIGNS).await;
    for dependency in conditions(&first) {
        let task = NewTask::new("echo").depends_on(dependency);
        let taken = || async { client.create(task.clone()).await.ok() };
        wait::look("a condition that is taken, since every server knows it", taken).await;
    }
    cluster.run(name, OLDER_MAY_NOT_START).await;
    for (what, answer) in newer(&client, &first).await {
        answer.expect(what);
    }
}

/// What came behind conditions that older versions would misunderstand, and what is said to each.
async fn newer(client: &Client, first: &Receipt) -> Vec<(&'static str, callboard::Result<()>)> {
    let create = async |new: NewTask| client.create(new.hold()).await.map(drop);
    let flow = NewWorkflow::new("flow").task(NewWorkflowTask::new("only", NewTask::new("echo").hold()));
    let other = client.create(NewTask::new("echo").hold()).await.unwrap();
    let depend = v1::AddDependenciesRequest {
        task_id: other.task_id,
        dependencies: vec![v1::Dependency { task_id: first.task_id.clone(), ..Default::default() }],
        ..Default::default()
    };
    vec![
        ("a fallback", create(NewTask::new("echo").fallback(NewFallback::after(Duration::from_secs(60)))).await),
        ("a resource", create(NewTask::new("echo").resource("gpu", 1.0)).await),
        ("a limit key", create(NewTask::new("echo").limit_key("model")).await),
        ("a workflow", client.create_workflow(flow).await.map(drop)),
        ("a dependency that is added", client.call(depend).await.map(drop)),
    ]
}

/// A version starts unless the database needs a newer schema than the newest that it knows, which is 5 of the one before conditions.
const OLDER_MAY_START: &str =
    "DO $$ BEGIN ASSERT (SELECT value <= 5 FROM callboard_meta WHERE name = 'min_version'); END $$";
const OLDER_MAY_NOT_START: &str =
    "DO $$ BEGIN ASSERT (SELECT value > 5 FROM callboard_meta WHERE name = 'min_version'); END $$";
/// As that version registers, renews its registration, and gives it up.
const OLDER_REGISTERS: &str = "INSERT INTO registrations (name, beat, dead) VALUES ('older', 1, false)";
const OLDER_RENEWS: &str = "UPDATE registrations SET beat = beat + 1 WHERE name = 'older'";
const OLDER_RESIGNS: &str = "UPDATE registrations SET dead = true WHERE name = 'older'";

fn conditions(on: &Receipt) -> [NewDependency; 2] {
    let good = ResultCondition::new("/score", ResultComparison::GreaterOrEqual, &0.8).unwrap();
    [NewDependency::on(on).condition(DependencyCondition::Ended), NewDependency::on(on).result(good)]
}

/// The load gets on, whichever versions there are.
async fn works(load: &Load) {
    let wanted = load.recorder.history().operations() + OPERATIONS;
    wait::look("operations that are acknowledged", || async {
        (load.recorder.history().operations() >= wanted).then_some(())
    })
    .await;
}

async fn become_another(server: &mut Server, version: &Path) {
    let status = server.terminate().await;
    assert!(status.success(), "a server that was told to end did so with {status}");
    server.set_program(version);
    server.restart().await;
}

/// What one server takes in is done by an agent at the other.
async fn crosses(asked: &Server, doing: &Server) {
    let agent = echoer(&doing.client_in(CROSSING)).await;
    let client = asked.client_in(CROSSING);
    let result = client.run::<String>(NewTask::new("echo").input("over there").unwrap());
    assert_eq!(wait::soon("the result at the other server", result).await.unwrap(), "over there");
    agent.drain();
    wait::soon("the agent's end", agent.join()).await.unwrap();
}

/// A handler at one server gives output, creates a child, and waits for it without its slot; an agent at the other does the child. A
/// version that knows none of it says so.
async fn is_a_family(parents: &Server, doing: &Server) {
    let (parent, child) = (parent(&parents.client_in(CROSSING)).await, echoer(&doing.client_in(CROSSING)).await);
    let client = doing.client_in(CROSSING);
    let asked = client.create(NewTask::new("parent").input("down there").unwrap().max_attempts(1)).await.unwrap();
    let ended = wait::soon("the parent's end", client.wait(&asked.task_id, None)).await.unwrap();
    match ended.failure {
        None => {
            let output: Vec<_> = client.output(OutputQuery::task(&asked.task_id)).try_collect().await.unwrap();
            let given: Vec<String> = output.iter().map(|chunk| chunk.value().unwrap()).collect();
            assert_eq!(
                (text_of(ended.result.as_ref()).as_str(), given.concat().as_str()),
                ("down there", "on its way")
            );
            assert_eq!(client.children(&asked.task_id, 0).await.unwrap().len(), 1);
        }
        Some(failure) => assert!(failure.message.contains("the server takes no "), "{failure:?}"),
    }
    for agent in [parent, child] {
        agent.drain();
        wait::soon("the agent's end", agent.join()).await.unwrap();
    }
}

async fn parent(client: &Client) -> AgentHandle {
    let agent = Agent::builder("parent").client(client).slots(1);
    attached(agent.handle("parent", |context: Context, text: String| async move {
        context.output("on its way").await?;
        let child = context.run_child::<String>(NewTask::new("echo").input(&text)?);
        Ok::<_, TaskError>(child.await?)
    }))
    .await
}

async fn echoer(client: &Client) -> AgentHandle {
    let agent = Agent::builder("echoer").client(client);
    attached(agent.handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) })).await
}

async fn attached(agent: AgentBuilder) -> AgentHandle {
    let mut agent = agent.spawn().unwrap();
    wait::soon("the agent to attach", agent.attached()).await.unwrap();
    agent
}
