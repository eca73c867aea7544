//! Time that is counted against the wrong one: storms after outages, sweeps that don't come through, disks that are slow.

use crate::work::failure;
use crate::world::{Agent, World, pass, seconds};
use callboard_core::command::Report;
use callboard_core::model::{NewCheckpoint, NotBefore, Span, StateName, TaskState, Timestamp};
use callboard_core::planted::Bug;
use callboard_engine::Config;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whatever tasks need was away, and all of them failed at once: they don't come back at once.
async fn is_spread(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let mut tasks = Vec::new();
    for _ in 0..100 {
        tasks.push(world.create(|_| {}).await);
    }
    let mut agent = world.attach("ann", 100).await;
    let mut fences = Vec::new();
    while fences.len() < tasks.len() {
        fences.extend(agent.assigned(seconds(1)).await.into_iter().map(|assignment| assignment.fence));
    }
    for fence in fences {
        agent.report(fence, Report::Failed { failure: Arc::new(failure("away")), digest: 1 }).await;
    }
    pass(std::time::Duration::from_millis(10)).await;
    let mut times = BTreeSet::new();
    for task in tasks {
        if let TaskState::Waiting(waiting) = world.view(task).await.task.state
            && let Some(NotBefore::Retry(at)) = waiting.not_before
        {
            times.insert(at);
        }
    }
    // The first delay is a second, of which chance takes off up to a fifth.
    times.len() > 50 && times.last().unwrap().since(*times.first().unwrap()).0 > 100_000
}

#[tokio::test(start_paused = true)]
async fn a_retry_storm_after_an_outage() {
    assert!(is_spread(&[]).await);
    assert!(!is_spread(&[Bug::RetryInStep]).await);
}

/// Behind a start hundreds of tasks are due and must wait, for their agents may come back. What is due behind them is done all the
/// same.
async fn what_is_behind_is_done(bugs: &[Bug]) -> bool {
    let mut world = World::start(bugs).await;
    for _ in 0..300 {
        world.create(|_| {}).await;
    }
    let mut agent = world.attach("ann", 300).await;
    let mut given = 0;
    while given < 300 {
        given += agent.assigned(seconds(1)).await.len();
    }
    let at = world.engine.now() + Span::seconds(15);
    let later = world.create(|task| start_at(task, at)).await;
    world.restart().await;
    pass(seconds(18)).await;
    world.state(later).await == StateName::Ready
}

fn start_at(task: &mut callboard_core::model::NewTask, at: Timestamp) {
    (task.start_at, task.spec.start_at) = (Some(at), Some(at));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_that_hides_later_work_from_the_sweep() {
    assert!(what_is_behind_is_done(&[]).await);
    assert!(!what_is_behind_is_done(&[Bug::LookAtFirstPageAlone]).await);
}

/// An agent with a thousand tasks, none of which it accepts.
async fn with_a_thousand(world: &World, name: &str) -> Agent {
    let mut agent = world.attach(name, 1_000).await;
    // No more at once than pushes may wait for it.
    for _ in 0..5 {
        world.create_many(200).await;
        let mut given = 0;
        while given < 200 {
            given += agent.assigned(seconds(1)).await.len();
        }
    }
    agent
}

/// Behind a start more tasks are due and must wait than a sweep reads, which are 4,096. What is due behind them is done by a later one.
#[tokio::test(start_paused = true)]
async fn a_full_sweep_that_hides_later_work_from_the_next_ones() {
    let mut world = World::start(&[]).await;
    let mut agents = Vec::new();
    for name in ["ann", "ben", "carl", "dora", "eve"] {
        agents.push(with_a_thousand(&world, name).await);
    }
    // They are to be accepted within ten seconds.
    let at = world.engine.now() + Span::seconds(11);
    let later = world.create(|task| start_at(task, at)).await;
    world.restart().await;
    pass(seconds(13)).await;
    assert_eq!(world.state(later).await, StateName::Ready);
}

/// A commit takes twice as long as a lease; an agent talks all the time, and is not read. It keeps its session and what it runs.
async fn is_taken_for_alive(bugs: &[Bug]) -> bool {
    let mut config = Config { queue: 1, batch: 1, ..Config::default() };
    config.rules.stream_lease = Span::seconds(4);
    let world = World::start_with(bugs, config).await;
    let task = world.create(|_| {}).await;
    let mut agent = world.attach("ann", 1).await;
    let fence = agent.assigned(seconds(1)).await[0].fence;
    agent.report(fence, Report::Accepted).await;
    // The sweep has just kept house, and does not itself wait for the store.
    agent.work(std::time::Duration::from_millis(10_500)).await;
    let epoch = agent.stream.attached.epoch;
    world.plan.permits.forget_permits(usize::MAX >> 3);
    let release = async {
        pass(seconds(8)).await;
        world.plan.permits.add_permits(usize::MAX >> 4);
    };
    let talk = async {
        // Soon there is no room behind the commit that hangs.
        for _ in 0..8 {
            pass(seconds(1)).await;
            let data = Arc::new(callboard_core::model::Payload::text("here"));
            agent.report(fence, Report::Checkpoint(NewCheckpoint { data, digest: 1 })).await;
        }
    };
    tokio::join!(release, talk);
    agent.work(seconds(3)).await;
    let view = world.view(task).await;
    let holder = view.task.state.lease().map(|lease| lease.epoch);
    view.task.attempt == 1 && holder == Some(epoch)
}

#[tokio::test(start_paused = true)]
async fn a_slow_fsync_that_makes_a_healthy_agent_look_dead() {
    assert!(is_taken_for_alive(&[]).await);
    assert!(!is_taken_for_alive(&[Bug::CountOurDelays]).await);
}

/// The server is stopped while its sweep waits for the store. The next sweep comes as planned, and nobody was heard for longer than
/// a lease.
#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_sweep_that_looks_like_silence() {
    let mut config = Config::default();
    config.rules.stream_lease = Span::seconds(4);
    let world = World::start_with(&[], config).await;
    let task = world.create(|_| {}).await;
    let mut agent = world.attach("ann", 1).await;
    let fence = agent.assigned(seconds(1)).await[0].fence;
    agent.report(fence, Report::Accepted).await;
    agent.work(std::time::Duration::from_millis(8_500)).await;
    let epoch = agent.stream.attached.epoch;
    // It keeps house every ten seconds, and hangs in that.
    world.plan.permits.forget_permits(usize::MAX >> 3);
    pass(seconds(8)).await;
    world.plan.permits.add_permits(usize::MAX >> 4);
    // What the agent said in the meantime is read now.
    pass(seconds(1)).await;
    agent.work(seconds(3)).await;
    let view = world.view(task).await;
    let holder = view.task.state.lease().map(|lease| lease.epoch);
    assert_eq!((view.task.attempt, holder), (1, Some(epoch)));
}
