//! Which agent gets which task, and when.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::Report;
use callboard_core::model::{AgentProfile, NewTask, Priority, Span, StateName, TaskId};

fn labelled(slots: u32, zone: &str) -> AgentProfile {
    AgentProfile { labels: [("zone".to_owned(), zone.to_owned())].into(), ..profile(slots) }
}

/// The tasks in the order in which one agent with one slot gets them.
fn order(w: &mut World, count: usize) -> Vec<TaskId> {
    let mut order = Vec::new();
    w.attach("worker", 1);
    while order.len() < count {
        let id = w.tables.tasks.values().find(|task| task.state.lease().is_some()).expect("one is leased").id;
        w.report(id, completed("done")).unwrap();
        w.dispatch();
        order.push(id);
    }
    order
}

#[test]
fn first_come_first_served_within_a_priority() {
    in_every_mode(|mut w| {
        let ids: Vec<TaskId> = (0..5)
            .map(|_| {
                w.sleep(Span::seconds(1));
                w.create(task("work"))
            })
            .collect();
        assert_eq!(order(&mut w, 5), ids);
    });
}

#[test]
fn priorities_go_first_and_waiting_raises() {
    in_every_mode(|mut w| {
        let mut at = |seconds: i64, priority| {
            w.now = second(seconds);
            w.create(task_with("work", |new| new.spec.priority = priority))
        };
        let old_low = at(0, Priority::Low);
        let old_normal = at(10, Priority::Normal);
        let old_high = at(100, Priority::High);
        let low = at(3_000, Priority::Low);
        let normal = at(3_000, Priority::Normal);
        let high = at(3_059, Priority::High);
        let urgent = at(3_500, Priority::Urgent);
        let critical = at(3_600, Priority::Critical);
        // Ranks: 60, 10, 40, 3060, 3000, 2999, 2900, 0.
        let expected = [critical, old_normal, old_high, old_low, urgent, high, normal, low];
        assert_eq!(order(&mut w, 8), expected);
    });
}

/// Lanes were served one after the other: with tasks of one type always coming, those of another starved.
#[test]
fn lanes_share_an_agent_in_the_order_of_their_ranks() {
    in_every_mode(|mut w| {
        let mut expected = Vec::new();
        for n in 0..12 {
            w.sleep(Span::seconds(1));
            expected.push(w.create(task(["a", "b", "c", "d"][n % 4])));
        }
        assert_eq!(order(&mut w, 12), expected);
    });
}

#[test]
fn an_agent_gets_only_what_it_fits() {
    in_every_mode(|mut w| {
        let wants = |change: fn(&mut NewTask)| task_with("work", change);
        let misfits = [
            w.create(task("other")),
            w.create(wants(|new| new.spec.requirements.role = Some("lead".into()))),
            w.create(wants(|new| new.spec.requirements.skills = ["go".to_owned()].into())),
            w.create(wants(|new| new.spec.requirements.tools = ["docker".to_owned()].into())),
            w.create(wants(|new| new.spec.requirements.assignee = Some("someone".into()))),
        ];
        let able = AgentProfile {
            role: "reviewer".into(),
            skills: ["rust".to_owned()].into(),
            tools: ["git".to_owned()].into(),
            ..profile_for(&["work"], 10)
        };
        let fit = w.create(wants(|new| {
            new.spec.requirements.skills = ["rust".to_owned()].into();
            new.spec.requirements.role = Some("reviewer".into());
        }));
        w.attach_with("worker", able);
        assert_eq!(w.state(fit), StateName::Assigned);
        assert!(misfits.iter().all(|id| w.state(*id) == StateName::Ready));
    });
}

#[test]
fn a_profile_that_changes_changes_what_fits() {
    in_every_mode(|mut w| {
        let id = w.create(task("b"));
        w.attach_with("worker", profile_for(&["a"], 5));
        assert_eq!(w.state(id), StateName::Ready);
        w.attach_with("worker", profile_for(&["a", "b"], 5));
        assert_eq!(w.state(id), StateName::Assigned);
        w.attach_with("worker", profile_for(&["a"], 5));
        let next = w.start(task("b"));
        assert_eq!(w.state(next), StateName::Ready);
    });
}

#[test]
fn a_preferred_agent_has_a_head_start_while_it_is_attached() {
    let preferring = || task_with("work", |new| new.spec.requirements.preferred_agent = Some("dear".into()));
    in_every_mode(|mut w| {
        // Not attached: nobody waits for it.
        w.attach("other", 5);
        let id = w.start(preferring());
        assert_eq!(w.has(id).as_deref(), Some("other"));
        // Attached and free: it is the one.
        w.attach("dear", 1);
        let first = w.start(preferring());
        assert_eq!(w.has(first).as_deref(), Some("dear"));
        // Attached and busy: it has two seconds.
        let second = w.start(preferring());
        assert_eq!(w.state(second), StateName::Ready);
        w.pass(Span(1_999_999));
        assert_eq!(w.state(second), StateName::Ready);
        w.pass(Span(1));
        assert_eq!(w.has(second).as_deref(), Some("other"));
        let third = w.start(preferring());
        w.pass(Span::seconds(1));
        w.report(first, completed("done")).unwrap();
        w.dispatch();
        assert_eq!(w.has(third).as_deref(), Some("dear"));
    });
}

/// Tasks that waited for their preferred agent kept an idle agent from those behind them.
#[test]
fn who_waits_for_a_preferred_agent_holds_nobody_up() {
    in_every_mode(|mut w| {
        w.attach("dear", 1);
        w.start(task_with("work", |new| new.spec.requirements.assignee = Some("dear".into())));
        let preferring: Vec<TaskId> = (0..3)
            .map(|_| {
                let id = w.create(task_with("work", |new| new.spec.requirements.preferred_agent = Some("dear".into())));
                w.sleep(Span::millis(1));
                id
            })
            .collect();
        let plain = w.create(task("work"));
        w.attach("idle", 1);
        assert_eq!(w.has(plain).as_deref(), Some("idle"));
        assert!(preferring.iter().all(|id| w.state(*id) == StateName::Ready));
    });
}

#[test]
fn affinity_draws_a_task() {
    in_every_mode(|mut w| {
        w.attach_with("north", labelled(10, "north"));
        w.attach_with("south", labelled(10, "south"));
        for zone in ["north", "south", "south", "north"] {
            let id = w.start(task_with("work", |new| {
                new.spec.requirements.affinity = [("zone".to_owned(), zone.to_owned())].into();
            }));
            assert_eq!(w.has(id).as_deref(), Some(zone));
        }
        // But it does not bind.
        let id = w.start(task_with("work", |new| {
            new.spec.requirements.affinity = [("zone".to_owned(), "west".to_owned())].into();
        }));
        assert_eq!(w.state(id), StateName::Assigned);
    });
}

#[test]
fn load_is_spread_and_success_counts() {
    in_every_mode(|mut w| {
        w.attach("one", 4);
        w.attach("two", 4);
        for _ in 0..8 {
            w.start(task("work"));
        }
        for name in ["one", "two"] {
            assert_eq!(w.tables.leased_to(w.agent(name).id).count(), 4);
        }
    });
    in_every_mode(|mut w| {
        w.attach("bad", 1);
        for _ in 0..5 {
            let id = w.run_task(task_with("work", |new| new.spec.retry_policy.max_attempts = 1));
            w.report(id, failed("Broken")).unwrap();
        }
        w.attach("new", 1);
        let id = w.start(task("work"));
        assert_eq!(w.has(id).as_deref(), Some("new"));
    });
}

#[test]
fn who_handed_it_back_comes_last() {
    in_every_mode(|mut w| {
        w.attach("first", 1);
        let id = w.start(task("work"));
        w.attach("second", 1);
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("second"));
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("first"));
    });
}

#[test]
fn a_thousand_tasks_are_given_out_in_steps() {
    in_every_mode(|mut w| {
        w.run(callboard_core::Command::CreateTasks { tasks: vec![task("work"); 700] }).unwrap();
        w.attach("one", 1_000);
        assert_eq!(w.tables.leased_to(w.agent("one").id).count(), 700);
    });
}

#[test]
fn of_very_many_agents_none_is_left_idle_while_tasks_wait() {
    in_every_mode(|mut w| {
        let names: Vec<&'static str> = (0..200).map(|n| &*format!("agent-{n}").leak()).collect();
        for name in &names {
            w.attach_with(name, AgentProfile { tools: ["git".to_owned()].into(), ..profile(1) });
        }
        // One at a time, each looking at a few agents.
        for _ in 0..90 {
            let id = w.start(task("work"));
            assert_eq!(w.state(id), StateName::Assigned);
        }
        // Two lanes at once, for which the same agents would not suffice.
        let other = task_with("work", |new| new.spec.requirements.tools = ["git".to_owned()].into());
        let tasks = [vec![task("work"); 55], vec![other; 55]].concat();
        w.run(callboard_core::Command::CreateTasks { tasks }).unwrap();
        w.dispatch();
        let busy = names.iter().filter(|name| w.tables.leased_to(w.agent(name).id).count() == 1).count();
        assert_eq!(busy, 200);
    });
}

#[test]
fn a_preferred_agent_is_found_among_very_many() {
    in_every_mode(|mut w| {
        for n in 0..150 {
            w.attach(format!("agent-{n}").leak(), 2);
        }
        for n in [149, 0, 75] {
            let dear = format!("agent-{n}");
            let id = w.start(task_with("work", |new| new.spec.requirements.preferred_agent = Some(dear.clone())));
            assert_eq!(w.has(id), Some(dear));
        }
    });
}

/// The next attempt's agent, when it is free.
fn retried_at(w: &mut World, id: TaskId) -> Option<String> {
    w.pass_delay(id);
    w.dispatch();
    w.has(id)
}

#[test]
fn the_next_attempt_goes_to_another_than_the_one_that_failed() {
    in_every_mode(|mut w| {
        w.attach("first", 4);
        let id = w.start(task("work"));
        w.report(id, Report::Accepted).unwrap();
        w.report(id, failed("Flaky")).unwrap();
        // Alone, it gets it again.
        assert_eq!(retried_at(&mut w, id).as_deref(), Some("first"));
        w.attach("second", 1);
        // Of less success, and still another.
        let worse = w.start(task_with("work", |new| new.spec.requirements.assignee = Some("second".into())));
        w.report(worse, failed("Flaky")).unwrap();
        w.cancel(worse);
        w.report(id, Report::Accepted).unwrap();
        w.report(id, failed("Flaky")).unwrap();
        assert_eq!(retried_at(&mut w, id).as_deref(), Some("second"));
    });
}

#[test]
fn a_preferred_agent_that_failed_is_not_preferred_for_the_next_attempt() {
    in_every_mode(|mut w| {
        w.attach("first", 1);
        w.attach("second", 1);
        let id = w.start(task_with("work", |new| new.spec.requirements.preferred_agent = Some("second".into())));
        assert_eq!(w.has(id).as_deref(), Some("second"));
        w.report(id, Report::Accepted).unwrap();
        w.report(id, failed("Flaky")).unwrap();
        assert_eq!(retried_at(&mut w, id).as_deref(), Some("first"));
        w.report(id, failed("Flaky")).unwrap();
        assert_eq!(retried_at(&mut w, id).as_deref(), Some("second"));
    });
}

#[test]
fn who_handed_it_back_comes_behind_who_failed_at_it() {
    in_every_mode(|mut w| {
        w.attach("first", 1);
        let id = w.start(task("work"));
        w.report(id, failed("Flaky")).unwrap();
        w.attach("second", 1);
        assert_eq!(retried_at(&mut w, id).as_deref(), Some("second"));
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("first"));
    });
}

#[test]
fn a_new_run_goes_to_anybody() {
    in_every_mode(|mut w| {
        w.attach("first", 1);
        let id = w.start(task_with("work", |new| new.spec.requirements.preferred_agent = Some("first".into())));
        w.attach("second", 1);
        w.report(id, failed_with(callboard_core::model::Failure { retryable: false, ..failure("Broken") })).unwrap();
        w.run(callboard_core::Command::RetryTask { task: id }).unwrap();
        w.dispatch();
        assert_eq!(w.has(id).as_deref(), Some("first"));
    });
}
