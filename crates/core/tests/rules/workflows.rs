//! Workflows: their tasks are created together, and their ends are theirs.

use crate::support::flows::*;
use crate::support::{World, in_every_mode, make::*};
use callboard_core::model::{Condition, OnFailure, StateName, TaskId, WorkflowId, WorkflowState};
use callboard_core::{Command, Effect, Reason, Reply};
use std::collections::BTreeMap;

#[test]
fn tasks_are_created_together_and_wait_for_each_other_by_name() {
    in_every_mode(|mut w| {
        // The last in the request is the first to run.
        let new = workflow(&[("publish", &[("draft", COMPLETED), ("logo", COMPLETED)]), ("logo", &[]), ("draft", &[])]);
        let created = create(&mut w, new);
        let [publish, logo, draft] = created.tasks[..] else { panic!("three tasks") };
        assert_eq!(w.state(publish), StateName::Waiting);
        let edges: BTreeMap<_, _> =
            w.tables.edges.values().map(|edge| (edge.source, edge.terms.name.clone().unwrap().to_string())).collect();
        assert_eq!(edges, BTreeMap::from([(draft, "draft".to_owned()), (logo, "logo".to_owned())]));
        let link = w.task(draft).spec.workflow.clone().unwrap();
        assert_eq!((link.workflow, link.name.as_deref()), (created.id, Some("draft")));
        let ordinals: Vec<_> = w.tables.workflow_tasks.values().map(|row| (row.ordinal, row.task)).collect();
        assert_eq!(ordinals, [(0, logo), (1, draft), (2, publish)]);
        for (id, open) in [(draft, 2), (logo, 1)] {
            w.complete(id);
            assert_eq!(row(&w, &created).tally.open(), open);
        }
        w.take_effects();
        w.complete(publish);
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.ended_at), (WorkflowState::Completed, Some(w.now)));
        let told = |effect: &Effect| matches!(effect, Effect::WorkflowEnded { workflow } if workflow.id == created.id);
        assert_eq!(w.take_effects().iter().filter(|effect| told(effect)).count(), 1);
    });
}

#[test]
fn a_failure_fails_the_workflow_unless_it_may_fail() {
    for (allow_failure, expected) in [(false, WorkflowState::Failed), (true, WorkflowState::Completed)] {
        in_every_mode(|mut w| {
            let mut new = workflow(&[
                ("primary", &[]),
                ("fallback", &[("primary", Condition::Failed)]),
                ("polish", &[("primary", COMPLETED)]),
            ]);
            new.tasks[0].allow_failure = allow_failure;
            let created = create(&mut w, new);
            w.fail(created.tasks[0]);
            assert_eq!(w.state(created.tasks[2]), StateName::Skipped);
            assert_eq!(row(&w, &created).state(), WorkflowState::Running);
            w.complete(created.tasks[1]);
            let tally = row(&w, &created).tally;
            assert_eq!((tally.completed, tally.failed, tally.skipped), (1, 1, 1));
            assert_eq!(row(&w, &created).state(), expected);
        });
    }
}

#[test]
fn what_waits_in_vain_from_the_beginning_ends_with_its_creation() {
    in_every_mode(|mut w| {
        let broken = w.create(task("source"));
        w.fail(broken);
        let mut new = workflow(&[("a", &[]), ("b", &[("a", COMPLETED)])]);
        new.tasks[0].task.dependencies = vec![callboard_core::model::NewDependency::on(broken, OnFailure::Skip)];
        let created = create(&mut w, new);
        assert_eq!((w.state(created.tasks[0]), w.state(created.tasks[1])), (StateName::Skipped, StateName::Skipped));
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.tally.skipped, ended.ended_at.is_some()), (WorkflowState::Completed, 2, true));
    });
}

#[test]
fn a_retried_task_opens_its_workflow_again() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("a", &[]), ("b", &[("a", COMPLETED)])]));
        w.fail(created.tasks[0]);
        assert_eq!(row(&w, &created).state(), WorkflowState::Failed);
        w.run(Command::RetryTask { task: created.tasks[0] }).unwrap();
        w.run(Command::RetryTask { task: created.tasks[1] }).unwrap();
        let again = row(&w, &created);
        assert_eq!((again.state(), again.ended_at, again.tally.open()), (WorkflowState::Running, None, 2));
        w.complete(created.tasks[0]);
        w.complete(created.tasks[1]);
        assert_eq!(row(&w, &created).state(), WorkflowState::Completed);
    });
}

#[test]
fn a_cancellation_reaches_every_task_in_bounded_steps() {
    in_every_mode(|mut w| {
        w.settings.release_step = 2;
        w.attach("worker", 1);
        let names: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
        let plan: Vec<(&str, &[(&str, Condition)])> = names.iter().map(|name| (&**name, &[][..])).collect();
        let created = create(&mut w, workflow(&plan));
        w.dispatch();
        let running = *created.tasks.iter().find(|id| w.has(**id).is_some()).expect("one has the slot");
        w.report(running, callboard_core::command::Report::Accepted).unwrap();
        w.run(Command::CancelWorkflow { workflow: created.id, reason: "enough".into() }).unwrap();
        assert_eq!(row(&w, &created).walk.map(|walk| walk.next), Some(2));
        for left in [Some(4), None] {
            let goes_on = |effect: &Effect| matches!(effect, Effect::WalkingWorkflow { .. });
            assert!(w.take_effects().iter().any(goes_on), "the engine is told to go on");
            w.run(Command::GoOnWalking { workflow: created.id }).unwrap();
            assert_eq!(row(&w, &created).walk.map(|walk| walk.next), left);
        }
        let state = row(&w, &created).state();
        assert_eq!(
            (row(&w, &created).tally.open(), state),
            (1, WorkflowState::Running),
            "one runs until its agent stops"
        );
        w.report(running, completed("too late")).unwrap();
        assert_eq!(w.state(running), StateName::Cancelled);
        assert_eq!(row(&w, &created).state(), WorkflowState::Cancelled);
        // Once more changes nothing.
        let before = row(&w, &created);
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        assert_eq!(row(&w, &created), before);
    });
}

#[test]
fn nothing_is_created_by_halves() {
    in_every_mode(|mut w| {
        let nobody = WorkflowId(uuid::Uuid::from_u128(7));
        assert_eq!(
            w.refused(Command::CancelWorkflow { workflow: nobody, reason: String::new() }),
            Reason::WorkflowNotFound
        );
        let new = || Box::new(workflow(&[("a", &[]), ("b", &[])]));
        w.all_current = false;
        assert_eq!(w.refused(Command::CreateWorkflow { workflow: new() }), Reason::UpgradeUnfinished);
        w.all_current = true;
        let mut unknown = new();
        let source = TaskId(uuid::Uuid::from_u128(8));
        unknown.tasks[1].task.dependencies = vec![callboard_core::model::NewDependency::on(source, OnFailure::Skip)];
        assert_eq!(w.refused(Command::CreateWorkflow { workflow: unknown }), Reason::InvalidField);
        assert!(w.tables.tasks.is_empty() && w.tables.workflows.is_empty());
    });
}

#[test]
fn a_retry_runs_what_failed_and_what_was_skipped_because_of_it() {
    in_every_mode(|mut w| {
        // Two tasks a step, so that dependents come in a later step than what they wait for.
        w.settings.release_step = 2;
        let plan: &[(&str, &[(&str, Condition)])] = &[
            ("kept", &[]),
            ("broken", &[("kept", COMPLETED)]),
            ("undo", &[("broken", Condition::Failed)]),
            ("last", &[("broken", COMPLETED)]),
        ];
        let mut new = workflow(plan);
        new.tasks[2].allow_failure = true;
        let created = create(&mut w, new);
        let [kept, broken, undo, last] = created.tasks[..] else { panic!("four tasks") };
        w.complete(kept);
        w.fail(broken);
        w.settle();
        w.complete(undo);
        assert_eq!(row(&w, &created).state(), WorkflowState::Failed);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        walk_to_the_end(&mut w, &created);
        let runs = |w: &World| [kept, broken, undo, last].map(|id| (w.state(id), w.task(id).run));
        use StateName::*;
        assert_eq!(runs(&w), [(Completed, 1), (Ready, 2), (Completed, 1), (Waiting, 2)]);
        w.complete(broken);
        w.settle();
        w.complete(last);
        assert_eq!(row(&w, &created).state(), WorkflowState::Completed);
        assert_eq!(w.refused(Command::RetryWorkflow { workflow: created.id }), Reason::WorkflowState);
    });
}

#[test]
fn what_may_fail_is_not_retried_but_after_a_cancellation() {
    in_every_mode(|mut w| {
        let mut new = workflow(&[("a", &[]), ("b", &[])]);
        new.tasks[0].allow_failure = true;
        let created = create(&mut w, new);
        w.fail(created.tasks[0]);
        assert_eq!(w.refused(Command::RetryWorkflow { workflow: created.id }), Reason::WorkflowState);
        w.run(Command::CancelTask { task: created.tasks[1], reason: String::new() }).unwrap();
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        assert_eq!((w.state(created.tasks[0]), w.state(created.tasks[1])), (StateName::Failed, StateName::Ready));

        let mut new = workflow(&[("a", &[]), ("b", &[])]);
        new.tasks[0].allow_failure = true;
        let created = create(&mut w, new);
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        assert_eq!(row(&w, &created).state(), WorkflowState::Cancelled);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        assert_eq!((w.state(created.tasks[0]), w.state(created.tasks[1])), (StateName::Ready, StateName::Ready));
        assert_eq!(row(&w, &created).state(), WorkflowState::Running);
    });
}

#[test]
fn nothing_lives_again_while_its_workflow_is_being_cancelled() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("runs", &[]), ("waits", &[])]));
        w.attach("worker", 1);
        w.dispatch();
        let running = *created.tasks.iter().find(|id| w.has(**id).is_some()).expect("one has the slot");
        let waiting = *created.tasks.iter().find(|id| **id != running).expect("the other waits");
        w.report(running, callboard_core::command::Report::Accepted).unwrap();
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        assert_eq!(w.state(waiting), StateName::Cancelled);
        assert_eq!(w.refused(Command::RetryTask { task: waiting }), Reason::TaskState);
        assert_eq!(w.refused(Command::RetryWorkflow { workflow: created.id }), Reason::WorkflowState);
        w.report(running, completed("too late")).unwrap();
        assert_eq!(row(&w, &created).state(), WorkflowState::Cancelled);
        w.run(Command::RetryTask { task: waiting }).unwrap();
        assert_eq!(row(&w, &created).state(), WorkflowState::Running);
    });
}

#[test]
fn children_are_the_workflows_too_but_those_that_outlive_their_parents() {
    in_every_mode(|mut w| {
        let created = create(&mut w, workflow(&[("parent", &[])]));
        w.attach("worker", 1);
        w.dispatch();
        let parent = created.tasks[0];
        let mut child = |name: &str, change: &dyn Fn(&mut callboard_core::model::NewChild)| {
            let mut child = new_child(name, 0, task("part"));
            change(&mut child);
            let fence = w.fence(parent);
            let reply = w.run(Command::CreateChild { fence, child: Box::new(child) }).unwrap().reply;
            let Reply::Tasks(receipts) = reply else { panic!("a child is answered by its receipt") };
            receipts[0].task
        };
        let kept = child("kept", &|_| {});
        let detached = child("detached", &|child| child.on_parent_end = callboard_core::model::OnParentEnd::Detach);
        assert_eq!(child("kept", &|_| {}), kept, "once more is the same");
        assert_eq!(w.task(detached).spec.workflow, None);
        let link = w.task(kept).spec.workflow.clone().unwrap();
        assert_eq!((link.workflow, link.name, link.allow_failure, link.weight), (created.id, None, true, 0));
        let ordinals: Vec<_> = w.tables.workflow_tasks.values().map(|row| (row.ordinal, row.task)).collect();
        assert_eq!(ordinals, [(0, parent), (1, kept)]);
        assert_eq!(row(&w, &created).tally.tasks, 2);
        // The parent's end cancels it; the workflow has ended with both.
        w.report(parent, completed("done")).unwrap();
        w.settle();
        assert_eq!(w.state(kept), StateName::Cancelled);
        let ended = row(&w, &created);
        assert_eq!((ended.state(), ended.tally.progress()), (WorkflowState::Completed, 1.0));
    });
}

#[test]
fn a_workflow_that_is_being_retried_runs_and_has_ended_again_when_nothing_lives_by_it() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        // Its three dependents are told one by one: meanwhile it can't have another run.
        let after: &[(&str, Condition)] = &[("broken", COMPLETED)];
        let created = create(&mut w, workflow(&[("broken", &[]), ("b", after), ("c", after), ("d", after)]));
        w.run(Command::CancelWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        w.settle();
        walk_to_the_end(&mut w, &created);
        assert_eq!(row(&w, &created).state(), WorkflowState::Cancelled);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        let retried = row(&w, &created);
        assert_eq!((retried.state(), retried.ended_at, retried.cancelling), (WorkflowState::Running, None, None));
        walk_to_the_end(&mut w, &created);
        assert_eq!(row(&w, &created).tally.open(), 4);

        // A deadline that has passed keeps its task from another run: the workflow is as it was.
        let mut new = workflow(&[("late", &[])]);
        new.tasks[0].task.spec.deadline = Some(second(5));
        let created = create(&mut w, new);
        w.sleep(callboard_core::model::Span::seconds(10));
        w.settle();
        assert_eq!(row(&w, &created).state(), WorkflowState::Failed);
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        walk_to_the_end(&mut w, &created);
        let still = row(&w, &created);
        assert_eq!((still.state(), still.ended_at.is_some(), still.tally.failed), (WorkflowState::Failed, true, 1));
    });
}
