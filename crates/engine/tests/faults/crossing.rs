//! Replicas whose batches lock the same rows, each asking for them as its rules go.

use super::*;
use callboard_core::command::{Fence, Report, Reporter};

/// A store that others write to as well, and an attempt that an agent of it claimed.
async fn claimed() -> (Engine, Arc<Plan>, Fence) {
    let (store, plan) = FaultyStore::shared();
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, Config::default(), clock, Box::new(SystemEntropy::new())).await.unwrap();
    engine.submit(create("one", None)).await.unwrap();
    let handles = vec![TaskHandler::named("work")];
    let profile = Arc::new(AgentProfile { handles, slots: 1, ..AgentProfile::default() });
    let claim = Command::Claim { name: "worker".into(), profile, max: 1, lease: Span::seconds(60) };
    let Reply::Claimed(fences) = engine.submit(Envelope { command: claim, ..create("", None) }).await.unwrap() else {
        panic!("a claim is answered by leases");
    };
    (engine, plan, fences[0])
}

#[tokio::test]
async fn what_met_another_writer_asks_for_everything_first() {
    let (engine, plan, fence) = claimed().await;
    // A report asks for its task, and then for the agent that is to be told of as successful.
    *plan.crossed.lock().unwrap() = Some(0);
    let report = Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 };
    let command = Command::Report { fence, reporter: Reporter::Token, report };
    engine.submit(Envelope { command, ..create("", None) }).await.unwrap();
    assert_eq!(*plan.crossed.lock().unwrap(), Some(1), "once is enough to know what to ask for");
    engine.stop().await;
}
