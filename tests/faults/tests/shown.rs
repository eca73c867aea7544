//! What a primary showed for a moment and its standby never had: whoever saw it misses nothing of what gets its numbers when the
//! standby is promoted. The server, an agent's stream, and watches go on throughout.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard::{Agent, Client, Context, Message, NewMessage, NewTask, TaskError, Watch};
use callboard_faults::forwarder::Forwarder;
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::Server;
use callboard_tests::wait::within;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, spawn_blocking};

/// No stream ends meanwhile: an agent that attaches again is told everything anew.
const SETTINGS: &str = "--stream-lease 60s --restart-grace 60s --accept-within 60s --log warn";
const PATIENCE: Duration = Duration::from_secs(60);
/// Transactions that take an id and leave nothing: so many more ids are lost than are given before the readers look again.
const ABORTED: &str = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK;";
const LOST: usize = 5;

/// A message, and a task that nobody takes.
async fn write(client: &Client, text: &str) {
    client.send_message(NewMessage::to("reader").body(text).unwrap()).await.unwrap();
    client.create(NewTask::new("work").tag(text)).await.unwrap();
}

/// Waits until somebody has seen all of these, and gives all that it saw.
async fn sees(what: &str, seen: &mut UnboundedReceiver<String>, mut wanted: Vec<String>) {
    within(PATIENCE, what, async {
        while !wanted.is_empty() {
            let text = seen.recv().await.unwrap();
            wanted.retain(|wanted| *wanted != text);
        }
    })
    .await;
}

fn texts(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}-{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_what_a_standby_did_not_have_misses_nothing_behind_its_promotion() {
    let primary = std::sync::Arc::new(Cluster::start(Settings { fsync: true, autovacuum: true }));
    let database = primary.database().await;
    let database = database.rsplit('/').next().unwrap();
    let made = primary.clone();
    let standby = spawn_blocking(move || made.standby()).await.unwrap();
    primary.synchronous().await;
    let forwarder = Forwarder::start(primary.socket()).await;
    let server = Server::builder().args(SETTINGS).database(forwarder.url(database)).start().await;
    let client = server.client();

    let (told, mut messages) = unbounded_channel();
    let agent = Agent::builder("reader").name("reader").client(&client);
    let agent = agent.handle("nothing", |_: Context, (): ()| async { Ok::<_, TaskError>(()) });
    let agent = agent.on_message(move |message: Message| {
        let _ = told.send(message.body::<String>().unwrap());
        async { Ok::<(), TaskError>(()) }
    });
    let mut agent = agent.spawn().unwrap();
    agent.attached().await.unwrap();
    let (told, mut created) = unbounded_channel();
    let (mut beside, watching) = (JoinSet::new(), client.clone());
    beside.spawn(async move {
        let mut events = watching.watch(Watch::namespace());
        while let Some(event) = events.next().await.unwrap() {
            // Lost tasks are not there any more to be looked at.
            let Ok(task) = watching.get(&event.task_id).await else { continue };
            let _ = told.send(task.spec.unwrap_or_default().tags.concat());
        }
    });
    write(&client, "first").await;
    sees("the first message", &mut messages, vec!["first".into()]).await;
    sees("the first event", &mut created, vec!["first".into()]).await;

    standby.lose_sight().await;
    primary.run("postgres", &ABORTED.repeat(1_000)).await;
    let lost = texts("lost", LOST);
    let writes = async {
        for text in &lost {
            write(&client, text).await;
        }
        sees("what is lost soon", &mut messages, lost.clone()).await;
        sees("its events", &mut created, lost.clone()).await;
    };
    let show = async {
        loop {
            primary.show_what_waits().await;
        }
    };
    tokio::select! { () = writes => {}, never = show => never }

    let killed = primary.clone();
    spawn_blocking(move || killed.kill_all()).await.unwrap();
    standby.promote().await;
    forwarder.lead_to(standby.socket());
    let new = texts("new", LOST - 2);
    for text in &new {
        write(&client, text).await;
    }
    sees("the messages with numbers that were lost", &mut messages, new.clone()).await;
    sees("the events behind what was lost", &mut created, new).await;
    assert!(!server.logs().contains("is to attach again"), "a stream ended, which has everything told anew");
}
