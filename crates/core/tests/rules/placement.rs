//! Resources, wishes, and why a task goes where it goes.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Report, TaskUpdate};
use callboard_core::dispatch::{Explanation, ObstacleKind};
use callboard_core::model::{
    AgentProfile, Chosen, EventKind, NewDependency, NewTask, OnFailure, Span, StateName, TaskId, Terms,
};
use callboard_core::{Command, Reason};
use std::sync::Arc;

fn gpus(amount: f64, slots: u32) -> AgentProfile {
    with_gpus(amount, profile(slots))
}

/// That takes so many thousandths of a gpu.
fn taking(task_type: &str, parts: u64) -> NewTask {
    task_with(task_type, |new| new.spec.requirements.resources = some_gpu(parts))
}

fn with(w: &World, ids: &[TaskId], state: StateName) -> usize {
    ids.iter().filter(|id| w.state(**id) == state).count()
}

fn obstacles(explanation: &Explanation, agent: &str) -> Vec<ObstacleKind> {
    let found = explanation.candidates.iter().find(|candidate| &*candidate.agent == agent).expect("it is told");
    found.obstacles.iter().map(|obstacle| obstacle.kind).collect()
}

#[test]
fn an_agent_is_given_no_more_than_it_has_and_others_are_not_held_up() {
    in_every_mode(|mut w| {
        let large: Vec<TaskId> = (0..3).map(|_| w.create(taking("large", 2_000))).collect();
        let small: Vec<TaskId> = (0..3).map(|_| w.create(taking("small", 500))).collect();
        let plain = w.create(task("plain"));
        w.attach_with("ann", gpus(3.5, 10));
        // 2 of 3.5, then three times a half.
        assert_eq!((with(&w, &large, StateName::Assigned), with(&w, &small, StateName::Assigned)), (1, 3));
        assert_eq!(w.state(plain), StateName::Assigned);
        let given = large.iter().find(|id| w.state(**id) == StateName::Assigned).expect("one is");
        w.report(*given, completed("done")).unwrap();
        w.dispatch();
        assert_eq!(with(&w, &large, StateName::Assigned), 1, "what came free is given out");
    });
}

#[test]
fn who_has_less_in_all_never_gets_it() {
    in_every_mode(|mut w| {
        w.attach_with("small", gpus(1.0, 5));
        w.attach("none", 5);
        let id = w.start(taking("work", 1_001));
        assert_eq!(w.state(id), StateName::Ready);
        assert_eq!(obstacles(&w.explain(id), "none"), [ObstacleKind::Resource]);
        w.attach_with("large", gpus(1.001, 1));
        assert_eq!(w.has(id).as_deref(), Some("large"));
    });
}

#[test]
fn a_claim_takes_what_fits_and_passes_over_the_rest() {
    in_every_mode(|mut w| {
        let two = w.create(taking("a", 2_000));
        let more = w.create(taking("b", 2_000));
        let one = w.create(taking("c", 1_000));
        let plain = w.create(task("d"));
        let claimed = w.try_claim("cron", &Arc::new(gpus(3.0, 10)), 10, Span::seconds(60)).unwrap();
        let ids: Vec<TaskId> = claimed.iter().map(|fence| fence.task).collect();
        assert_eq!(ids.len(), 3);
        assert!(ids.contains(&one) && ids.contains(&plain) && ids.contains(&two) != ids.contains(&more));
        assert_eq!(w.try_claim("cron", &Arc::new(gpus(3.0, 10)), 10, Span::seconds(60)).unwrap(), []);
    });
}

#[test]
fn a_paused_task_gives_its_resources_up_and_waits_for_them_to_go_on() {
    in_every_mode(|mut w| {
        w.attach_with("ann", gpus(1.0, 5));
        let first = w.run_task(taking("a", 1_000));
        w.report(first, Report::Pause).unwrap();
        w.dispatch();
        let second = w.run_task(taking("b", 1_000));
        assert_eq!(w.state(second), StateName::Running);
        w.report(first, Report::Resume).unwrap();
        assert_eq!(w.state(first), StateName::Paused, "a slot is free, and no gpu");
        // What it waits for is no new task's.
        let third = w.start(taking("c", 1_000));
        w.report(second, completed("done")).unwrap();
        w.dispatch();
        assert_eq!((w.state(first), w.state(third)), (StateName::Running, StateName::Ready));
        assert_eq!(obstacles(&w.explain(third), "ann"), [ObstacleKind::ResourceTaken]);
    });
}

#[test]
fn a_task_that_takes_more_than_its_agent_has_by_now_goes_on_alone() {
    in_every_mode(|mut w| {
        w.attach_with("ann", gpus(2.0, 5));
        let id = w.run_task(taking("a", 2_000));
        w.report(id, Report::Pause).unwrap();
        let held = vec![w.fence(id)];
        w.hello(Hello { held, previous_epoch: 1, ..Hello::new("ann", gpus(1.0, 5)) }).unwrap();
        let other = w.start(taking("b", 1_000));
        w.report(id, Report::Resume).unwrap();
        assert_eq!(w.state(id), StateName::Paused);
        w.report(other, completed("done")).unwrap();
        assert_eq!(w.state(id), StateName::Running);
    });
}

#[test]
fn an_update_leaves_what_is_taken() {
    in_every_mode(|mut w| {
        w.attach_with("ann", gpus(1.0, 5));
        let id = w.run_task(taking("a", 1_000));
        let update = TaskUpdate { assignee: Some(Some("ann".into())), ..TaskUpdate::default() };
        w.run(Command::UpdateTask { task: id, update }).unwrap();
        let next = w.start(taking("a", 1_000));
        assert_eq!(w.state(next), StateName::Ready, "its lane is another, and it still has the gpu");
    });
}

#[test]
fn resources_are_refused_while_an_older_server_shares_the_store() {
    in_every_mode(|mut w| {
        w.all_current = false;
        assert_eq!(w.refused(Command::CreateTasks { tasks: vec![taking("a", 1)] }), Reason::UpgradeUnfinished);
        w.create(task("a"));
    });
}

fn reviewing(source: TaskId, change: impl FnOnce(&mut NewTask)) -> NewTask {
    task_with("review", |new| {
        let terms = Terms { name: Some("draft".into()), on_failure: OnFailure::Skip, ..Terms::default() };
        new.dependencies = vec![NewDependency { source, terms }];
        change(new);
    })
}

#[test]
fn a_task_goes_near_to_or_apart_from_who_had_its_dependency() {
    let near = |new: &mut NewTask| new.spec.requirements.near = ["draft".to_owned()].into();
    let apart = |new: &mut NewTask| new.spec.requirements.apart = ["draft".to_owned()].into();
    in_every_mode(|mut w| {
        w.attach("ann", 10);
        let draft = w.run_task(task("draft"));
        let before = w.create(reviewing(draft, near));
        let other = w.create(reviewing(draft, apart));
        w.hello(Hello::new("bob", profile(10))).unwrap();
        w.hello(Hello::new("cid", profile(10))).unwrap();
        w.report(draft, completed("done")).unwrap();
        w.dispatch();
        assert_eq!(w.has(before).as_deref(), Some("ann"));
        assert_ne!(w.has(other).as_deref(), Some("ann"));
        // It had ended before these were created.
        let (near, apart) = (w.start(reviewing(draft, near)), w.start(reviewing(draft, apart)));
        assert_eq!(w.has(near).as_deref(), Some("ann"));
        assert_ne!(w.has(apart).as_deref(), Some("ann"));
        assert!(w.task(near).dependency_agents.contains_key("draft"));
        let plain = w.start(reviewing(draft, |_| {}));
        assert!(w.task(plain).dependency_agents.is_empty(), "nobody asked");
    });
}

#[test]
fn labels_that_an_agent_should_not_have_count_as_those_that_it_should() {
    in_every_mode(|mut w| {
        let spot = AgentProfile { labels: [("spot".to_owned(), "yes".to_owned())].into(), ..profile(10) };
        w.attach_with("ann", spot);
        w.attach("bob", 10);
        let id = w.start(task_with("work", |new| {
            new.spec.requirements.anti_affinity = [("spot".to_owned(), "yes".to_owned())].into();
        }));
        assert_eq!(w.has(id).as_deref(), Some("bob"));
    });
}

#[test]
fn an_explanation_names_every_obstacle() {
    in_every_mode(|mut w| {
        use ObstacleKind as O;
        w.attach_with("other", profile_for(&["other"], 1));
        w.attach("busy", 1);
        let at_work = w.run_task(task("work"));
        w.attach("gone", 1);
        let gone = w.agent("gone").clone();
        w.run(Command::EndSession { agent: gone.id, epoch: gone.epoch, reason: "it was silent" }).unwrap();
        w.claim("cron", 0, Span::seconds(60));
        w.attach("shy", 1);
        w.run(Command::Cordon { name: "shy".into(), cordoned: true }).unwrap();
        let id = w.start(task_with("work", |new| {
            new.spec.requirements.skills = ["rust".to_owned()].into();
            new.spec.requirements.role = Some("lead".into());
        }));
        let told = w.explain(id);
        assert_eq!((told.agents, told.fitting), (5, 0));
        assert_eq!(obstacles(&told, "other"), [O::TaskType, O::Role, O::Skill]);
        assert_eq!(obstacles(&told, "gone"), [O::Role, O::Skill, O::Detached]);
        let id = w.start(task("work"));
        let told = w.explain(id);
        assert_eq!(told.fitting, 4);
        assert_eq!(obstacles(&told, "busy"), [O::Slots]);
        assert_eq!(obstacles(&told, "gone"), [O::Detached]);
        assert_eq!(obstacles(&told, "cron"), [O::Claims]);
        assert_eq!(obstacles(&told, "shy"), [O::Cordoned]);
        let order: Vec<&str> = told.candidates.iter().map(|candidate| &*candidate.agent).collect();
        assert_eq!(order, ["busy", "cron", "gone", "shy", "other"]);
        w.report(at_work, completed("done")).unwrap();
        let told = w.explain(id);
        assert_eq!((&*told.candidates[0].agent, told.candidates[0].obstacles.len()), ("busy", 0));
    });
}

/// How the agent of each attempt was chosen; none: it claimed the task.
fn past(w: &World, id: TaskId) -> Vec<Option<Chosen>> {
    let assigned = w.events(id).iter().filter_map(|event| match &event.kind {
        EventKind::Assigned { chosen, .. } => Some(chosen.clone()),
        _ => None,
    });
    assigned.collect()
}

fn scores(chosen: &Chosen) -> Vec<(&str, f64)> {
    chosen.runners_up.iter().map(|other| (&*other.agent, other.score.score())).collect()
}

#[test]
fn an_assignment_keeps_its_score_and_the_best_three_of_the_others() {
    in_every_mode(|mut w| {
        // Of the idle ones who has fewer busy slots is better.
        let names = ["ann", "bob", "cid", "dan", "eve"];
        for (name, slots) in names.into_iter().zip([10, 8, 5, 4, 2]) {
            w.attach(name, slots);
        }
        w.attach_with("other", profile_for(&["other"], 5));
        for name in names {
            w.start(task_with("work", |new| new.spec.requirements.assignee = Some(name.into())));
        }
        let id = w.start(task("work"));
        let kept = past(&w, id).remove(0).expect("it was chosen");
        // 0.4 * 1/2 for one that has completed nothing, 0.25 and 0.05, and 0.3 of what is idle.
        assert_eq!((w.has(id).as_deref(), kept.score.score(), kept.compared), (Some("ann"), 0.77, 5));
        assert_eq!(scores(&kept), [("bob", 0.7625), ("cid", 0.74), ("dan", 0.725)]);
    });
}

#[test]
fn of_a_lone_agent_its_score_is_kept_and_of_a_claim_nothing() {
    in_every_mode(|mut w| {
        w.attach("ann", 1);
        let id = w.run_task(task("work"));
        let kept = past(&w, id).remove(0).expect("it was chosen");
        assert_eq!((kept.score.score(), kept.compared, kept.runners_up.len()), (0.8, 1, 0));
        let claimed = w.create(task("work"));
        assert_eq!(w.claim("cron", 5, Span::seconds(60)).len(), 1);
        assert_eq!(past(&w, claimed), [None]);
    });
}

#[test]
fn a_better_one_is_kept_behind_who_was_preferred_and_before_which_the_last_attempt_failed() {
    in_every_mode(|mut w| {
        w.attach("ann", 10);
        w.attach("bob", 10);
        w.start(task_with("work", |new| new.spec.requirements.assignee = Some("bob".into())));
        let id = w.run_task(task_with("work", |new| new.spec.requirements.preferred_agent = Some("bob".into())));
        w.report(id, failed("Sick")).unwrap();
        w.pass_delay(id);
        w.dispatch();
        let past = past(&w, id);
        let [Some(preferred), Some(retried)] = &past[..] else { panic!("two were chosen: {past:?}") };
        assert_eq!((preferred.score.score(), scores(preferred)), (0.77, vec![("ann", 0.8)]));
        assert_eq!((w.has(id).as_deref(), retried.compared), (Some("ann"), 2));
        assert_eq!(retried.runners_up[0].agent.as_ref(), "bob");
    });
}
