//! Workflows that grow while they run.

use crate::support::flows::*;
use crate::support::make::task;
use crate::support::{World, envelope, in_every_mode};
use callboard_core::limits::MAX_WORKFLOW_TASKS;
use callboard_core::model::{AddedTasks, Condition, NewDependency, OnFailure, StateName, WorkflowId, WorkflowState};
use callboard_core::{Command, Reason, Reply};
use std::collections::BTreeMap;

fn refused(w: &mut World, created: &Created, added: AddedTasks) -> Reason {
    w.refused(Command::AddWorkflowTasks { workflow: created.id, added: Box::new(added) })
}

#[test]
fn added_tasks_stand_behind_all_that_there_are_and_the_workflow_ends_with_them() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[])]));
        let [a, b] = created.tasks[..] else { panic!("two tasks") };
        w.complete(a);
        let more =
            added(&[("last", &[("next", COMPLETED)]), ("next", &[("a", COMPLETED), ("b", COMPLETED)]), ("free", &[])]);
        let [last, next, free] = add(&mut w, &created, more).unwrap()[..] else { panic!("three tasks") };
        let ordinals: Vec<_> = w.tables.workflow_tasks.values().map(|row| (row.ordinal, row.task)).collect();
        assert_eq!(ordinals, [(0, a), (1, b), (2, next), (3, last), (4, free)]);
        assert_eq!((w.waiting(next).unmet, w.state(free)), (1, StateName::Ready));
        let link = w.task(next).spec.workflow.clone().unwrap();
        assert_eq!((link.workflow, link.name.as_deref()), (created.id, Some("next")));
        assert_eq!((row(&w, &created).tally.tasks, row(&w, &created).tally.progress()), (5, 0.2));
        for id in [free, b, next] {
            w.complete(id);
            assert_eq!(row(&w, &created).ended_at, None);
        }
        w.complete(last);
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.tally.completed), (WorkflowState::Completed, 5));
        assert_eq!(refused(&mut w, &created, added(&[("late", &[])])), Reason::WorkflowState);
    });
}

#[test]
fn what_an_added_task_waits_for_is_in_the_order_in_which_it_said_so() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[])]));
        let mut more = added(&[
            ("c", &[]),
            ("d", &[]),
            ("all", &[("d", COMPLETED), ("b", COMPLETED), ("c", COMPLETED), ("a", COMPLETED)]),
        ]);
        let by_id = w.create(task("by-id"));
        more.tasks[2].task.dependencies = vec![NewDependency::on(by_id, OnFailure::Skip)];
        let all = add(&mut w, &created, more).unwrap()[2];
        let mut edges: Vec<_> = w.tables.edges.values().filter(|edge| edge.target == all).collect();
        edges.sort_by_key(|edge| edge.ordinal);
        let names: Vec<_> = edges.iter().map(|edge| edge.terms.name.as_deref().unwrap_or("by id")).collect();
        assert_eq!(names, ["by id", "d", "b", "c", "a"]);
    });
}

#[test]
fn what_has_ended_is_looked_at_as_in_a_new_plan() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("broken", &[]), ("b", &[])]));
        w.fail(created.tasks[0]);
        let more = added(&[
            ("skipped", &[("broken", COMPLETED)]),
            ("undo", &[("broken", Condition::Failed)]),
            ("behind", &[("skipped", COMPLETED)]),
        ]);
        let added = add(&mut w, &created, more).unwrap();
        let states: Vec<_> = added.iter().map(|id| w.state(*id)).collect();
        assert_eq!(states, [StateName::Skipped, StateName::Ready, StateName::Skipped]);
        let tally = row(&w, &created).tally;
        assert_eq!((tally.tasks, tally.open(), tally.skipped), (5, 2, 2));
        // A retry finds the order in which each stands behind what it waits for.
        w.complete(created.tasks[1]);
        w.complete(added[1]);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        walk_to_the_end(&mut w, &created);
        let states: Vec<_> = added.iter().map(|id| w.state(*id)).collect();
        assert_eq!(states, [StateName::Waiting, StateName::Completed, StateName::Waiting]);
    });
}

#[test]
fn every_fault_that_rows_tell_is_told_at_once_and_nothing_is_added_by_halves() {
    in_every_mode(|mut w| {
        let mut new = workflow(&[("a", &[]), ("b", &[])]);
        new.spec.headers = (0..20).map(|n| (format!("h{n}"), "v".to_owned())).collect();
        let created = create(&mut w, new);
        let mut more = added(&[
            ("a", &[]),
            ("c", &[("nobody", COMPLETED), ("b", COMPLETED)]),
            ("d", &[("c", COMPLETED), ("no-one", COMPLETED)]),
        ]);
        more.tasks[1].task.dependencies = vec![NewDependency::on(created.tasks[1], OnFailure::Skip)];
        more.tasks[2].task.spec.headers = (0..20).map(|n| (format!("own{n}"), "v".to_owned())).collect();
        let before = w.tables.clone();
        let rejection = add(&mut w, &created, more).unwrap_err();
        assert!(w.tables == before);
        assert_eq!(rejection.reason, Reason::InvalidField);
        let fields: Vec<_> = rejection.fields.iter().map(|fault| &*fault.field).collect();
        let expected = [
            "tasks[0].name",
            "tasks[1].depends_on[0].task",
            "tasks[1].depends_on[1].task",
            "tasks[2].depends_on[1].task",
            "tasks[2].task.headers",
        ];
        assert_eq!(fields, expected);
    });
}

#[test]
fn a_name_that_another_command_of_the_batch_took_is_taken() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[])]));
        let command =
            |tasks| envelope(Command::AddWorkflowTasks { workflow: created.id, added: Box::new(added(tasks)) });
        let results = w.run_batch(&[
            command(&[("b", &[("a", COMPLETED)])]),
            command(&[("b", &[])]),
            command(&[("c", &[("b", COMPLETED)])]),
        ]);
        let taken: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|error| error.reason)).collect();
        assert_eq!(taken, [None, Some(Reason::InvalidField), None]);
        let names: Vec<_> = w.tables.workflow_tasks.values().filter_map(|row| row.name.as_deref()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    });
}

#[test]
fn headers_of_the_workflow_go_to_added_tasks_too() {
    in_every_mode(|mut w| {
        let mut new = workflow(&[("a", &[])]);
        new.spec.headers = [("trace".to_owned(), "1".to_owned()), ("user".to_owned(), "ann".to_owned())].into();
        let created = create(&mut w, new);
        let mut more = added(&[("b", &[])]);
        more.tasks[0].task.spec.headers = [("trace".to_owned(), "2".to_owned())].into();
        let added = add(&mut w, &created, more).unwrap();
        let expected = BTreeMap::from([("trace".to_owned(), "2".to_owned()), ("user".to_owned(), "ann".to_owned())]);
        assert_eq!(w.task(added[0]).spec.headers, expected);
    });
}

#[test]
fn a_workflow_grows_only_while_it_runs_and_not_without_bound() {
    in_every_mode(|mut w| {
        let nobody = Created { id: WorkflowId(uuid::Uuid::from_u128(7)), tasks: Vec::new() };
        assert_eq!(refused(&mut w, &nobody, added(&[("b", &[])])), Reason::WorkflowNotFound);
        let created = create(&mut w, workflow(&[("a", &[])]));
        w.all_current = false;
        assert_eq!(refused(&mut w, &created, added(&[("b", &[])])), Reason::UpgradeUnfinished);
        w.all_current = true;
        w.attach("worker", 1);
        w.dispatch();
        w.report(created.tasks[0], callboard_core::command::Report::Accepted).unwrap();
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        assert_eq!(refused(&mut w, &created, added(&[("b", &[])])), Reason::WorkflowState);

        let large = create(&mut w, workflow(&[("a", &[])]));
        let row = w.tables.workflows.values_mut().find(|row| row.id == large.id).unwrap();
        row.tally.tasks = MAX_WORKFLOW_TASKS - 1;
        row.tally.completed = MAX_WORKFLOW_TASKS - 2;
        w.start_anew();
        assert_eq!(refused(&mut w, &large, added(&[("b", &[]), ("c", &[])])), Reason::LimitReached);
        assert_eq!(add(&mut w, &large, added(&[("b", &[])])).unwrap().len(), 1);
    });
}

#[test]
fn a_workflow_that_is_being_retried_grows() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[])]));
        w.fail(created.tasks[0]);
        w.fail(created.tasks[1]);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        assert!(row(&w, &created).walk.is_some(), "the second has not been reached");
        let added = add(&mut w, &created, added(&[("c", &[("a", COMPLETED), ("b", COMPLETED)])])).unwrap();
        assert_eq!(w.state(added[0]), StateName::Skipped, "one of those that it waits for has failed, so far");
        walk_to_the_end(&mut w, &created);
        assert_eq!((w.state(added[0]), w.waiting(added[0]).unmet), (StateName::Waiting, 2));
    });
}

#[test]
fn the_same_request_adds_once() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[])]));
        let command = || Command::AddWorkflowTasks { workflow: created.id, added: Box::new(added(&[("b", &[])])) };
        let asked = crate::support::with_request(command(), "once", 1);
        let first = w.run_as(asked.clone()).unwrap();
        let again = w.run_as(asked).unwrap();
        assert!(again.replayed);
        let (Reply::Tasks(first), Reply::Tasks(again)) = (first.reply, again.reply) else { panic!("receipts") };
        assert_eq!(first[0].task, again[0].task);
        assert_eq!(row(&w, &created).tally.tasks, 2);
    });
}
