//! Every replica sweeps, so each timer is asked for by all of them. It fires once.

use crate::record::Record;
use crate::{Ground, Replica, ask, create, until};
use callboard_core::command::{Command, Fence, Reply, Report, Reporter};
use callboard_core::model::{AgentProfile, Failure, Span, StateName, TaskHandler, TaskId};
use callboard_engine::{Config, Engine};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The timers are so far off that all is made ready before the first of them, also on a slow machine.
const FIRST: Span = Span::seconds(8);
const LAST: Span = Span::seconds(10);

/// A task, what is known of it when its timer has fired once, and the state that it is in then.
struct Timed {
    task: TaskId,
    history: &'static [&'static str],
    state: StateName,
}

/// One waits for its start time, one for the delay behind a failed attempt, and of one the attempt takes too long.
async fn timed(a: &Engine, b: &Engine, record: &Record) -> [Timed; 3] {
    let fails = create(a, |task| task.spec.retry_policy.initial_backoff = FIRST).await;
    let hangs = create(b, |task| {
        task.spec.timeouts.start_to_close = LAST;
        task.spec.retry_policy.max_attempts = 1;
    })
    .await;
    let fences = claim_two(b).await;
    let starts = create(a, |task| {
        let at = a.now() + FIRST;
        (task.start_at, task.spec.start_at) = (Some(at), Some(at));
    })
    .await;
    record.meet_over(&[starts, fails, hangs]);
    for fence in fences {
        report(b, fence, Report::Accepted).await;
        if fence.task == fails {
            report(b, fence, Report::Failed { failure: Arc::new(failure()), digest: 1 }).await;
        }
    }
    [
        Timed { task: starts, history: &["created", "ready"], state: StateName::Ready },
        Timed {
            task: fails,
            history: &["created", "assigned", "started", "attempt_failed", "retry_scheduled", "ready"],
            state: StateName::Ready,
        },
        Timed {
            task: hangs,
            history: &["created", "assigned", "started", "attempt_timed_out", "failed"],
            state: StateName::Failed,
        },
    ]
}

/// Whoever claims may find that the other replica has the tasks locked, and asks again.
async fn claim_two(engine: &Engine) -> Vec<Fence> {
    let handles = vec![TaskHandler::named("work")];
    let profile = Arc::new(AgentProfile { slots: 2, handles, ..AgentProfile::default() });
    let mut fences = Vec::new();
    until(async || {
        let claim = Command::Claim { name: "ann".into(), profile: profile.clone(), max: 2, lease: Span::seconds(60) };
        match ask(engine, claim).await.unwrap() {
            Reply::Claimed(more) => fences.extend(more),
            other => panic!("{other:?}"),
        }
        fences.len() == 2
    })
    .await;
    fences
}

async fn report(engine: &Engine, fence: Fence, report: Report) {
    ask(engine, Command::Report { fence, reporter: Reporter::Token, report }).await.unwrap();
}

fn failure() -> Failure {
    Failure {
        kind: "Broken".into(),
        message: "away".into(),
        retryable: true,
        retry_after: None,
        details: None,
        cause: None,
    }
}

/// The kinds of a task's events, as rows have them.
async fn history(engine: &Engine, task: TaskId) -> Vec<String> {
    let namespace = engine.namespace("default").await.unwrap();
    let events = engine.store().task_events((namespace, task), 0, 100).await.unwrap();
    let kinds = events.iter().map(|event| serde_json::to_value(&event.kind).unwrap());
    kinds.map(|kind| kind["event"].as_str().unwrap().to_owned()).collect()
}

/// Neither sweep asks for anything before both have read that the timer is due; and a timer counts when both replicas have decided on it. So
/// many of the three are looked at.
async fn fires_once(ground: Ground, counted: usize) {
    let ([a, b], record) = ground.replicas(Config::default()).await;
    let timed = timed(&a.engine, &b.engine, &record).await;
    for Timed { task, history: whole, .. } in &timed[..counted] {
        until(async || {
            let decided: BTreeSet<_> = record.loads_of(*task).into_iter().map(|(replica, _)| replica).collect();
            decided == BTreeSet::from(["a", "b"]) && history(&a.engine, *task).await.len() >= whole.len()
        })
        .await;
    }
    for Replica { engine, .. } in [&a, &b] {
        // What it was asked for before is done then.
        create(engine, |_| {}).await;
    }
    // Sweeps that come behind find nothing left.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for Timed { task, history: whole, state } in &timed[..counted] {
        assert_eq!(history(&a.engine, *task).await, *whole);
        let loads = record.loads_of(*task);
        println!("{task} was decided on by {loads:?}");
        assert_ne!(loads[0].1, *state, "the first found it due");
        assert_eq!(loads.last().unwrap().1, *state, "and the last found it done: {loads:?}");
    }
    record.assert_told_behind_commits();
    a.engine.stop().await;
    b.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_two_replicas_see_at_once_fires_once() {
    fires_once(Ground::in_memory(), 3).await;
}

/// There the second asks for the row while the first has it locked, and is given it as the first left it.
#[tokio::test]
async fn a_timer_that_two_replicas_see_at_once_fires_once_on_postgresql() {
    // A commit that takes a second gives the attempt that takes too long more time at one replica than at the other.
    fires_once(Ground::on_postgresql().await, 2).await;
}
