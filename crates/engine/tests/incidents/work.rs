//! Work that nobody does: pushes that failed, polls that were cancelled, agents that are gone, parents that failed.

use crate::world::{World, envelope, pass, profile, seconds};
use callboard_core::command::{Command, Report};
use callboard_core::model::{Failure, NewDependency, OnFailure, Priority, Span, StateName};
use callboard_core::planted::Bug;
use std::sync::Arc;

/// The push got lost: its agent never saw the assignment, and is alive.
async fn is_given_again(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let mut agent = world.attach("ann", 1).await;
    world.create(|_| {}).await;
    assert_eq!(agent.assigned(seconds(1)).await[0].fence.attempt, 1, "it is pushed, and nothing is heard of it");
    agent.assigned(seconds(60)).await.first().is_some_and(|again| again.fence.attempt == 2)
}

#[tokio::test(start_paused = true)]
async fn an_assignment_whose_push_failed() {
    assert!(is_given_again(&[]).await);
    assert!(!is_given_again(&[Bug::LeaveUnaccepted]).await);
}

/// Claims are given up in the middle, under load: what they took is not lost with them.
async fn others_get_what_it_took(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(world.create(|_| {}).await);
    }
    for n in 0..20 {
        let name = format!("poller {n}").into();
        let command = Command::Claim { name, profile: Arc::new(profile(1)), max: 1, lease: Span::seconds(10) };
        let mut asked = Box::pin(world.engine.submit(envelope(command)));
        assert!(futures::poll!(&mut asked).is_pending());
        // What waits to be decided for nobody is not. This one is decided and committed, which a probe waits for; nobody hears the answer.
        assert_eq!(world.engine.unready().await, Vec::<String>::new());
        drop(asked);
    }
    let mut agent = world.attach("ann", 100).await;
    let mut got = 0;
    while got < tasks.len() {
        let assigned = agent.assigned(seconds(60)).await;
        if assigned.is_empty() {
            return false;
        }
        for assignment in assigned {
            got += 1;
            agent.complete(assignment.fence).await;
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn a_poll_cancelled_under_load() {
    assert!(others_get_what_it_took(&[]).await);
    assert!(!others_get_what_it_took(&[Bug::KeepLapsedClaims]).await);
}

/// The only agent is gone, with a task that it ran: the next one that comes gets it.
async fn the_next_agent_gets_it(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let task = world.create(|_| {}).await;
    let mut last = world.attach("ann", 1).await;
    let fence = last.assigned(seconds(1)).await[0].fence;
    last.report(fence, Report::Accepted).await;
    drop(last);
    pass(seconds(300)).await;
    let mut next = world.attach("bob", 1).await;
    next.assigned(seconds(2)).await.first().is_some_and(|assignment| assignment.fence.task == task)
}

#[tokio::test(start_paused = true)]
async fn a_task_parked_when_the_last_agent_disconnects() {
    assert!(the_next_agent_gets_it(&[]).await);
    assert!(!the_next_agent_gets_it(&[Bug::KeepLostLeases]).await);
}

/// A parent fails for good: its children, and theirs, don't wait for ever.
async fn children_end(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let parent = world.create(|task| task.spec.retry_policy.max_attempts = 1).await;
    let child = world.create(|task| task.dependencies = vec![NewDependency::on(parent, OnFailure::Skip)]).await;
    let grandchild = world.create(|task| task.dependencies = vec![NewDependency::on(child, OnFailure::Fail)]).await;
    let mut agent = world.attach("ann", 1).await;
    let fence = agent.assigned(seconds(1)).await[0].fence;
    agent.report(fence, Report::Failed { failure: Arc::new(failure("it broke")), digest: 1 }).await;
    pass(seconds(5)).await;
    assert_eq!(world.state(parent).await, StateName::Failed);
    (world.state(child).await, world.state(grandchild).await) == (StateName::Skipped, StateName::Failed)
}

#[tokio::test(start_paused = true)]
async fn a_failed_parent_that_strands_children() {
    assert!(children_end(&[]).await);
    assert!(!children_end(&[Bug::ForgetDependents]).await);
}

/// While more important tasks come and come, an old one of low priority has its turn.
async fn low_has_its_turn(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let low = world.create(|task| task.spec.priority = Priority::Low).await;
    let mut agent = world.attach("ann", 1).await;
    let first = agent.assigned(seconds(1)).await[0].fence;
    world.create(|task| task.spec.priority = Priority::High).await;
    // The low one is not done at the first try, and then competes with what is always there.
    agent.report(first, Report::Rejected { reason: "not now".into() }).await;
    for _ in 0..20 {
        let Some(assignment) = agent.assigned(seconds(120)).await.into_iter().next() else { return false };
        agent.report(assignment.fence, Report::Accepted).await;
        world.create(|task| task.spec.priority = Priority::High).await;
        agent.work(seconds(30)).await;
        agent.complete(assignment.fence).await;
        if assignment.fence.task == low {
            return true;
        }
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_low_priority_that_starves() {
    assert!(low_has_its_turn(&[]).await);
    assert!(!low_has_its_turn(&[Bug::LetLowStarve]).await);
}

/// The result comes behind the cancellation, which was acknowledged.
async fn stays_cancelled(bugs: &[Bug]) -> bool {
    let world = World::start(bugs).await;
    let task = world.create(|_| {}).await;
    let mut agent = world.attach("ann", 1).await;
    let fence = agent.assigned(seconds(1)).await[0].fence;
    agent.report(fence, Report::Accepted).await;
    world.cancel(task).await;
    agent.complete(fence).await;
    pass(seconds(1)).await;
    world.state(task).await == StateName::Cancelled
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_that_ends_completed() {
    assert!(stays_cancelled(&[]).await);
    assert!(!stays_cancelled(&[Bug::CompleteAfterCancel]).await);
}

pub fn failure(message: &str) -> Failure {
    Failure {
        kind: "Broken".into(),
        message: message.into(),
        retryable: true,
        retry_after: None,
        details: None,
        cause: None,
    }
}
