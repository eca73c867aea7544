//! Tasks that are made to wait for more.

use crate::support::flows::{self, COMPLETED, Created, add, added, row, walk_to_the_end, workflow};
use crate::support::{Mode, World, envelope, in_every_mode, make::*, receipt};
use callboard_core::command::Effect;
use callboard_core::limits::MAX_DEPENDENCIES;
use callboard_core::model::{
    Condition, EventKind, NewDependency, NewTask, OnFailure, OnParentEnd, Span, StateName, TaskId, Terms,
};
use callboard_core::rejection::{Reason, Rejection};
use callboard_core::{Command, Envelope};

fn on(source: TaskId) -> NewDependency {
    NewDependency::on(source, OnFailure::Skip)
}

fn when(source: TaskId, condition: Condition) -> NewDependency {
    NewDependency { source, terms: Terms { condition, ..Terms::default() } }
}

fn called(source: TaskId, name: &str) -> NewDependency {
    NewDependency { source, terms: Terms { name: Some(name.into()), ..Terms::default() } }
}

fn depend(task: TaskId, dependencies: Vec<NewDependency>) -> Command {
    Command::AddDependencies { task, dependencies }
}

fn try_depend(w: &mut World, task: TaskId, dependencies: Vec<NewDependency>) -> Result<StateName, Rejection> {
    w.run(depend(task, dependencies)).map(|outcome| receipt(&outcome).state)
}

fn held(task_type: &str) -> NewTask {
    task_with(task_type, |new| new.hold = true)
}

/// The message of a refusal that names a cycle.
fn cycle(w: &mut World, task: TaskId, sources: &[TaskId]) -> String {
    let before = w.tables.clone();
    let refused = try_depend(w, task, sources.iter().map(|source| on(*source)).collect()).unwrap_err();
    assert!(w.tables == before, "refused, and yet something changed");
    assert_eq!(refused.reason, Reason::InvalidField, "{refused}");
    refused.message
}

fn retry_flow(w: &mut World, created: &Created) {
    w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
    walk_to_the_end(w, created);
}

#[test]
fn a_waiting_task_waits_for_what_is_added_behind_what_it_had() {
    in_every_mode(|mut w| {
        let [first, second, third] = ["first", "second", "third"].map(|name| w.create(task(name)));
        let target = w.create(after(&[first]));
        assert_eq!(try_depend(&mut w, target, vec![on(third), called(second, "draft")]), Ok(StateName::Waiting));
        let mut edges: Vec<_> = w.tables.edges.values().map(|edge| (edge.ordinal, edge.source)).collect();
        edges.sort_unstable();
        assert_eq!(edges, [(0, first), (1, third), (2, second)]);
        assert_eq!((w.waiting(target).unmet, w.task(target).dependencies), (3, 3));
        let last = &w.events(target).last().unwrap().kind;
        assert_eq!(*last, EventKind::Updated { fields: "dependencies (2 more)".to_owned(), fallback: None });
        for id in [second, first] {
            w.complete(id);
            assert_eq!(w.state(target), StateName::Waiting);
        }
        w.complete(third);
        assert_eq!(w.state(target), StateName::Ready);
    });
}

#[test]
fn whatever_a_task_waits_for_it_may_wait_for_more() {
    in_every_mode(|mut w| {
        w.attach_with("worker", profile_for(&["flaky"], 1));
        let source = w.create(task("source"));
        let (held, later) = (w.create(held("held")), w.create(at(w.now + Span::seconds(5))));
        let flaky = w.start(task("flaky"));
        w.report(flaky, failed("Flaky")).unwrap();
        for id in [held, later, flaky] {
            assert_eq!(try_depend(&mut w, id, vec![on(source)]), Ok(StateName::Waiting));
        }
        w.pass(Span::seconds(10));
        w.run(Command::ReleaseTask { task: held }).unwrap();
        for id in [held, later, flaky] {
            let waiting = w.waiting(id);
            assert_eq!((waiting.unmet, waiting.held, waiting.not_before), (1, false, None));
        }
        w.complete(source);
        w.settle();
        let states = [held, later, flaky].map(|id| w.state(id));
        assert_eq!(states, [StateName::Ready, StateName::Ready, StateName::Assigned]);
    });
}

#[test]
fn what_has_ended_as_it_was_to_is_met_at_once() {
    in_every_mode(|mut w| {
        let (done, broken) = (w.create(task("done")), w.create(task("broken")));
        w.complete(done);
        w.fail(broken);
        let target = w.create(held("target"));
        try_depend(&mut w, target, vec![on(done), when(broken, Condition::Failed)]).unwrap();
        assert_eq!((w.waiting(target).unmet, w.task(target).dependencies), (0, 2));
        w.run(Command::ReleaseTask { task: target }).unwrap();
        assert_eq!(w.state(target), StateName::Ready);
    });
}

#[test]
fn what_has_ended_otherwise_ends_the_task_and_its_dependents_are_told() {
    for (on_failure, state) in [(OnFailure::Skip, StateName::Skipped), (OnFailure::Fail, StateName::Failed)] {
        in_every_mode(|mut w| {
            let (broken, other) = (w.create(task("broken")), w.create(task("other")));
            w.fail(broken);
            let target = w.create(held("target"));
            let behind = w.create(after(&[target]));
            let ended = try_depend(&mut w, target, vec![on(other), NewDependency::on(broken, on_failure)]);
            assert_eq!((ended, w.state(target)), (Ok(state), state));
            let told = w.take_effects().into_iter().filter(|effect| matches!(effect, Effect::Releasing { .. }));
            assert_eq!(told.count(), 1);
            w.wake_due();
            assert_eq!((w.state(behind), w.task(target).releasing), (StateName::Skipped, false));
            w.complete(other);
            assert_eq!(w.state(target), state);
        });
    }
}

#[test]
fn only_a_waiting_task_can_be_made_to_wait_for_more() {
    in_every_mode(|mut w| {
        w.attach_with("worker", profile_for(&["running"], 1));
        let source = w.create(task("source"));
        let running = w.run_task(task("running"));
        let (ready, done) = (w.create(task("ready")), w.create(task("done")));
        w.complete(done);
        for (id, remedy) in [(ready, "hold it"), (running, "an agent has it"), (done, "create another")] {
            let refused = try_depend(&mut w, id, vec![on(source)]).unwrap_err();
            assert!(refused.reason == Reason::TaskState && refused.message.contains(remedy), "{refused}");
        }
        let nobody = TaskId(uuid::Uuid::from_u128(7));
        assert_eq!(w.refused(depend(nobody, vec![on(source)])), Reason::TaskNotFound);
        w.run(Command::HoldTask { task: ready, reason: String::new() }).unwrap();
        try_depend(&mut w, ready, vec![on(source)]).unwrap();
        w.run(Command::ReleaseTask { task: ready }).unwrap();
        assert_eq!(w.waiting(ready).unmet, 1);
    });
}

#[test]
fn every_fault_is_told_at_once_and_nothing_is_added_by_halves() {
    in_every_mode(|mut w| {
        let (had, new) = (w.create(task("had")), w.create(task("new")));
        let target = w.create(task_with("target", |new| new.dependencies = vec![called(had, "draft")]));
        let nobody = TaskId(uuid::Uuid::from_u128(7));
        let before = w.tables.clone();
        let asked = vec![called(new, "draft"), on(nobody), on(had), on(target), on(new)];
        let refused = try_depend(&mut w, target, asked).unwrap_err();
        assert!(w.tables == before);
        assert_eq!(refused.reason, Reason::InvalidField);
        let told: Vec<_> = refused.fields.iter().map(|fault| (&*fault.field, &*fault.description)).collect();
        for (field, fault) in [
            ("dependencies[0].name", "already"),
            ("dependencies[1].task_id", "there is no task"),
            ("dependencies[2].task_id", "already"),
            ("dependencies[3].task_id", "would wait for itself"),
            ("dependencies[4].task_id", "twice"),
        ] {
            assert!(told.iter().any(|(at, text)| *at == field && text.contains(fault)), "{field} in {told:?}");
        }
        let refused = try_depend(&mut w, target, vec![on(new), on(nobody)]).unwrap_err();
        assert_eq!((refused.reason, &*refused.fields[0].field), (Reason::TaskNotFound, "dependencies[1].task_id"));
    });
}

#[test]
fn a_task_has_so_many_dependencies_and_no_more() {
    in_every_mode(|mut w| {
        let tasks = (0..MAX_DEPENDENCIES).map(|_| task("source")).collect();
        let outcome = w.run(Command::CreateTasks { tasks }).unwrap();
        let callboard_core::Reply::Tasks(receipts) = outcome.reply else { panic!("tasks") };
        let sources: Vec<TaskId> = receipts.into_iter().map(|receipt| receipt.task).collect();
        let target = w.create(after(&sources[1..]));
        try_depend(&mut w, target, vec![on(sources[0])]).unwrap();
        let more = w.create(task("more"));
        let refused = try_depend(&mut w, target, vec![on(more)]).unwrap_err();
        assert!(refused.message.contains("has 1000") && refused.message.contains("at most 1000"), "{refused}");
    });
}

#[test]
fn no_task_is_made_to_wait_for_itself_and_the_way_is_told() {
    in_every_mode(|mut w| {
        let new = workflow(&[
            ("draft", &[]),
            ("review", &[("draft", COMPLETED)]),
            ("translate", &[("review", COMPLETED)]),
            ("logo", &[]),
        ]);
        let created = flows::create(&mut w, new);
        let [draft, review, translate, logo] = created.tasks[..] else { panic!("four tasks") };
        w.run(Command::HoldWorkflow { workflow: created.id, reason: String::new() }).unwrap();
        assert!(
            cycle(&mut w, draft, &[logo, review])
                .contains("dependencies[1].task_id: is a cycle: draft -> review -> draft")
        );
        assert!(cycle(&mut w, draft, &[translate]).contains("draft -> translate -> review -> draft"));
        // One of another workflow has its id.
        let outside = w.create(after(&[translate]));
        assert!(
            cycle(&mut w, draft, &[outside]).contains(&format!("draft -> {outside} -> translate -> review -> draft"))
        );
        // The other way round it is none, also when it is there twice.
        try_depend(&mut w, translate, vec![on(logo), on(draft)]).unwrap();
        assert!(cycle(&mut w, logo, &[outside]).contains(&format!("logo -> {outside} -> translate -> logo")));
        // What has ended is waited for no more.
        w.run(Command::ReleaseWorkflow { workflow: created.id }).unwrap();
        w.complete(draft);
        w.run(Command::HoldTask { task: logo, reason: String::new() }).unwrap();
        try_depend(&mut w, logo, vec![on(draft)]).unwrap();
    });
}

#[test]
fn two_commands_of_a_batch_close_no_cycle_together() {
    in_every_mode(|mut w| {
        let [a, b, c] = ["a", "b", "c"].map(|name| w.create(held(name)));
        let asked: Vec<Envelope> =
            [(a, b), (b, c), (c, a)].map(|(task, source)| envelope(depend(task, vec![on(source)]))).into();
        let told: Vec<bool> = w.run_batch(&asked).into_iter().map(|outcome| outcome.is_ok()).collect();
        assert_eq!(told, [true, true, false]);
        // One task twice, in one batch: the second stands behind the first.
        let others = ["d", "e"].map(|name| w.create(task(name)));
        let asked = others.map(|source| envelope(depend(c, vec![on(source)])));
        assert!(w.run_batch(&asked).into_iter().all(|outcome| outcome.is_ok()));
        let ordinals = others.map(|source| w.tables.edges.values().find(|edge| edge.source == source).unwrap().ordinal);
        assert_eq!((ordinals, w.waiting(c).unmet), ([0, 1], 2));
    });
}

#[test]
fn a_child_is_not_made_to_wait_for_its_parent_nor_what_a_child_waits_for() {
    in_every_mode(|mut w| {
        w.attach_with("manager", profile_for(&["parent"], 1));
        let parent = w.run_task(task("parent"));
        let other = w.create(held("other"));
        let fence = w.fence(parent);
        let child = |w: &mut World, name: &str, on_parent_end, task| {
            let child = callboard_core::model::NewChild { on_parent_end, ..new_child(name, 0, task) };
            receipt(&w.run(Command::CreateChild { fence, child: Box::new(child) }).unwrap()).task
        };
        let own = child(&mut w, "own", OnParentEnd::Cancel, held("child"));
        let detached = child(&mut w, "detached", OnParentEnd::Detach, held("child"));
        child(&mut w, "behind", OnParentEnd::Cancel, after(&[other]));
        for id in [own, detached] {
            let told = cycle(&mut w, id, &[parent]);
            assert!(told.contains(&format!("{id} -> {parent}")), "{told}");
            let behind = w.create(after(&[parent]));
            assert!(cycle(&mut w, id, &[behind]).contains("is a cycle"));
        }
        assert!(cycle(&mut w, other, &[parent]).contains(&format!("{other} -> {parent} -> ")));
        // Nobody waits for the parent of another.
        let free = w.create(held("free"));
        try_depend(&mut w, free, vec![on(parent), on(own)]).unwrap();
    });
}

#[test]
fn so_far_is_looked_for_a_cycle_and_no_further() {
    in_every_mode(|mut w| {
        let target = w.create(held("target"));
        w.create(after(&[target]));
        let mut last = w.create(task("first"));
        for _ in 0..199 {
            last = w.create(after(&[last]));
        }
        let next = w.create(after(&[last]));
        let refused = try_depend(&mut w, target, vec![on(next)]).unwrap_err();
        assert!(refused.reason == Reason::LimitReached && refused.message.contains("200"), "{refused}");
        try_depend(&mut w, target, vec![on(last)]).unwrap();
        // For whom nobody waits nothing is looked at.
        let free = w.create(held("free"));
        try_depend(&mut w, free, vec![on(next)]).unwrap();
    });
}

#[test]
fn so_many_tasks_are_looked_at_for_a_cycle_and_no_more() {
    let mut w = World::new(Mode::Exclusive);
    let target = w.create(held("target"));
    w.create(after(&[target]));
    let mut hubs = Vec::new();
    for _ in 0..10 {
        let outcome = w.run(Command::CreateTasks { tasks: (0..1_000).map(|_| task("source")).collect() }).unwrap();
        let callboard_core::Reply::Tasks(receipts) = outcome.reply else { panic!("tasks") };
        hubs.push(w.create(after(&receipts.into_iter().map(|receipt| receipt.task).collect::<Vec<_>>())));
    }
    let refused = try_depend(&mut w, target, hubs.iter().map(|hub| on(*hub)).collect()).unwrap_err();
    assert!(refused.reason == Reason::LimitReached && refused.message.contains("10000"), "{refused}");
    try_depend(&mut w, target, hubs[1..].iter().map(|hub| on(*hub)).collect()).unwrap();
}

#[test]
fn another_run_closes_no_cycle() {
    in_every_mode(|mut w| {
        let c = w.create(held("c"));
        let d = w.create(after(&[c]));
        w.cancel(d);
        // D has ended: so C waits for it no more, and may be waited for by its next run.
        try_depend(&mut w, c, vec![when(d, Condition::Ended)]).unwrap();
        w.run(Command::RetryTask { task: d }).unwrap();
        assert_eq!((w.waiting(c).unmet, w.waiting(d).unmet), (0, 1));
        // Now that would be one.
        let e = w.create(after(&[d]));
        assert!(cycle(&mut w, c, &[e]).contains("is a cycle"));
        w.run(Command::ReleaseTask { task: c }).unwrap();
        w.complete(c);
        assert_eq!(w.state(d), StateName::Ready);
    });
}

#[test]
fn a_retry_of_a_workflow_follows_dependencies_that_were_added() {
    for step in [256, 1] {
        in_every_mode(|mut w| {
            w.settings.release_step = step;
            let created = flows::create(&mut w, workflow(&[("publish", &[]), ("report", &[("publish", COMPLETED)])]));
            walk_to_the_end(&mut w, &created);
            w.run(Command::HoldWorkflow { workflow: created.id, reason: String::new() }).unwrap();
            walk_to_the_end(&mut w, &created);
            // Each waits for the one behind it: the places are in the other order.
            let more = add(&mut w, &created, added(&[("legal", &[]), ("facts", &[])])).unwrap();
            let ([publish, report], [legal, facts]) = ([created.tasks[0], created.tasks[1]], [more[0], more[1]]);
            try_depend(&mut w, publish, vec![on(legal)]).unwrap();
            try_depend(&mut w, legal, vec![on(facts)]).unwrap();
            w.run(Command::ReleaseWorkflow { workflow: created.id }).unwrap();
            walk_to_the_end(&mut w, &created);
            w.fail(facts);
            w.settle();
            let states = [publish, report, legal, facts].map(|id| w.state(id));
            assert_eq!(states[..3], [StateName::Skipped; 3]);
            w.pass(Span::seconds(1));
            retry_flow(&mut w, &created);
            for (id, expected) in [(publish, 1), (report, 1), (legal, 1)] {
                assert_eq!((w.waiting(id).unmet, w.task(id).run), (expected, 2));
            }
            for id in [facts, legal, publish, report] {
                assert_eq!((w.state(id), w.task(id).run), (StateName::Ready, 2));
                w.complete(id);
            }
            assert_eq!(row(&w, &created).tally.completed, 4);
        });
    }
}

#[test]
fn what_stays_as_it_is_holds_up_no_retry_and_each_is_given_one_run() {
    in_every_mode(|mut w| {
        w.settings.release_step = 1;
        let mut new = workflow(&[
            ("cleanup", &[("late", Condition::Ended)]),
            ("behind", &[]),
            ("late", &[]),
            ("end", &[("behind", COMPLETED)]),
        ]);
        new.tasks[2].task.spec.deadline = Some(w.now + Span::seconds(5));
        let created = flows::create(&mut w, new);
        let [cleanup, behind, late, end] = created.tasks[..] else { panic!("four tasks") };
        w.run(Command::HoldTask { task: behind, reason: String::new() }).unwrap();
        try_depend(&mut w, behind, vec![on(cleanup)]).unwrap();
        w.run(Command::ReleaseTask { task: behind }).unwrap();
        w.pass(Span::seconds(6));
        w.settle();
        w.fail(cleanup);
        w.settle();
        assert_eq!(
            [late, cleanup, behind, end].map(|id| w.state(id)),
            [StateName::Failed, StateName::Failed, StateName::Skipped, StateName::Skipped]
        );
        w.pass(Span::seconds(1));
        w.run(Command::RetryWorkflow { workflow: created.id }).unwrap();
        // It fails again while the others are still given their runs: that is no reason for a third.
        for _ in 0..100 {
            if row(&w, &created).walk.is_none() {
                break;
            }
            if w.state(cleanup) == StateName::Ready {
                w.fail(cleanup);
            }
            w.run(Command::GoOnWalking { workflow: created.id }).unwrap();
        }
        assert_eq!(row(&w, &created).walk, None);
        // Its deadline has passed: it stays.
        assert_eq!((w.task(late).run, w.task(cleanup).run), (1, 2));
    });
}

#[test]
fn an_older_version_would_not_follow_them() {
    in_every_mode(|mut w| {
        let (target, source) = (w.create(held("target")), w.create(task("source")));
        w.all_current = false;
        assert_eq!(w.refused(depend(target, vec![on(source)])), Reason::UpgradeUnfinished);
    });
}
