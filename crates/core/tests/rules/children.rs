//! Children: one for each key of a run, bounded, and gone with the run unless they go on by themselves.

use crate::support::{World, envelope, in_every_mode, make::*, receipt};
use callboard_core::command::{DirectReport, Effect, Fence, StopReason, TaskReceipt};
use callboard_core::limits::{MAX_CHILD_DEPTH, MAX_CHILDREN, MAX_DEPENDENCIES};
use callboard_core::model::{
    KeyConflict, NewChild, NewDependency, NewTask, OnFailure, OnParentEnd, Payload, Span, StateName, TaskChild, TaskId,
};
use callboard_core::rejection::{Reason, Rejection};
use callboard_core::{Command, Envelope};
use std::sync::Arc;

fn try_child(w: &mut World, parent: Fence, new: NewChild) -> Result<TaskReceipt, Rejection> {
    w.run(create(parent, new)).map(|outcome| receipt(&outcome))
}

fn create(fence: Fence, new: NewChild) -> Command {
    Command::CreateChild { fence, child: Box::new(new) }
}

/// A child of a leased task, of type `child`.
fn child(w: &mut World, parent: TaskId, name: &str, occurrence: u32) -> TaskReceipt {
    let fence = w.fence(parent);
    try_child(w, fence, new_child(name, occurrence, task("child"))).expect("the child is created")
}

fn refused(w: &mut World, parent: TaskId, new: NewChild) -> Reason {
    let fence = w.fence(parent);
    w.refused(create(fence, new))
}

fn children(w: &World, parent: TaskId) -> &[TaskChild] {
    let row = w.task(parent);
    w.tables.children.get(&(row.namespace, parent, row.run)).map_or(&[], Vec::as_slice)
}

/// A parent that runs with an agent that takes nothing else.
fn parent(w: &mut World) -> TaskId {
    parent_with(w, |_| {})
}

fn parent_with(w: &mut World, change: impl FnOnce(&mut NewTask)) -> TaskId {
    w.attach_with("manager", profile_for(&["parent"], 1));
    w.run_task(task_with("parent", change))
}

fn with_dependency(source: TaskId) -> NewTask {
    task_with("child", |new| new.dependencies = vec![NewDependency::on(source, OnFailure::Skip)])
}

fn detached(name: &str) -> NewChild {
    NewChild { on_parent_end: OnParentEnd::Detach, ..new_child(name, 0, task("child")) }
}

#[test]
fn a_child_knows_its_parent_and_the_parent_tells_of_it() {
    in_every_mode(|mut w| {
        w.attach_with("manager", profile_for(&["parent"], 1));
        let id = w.start(task("parent"));
        let receipt = child(&mut w, id, "search", 2);
        assert_eq!((receipt.existing, receipt.state), (false, StateName::Ready));
        assert_eq!(w.history(id), "created assigned started child_created", "it implies acceptance");
        let link = w.task(receipt.task).parent().expect("it is a child").clone();
        assert_eq!((link.task, link.run, &*link.key.name, link.key.occurrence, link.depth), (id, 1, "search", 2, 1));
        let other = child(&mut w, id, "search", 3);
        let listed: Vec<_> = children(&w, id).iter().map(|child| (child.ordinal, child.child)).collect();
        assert_eq!(listed, [(1, receipt.task), (2, other.task)]);
    });
}

#[test]
fn the_same_key_gives_the_same_child_whatever_else_is_asked_for() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let first = child(&mut w, id, "search", 0);
        let before = w.tables.clone();
        let fence = w.fence(id);
        let otherwise = task_with("child", |new| new.spec.description = "other".into());
        let again = try_child(&mut w, fence, new_child("search", 0, otherwise)).unwrap();
        assert_eq!((again.task, again.existing), (first.task, true));
        assert!(w.tables == before, "nothing is created, nothing is changed");
        assert_eq!(refused(&mut w, id, new_child("search", 0, task("other"))), Reason::ChildExists);
        assert_ne!(child(&mut w, id, "search", 1).task, first.task);
    });
}

#[test]
fn a_later_attempt_gets_the_child_as_it_is_then() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let first = child(&mut w, id, "search", 0);
        w.complete(first.task);
        w.report(id, failed("Flaky")).unwrap();
        assert_eq!(w.state(first.task), StateName::Completed, "an attempt that is retried ends nothing");
        w.pass_delay(id);
        assert_eq!(w.task(id).attempt, 2);
        let again = child(&mut w, id, "search", 0);
        assert_eq!((again.task, again.existing, again.state), (first.task, true, StateName::Completed));
    });
}

#[test]
fn a_new_run_has_none() {
    in_every_mode(|mut w| {
        let id = parent_with(&mut w, |new| new.spec.retry_policy.max_attempts = 1);
        let first = child(&mut w, id, "search", 0);
        w.report(id, failed("Broken")).unwrap();
        w.run(Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        let second = child(&mut w, id, "search", 0);
        assert!(!second.existing && second.task != first.task);
        assert_eq!(w.task(second.task).parent().map(|link| link.run), Some(2));
        assert_eq!(children(&w, id).len(), 1);
    });
}

#[test]
fn whoever_has_not_the_lease_creates_nothing() {
    in_every_mode(|mut w| {
        let old = w.attach_with("manager", profile_for(&["parent"], 1));
        let id = w.run_task(task("parent"));
        let fence = w.fence(id);
        let new = || new_child("search", 0, task("child"));
        let wrong = Fence { token: callboard_core::model::LeaseToken(1), ..fence };
        assert_eq!(w.refused(create(wrong, new())), Reason::WrongLeaseToken);
        let another = Envelope { principal: "another".into(), ..envelope(create(fence, new())) };
        assert_eq!(w.refused_as(another), Reason::NotYourLease);
        w.end_session(&old);
        assert_eq!(w.refused(create(fence, new())), Reason::StaleAttempt);
        assert_eq!(children(&w, id), []);
    });
}

#[test]
fn a_claimer_has_children_too() {
    in_every_mode(|mut w| {
        let id = w.create(task("parent"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        let receipt = try_child(&mut w, fence, new_child("search", 0, task("child"))).unwrap();
        assert_eq!(w.task(receipt.task).parent().map(|link| link.task), Some(id));
    });
}

#[test]
fn the_end_of_a_run_cancels_what_lives_and_leaves_what_is_detached() {
    let ends: [fn(&mut World, TaskId); 3] = [
        |w, id| {
            w.report(id, completed("done")).unwrap();
        },
        |w, id| {
            let broken = callboard_core::model::Failure { retryable: false, ..failure("Broken") };
            w.report(id, failed_with(broken)).unwrap();
        },
        |w, id| {
            w.cancel(id);
            w.report(id, completed("late")).unwrap();
        },
    ];
    for end in ends {
        in_every_mode(|mut w| {
            let id = parent(&mut w);
            let (ready, done) = (child(&mut w, id, "ready", 0).task, child(&mut w, id, "done", 0).task);
            let running = child(&mut w, id, "running", 0).task;
            let fence = w.fence(id);
            let free = try_child(&mut w, fence, detached("free")).unwrap().task;
            w.complete(done);
            for other in [ready, free] {
                w.run(Command::HoldTask { task: other, reason: String::new() }).unwrap();
            }
            w.attach_with("worker", profile_for(&["child"], 1));
            w.report(running, callboard_core::command::Report::Accepted).unwrap();
            w.take_effects();
            end(&mut w, id);
            assert_eq!(w.state(ready), StateName::Cancelled);
            assert_eq!(w.state(done), StateName::Completed);
            assert_eq!(w.state(free), StateName::Waiting);
            assert_eq!(w.history(running), "created assigned started cancel_requested");
            let told = w.take_effects().into_iter().filter(|effect| {
                matches!(effect, Effect::Stop { fence, reason: StopReason::Requested, message, .. }
                    if fence.task == running && message == "its parent ended")
            });
            assert_eq!(told.count(), 1, "its agent is told");
            assert!(!w.task(id).releasing);
        });
    }
}

#[test]
fn children_of_children_end_with_them() {
    in_every_mode(|mut w| {
        w.attach_with("manager", profile_for(&["parent"], 1));
        let top = w.run_task(task("parent"));
        let middle = child(&mut w, top, "middle", 0).task;
        w.attach_with("worker", profile_for(&["child"], 1));
        let bottom = child(&mut w, middle, "bottom", 0).task;
        assert_eq!(w.task(bottom).parent().map(|link| link.depth), Some(2));
        let behind = w.create(after(&[bottom]));
        w.report(top, completed("done")).unwrap();
        assert_eq!(w.state(bottom), StateName::Ready, "its parent has time to stop");
        w.report(middle, completed("late")).unwrap();
        assert_eq!((w.state(middle), w.state(bottom)), (StateName::Cancelled, StateName::Cancelled));
        assert_eq!(w.state(behind), StateName::Skipped);
    });
}

#[test]
fn very_many_children_are_cancelled_in_bounded_steps() {
    in_every_mode(|mut w| {
        w.settings.release_step = 10;
        let id = parent(&mut w);
        let all: Vec<TaskId> = (0..25).map(|n| child(&mut w, id, "many", n).task).collect();
        let dependents: Vec<TaskId> = (0..4).map(|_| w.create(after(&[id]))).collect();
        w.attach_with("worker", profile_for(&["child"], 5));
        let begun: Vec<TaskId> = all.iter().copied().filter(|id| w.has(*id).is_some()).collect();
        for id in &begun {
            w.report(*id, callboard_core::command::Report::Accepted).unwrap();
        }
        w.report(id, completed("done")).unwrap();
        let told = |w: &World| all.iter().filter(|id| w.history(**id).contains("cancel")).count();
        // Four dependents and six children.
        assert_eq!((told(&w), w.task(id).releasing), (6, true));
        assert!(dependents.iter().all(|id| w.state(*id) == StateName::Ready));
        assert_eq!(w.refused(Command::RetryTask { task: id }), Reason::TaskState);
        for expected in [16, 25] {
            w.run(Command::Wake { task: id }).unwrap();
            assert_eq!(told(&w), expected);
        }
        assert!(!w.task(id).releasing);
        let requests = |id: &TaskId| w.history(*id).matches("cancel_requested").count();
        assert!(begun.iter().all(|id| requests(id) == 1), "each is told once");
    });
}

#[test]
fn a_run_has_so_many_children_and_no_more() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        for n in 0..MAX_CHILDREN {
            child(&mut w, id, "many", n);
        }
        assert_eq!(refused(&mut w, id, new_child("many", MAX_CHILDREN, task("child"))), Reason::LimitReached);
        assert!(child(&mut w, id, "many", 0).existing);
    });
}

#[test]
fn children_stand_so_deep_and_no_deeper() {
    in_every_mode(|mut w| {
        w.attach("worker", 100);
        let mut id = w.start(task("parent"));
        for depth in 1..=MAX_CHILD_DEPTH {
            id = child(&mut w, id, "deeper", 0).task;
            assert_eq!(w.task(id).parent().map(|link| link.depth), Some(depth));
            w.dispatch();
        }
        assert_eq!(refused(&mut w, id, new_child("deeper", 0, task("child"))), Reason::LimitReached);
    });
}

#[test]
fn headers_are_inherited_but_for_those_that_the_child_names() {
    in_every_mode(|mut w| {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let id = parent_with(&mut w, |new| new.spec.headers = pairs(&[("trace", "1"), ("user", "ann")]));
        let fence = w.fence(id);
        let own = task_with("child", |new| new.spec.headers = pairs(&[("trace", "2"), ("more", "x")]));
        let receipt = try_child(&mut w, fence, new_child("search", 0, own)).unwrap();
        let expected = pairs(&[("more", "x"), ("trace", "2"), ("user", "ann")]);
        assert_eq!(w.task(receipt.task).spec.headers, expected);
        let many = task_with("child", |new| new.spec.headers = (0..31).map(|n| (n.to_string(), "x".into())).collect());
        assert_eq!(refused(&mut w, id, new_child("many", 0, many)), Reason::InvalidField);
    });
}

#[test]
fn a_child_waits_for_no_ancestor() {
    in_every_mode(|mut w| {
        w.attach("worker", 10);
        let top = w.start(task("parent"));
        let middle = child(&mut w, top, "middle", 0).task;
        w.dispatch();
        for ancestor in [top, middle] {
            let new = new_child("bottom", 0, with_dependency(ancestor));
            assert_eq!(refused(&mut w, middle, new), Reason::InvalidField);
        }
        let sibling = child(&mut w, middle, "first", 0).task;
        let fence = w.fence(middle);
        let second = try_child(&mut w, fence, new_child("second", 0, with_dependency(sibling))).unwrap();
        assert_eq!(second.state, StateName::Waiting);
    });
}

/// A chain of tasks, each of which waits for the one before it; the last.
fn chain(w: &mut World, first: TaskId, length: usize) -> TaskId {
    (0..length).fold(first, |last, _| w.create(after(&[last])))
}

#[test]
fn a_child_does_not_wait_for_an_ancestor_by_others_either() {
    in_every_mode(|mut w| {
        w.attach_with("manager", profile_for(&["parent", "child"], 10));
        let top = w.start(task("parent"));
        let middle = child(&mut w, top, "middle", 0).task;
        w.dispatch();
        for ancestor in [top, middle] {
            let far = chain(&mut w, ancestor, 16);
            let before = w.tables.clone();
            assert_eq!(refused(&mut w, middle, new_child("bottom", 0, with_dependency(far))), Reason::InvalidField);
            assert!(w.tables == before);
        }
        let other = w.create(task("other"));
        let free = chain(&mut w, other, 3);
        let fence = w.fence(middle);
        let waits = try_child(&mut w, fence, new_child("bottom", 0, with_dependency(free))).unwrap();
        assert_eq!(waits.state, StateName::Waiting, "others may be waited for");
    });
}

/// The fault names the one that leads back.
#[test]
fn a_child_is_told_which_of_its_dependencies_waits_for_its_parent() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let (free, far) = (w.create(task("other")), chain(&mut w, id, 2));
        let new = task_with("child", |new| {
            new.dependencies = [free, far].map(|id| NewDependency::on(id, OnFailure::Skip)).to_vec()
        });
        let fence = w.fence(id);
        let fault = try_child(&mut w, fence, new_child("bottom", 0, new)).unwrap_err();
        assert!(fault.message.contains("tasks[0].dependencies[1].task_id"), "{}", fault.message);
    });
}

/// Where it stops looking, the parent's own time ends what can't go on.
#[test]
fn what_is_too_far_away_is_not_looked_at() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let far = chain(&mut w, id, 17);
        let fence = w.fence(id);
        assert!(try_child(&mut w, fence, new_child("bottom", 0, with_dependency(far))).is_ok());
        let mut sources: Vec<TaskId> = (1..MAX_DEPENDENCIES).map(|_| w.create(task("other"))).collect();
        sources.push(id);
        let many = w.create(after(&sources));
        assert_eq!(refused(&mut w, id, new_child("many", 0, with_dependency(many))), Reason::InvalidField);
        let behind = w.create(after(&[many]));
        assert!(try_child(&mut w, fence, new_child("behind", 0, with_dependency(behind))).is_ok());
    });
}

/// One that has a live task's key is that task, which is waited for instead.
#[test]
fn a_child_is_no_task_that_waits_for_its_parent() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let keyed = |sources: &[TaskId]| {
            task_with("child", |new| {
                new.spec.key = Some("report".into());
                new.dependencies = sources.iter().map(|id| NewDependency::on(*id, OnFailure::Skip)).collect();
            })
        };
        w.create(keyed(&[id]));
        assert_eq!(refused(&mut w, id, new_child("search", 0, keyed(&[]))), Reason::KeyExists);
        let replacing = NewTask { on_key_conflict: KeyConflict::Replace, ..keyed(&[]) };
        let fence = w.fence(id);
        assert!(try_child(&mut w, fence, new_child("search", 0, replacing)).is_ok(), "it waits for nothing");
    });
}

#[test]
fn a_child_that_another_has_the_key_of_is_that_one_and_does_not_end_with_the_run() {
    in_every_mode(|mut w| {
        let keyed = |task_type| task_with(task_type, |new| new.spec.key = Some("report".into()));
        let others = w.create(keyed("child"));
        let id = parent(&mut w);
        assert_eq!(refused(&mut w, id, new_child("search", 0, keyed("other"))), Reason::ChildExists);
        let fence = w.fence(id);
        let receipt = try_child(&mut w, fence, new_child("search", 0, keyed("child"))).unwrap();
        assert_eq!((receipt.task, receipt.existing), (others, true));
        w.report(id, completed("done")).unwrap();
        assert_eq!(w.state(others), StateName::Ready);
    });
}

/// It would end, or wait for, the very handler that asks.
#[test]
fn a_child_does_not_take_the_key_of_an_ancestor() {
    in_every_mode(|mut w| {
        let id = parent_with(&mut w, |new| new.spec.key = Some("report".into()));
        for policy in [KeyConflict::UseExisting, KeyConflict::Fail, KeyConflict::Replace] {
            let keyed = task_with("parent", |new| {
                new.spec.key = Some("report".into());
                new.on_key_conflict = policy;
            });
            assert_eq!(refused(&mut w, id, new_child("search", 0, keyed)), Reason::KeyExists);
        }
    });
}

#[test]
fn a_child_is_heard() {
    in_every_mode(|mut w| {
        let id = parent_with(&mut w, |new| new.spec.timeouts.heartbeat = Some(Span::seconds(10)));
        w.pass(Span::seconds(8));
        child(&mut w, id, "search", 0);
        w.pass(Span::seconds(8));
        assert_eq!(w.state(id), StateName::Running);
    });
}

#[test]
fn created_and_ended_in_one_batch() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let (fence, reporter) = (w.fence(id), w.holder(id));
        let end = Command::Report { fence, reporter, report: completed("done") };
        let create = |name| envelope(create(fence, new_child(name, 0, task("child"))));
        let results = w.run_batch(&[create("one"), create("two"), create("one"), envelope(end), create("three")]);
        let receipts: Vec<_> = results[..3].iter().map(|result| receipt(result.as_ref().unwrap())).collect();
        assert_eq!((receipts[0].task, receipts[2].existing), (receipts[2].task, true));
        assert_eq!(results[4].as_ref().unwrap_err().reason, Reason::StaleAttempt);
        for receipt in receipts {
            assert_eq!(w.state(receipt.task), StateName::Cancelled);
        }
    });
}

/// A version that knows no children forgets them though their parent lives.
#[test]
fn a_child_that_was_forgotten_is_not_created_again() {
    in_every_mode(|mut w| {
        let id = parent(&mut w);
        let gone = child(&mut w, id, "search", 0).task;
        w.finish(gone, DirectReport::Completed(Arc::new(Payload::text("found"))));
        w.tables.tasks.remove(&gone);
        assert_eq!(refused(&mut w, id, new_child("search", 0, task("child"))), Reason::TaskNotFound);
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed));
    });
}

/// The end of the one takes the other with it, which is to be lost next.
#[test]
fn an_agent_that_is_lost_may_have_had_parent_and_child() {
    in_every_mode(|mut w| {
        let agent = w.attach("worker", 2);
        let id = w.run_task(task_with("parent", |new| new.spec.retry_policy.max_attempts = 1));
        let child = child(&mut w, id, "search", 0).task;
        w.dispatch();
        w.end_session(&agent);
        assert_eq!((w.state(id), w.state(child)), (StateName::Failed, StateName::Cancelled));
    });
}
