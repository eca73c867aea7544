//! How a dependency must end: conditions, and what becomes of a dependent when one does not hold.

use crate::support::{World, envelope, in_every_mode, make::*};
use callboard_core::command::DirectReport;
use callboard_core::limits::{MAX_CONDITION_RESULT, MAX_RESULT_CONDITIONS};
use callboard_core::model::{
    Condition, Content, JsonText, NewDependency, NewTask, OnFailure, OnParentEnd, Payload, ResultCondition, StateName,
    TaskId, Terms, Test,
};
use callboard_core::{Command, Reason, Reply};
use std::sync::Arc;

/// A task that waits for another to end so.
fn when(source: TaskId, condition: Condition) -> NewTask {
    let terms = Terms { condition, on_failure: OnFailure::Fail, name: None };
    task_with("work", |new| new.dependencies = vec![NewDependency { source, terms }])
}

fn score(test: Test) -> Condition {
    Condition::Result(Arc::new(ResultCondition { pointer: "/score".into(), test }))
}

fn number(text: &str) -> JsonText {
    JsonText::try_from(text.to_owned()).unwrap()
}

fn gave(w: &mut World, task: TaskId, json: &str) {
    let result =
        Payload { content_type: "application/json".into(), content: Content::Text(json.into()), ..Payload::default() };
    w.finish(task, DirectReport::Completed(Arc::new(result)));
}

/// Brings a task to this end.
fn end(w: &mut World, task: TaskId, state: StateName) {
    match state {
        StateName::Completed => w.complete(task),
        StateName::Failed => w.fail(task),
        StateName::Cancelled => w.cancel(task),
        _ => panic!("a task is not brought to {state:?}"),
    }
}

const ENDS: [StateName; 3] = [StateName::Completed, StateName::Failed, StateName::Cancelled];

#[test]
fn a_dependent_goes_on_by_the_end_that_it_asks_for() {
    let table = [
        (Condition::Completed, [true, false, false]),
        (Condition::Failed, [false, true, false]),
        (Condition::NotCompleted, [false, true, true]),
        (Condition::Ended, [true, true, true]),
    ];
    for (condition, goes_on) in table {
        for (ended, goes_on) in ENDS.into_iter().zip(goes_on) {
            let expected = if goes_on { StateName::Ready } else { StateName::Failed };
            in_every_mode(|mut w| {
                let source = w.create(task("source"));
                let target = w.create(when(source, condition.clone()));
                end(&mut w, source, ended);
                assert_eq!(w.state(target), expected, "{condition:?} of {ended:?}");
                // The same of a source that has ended before.
                let late = w.create(when(source, condition.clone()));
                assert_eq!(w.state(late), expected, "{condition:?} of {ended:?}, afterwards");
            });
        }
    }
}

#[test]
fn a_skipped_dependency_has_not_failed() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let skipped = w.create(after(&[source]));
        let fallback = w.create(when(skipped, Condition::Failed));
        let undo = w.create(when(skipped, Condition::NotCompleted));
        w.fail(source);
        assert_eq!(w.state(skipped), StateName::Skipped);
        assert_eq!((w.state(fallback), w.state(undo)), (StateName::Failed, StateName::Ready));
        assert_eq!(w.failure(fallback), "callboard.dependency_failed");
    });
}

#[test]
fn a_condition_looks_into_the_result() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let good = w.create(when(source, score(Test::GreaterOrEqual(number("0.8")))));
        let poor = w.create(when(source, score(Test::Less(number("0.8")))));
        let any = w.create(when(source, Condition::Completed));
        gave(&mut w, source, r#"{"score": 0.9}"#);
        assert_eq!(w.state(good), StateName::Ready);
        assert_eq!((w.state(poor), w.state(any)), (StateName::Failed, StateName::Ready));
        // Read from the store, for what is created later.
        let late = w.create(when(source, score(Test::Equal(number("0.90")))));
        assert_eq!(w.state(late), StateName::Ready);
        let late = w.create(when(source, score(Test::NotExists)));
        assert_eq!(w.state(late), StateName::Failed);
    });
}

#[test]
fn a_result_that_is_too_large_has_no_value_and_a_failed_task_has_none() {
    in_every_mode(|mut w| {
        let (large, failed) = (w.create(task("source")), w.create(task("source")));
        let waiting = w.create(when(large, score(Test::NotExists)));
        let text = format!(r#"{{"score": 1, "rest": "{}"}}"#, "x".repeat(MAX_CONDITION_RESULT));
        gave(&mut w, large, &text);
        assert_eq!(w.state(waiting), StateName::Ready);
        let late = w.create(when(large, score(Test::Exists)));
        assert_eq!(w.state(late), StateName::Failed);
        w.fail(failed);
        let late = w.create(when(failed, score(Test::NotExists)));
        assert_eq!(w.state(late), StateName::Failed, "it did not complete");
    });
}

#[test]
fn all_conditions_must_hold_and_the_first_that_does_not_ends_the_dependent() {
    in_every_mode(|mut w| {
        let sources = [w.create(task("a")), w.create(task("b"))];
        let asked = [Condition::Completed, Condition::NotCompleted];
        let new = || {
            task_with("work", |new| {
                let dependency = |(source, condition): (&TaskId, &Condition)| {
                    let terms = Terms { condition: condition.clone(), ..Terms::default() };
                    NewDependency { source: *source, terms }
                };
                new.dependencies = sources.iter().zip(&asked).map(dependency).collect();
            })
        };
        let target = w.create(new());
        w.complete(sources[0]);
        assert_eq!(w.waiting(target).unmet, 1);
        w.complete(sources[1]);
        assert_eq!(w.state(target), StateName::Skipped);
        assert_eq!(w.history(target), "created dependency_met skipped");
    });
}

#[test]
fn a_retry_asks_for_the_condition_again() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let fallback = w.create(when(source, Condition::Failed));
        let next = w.create(when(source, Condition::Completed));
        w.fail(source);
        assert_eq!((w.state(fallback), w.state(next)), (StateName::Ready, StateName::Failed));
        w.fail(fallback);
        w.run(Command::RetryTask { task: fallback }).unwrap();
        assert_eq!(w.state(fallback), StateName::Ready, "its dependency is still as it must be");
        assert_eq!(w.refused(Command::RetryTask { task: next }), Reason::TaskState, "its dependency is not");
        w.run(Command::RetryTask { task: source }).unwrap();
        w.run(Command::RetryTask { task: next }).unwrap();
        assert_eq!(w.waiting(next).unmet, 1);
        w.complete(source);
        assert_eq!(w.state(next), StateName::Ready);
        w.fail(fallback);
        assert_eq!(w.refused(Command::RetryTask { task: fallback }), Reason::TaskState);
    });
}

#[test]
fn a_handed_on_cascade_keeps_its_conditions() {
    in_every_mode(|mut w| {
        w.settings.release_step = 2;
        let source = w.create(task("source"));
        let condition = |n: usize| if n.is_multiple_of(2) { score(Test::Exists) } else { score(Test::NotExists) };
        let targets: Vec<TaskId> = (0..9).map(|n| w.create(when(source, condition(n)))).collect();
        gave(&mut w, source, r#"{"score": null}"#);
        w.wake_due();
        for (n, target) in targets.into_iter().enumerate() {
            let expected = if n.is_multiple_of(2) { StateName::Ready } else { StateName::Failed };
            assert_eq!(w.state(target), expected, "dependent {n}");
        }
    });
}

#[test]
fn what_another_replica_would_not_understand_is_refused() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let source = w.create(task("source"));
        let parent = w.start(task("parent"));
        w.all_current = false;
        let tasks = vec![when(source, Condition::Ended)];
        assert_eq!(w.refused(Command::CreateTasks { tasks }), Reason::UpgradeUnfinished);
        let mut child = new_child("clean up", 0, when(source, Condition::Ended));
        child.on_parent_end = OnParentEnd::Detach;
        let command = Command::CreateChild { fence: w.fence(parent), child: Box::new(child) };
        assert_eq!(w.refused(command), Reason::UpgradeUnfinished);
        w.create(when(source, Condition::Completed));
        w.all_current = true;
        w.create(when(source, Condition::Ended));
    });
}

#[test]
fn a_command_reads_so_many_results_and_no_more() {
    in_every_mode(|mut w| {
        let source = w.create(task("source"));
        let tasks = |count| vec![when(source, score(Test::Exists)); count];
        w.run(Command::CreateTasks { tasks: tasks(MAX_RESULT_CONDITIONS) }).unwrap();
        let refused = w.refused(Command::CreateTasks { tasks: tasks(MAX_RESULT_CONDITIONS + 1) });
        assert_eq!(refused, Reason::InvalidField);
    });
}

#[test]
fn a_batch_that_looks_at_more_results_than_are_kept_decides_all() {
    in_every_mode(|mut w| {
        let tasks = |from: &[TaskId]| {
            let conditions = from.iter().map(|source| when(*source, score(Test::Exists)));
            Command::CreateTasks { tasks: conditions.collect() }
        };
        let sources: Vec<TaskId> = (0..2_500)
            .map(|_| {
                let source = w.create(task("source"));
                gave(&mut w, source, r#"{"score": 1}"#);
                source
            })
            .collect();
        // The third asks for some that the first did, of which not all may be here any more.
        let asked = [&sources[..1_000], &sources[1_000..2_000], &sources[500..1_500], &sources[1_500..]];
        let commands: Vec<_> = asked.iter().map(|from| envelope(tasks(from))).collect();
        for outcome in w.run_batch(&commands) {
            let Reply::Tasks(receipts) = outcome.unwrap().reply else { panic!("tasks are answered by receipts") };
            assert!(receipts.iter().all(|receipt| receipt.state == StateName::Ready));
        }
    });
}
