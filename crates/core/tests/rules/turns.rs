//! Whose turn it is: fairness keys, and the order of the tasks of one.

use crate::support::flows::{self, COMPLETED, workflow};
use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::TaskUpdate;
use callboard_core::model::{NewTask, Priority, Span, TaskId};
use callboard_core::{Command, Reason};

fn of(key: &str, priority: Priority) -> NewTask {
    task_with("work", |new| {
        new.spec.fairness_key = (!key.is_empty()).then(|| key.to_owned());
        new.spec.priority = priority;
    })
}

/// What the one slot of `worker` is given, one after the other.
fn order(w: &mut World, count: usize) -> Vec<TaskId> {
    let mut order = Vec::new();
    while order.len() < count {
        let worker = w.agent("worker").id;
        let id = w.tables.leased_to(worker).next().expect("it has one").id;
        w.report(id, completed("done")).unwrap();
        w.dispatch();
        order.push(id);
    }
    order
}

fn keys(w: &World, order: &[TaskId]) -> String {
    order.iter().map(|id| w.task(*id).spec.fairness_key.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("")
}

#[test]
fn whatever_the_priorities_each_key_gets_its_turn() {
    in_every_mode(|mut w| {
        w.run(Command::CreateTasks { tasks: vec![of("a", Priority::Critical); 20] }).unwrap();
        w.sleep(Span::seconds(5));
        w.run(Command::CreateTasks { tasks: vec![of("b", Priority::Low); 3] }).unwrap();
        w.run(Command::CreateTasks { tasks: vec![of("", Priority::Normal); 2] }).unwrap();
        w.attach("worker", 1);
        let order = order(&mut w, 10);
        assert_eq!(keys(&w, &order), "a-ba-babaa");
    });
}

/// A key that comes later doesn't get what it missed.
#[test]
fn turns_are_not_saved_up() {
    in_every_mode(|mut w| {
        w.run(Command::CreateTasks { tasks: vec![of("a", Priority::Normal); 20] }).unwrap();
        w.attach("worker", 1);
        order(&mut w, 10);
        w.run(Command::CreateTasks { tasks: vec![of("b", Priority::Normal); 20] }).unwrap();
        w.dispatch();
        let order = order(&mut w, 7);
        assert_eq!(keys(&w, &order), "abababa");
    });
}

/// Those without a key were remembered only once some key had had a turn: with the better rank, they were always before it.
#[test]
fn the_first_key_of_a_namespace_has_its_turn_too() {
    in_every_mode(|mut w| {
        w.run(Command::CreateTasks { tasks: vec![of("", Priority::Critical); 10] }).unwrap();
        w.attach("worker", 1);
        w.run(Command::CreateTasks { tasks: vec![of("a", Priority::Low); 2] }).unwrap();
        w.dispatch();
        let order = order(&mut w, 6);
        assert_eq!(keys(&w, &order), "--a-a-");
    });
}

#[test]
fn claims_and_pushes_share_the_turns() {
    in_every_mode(|mut w| {
        for key in ["a", "b", "c"] {
            w.run(Command::CreateTasks { tasks: vec![of(key, Priority::Normal); 5] }).unwrap();
            w.sleep(Span::seconds(1));
        }
        let claimed = |w: &mut World, max| {
            let claimed: Vec<TaskId> = w.claim("claimer", max, Span::seconds(60)).iter().map(|f| f.task).collect();
            keys(w, &claimed)
        };
        assert_eq!(claimed(&mut w, 2), "ab");
        w.attach("worker", 1);
        let pushed = order(&mut w, 1);
        assert_eq!(keys(&w, &pushed), "c");
        // The slot that it freed went to `a`.
        assert_eq!(claimed(&mut w, 4), "bcab");
    });
}

#[test]
fn who_cannot_be_served_keeps_its_turn_and_holds_nobody_up() {
    in_every_mode(|mut w| {
        let large = task_with("work", |new| {
            new.spec.fairness_key = Some("large".into());
            new.spec.requirements.resources = some_gpu(2_000);
        });
        let small = |parts| {
            task_with("work", |new| {
                new.spec.fairness_key = Some("small".into());
                new.spec.requirements.resources = some_gpu(parts);
            })
        };
        w.attach_with("worker", with_gpus(2.0, profile(4)));
        let first = w.start(small(1_000));
        let waits = w.start(large);
        let second = w.start(small(1_000));
        assert!(w.has(waits).is_none() && w.has(second).is_some());
        let third = w.create(small(1_000));
        w.report(first, completed("done")).unwrap();
        w.report(second, completed("done")).unwrap();
        w.dispatch();
        assert!(w.has(waits).is_some() && w.has(third).is_none(), "now there is enough, and it is its turn");
    });
}

#[test]
fn a_deadline_presses_from_ten_minutes_before_it() {
    let due = |seconds| task_with("work", |new| new.spec.deadline = Some(second(seconds)));
    in_every_mode(|mut w| {
        w.now = second(1_000);
        let old = w.create(task("work"));
        w.now = second(1_010);
        let far = w.create(due(50_000));
        let later = w.create(due(1_400));
        let sooner = w.create(due(1_300));
        w.now = second(1_011);
        let plain = w.create(task("work"));
        let updated = w.create(due(50_000));
        let deadline = Some(Some(second(1_350)));
        w.run(Command::UpdateTask { task: updated, update: TaskUpdate { deadline, ..TaskUpdate::default() } }).unwrap();
        w.attach("worker", 1);
        assert_eq!(order(&mut w, 6), [sooner, updated, later, old, far, plain]);
    });
}

#[test]
fn of_two_ready_tasks_of_a_workflow_the_one_with_the_longer_way_behind_it_goes_first() {
    in_every_mode(|mut w| {
        let flow = workflow(&[
            ("short", &[]),
            ("middle", &[]),
            ("long", &[]),
            ("m1", &[("middle", COMPLETED)]),
            ("l1", &[("long", COMPLETED)]),
            ("l2", &[("l1", COMPLETED), ("short", COMPLETED)]),
            ("l3", &[("l2", COMPLETED), ("m1", COMPLETED)]),
        ]);
        let created = flows::create(&mut w, flow);
        let behind: Vec<u32> =
            created.tasks.iter().map(|id| w.task(*id).spec.workflow.as_ref().unwrap().tasks_behind).collect();
        assert_eq!(behind, [2, 2, 3, 1, 2, 1, 0]);
        let more = flows::added(&[("more", &[("l3", COMPLETED)]), ("end", &[("more", COMPLETED)])]);
        let added = flows::add(&mut w, &created, more).unwrap();
        let behind = |id: &TaskId| w.task(*id).spec.workflow.as_ref().unwrap().tasks_behind;
        assert_eq!((behind(&added[0]), behind(&created.tasks[6])), (1, 0), "as it was created");
        w.attach("worker", 1);
        let [short, middle, long, ..] = created.tasks[..] else { panic!("seven") };
        let order = order(&mut w, 9);
        assert_eq!(order[0], long);
        assert!(order[1..4].contains(&short) && order[1..4].contains(&middle));
    });
}

#[test]
fn no_more_than_sixty_tasks_behind_are_counted() {
    let mut w = World::new(crate::support::Mode::Exclusive);
    let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
    let before: Vec<Vec<_>> =
        (0..100).map(|n| names[..n].last().map(|name| (&**name, COMPLETED)).into_iter().collect()).collect();
    let chain: Vec<_> = names.iter().zip(&before).map(|(name, before)| (&**name, &**before)).collect();
    let created = flows::create(&mut w, workflow(&chain));
    let behind = |n: usize| w.task(created.tasks[n]).spec.workflow.as_ref().unwrap().tasks_behind;
    assert_eq!([behind(0), behind(39), behind(40), behind(99)], [60, 60, 59, 0]);
}

#[test]
fn fairness_keys_wait_for_the_end_of_an_upgrade() {
    in_every_mode(|mut w| {
        w.all_current = false;
        let tasks = vec![of("a", Priority::Normal)];
        assert_eq!(w.refused(Command::CreateTasks { tasks }), Reason::UpgradeUnfinished);
        w.create(of("", Priority::Normal));
        w.all_current = true;
        w.create(of("a", Priority::Normal));
    });
}
