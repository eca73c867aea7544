//! Attaching, coming back, draining, being lost, being looked after.

use crate::support::{envelope, in_every_mode, make::*};
use callboard_core::command::{Report, SessionEnd, StopReason};
use callboard_core::model::{Link, Span, StateName};
use callboard_core::{Command, Effect, Envelope, Reason};

fn closes(effects: &[Effect]) -> Vec<(i64, SessionEnd)> {
    let close = |e: &Effect| if let Effect::CloseSession { epoch, why, .. } = e { Some((*epoch, *why)) } else { None };
    effects.iter().filter_map(close).collect()
}

#[test]
fn an_agent_outlives_its_sessions_and_epochs_rise() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        w.end_session(&first);
        assert!(w.agent("worker").session.is_none());
        assert_eq!(w.agent("worker").detached_at, Some(w.now));
        let second = w.attach("worker", 1);
        assert_eq!((second.agent, first.epoch, second.epoch), (first.agent, 1, 2));
        assert_eq!(w.agent("worker").detached_at, None);
    });
}

#[test]
fn a_newer_session_supersedes_the_older() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        w.take_effects();
        let second = w.hello(Hello { instance: "two", ..Hello::new("worker", profile(1)) }).unwrap();
        assert_eq!(closes(&w.effects), [(first.epoch, SessionEnd::Superseded)]);
        assert_eq!(w.state(id), StateName::Ready, "what the newer one doesn't have is lost");
        // What is ordered for the old session does nothing to the new one.
        let before = w.tables.clone();
        w.break_session(&first);
        w.end_session(&first);
        let (agent, epoch) = (first.agent, first.epoch);
        w.run(Command::SetSlots { agent, epoch, slots: 9 }).unwrap();
        w.run(Command::DrainSession { agent, epoch }).unwrap();
        assert!(w.tables == before);
        assert_eq!(w.agent("worker").epoch, second.epoch);
    });
}

#[test]
fn two_programs_of_one_name_do_not_take_turns() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        w.hello(Hello { instance: "two", ..Hello::new("worker", profile(1)) }).unwrap();
        let back = || Hello { previous_epoch: 1, ..Hello::new("worker", profile(1)) }.command();
        assert_eq!(w.refused(back()), Reason::SessionSuperseded);
        let nameless = Hello { previous_epoch: 1, instance: "", ..Hello::new("worker", profile(1)) };
        assert_eq!(w.refused(nameless.command()), Reason::SessionSuperseded);
        // When the other one is gone, it may come back.
        let agent = w.agent("worker").clone();
        w.run(Command::BreakSession { agent: agent.id, epoch: agent.epoch }).unwrap();
        w.run(back()).unwrap();
    });
}

#[test]
fn the_same_program_comes_back_though_its_old_session_looks_attached() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        for previous_epoch in 1..4 {
            let back = w.hello(Hello { previous_epoch, ..Hello::new("worker", profile(1)) }).unwrap();
            assert_eq!(back.epoch, previous_epoch + 1);
        }
        // A welcome that was lost, or a hello that comes late: it still knows an older epoch. Whoever reads the newer session's
        // stream attaches again, and doesn't end as if another program had the name.
        w.take_effects();
        w.hello(Hello { previous_epoch: 2, ..Hello::new("worker", profile(1)) }).unwrap();
        assert_eq!(closes(&w.effects), [(4, SessionEnd::Renewed)]);
    });
}

#[test]
fn attempts_that_are_still_held_go_on_and_the_others_are_lost() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 4);
        let running = w.run_task(task("work"));
        let assigned = w.start(task("work"));
        let forgotten = w.run_task(task("work"));
        let unaccepted = w.start(task("work"));
        let (a, b) = (w.fence(running), w.fence(assigned));
        w.break_session(&first);
        assert!(matches!(w.agent("worker").session.as_ref().unwrap().link, Link::Broken { .. }));
        assert_eq!(w.state(running), StateName::Running, "they wait for it");
        let stale = callboard_core::command::Fence { attempt: 9, ..a };
        let hello = Hello { held: vec![b, stale, a], previous_epoch: 1, ..Hello::new("worker", profile(4)) };
        let mut kept = w.hello(hello).unwrap().held;
        kept.sort_by_key(|fence| fence.task != running);
        assert_eq!(kept, [a, b]);
        assert_eq!((w.state(running), w.state(assigned)), (StateName::Running, StateName::Assigned));
        assert_eq!((w.state(forgotten), w.task(forgotten).attempts_used), (StateName::Ready, 1));
        assert_eq!((w.state(unaccepted), w.task(unaccepted).attempts_used), (StateName::Ready, 0));
        for id in [running, assigned] {
            assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed));
        }
    });
}

#[test]
fn a_broken_stream_gets_nothing_new() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 5);
        w.break_session(&session);
        let id = w.start(task("work"));
        assert_eq!(w.state(id), StateName::Ready);
    });
}

#[test]
fn an_ended_session_loses_all_and_tells_its_agent() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 2);
        let (running, assigned) = (w.run_task(task("work")), w.start(task("work")));
        w.take_effects();
        w.end_session(&session);
        let lost = |e: &&Effect| matches!(e, Effect::Stop { reason: StopReason::LeaseLost, .. });
        assert_eq!(w.effects.iter().filter(lost).count(), 2);
        assert_eq!(closes(&w.effects), [(1, SessionEnd::Expired)]);
        assert_eq!((w.state(running), w.state(assigned)), (StateName::Ready, StateName::Ready));
        assert_eq!(w.agent("worker").failed, 1);
    });
}

#[test]
fn a_draining_agent_finishes_and_gets_nothing_new() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 5);
        let id = w.run_task(task("work"));
        w.run(Command::DrainSession { agent: session.agent, epoch: session.epoch }).unwrap();
        let next = w.start(task("work"));
        assert_eq!(w.state(next), StateName::Ready);
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed));
    });
}

#[test]
fn slots_are_never_exceeded_and_fewer_of_them_take_nothing_away() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 2);
        let ids: Vec<_> = (0..5).map(|_| w.start(task("work"))).collect();
        let leased = |w: &crate::support::World| w.tables.leased_to(session.agent).count();
        assert_eq!(leased(&w), 2);
        let (agent, epoch) = (session.agent, session.epoch);
        w.run(Command::SetSlots { agent, epoch, slots: 1 }).unwrap();
        assert_eq!(leased(&w), 2);
        let first = *ids.iter().find(|id| w.has(**id).is_some()).unwrap();
        w.report(first, completed("done")).unwrap();
        w.dispatch();
        assert_eq!(leased(&w), 1);
        w.run(Command::SetSlots { agent, epoch, slots: 3 }).unwrap();
        w.dispatch();
        assert_eq!(leased(&w), 3);
    });
}

#[test]
fn a_cordoned_agent_keeps_what_it_has_and_gets_nothing_new() {
    in_every_mode(|mut w| {
        w.attach("worker", 2);
        let id = w.run_task(task("work"));
        w.run(Command::Cordon { name: "worker".into(), cordoned: true }).unwrap();
        let next = w.start(task("work"));
        assert_eq!((w.state(id), w.state(next)), (StateName::Running, StateName::Ready));
        assert!(w.claim("worker2", 0, Span::seconds(60)).is_empty());
        // It outlives the session.
        w.attach("worker", 2);
        assert_eq!(w.state(next), StateName::Ready);
        let before = w.agent("worker").version;
        w.run(Command::Cordon { name: "worker".into(), cordoned: true }).unwrap();
        assert_eq!(w.agent("worker").version, before);
        w.run(Command::Cordon { name: "worker".into(), cordoned: false }).unwrap();
        w.dispatch();
        assert_eq!(w.has(next).as_deref(), Some("worker"));
    });
}

#[test]
fn a_cordoned_claimer_gets_nothing() {
    in_every_mode(|mut w| {
        w.claim("claimer", 1, Span::seconds(60));
        w.create(task("work"));
        w.run(Command::Cordon { name: "claimer".into(), cordoned: true }).unwrap();
        assert!(w.claim("claimer", 1, Span::seconds(60)).is_empty());
    });
}

#[test]
fn a_removed_agent_is_forgotten_and_its_tasks_go_to_others() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 2);
        let id = w.run_task(task("work"));
        w.take_effects();
        w.run(Command::RemoveAgent { name: "worker".into() }).unwrap();
        assert!(w.tables.agents.is_empty());
        assert_eq!(closes(&w.effects), [(1, SessionEnd::Removed)]);
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Ready, 1));
        let gone = Command::RemoveAgent { name: "worker".into() };
        assert_eq!(w.refused(gone), Reason::AgentNotFound);
        assert_eq!(w.refused(Command::Cordon { name: "worker".into(), cordoned: true }), Reason::AgentNotFound);
        let again = w.attach("worker", 2);
        assert_ne!(first.agent, again.agent);
        assert_eq!(w.report(id, Report::Accepted), Ok(StateName::Running));
    });
}

#[test]
fn a_name_belongs_to_the_principal_that_attached_it_first() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let hello = Hello::new("worker", profile(1)).command();
        let thief = Envelope { principal: "thief".into(), ..envelope(hello.clone()) };
        assert_eq!(w.refused_as(thief.clone()), Reason::NotYourAgent);
        w.run(Command::RemoveAgent { name: "worker".into() }).unwrap();
        w.run_as(thief).unwrap();
        assert_eq!(w.refused(hello), Reason::NotYourAgent);
    });
}

#[test]
fn an_agent_that_is_gone_for_long_is_forgotten_unless_it_has_something_to_come_back_for() {
    in_every_mode(|mut w| {
        let forget = |w: &crate::support::World, seconds: i64| Command::ForgetAgent {
            name: "worker".into(),
            before: w.now - Span::seconds(seconds),
        };
        assert_eq!(w.refused(forget(&w, 0)), Reason::AgentNotFound);
        let first = w.attach("worker", 1);
        let kept = |w: &mut crate::support::World, seconds: i64| {
            w.run(forget(w, seconds)).unwrap();
            w.tables.agents.contains_key(&first.agent)
        };
        assert!(kept(&mut w, 0), "it has a session");
        w.end_session(&first);
        w.sleep(Span::seconds(10));
        assert!(kept(&mut w, 11), "it left too lately");
        w.run(Command::Cordon { name: "worker".into(), cordoned: true }).unwrap();
        assert!(kept(&mut w, 5), "it is to stay cordoned");
        w.run(Command::Cordon { name: "worker".into(), cordoned: false }).unwrap();
        w.run(Command::SendMessage { from: None, message: message("worker", "hello") }).unwrap();
        assert!(kept(&mut w, 5), "a message waits for it");
        let messages = w.tables.mail(first.agent).into_iter().map(|message| message.id).collect();
        w.run(Command::AcknowledgeMessages { agent: first.agent, epoch: None, messages }).unwrap();
        assert!(!kept(&mut w, 10));
        assert_eq!(w.refused(forget(&w, 0)), Reason::AgentNotFound);
        let again = w.attach("worker", 1);
        assert_ne!(again.agent, first.agent);
    });
}
