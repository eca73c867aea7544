//! Tasks that wait for tasks.

use crate::support::{in_every_mode, make::*};
use callboard_core::command::Report;
use callboard_core::model::{NewDependency, OnFailure, StateName, TaskId};
use callboard_core::{Command, Reason};
use uuid::Uuid;

#[test]
fn a_task_is_ready_when_the_last_of_its_dependencies_is_done() {
    in_every_mode(|mut w| {
        let sources: Vec<TaskId> = (0..3).map(|_| w.create(task("source"))).collect();
        let target = w.create(after(&sources));
        for left in [2, 1] {
            w.complete(sources[left]);
            assert_eq!(w.waiting(target).unmet, left as u32);
        }
        w.complete(sources[0]);
        assert_eq!(w.state(target), StateName::Ready);
        assert_eq!(w.history(target), "created dependency_met dependency_met ready");
        assert!(w.tables.edges.values().all(|edge| edge.resolved));
    });
}

#[test]
fn a_dependency_that_does_not_complete_skips_or_fails() {
    for (on_failure, state) in [(OnFailure::Skip, StateName::Skipped), (OnFailure::Fail, StateName::Failed)] {
        in_every_mode(|mut w| {
            for end in ["fail", "cancel"] {
                let (source, other) = (w.create(task("source")), w.create(task("other")));
                let target = w.create(after_or(&[source, other], on_failure));
                if end == "fail" {
                    w.fail(source)
                } else {
                    w.cancel(source)
                }
                assert_eq!(w.state(target), state);
                // The other one's end says nothing any more.
                w.complete(other);
                assert_eq!(w.state(target), state);
            }
            let failed = w.tables.tasks.keys().filter(|id| w.failure(**id) == "callboard.dependency_failed").count();
            assert_eq!(failed, if on_failure == OnFailure::Fail { 2 } else { 0 });
        });
    }
}

/// Each of its tasks is read for itself: more than a command may ask for.
#[test]
fn an_end_goes_down_a_long_chain_in_steps() {
    in_every_mode(|mut w| {
        let mut chain = vec![w.create(task("source"))];
        for n in 0..300 {
            chain.push(w.create(after(&[chain[n]])));
        }
        w.cancel(chain[0]);
        assert_eq!(w.state(chain[1]), StateName::Skipped);
        for _ in 0..10 {
            w.wake_due();
        }
        assert!(chain[1..].iter().all(|id| w.state(*id) == StateName::Skipped && !w.task(*id).releasing));
    });
}

#[test]
fn an_end_goes_down_a_chain() {
    in_every_mode(|mut w| {
        let mut chain = vec![w.create(task("source"))];
        for n in 0..20 {
            let on_failure = if n % 2 == 0 { OnFailure::Skip } else { OnFailure::Fail };
            chain.push(w.create(after_or(&[chain[n]], on_failure)));
        }
        w.fail(chain[0]);
        for (n, id) in chain.iter().enumerate() {
            let expected = if n % 2 == 0 { StateName::Failed } else { StateName::Skipped };
            assert_eq!(w.state(*id), expected, "link {n}");
            assert!(!w.task(*id).releasing);
        }
    });
}

#[test]
fn a_held_or_later_task_waits_on_when_its_dependencies_are_done() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let held = w.create(crate::support::make::task_with("work", |new| {
            new.dependencies = vec![NewDependency::on(source, OnFailure::Skip)];
            new.hold = true;
        }));
        let later = w.create(crate::support::make::task_with("work", |new| {
            new.dependencies = vec![NewDependency::on(source, OnFailure::Skip)];
            new.start_at = Some(second(60));
        }));
        w.complete(source);
        assert_eq!((w.state(held), w.state(later)), (StateName::Waiting, StateName::Waiting));
        w.run(Command::ReleaseTask { task: held }).unwrap();
        assert_eq!(w.state(held), StateName::Ready);
        w.now = second(60);
        w.wake_due();
        assert_eq!(w.state(later), StateName::Ready);
    });
}

#[test]
fn dependencies_that_have_ended_count_at_once() {
    in_every_mode(|mut w| {
        let (done, broken) = (w.create(task("source")), w.create(task("source")));
        let live = w.create(task("source"));
        w.complete(done);
        w.fail(broken);
        let ready = w.create(after(&[done]));
        assert_eq!(w.state(ready), StateName::Ready);
        let waiting = w.create(after(&[done, live]));
        assert_eq!(w.waiting(waiting).unmet, 1);
        let skipped = w.create(after(&[live, broken]));
        assert_eq!(w.state(skipped), StateName::Skipped);
        assert_eq!(w.history(skipped), "created skipped");
        let failed = w.create(after_or(&[broken], OnFailure::Fail));
        assert_eq!(w.state(failed), StateName::Failed);
        // Nobody waits for the skipped one's live dependency any more.
        w.complete(live);
        assert_eq!((w.state(waiting), w.state(skipped)), (StateName::Ready, StateName::Skipped));
    });
}

#[test]
fn a_dependency_must_exist_once() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let nobody = TaskId(Uuid::from_u128(7));
        for wrong in [vec![nobody], vec![source, source], vec![source, nobody]] {
            assert_eq!(w.refused(Command::CreateTasks { tasks: vec![after(&wrong)] }), Reason::InvalidField);
        }
    });
}

#[test]
fn a_source_is_asked_only_when_it_ends() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let source = w.create(task("source"));
        let target = w.create(after(&[source]));
        w.dispatch();
        w.report(source, Report::Accepted).unwrap();
        w.report(source, failed("Flaky")).unwrap();
        assert_eq!((w.state(source), w.state(target)), (StateName::Waiting, StateName::Waiting));
        w.pass(callboard_core::model::Span::seconds(2));
        w.report(source, completed("done")).unwrap();
        w.dispatch();
        assert_eq!(w.state(target), StateName::Assigned);
    });
}
