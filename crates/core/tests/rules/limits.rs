//! Limits by key: how many at once, and how many in a time, all agents together.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{DirectReport, Report};
use callboard_core::dispatch::ObstacleKind;
use callboard_core::model::{Limit, Payload, Span, StateName, TaskId};
use callboard_core::{Command, Reason};
use std::sync::Arc;

/// Of these tasks those that an agent has.
fn given(w: &World, tasks: &[TaskId]) -> usize {
    tasks.iter().filter(|task| w.has(**task).is_some()).count()
}

fn create(w: &mut World, count: usize, task_type: &str, keys: &[&str]) -> Vec<TaskId> {
    (0..count).map(|_| w.create(limited(task_type, keys))).collect()
}

/// What was given out is begun: else it would be taken back.
fn accept(w: &mut World, tasks: &[TaskId]) {
    for task in tasks.iter().filter(|task| w.state(**task) == StateName::Assigned).copied().collect::<Vec<_>>() {
        w.report(task, Report::Accepted).unwrap();
    }
}

fn in_use(w: &World, key: &str) -> u32 {
    w.tables.limits.values().find(|row| *row.key == *key).map_or(0, |row| row.in_use)
}

#[test]
fn a_key_holds_no_more_slots_than_its_limit_over_all_lanes_and_agents() {
    in_every_mode(|mut w| {
        w.limit(&[at_once("openai", 3)]);
        w.attach("ann", 10);
        w.attach("ben", 10);
        let mut tasks = create(&mut w, 4, "chat", &["openai"]);
        tasks.extend(create(&mut w, 4, "embed", &["openai"]));
        let others = create(&mut w, 4, "chat", &[]);
        w.dispatch();
        assert_eq!((given(&w, &tasks), given(&w, &others), in_use(&w, "openai")), (3, 4, 3));
        for _ in 0..5 {
            let held = *tasks.iter().find(|task| w.has(**task).is_some()).unwrap();
            w.report(held, completed("done")).unwrap();
            w.dispatch();
            assert_eq!(given(&w, &tasks), 3, "the next begins when one has ended");
        }
    });
}

#[test]
fn a_task_is_under_the_limits_of_all_its_keys() {
    in_every_mode(|mut w| {
        w.limit(&[at_once("openai", 3), at_once("tenant/*", 1)]);
        w.attach("ann", 10);
        let a = create(&mut w, 3, "chat", &["openai", "tenant/a"]);
        let b = create(&mut w, 3, "chat", &["openai", "tenant/b"]);
        w.dispatch();
        assert_eq!((given(&w, &a), given(&w, &b)), (1, 1));
        let (c, d) =
            (create(&mut w, 1, "chat", &["openai", "tenant/c"]), create(&mut w, 1, "chat", &["openai", "tenant/d"]));
        w.dispatch();
        assert_eq!(given(&w, &c) + given(&w, &d), 1, "the provider's limit is reached");
    });
}

#[test]
fn retries_losses_and_cancellations_give_their_slots_back() {
    in_every_mode(|mut w| {
        w.limit(&[at_once("model", 1)]);
        w.attach("ann", 10);
        let id = w.run_task(limited("work", &["model"]));
        w.report(id, failed("io")).unwrap();
        assert_eq!((w.state(id), in_use(&w, "model")), (StateName::Waiting, 0));
        w.pass_delay(id);
        assert_eq!((w.has(id).is_some(), in_use(&w, "model")), (true, 1));
        w.report(id, rejected()).unwrap();
        assert_eq!(in_use(&w, "model"), 0);
        w.dispatch();
        let (agent, epoch) = (w.agent("ann").id, w.agent("ann").epoch);
        w.run(Command::EndSession { agent, epoch, reason: "it is gone" }).unwrap();
        assert_eq!(in_use(&w, "model"), 0);
        w.attach("ben", 10);
        w.pass_delay(id);
        assert_eq!(in_use(&w, "model"), 1);
        w.cancel(id);
        let next = w.start(limited("work", &["model"]));
        assert_eq!((in_use(&w, "model"), w.has(next).is_some()), (1, true), "what had not begun is cancelled at once");
    });
}

#[test]
fn all_tasks_of_a_lost_agent_are_counted_in_one_command() {
    in_every_mode(|mut w| {
        let tasks: Vec<TaskId> =
            (0..300).map(|n| w.create(limited("work", &[&format!("tenant/{n}"), "model"]))).collect();
        w.attach("ann", 1_000);
        w.dispatch();
        w.dispatch();
        assert_eq!((given(&w, &tasks), in_use(&w, "model")), (300, 300));
        let (agent, epoch) = (w.agent("ann").id, w.agent("ann").epoch);
        w.run(Command::EndSession { agent, epoch, reason: "it is gone" }).unwrap();
        assert!(w.tables.limits.values().all(|row| row.in_use == 0));
    });
}

#[test]
fn what_was_paused_goes_on_beyond_the_limit() {
    in_every_mode(|mut w| {
        w.limit(&[at_once("model", 1)]);
        w.attach("ann", 10);
        let first = w.run_task(limited("work", &["model"]));
        let second = w.start(limited("work", &["model"]));
        w.report(first, Report::Pause).unwrap();
        w.dispatch();
        assert!(w.has(second).is_some(), "a paused task holds no slot");
        w.report(first, Report::Resume).unwrap();
        assert_eq!((w.state(first), in_use(&w, "model")), (StateName::Running, 2));
        let third = w.start(limited("work", &["model"]));
        w.report(first, completed("done")).unwrap();
        w.dispatch();
        assert_eq!((in_use(&w, "model"), w.has(third)), (1, None));
        w.report(second, completed("done")).unwrap();
        w.dispatch();
        assert!(w.has(third).is_some());
    });
}

#[test]
fn a_limit_that_is_set_later_counts_what_runs_and_one_that_is_raised_counts_at_once() {
    in_every_mode(|mut w| {
        w.attach("ann", 10);
        let tasks = create(&mut w, 2, "work", &["model"]);
        w.dispatch();
        w.limit(&[at_once("model", 2)]);
        let more = create(&mut w, 3, "work", &["model"]);
        w.dispatch();
        assert_eq!((given(&w, &tasks), given(&w, &more)), (2, 0));
        w.limit(&[at_once("model", 4)]);
        w.dispatch();
        assert_eq!(given(&w, &more), 2);
        w.limit(&[]);
        w.dispatch();
        assert_eq!(given(&w, &more), 3);
    });
}

#[test]
fn a_rate_lets_a_burst_through_and_then_one_by_one() {
    in_every_mode(|mut w| {
        w.limit(&[in_seconds("api", 3, 30)]);
        w.attach("ann", 100);
        let tasks = create(&mut w, 10, "work", &["api"]);
        w.dispatch();
        accept(&mut w, &tasks);
        assert_eq!(given(&w, &tasks), 3);
        w.pass(Span(9_999_999));
        assert_eq!(given(&w, &tasks), 3);
        w.pass(Span(1));
        assert_eq!(given(&w, &tasks), 4, "nobody has to look: the time is known");
        for left in 5..8 {
            accept(&mut w, &tasks);
            w.pass(Span::seconds(10));
            assert_eq!(given(&w, &tasks), left);
        }
    });
}

#[test]
fn an_attempt_that_is_handed_back_counts_for_the_rate() {
    in_every_mode(|mut w| {
        w.limit(&[in_seconds("api", 1, 10)]);
        w.attach("ann", 10);
        let id = w.start(limited("work", &["api"]));
        w.report(id, rejected()).unwrap();
        w.dispatch();
        assert_eq!(w.state(id), StateName::Ready);
        w.pass(Span::seconds(10));
        assert!(w.has(id).is_some());
    });
}

#[test]
fn claims_obey_limits_and_take_what_others_leave() {
    in_every_mode(|mut w| {
        w.limit(&[at_once("model", 2)]);
        let tasks = create(&mut w, 4, "work", &["model"]);
        let others = create(&mut w, 2, "other", &["model", "free"]);
        let free = create(&mut w, 1, "other", &[]);
        assert_eq!(w.claim("script", 10, Span::seconds(60)).len(), 3);
        assert_eq!((given(&w, &tasks) + given(&w, &others), given(&w, &free)), (2, 1));
        assert_eq!(w.claim("cron", 10, Span::seconds(60)).len(), 0);
    });
}

#[test]
fn a_direct_report_is_taken_at_a_limit_and_counts_for_the_rate() {
    in_every_mode(|mut w| {
        w.limit(&[in_seconds("api", 1, 10)]);
        w.attach("ann", 1);
        let tasks = create(&mut w, 3, "work", &["api"]);
        w.dispatch();
        let done = *tasks.iter().find(|task| w.has(**task).is_none()).unwrap();
        w.finish(done, DirectReport::Completed(Arc::new(Payload::text("by hand"))));
        assert_eq!((w.state(done), in_use(&w, "api")), (StateName::Completed, 1));
    });
}

#[test]
fn an_explanation_tells_of_limits() {
    in_every_mode(|mut w| {
        let both = Limit { max_concurrent: Some(1), ..in_seconds("model", 1, 10) };
        w.limit(&[both]);
        w.attach("ann", 10);
        let first = w.run_task(limited("work", &["model", "free"]));
        let second = w.start(limited("work", &["model", "free"]));
        let told = w.explain(second);
        let [limit] = &told.limits[..] else { panic!("one of its keys has a limit: {told:?}") };
        assert!(limit.reached && limit.next_at == Some(w.now + Span::seconds(10)));
        assert_eq!((&*limit.restraint.used.key, limit.restraint.used.in_use), ("model", 1));
        let obstacle = &told.candidates[0].obstacles[0];
        assert_eq!((obstacle.kind, &*obstacle.detail), (ObstacleKind::Limit, "model: 1 of 1 hold a slot"));
        w.report(first, completed("done")).unwrap();
        w.dispatch();
        let obstacle = w.explain(second).candidates[0].obstacles[0].clone();
        assert_eq!(&*obstacle.detail, "model: the rate lets the next one through in 10000 ms");
        w.pass(Span::seconds(10));
        assert!(w.has(second).is_some());
    });
}

#[test]
fn rows_of_which_nothing_is_used_are_forgotten_and_others_are_not() {
    in_every_mode(|mut w| {
        w.limit(&[in_seconds("api", 1, 10)]);
        w.attach("ann", 10);
        let id = w.run_task(limited("work", &["api", "model"]));
        let forget = |w: &mut World| {
            let keys = vec!["api".into(), "model".into(), "unknown".into()];
            w.run(Command::ForgetLimits { keys }).unwrap();
            w.tables.limits.len()
        };
        assert_eq!(forget(&mut w), 2);
        w.report(id, completed("done")).unwrap();
        assert_eq!(forget(&mut w), 1, "the rate is not to begin anew");
        w.pass(Span::seconds(10));
        assert_eq!(forget(&mut w), 0);
        let next = w.start(limited("work", &["api"]));
        assert_eq!((w.has(next).is_some(), in_use(&w, "api")), (true, 1));
    });
}

#[test]
fn limit_keys_are_refused_while_an_older_server_shares_the_store() {
    in_every_mode(|mut w| {
        w.all_current = false;
        assert_eq!(w.refused(Command::CreateTasks { tasks: vec![limited("a", &["k"])] }), Reason::UpgradeUnfinished);
        w.create(task("a"));
    });
}
