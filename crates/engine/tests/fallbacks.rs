//! What nobody takes asks for less at its time: by the engine's own clock, with nobody calling.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "faults/store.rs"]
mod store;
#[path = "incidents/world.rs"]
mod world;

use callboard_core::model::{Fallback, NewTask, Span, StateName};
use world::{World, pass, seconds};

/// An expert's, whom nobody is; anybody's after 30 s.
fn for_an_expert(task: &mut NewTask) {
    let requirements = &mut task.spec.requirements;
    requirements.role = Some("expert".into());
    requirements.fallbacks = vec![Fallback { after: Span::seconds(30), ..Fallback::default() }];
}

#[tokio::test(start_paused = true)]
async fn a_task_falls_back_at_its_time_though_nobody_calls() {
    let world = World::start(&[]).await;
    let mut agent = world.attach("ann", 1).await;
    let task = world.create(for_an_expert).await;
    assert!(agent.assigned(seconds(29)).await.is_empty());
    let given = agent.assigned(seconds(3)).await;
    assert_eq!(given[0].fence.task, task);
    assert_eq!(world.view(task).await.task.fallback, 1);
}

#[tokio::test(start_paused = true)]
async fn its_time_goes_on_over_a_restart() {
    let mut world = World::start(&[]).await;
    let task = world.create(for_an_expert).await;
    pass(seconds(20)).await;
    world.restart().await;
    let mut agent = world.attach("ann", 1).await;
    assert!(agent.assigned(seconds(9)).await.is_empty());
    assert_eq!(world.state(task).await, StateName::Ready);
    assert_eq!(agent.assigned(seconds(3)).await[0].fence.task, task);
}

/// As many as a sweep looks at in several pages, at once.
#[tokio::test(start_paused = true)]
async fn hundreds_fall_back_at_one_time() {
    let world = World::start(&[]).await;
    let mut tasks = Vec::new();
    for _ in 0..600 {
        tasks.push(world.create(for_an_expert).await);
    }
    pass(seconds(35)).await;
    for task in tasks {
        assert_eq!(world.view(task).await.task.fallback, 1);
    }
}
