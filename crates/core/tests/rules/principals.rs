//! Whose an agent is, whose a lease is: a name and a token are not enough.

use crate::support::{World, envelope, in_every_mode, make::*, name};
use callboard_core::command::{DirectReport, Fence, Report, Reporter};
use callboard_core::model::{Payload, Progress, Span, StateName};
use callboard_core::{Command, Envelope, Reason};
use std::sync::Arc;

const MINUTE: Span = Span::seconds(60);

fn by(principal: &str, command: Command) -> Envelope {
    Envelope { principal: principal.into(), ..envelope(command) }
}

fn claim(agent: &str) -> Command {
    let profile = Arc::new(profile_for(&["work"], 9));
    Command::Claim { name: name(agent), profile, max: 1, lease: MINUTE }
}

fn beat(fence: Fence) -> Command {
    Command::Heartbeat {
        fence,
        lease: None,
        progress: Some(Progress::default()),
        checkpoint: None,
        steps: Vec::new(),
        output: None,
    }
}

fn unary(fence: Fence, report: Report) -> Command {
    Command::Report { fence, reporter: Reporter::Token, report }
}

fn owner(w: &World, agent: &str) -> String {
    w.agent(agent).principal.clone()
}

#[test]
fn a_lease_is_its_holders_though_another_principal_knows_its_token() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        w.run_as(by("ann", claim("claimer"))).unwrap();
        let fence = w.fence(id);
        for report in [Report::Accepted, rejected(), completed("done"), failed("Broken")] {
            assert_eq!(w.refused_as(by("thief", unary(fence, report))), Reason::NotYourLease);
        }
        assert_eq!(w.refused_as(by("thief", beat(fence))), Reason::NotYourLease);
        w.run_as(by("ann", beat(fence))).unwrap();
        w.run_as(by("ann", unary(fence, completed("done")))).unwrap();
        assert_eq!(w.state(id), StateName::Completed);
    });
}

#[test]
fn the_lease_of_a_stream_is_its_principals_too() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = w.run_task(task("work"));
        assert_eq!(w.refused_as(by("thief", unary(w.fence(id), completed("done")))), Reason::NotYourLease);
        w.report(id, completed("done")).unwrap();
    });
}

#[test]
fn nobodys_task_is_not_ended_in_the_name_or_place_of_anothers_agent() {
    in_every_mode(|mut w| {
        w.run_as(by("ann", claim("ann"))).unwrap();
        let open = w.create(task("other"));
        let anns = w.create(task_with("other", |new| new.spec.requirements.assignee = Some("ann".into())));
        let done = |task, agent: &str| {
            let report = DirectReport::Completed(Arc::new(Payload::text("done")));
            Command::DirectReport { task, agent: name(agent), report }
        };
        assert_eq!(w.refused_as(by("bob", done(open, "ann"))), Reason::NotYourAgent);
        assert_eq!(w.refused_as(by("bob", done(anns, "bob"))), Reason::NotYourAgent);
        w.run_as(by("bob", done(open, "bob"))).unwrap();
        w.run_as(by("ann", done(anns, "ann"))).unwrap();
        assert_eq!((w.state(open), w.state(anns)), (StateName::Completed, StateName::Completed));
        let last = w.events(open).last().unwrap();
        assert_eq!(&*last.principal, "bob");
    });
}

#[test]
fn a_removed_name_is_free() {
    in_every_mode(|mut w| {
        w.run_as(by("ann", claim("worker"))).unwrap();
        assert_eq!(w.refused_as(by("bob", claim("worker"))), Reason::NotYourAgent);
        w.run(Command::RemoveAgent { name: name("worker") }).unwrap();
        w.run_as(by("bob", claim("worker"))).unwrap();
        assert_eq!(owner(&w, "worker"), "bob");
        assert_eq!(w.refused_as(by("ann", claim("worker"))), Reason::NotYourAgent);
    });
}

#[test]
fn what_was_attached_while_the_server_was_open_is_its_next_principals() {
    in_every_mode(|mut w| {
        let hello = || Hello::new("worker", profile(1)).command();
        w.run_as(by("anonymous", hello())).unwrap();
        w.run_as(by("anonymous", claim("claimer"))).unwrap();
        w.run_as(by("ann", hello())).unwrap();
        w.run_as(by("ann", claim("claimer"))).unwrap();
        assert_eq!((owner(&w, "worker"), owner(&w, "claimer")), ("ann".into(), "ann".into()));
        for principal in ["bob", "anonymous"] {
            assert_eq!(w.refused_as(by(principal, hello())), Reason::NotYourAgent);
            assert_eq!(w.refused_as(by(principal, claim("claimer"))), Reason::NotYourAgent);
        }
    });
}
