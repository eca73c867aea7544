//! Wake-ups are only hints: a message that nobody told of is delivered, and one whose time is over is taken out.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use callboard_core::Settings;
use callboard_core::model::{
    AgentId, AgentProfile, Mailbox, Message, MessageId, NamespaceId, Payload, Sender, Span, TaskHandler, Timestamp,
};
use callboard_core::working_set::{ChangeSet, Changed};
use callboard_engine::{AttachRequest, Config, Engine, FetchRequest, Push, Stream, SystemClock, SystemEntropy};
use callboard_store::Store;
use callboard_store::memory::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (Engine, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock::start());
    let entropy = Box::new(SystemEntropy::new());
    let engine = Engine::start(store.clone(), Config::default(), clock, entropy).await.unwrap();
    (engine, store)
}

async fn attach(engine: &Engine) -> (Stream, mpsc::Receiver<Push>) {
    let handles = vec![TaskHandler::named("work")];
    let profile = AgentProfile { agent_type: "test".into(), slots: 1, handles, ..AgentProfile::default() };
    let request = AttachRequest {
        namespace: "default".into(),
        principal: "anonymous".into(),
        name: "ann".into(),
        profile: Arc::new(profile),
        held: Vec::new(),
        previous_epoch: 0,
        instance: "one".into(),
        takes_drain: true,
        takes_cancellation: true,
        takes_message_receipts: true,
        takes_children: true,
        message_window: Some(10),
    };
    engine.attach(request).await.unwrap()
}

/// Commits the first message of a mailbox past the engine, as another replica does.
async fn commit_elsewhere(store: &MemoryStore, namespace: NamespaceId, agent: AgentId, now: Timestamp, ttl: Span) {
    let message = Message {
        namespace,
        id: MessageId(Uuid::from_u128(7)),
        recipient: agent,
        sequence: 1,
        sender: Sender { principal: "anonymous".into(), agent: None },
        payload: Arc::new(Payload::text("hello")),
        headers: Default::default(),
        sent_at: now,
        expires_at: now + ttl,
    };
    let bytes = message.bytes();
    let row = Mailbox { last_sequence: 1, messages: 1, bytes, version: 1, ..Mailbox::empty(namespace, agent) };
    let mailboxes = vec![Changed { row, expected: 0 }];
    let changes = ChangeSet { mailboxes, messages: vec![Arc::new(message)], ..ChangeSet::default() };
    let mut transaction = store.begin().await.unwrap();
    transaction.save(&changes, &Settings::default()).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn next_message(pushes: &mut mpsc::Receiver<Push>) -> Arc<Message> {
    let found = async {
        loop {
            match pushes.recv().await.expect("the stream is open") {
                Push::Messages(messages) => return messages[0].clone(),
                _ => continue,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the message comes in time")
}

#[tokio::test]
async fn a_message_that_nobody_told_of_is_delivered_all_the_same() {
    let (engine, store) = start().await;
    let (stream, mut pushes) = attach(&engine).await;
    let namespace = engine.namespace("default").await.unwrap();
    let at = (namespace, stream.attached.agent);
    let request = FetchRequest { after: 0, limit: 10, max_bytes: 1_000, wait: PATIENCE };
    let fetching = engine.clone();
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { fetching.fetch_messages(at, request, std::future::pending()).await.unwrap() });
    commit_elsewhere(&store, at.0, at.1, engine.now(), Span::seconds(60)).await;
    assert_eq!(next_message(&mut pushes).await.id, MessageId(Uuid::from_u128(7)));
    assert_eq!(waiting.join_next().await.unwrap().unwrap().len(), 1, "whoever waits for it is woken, too");
    drop(stream);
    engine.stop().await;
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_taken_out() {
    let (engine, store) = start().await;
    let (stream, _pushes) = attach(&engine).await;
    let namespace = engine.namespace("default").await.unwrap();
    let agent = stream.attached.agent;
    commit_elsewhere(&store, namespace, agent, engine.now(), Span(1)).await;
    let gone = async {
        while !store.expired_messages(Timestamp(i64::MAX), 1).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is taken out in time");
    drop(stream);
    engine.stop().await;
}
