//! What an assignment carries is not read when the batch that leases its task has it.

use super::*;
use callboard_core::command::Report;
use callboard_core::model::StateName;
use callboard_engine::ReportItem;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_link_of_a_chain_gets_the_result_before_it_from_a_store_that_reads_nothing() {
    let (engine, plan) = start_patient().await;
    assert!(engine.store().is_exclusive(), "a server that has its store alone");
    let (stream, mut pushes) = engine.attach(agent("ann")).await.unwrap();
    engine.submit(create("first", None)).await.unwrap();
    let first = assigned(&mut pushes).await.fence;
    engine.submit(dependent(first.task)).await.unwrap();
    plan.unreadable.store(true, Ordering::Relaxed);
    let completed = Report::Completed { result: Arc::new(Payload::text("done")), digest: 1 };
    for (report_id, report) in [(1, Report::Accepted), (2, completed)] {
        stream.report(vec![ReportItem { report_id, fence: first, report }]).await.unwrap();
    }
    let second = assigned(&mut pushes).await;
    assert_eq!(second.task.spec.description, "second");
    let [given] = &second.dependencies[..] else { panic!("one dependency: {second:?}") };
    assert_eq!((given.task, given.state), (first.task, StateName::Completed));
    assert_eq!(given.result.as_deref(), Some(&Payload::text("done")));
    engine.stop().await;
}
