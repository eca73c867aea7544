//! A ready task that nobody takes asks for less, step by step.

use crate::support::table::Tables;
use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::TaskUpdate;
use callboard_core::model::{
    AgentProfile, EventKind, Failure, Fallback, NamespaceSettings, NewTask, Span, StateName, TaskId,
};
use callboard_core::{Command, Effect, Reason};

/// An expert's task, which the lead gets after 30 s, and anybody after 60 s.
fn expert_or_lead() -> NewTask {
    task_with("review", |new| {
        new.spec.requirements.role = Some("expert".into());
        new.spec.requirements.skills = ["rust".to_owned()].into();
        let after = |seconds| Fallback { after: Span::seconds(seconds), ..Fallback::default() };
        new.spec.requirements.fallbacks = vec![Fallback { role: Some("lead".into()), ..after(30) }, after(60)];
    })
}

fn with_role(role: &str) -> AgentProfile {
    AgentProfile { role: role.into(), skills: ["rust".to_owned()].into(), ..profile(1) }
}

/// Why it fell back, each time.
fn reasons(w: &World, task: TaskId) -> Vec<String> {
    let told = w.events(task).iter().filter_map(|event| match &event.kind {
        EventKind::Updated { fields, fallback: Some(_) } => Some(fields.clone()),
        _ => None,
    });
    told.collect()
}

fn assign_to(task: TaskId, agent: Option<&str>) -> Command {
    let update = TaskUpdate { assignee: Some(agent.map(str::to_owned)), ..TaskUpdate::default() };
    Command::UpdateTask { task, update }
}

#[test]
fn the_lead_gets_what_no_expert_took_in_time() {
    in_every_mode(|mut w| {
        w.attach_with("ann", with_role("lead"));
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(29));
        assert_eq!((w.state(id), w.task(id).fallback), (StateName::Ready, 0));
        w.pass(Span::seconds(1));
        assert_eq!((w.has(id).as_deref(), w.task(id).fallback), (Some("ann"), 1));
        assert_eq!(w.history(id), "created fell_back assigned");
        assert_eq!(reasons(&w, id), ["nobody took it within 30 s: now role lead"]);
        assert_eq!(w.task(id).spec.requirements.role.as_deref(), Some("expert"), "what was asked for is still shown");
    });
}

#[test]
fn the_whole_chain_is_gone_through_and_each_time_counts_from_ready() {
    in_every_mode(|mut w| {
        w.attach_with("joe", with_role("intern"));
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(59));
        assert_eq!((w.state(id), w.task(id).fallback), (StateName::Ready, 1));
        w.pass(Span::seconds(1));
        assert_eq!((w.has(id).as_deref(), w.task(id).fallback), (Some("joe"), 2));
        assert_eq!(reasons(&w, id)[1], "nobody took it within 60 s: now any agent that takes its type");
    });
}

#[test]
fn an_expert_that_comes_in_time_gets_it() {
    in_every_mode(|mut w| {
        w.attach_with("ann", with_role("lead"));
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(29));
        w.attach_with("eve", with_role("expert"));
        w.report(id, callboard_core::command::Report::Accepted).unwrap();
        w.pass(Span::seconds(100));
        assert_eq!((w.has(id).as_deref(), w.task(id).fallback), (Some("eve"), 0));
        assert_eq!(w.history(id), "created assigned started");
    });
}

/// Whoever was away for long finds what counts now, and not each step on the way.
#[test]
fn a_late_look_goes_to_the_last_that_is_due() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        w.sleep(Span::seconds(90));
        w.settle();
        assert_eq!((w.history(id).as_str(), w.task(id).fallback), ("created fell_back", 2));
        assert_eq!(w.task(id).wake_at(&w.settings), None, "there is nothing more to come");
    });
}

#[test]
fn its_new_lane_is_dispatched_at_once_and_its_place_stays() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        let rank = w.task(id).rank();
        w.sleep(Span::seconds(30));
        w.take_effects();
        w.wake_due();
        let (namespace, lane) = w.lane_of(id);
        let ready = |effect: &Effect| matches!(effect, Effect::LaneReady { namespace: n, lane: l } if (*n, *l) == (namespace, lane));
        assert!(w.take_effects().iter().any(ready));
        assert_eq!(w.task(id).rank(), rank);
    });
}

#[test]
fn waking_it_again_moves_it_once() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        w.sleep(Span::seconds(31));
        for _ in 0..3 {
            w.run(Command::Wake { task: id }).unwrap();
        }
        assert_eq!(w.history(id), "created fell_back");
    });
}

#[test]
fn what_a_run_has_come_to_stays_for_its_attempts_and_the_next_run_begins_anew() {
    in_every_mode(|mut w| {
        let lead = w.attach_with("ann", with_role("lead"));
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(30));
        w.report(id, failed("Broken")).unwrap();
        w.end_session(&lead);
        w.pass(Span::seconds(10));
        assert_eq!((w.state(id), w.task(id).fallback), (StateName::Ready, 1), "a later attempt begins there");
        w.pass(Span::seconds(45));
        assert_eq!(w.task(id).fallback, 1, "the next counts from when it became ready again");
        w.pass(Span::seconds(10));
        assert_eq!(w.task(id).fallback, 2);
        w.cancel(id);
        w.run(Command::RetryTask { task: id }).unwrap();
        assert_eq!((w.state(id), w.task(id).fallback), (StateName::Ready, 0));
        w.attach_with("ann", with_role("lead"));
        assert_eq!(w.state(id), StateName::Ready, "its own requirements count again");
        w.pass(Span::seconds(30));
        assert_eq!(w.has(id).as_deref(), Some("ann"));
    });
}

#[test]
fn an_assignee_takes_it_back_and_its_fallbacks_have_their_times_again() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(59));
        assert_eq!(w.task(id).fallback, 1);
        w.run(assign_to(id, Some("eve"))).unwrap();
        assert_eq!(w.task(id).fallback, 0);
        w.pass(Span::seconds(29));
        assert_eq!(w.task(id).fallback, 0);
        w.pass(Span::seconds(1));
        assert_eq!(w.task(id).fallback, 1);
        // To the same again: that is a wish, too.
        w.run(assign_to(id, Some("eve"))).unwrap();
        assert_eq!(w.task(id).fallback, 0);
        w.attach_with("eve", with_role("expert"));
        assert_eq!(w.has(id).as_deref(), Some("eve"));
        assert_eq!(w.history(id), "created fell_back updated fell_back updated assigned");
    });
}

#[test]
fn other_updates_leave_it_where_it_is() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(30));
        let update = TaskUpdate { tags: Some(["seen".to_owned()].into()), ..TaskUpdate::default() };
        w.run(Command::UpdateTask { task: id, update }).unwrap();
        assert_eq!(w.task(id).fallback, 1);
        w.attach_with("ann", with_role("lead"));
        assert_eq!(w.has(id).as_deref(), Some("ann"));
    });
}

#[test]
fn a_held_task_does_not_fall_back_and_a_task_that_was_not_begun_in_time_fails() {
    in_every_mode(|mut w| {
        let held = w.create(expert_or_lead());
        w.run(Command::HoldTask { task: held, reason: String::new() }).unwrap();
        let short = w.create(task_with("review", |new| {
            new.spec = expert_or_lead().spec;
            new.spec.timeouts.schedule_to_start = Some(Span::seconds(30));
        }));
        w.pass(Span::seconds(100));
        assert_eq!((w.state(held), w.task(held).fallback), (StateName::Waiting, 0));
        assert_eq!((w.state(short), w.task(short).fallback), (StateName::Failed, 0));
        w.run(Command::ReleaseTask { task: held }).unwrap();
        w.pass(Span::seconds(29));
        assert_eq!(w.task(held).fallback, 0, "it counts from when it is ready");
        w.pass(Span::seconds(1));
        assert_eq!(w.task(held).fallback, 1);
    });
}

fn lanes_of(tables: &Tables) -> usize {
    tables.lanes.len()
}

/// It stays where it is, is tried again later, and keeps nobody else from his time.
#[test]
fn a_task_whose_new_lane_finds_no_room_stays_and_moves_when_there_is() {
    in_every_mode(|mut w| {
        let settings = NamespaceSettings { max_lanes: 2, ..NamespaceSettings::default() };
        w.run(Command::UpdateNamespace { settings }).unwrap();
        let id = w.create(expert_or_lead());
        let other = w.create(task("write"));
        w.pass(Span::seconds(31));
        assert_eq!((w.state(id), w.task(id).fallback, lanes_of(&w.tables)), (StateName::Ready, 0, 2));
        assert_eq!(w.history(id), "created", "nothing happened that anybody should read");
        let next = w.task(id).wake_at(&w.settings).unwrap();
        assert!(next > w.now, "it would be looked at over and over");
        w.complete(other);
        w.pass(next.since(w.now));
        assert_eq!((w.task(id).fallback, lanes_of(&w.tables)), (1, 2));
        w.attach_with("ann", with_role("lead"));
        assert_eq!(w.has(id).as_deref(), Some("ann"));
    });
}

#[test]
fn who_claims_gets_it_by_what_counts_now() {
    in_every_mode(|mut w| {
        let id = w.create(expert_or_lead());
        let lead = std::sync::Arc::new(with_role("lead"));
        assert!(w.try_claim("ann", &lead, 1, Span::seconds(60)).unwrap().is_empty());
        w.pass(Span::seconds(30));
        assert_eq!(w.try_claim("ann", &lead, 1, Span::seconds(60)).unwrap()[0].task, id);
    });
}

#[test]
fn fallbacks_are_refused_while_an_older_server_is_there() {
    in_every_mode(|mut w| {
        w.all_current = false;
        assert_eq!(w.refused(Command::CreateTasks { tasks: vec![expert_or_lead()] }), Reason::UpgradeUnfinished);
        w.create(task("review"));
        w.attach("parent", 1);
        let parent = w.tables.live().next().unwrap().id;
        let child = Box::new(new_child("one", 0, expert_or_lead()));
        let fence = w.fence(parent);
        assert_eq!(w.refused(Command::CreateChild { fence, child }), Reason::UpgradeUnfinished);
    });
}

/// A lost agent is another reason to be ready again; what failed for good stays ended.
#[test]
fn an_ended_task_has_no_fallback_to_come() {
    in_every_mode(|mut w| {
        w.attach_with("ann", with_role("lead"));
        let id = w.create(expert_or_lead());
        w.pass(Span::seconds(30));
        w.report(id, failed_with(Failure { retryable: false, ..failure("Broken") })).unwrap();
        w.pass(Span::seconds(100));
        assert_eq!((w.state(id), w.task(id).fallback), (StateName::Failed, 1));
    });
}
