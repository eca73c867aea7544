//! Several replicas on one store: each speaks for its own streams, and a dead one's sessions are adopted.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::Command;
use callboard_core::command::Attached;
use callboard_core::model::{Link, StateName};

const ELSEWHERE: &str = "elsewhere";

fn at(w: &mut World, replica: &'static str) {
    w.replica = replica;
}

fn adopt(w: &mut World, session: &Attached, from: &str) {
    let command = Command::AdoptSession { agent: session.agent, epoch: session.epoch, from: from.into() };
    w.run(command).expect("never refused");
}

fn link(w: &World) -> Link {
    w.agent("worker").session.clone().expect("it has a session").link
}

#[test]
fn who_adopted_a_session_awaits_its_agent_and_the_old_replica_has_no_say() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        at(&mut w, ELSEWHERE);
        adopt(&mut w, &session, "replica");
        assert_eq!(link(&w), Link::Broken { replica: ELSEWHERE.into(), since: w.now });
        assert_eq!(w.agent("worker").epoch, session.epoch, "what is on its way is still right");
        let before = w.tables.clone();
        at(&mut w, "replica");
        w.break_session(&session);
        w.end_session(&session);
        assert!(w.tables == before);
        at(&mut w, ELSEWHERE);
        w.end_session(&session);
        assert_eq!(w.state(id), StateName::Ready);
    });
}

#[test]
fn an_agent_whose_replica_died_keeps_what_it_has_at_another() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 1);
        let id = w.run_task(task("work"));
        let held = vec![w.fence(id)];
        at(&mut w, ELSEWHERE);
        adopt(&mut w, &session, "replica");
        let hello = Hello { held: held.clone(), previous_epoch: session.epoch, ..Hello::new("worker", profile(1)) };
        let back = w.hello(hello).unwrap();
        assert_eq!(back.held, held);
        assert_eq!(link(&w), Link::Stream { replica: ELSEWHERE.into() });
        assert_eq!(w.report(id, completed("done")), Ok(StateName::Completed));
    });
}

#[test]
fn only_the_session_that_was_meant_is_adopted_and_once() {
    in_every_mode(|mut w| {
        let first = w.attach("worker", 1);
        at(&mut w, ELSEWHERE);
        let before = w.tables.clone();
        adopt(&mut w, &first, "a third");
        assert!(w.tables == before, "it is of another replica than that which died");
        let second = w.hello(Hello { previous_epoch: 1, ..Hello::new("worker", profile(1)) }).unwrap();
        let before = w.tables.clone();
        adopt(&mut w, &first, "replica");
        adopt(&mut w, &second, "replica");
        assert!(w.tables == before, "its agent is attached elsewhere");
        at(&mut w, "a third");
        adopt(&mut w, &second, ELSEWHERE);
        at(&mut w, "replica");
        let before = w.tables.clone();
        adopt(&mut w, &second, ELSEWHERE);
        assert!(w.tables == before, "another replica was faster");
    });
}

#[test]
fn a_replica_gives_tasks_to_its_own_agents_alone() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        at(&mut w, ELSEWHERE);
        let id = w.start(task("work"));
        assert_eq!(w.state(id), StateName::Ready, "it is on this board, and attached elsewhere");
        at(&mut w, "replica");
        w.settle();
        w.run(Command::Dispatch { lanes: w.tables.ready_lanes() }).unwrap();
        assert_eq!(w.has(id).as_deref(), Some("worker"));
    });
}
