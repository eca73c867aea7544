//! Unary claims: a lease for whoever asks, kept by its own heartbeats.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::Fence;
use callboard_core::model::{Link, Priority, Progress, Span, StateName, TaskId, Timestamp};
use callboard_core::{Command, Reason, Reply};
use std::sync::Arc;

fn beat(w: &mut World, fence: Fence, lease: Option<Span>) -> Timestamp {
    let command =
        Command::Heartbeat { fence, lease, progress: None, checkpoint: None, steps: Vec::new(), output: None };
    match w.run(command).unwrap().reply {
        Reply::Extended { until, .. } => until,
        other => panic!("an extension: {other:?}"),
    }
}

fn until(w: &World, id: TaskId) -> Timestamp {
    w.task(id).state.lease().and_then(|lease| lease.claim).expect("a claim").until
}

#[test]
fn a_claim_takes_what_is_ready_and_fits_within_its_slots() {
    in_every_mode(|mut w| {
        for _ in 0..5 {
            w.create(task("work"));
        }
        w.create(task("other"));
        let narrow = Arc::new(profile_for(&["work"], 3));
        assert_eq!(w.try_claim("claimer", &narrow, 2, Span::seconds(60)).unwrap().len(), 2);
        assert_eq!(w.try_claim("claimer", &narrow, 9, Span::seconds(60)).unwrap().len(), 1);
        assert_eq!(w.try_claim("claimer", &narrow, 9, Span::seconds(60)).unwrap().len(), 0);
        assert_eq!(w.claim("second", 9, Span::seconds(60)).len(), 3);
    });
}

#[test]
fn a_claimed_task_need_not_be_accepted_and_is_lost_when_its_lease_is_over() {
    in_every_mode(|mut w| {
        let id = w.create(task_with("work", |new| new.spec.retry_policy.max_attempts = 2));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        w.pass(Span(59_999_999));
        assert_eq!(w.state(id), StateName::Assigned);
        w.pass(Span(1));
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Ready, 1));
        assert_eq!(w.history(id), "created assigned started attempt_lost ready");
        let report =
            Command::Report { fence, reporter: callboard_core::command::Reporter::Token, report: completed("late") };
        assert_eq!(w.refused(report), Reason::StaleAttempt);
    });
}

#[test]
fn heartbeats_keep_a_claim() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        for _ in 0..4 {
            w.pass(Span::seconds(40));
            assert_eq!(beat(&mut w, fence, None), w.now + Span::seconds(60));
        }
        assert_eq!(w.state(id), StateName::Running);
        w.pass(Span::seconds(60));
        assert_eq!(w.state(id), StateName::Ready);
    });
}

#[test]
fn a_heartbeat_is_written_at_most_every_third_of_the_lease() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        beat(&mut w, fence, None);
        let (version, first) = (w.task(id).version, until(&w, id));
        for _ in 0..3 {
            w.pass(Span::seconds(6));
            assert_eq!(beat(&mut w, fence, None), first, "what it is told is what is durable");
        }
        assert_eq!(w.task(id).version, version);
        w.pass(Span::seconds(2));
        assert_eq!(beat(&mut w, fence, None), w.now + Span::seconds(60));
        assert_eq!(w.task(id).version, version + 1);
    });
}

/// "Default: what was claimed", also after a heartbeat that asked for another time.
#[test]
fn a_heartbeat_can_ask_for_another_time_once() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        assert_eq!(beat(&mut w, fence, Some(Span::seconds(600))), w.now + Span::seconds(600));
        assert_eq!(beat(&mut w, fence, None), w.now + Span::seconds(60));
        assert_eq!(beat(&mut w, fence, Some(Span::seconds(5))), w.now + Span::seconds(5));
        w.pass(Span::seconds(5));
        assert_eq!(w.state(id), StateName::Ready);
    });
}

#[test]
fn a_heartbeat_takes_progress_and_a_checkpoint() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let fence = w.claim("claimer", 1, Span::seconds(60))[0];
        let progress = Progress { fraction: 0.5, ..Progress::default() };
        let command = Command::Heartbeat {
            fence,
            lease: None,
            progress: Some(progress.clone()),
            checkpoint: Some(checkpoint("half")),
            steps: Vec::new(),
            output: None,
        };
        for _ in 0..2 {
            w.run(command.clone()).unwrap();
            assert_eq!((w.task(id).progress.clone(), w.task(id).has_checkpoint), (progress.clone(), true));
            assert_eq!(w.history(id), "created assigned started checkpointed", "a repetition is no second event");
        }
    });
}

#[test]
fn a_claim_never_supersedes_a_stream() {
    in_every_mode(|mut w| {
        let session = w.attach("worker", 1);
        let claim = || {
            let profile = Arc::new(profile(1));
            Command::Claim { name: "worker".into(), profile, max: 1, lease: Span::seconds(60) }
        };
        assert_eq!(w.refused(claim()), Reason::AgentState);
        w.break_session(&session);
        assert_eq!(w.refused(claim()), Reason::AgentState);
        w.end_session(&session);
        w.run(claim()).unwrap();
        assert_eq!(w.agent("worker").epoch, session.epoch + 1);
    });
}

#[test]
fn a_stream_supersedes_claims_and_can_take_them_over() {
    in_every_mode(|mut w| {
        let (kept, lost) = (w.create(task("work")), w.create(task("work")));
        w.claim("worker", 2, Span::seconds(60));
        let held = vec![w.fence(kept)];
        let back = w.hello(Hello { held: held.clone(), ..Hello::new("worker", profile(1)) }).unwrap();
        assert_eq!((back.held, w.state(lost)), (held, StateName::Ready));
        assert!(w.task(kept).state.lease().is_some_and(|lease| lease.claim.is_none() && lease.epoch == back.epoch));
    });
}

#[test]
fn a_session_by_claims_lasts_as_long_as_its_leases() {
    in_every_mode(|mut w| {
        let id = w.create(task_with("work", |new| new.spec.timeouts.start_to_close = Span::seconds(10_000)));
        let fence = w.claim("claimer", 1, Span::seconds(3_600))[0];
        let agent = w.agent("claimer").clone();
        let end = Command::EndSession { agent: agent.id, epoch: agent.epoch, reason: "it ran out" };
        w.pass(Span::seconds(3_000));
        w.run(end.clone()).unwrap();
        assert!(w.agent("claimer").session.is_some());
        beat(&mut w, fence, None);
        w.pass(Span::seconds(3_599));
        w.run(end.clone()).unwrap();
        assert!(w.agent("claimer").session.is_some(), "it still has a lease");
        assert_eq!(w.state(id), StateName::Running);
        w.pass(Span::seconds(1));
        w.run(end).unwrap();
        assert!(w.agent("claimer").session.is_none());
    });
}

#[test]
fn polling_does_not_write_an_agent_each_time() {
    in_every_mode(|mut w| {
        for (after, version) in [(0, 1), (10, 1), (10, 1), (20, 2), (0, 2)] {
            w.sleep(Span::seconds(after));
            w.claim("claimer", 1, Span::seconds(60));
            assert_eq!(w.agent("claimer").version, version);
        }
        let Link::Claims { until } = w.agent("claimer").session.as_ref().unwrap().link else { panic!("claims") };
        assert_eq!(until, w.now + Span::seconds(60));
        // Another profile is written at once.
        w.try_claim("claimer", &Arc::new(profile(7)), 1, Span::seconds(60)).unwrap();
        assert_eq!(w.agent("claimer").profile.slots, 7);
    });
}

/// A claimer of several types got all of one lane before any of the next, whatever their priority: the other lane starved.
#[test]
fn a_claim_takes_lanes_together_in_the_order_of_their_ranks() {
    in_every_mode(|mut w| {
        let types = ["a", "b", "c", "d", "e"];
        for task_type in types {
            for priority in [Priority::Low, Priority::Critical] {
                w.create(task_with(task_type, |new| new.spec.priority = priority));
            }
        }
        let urgent = w.claim("claimer", 5, Span::seconds(60));
        assert!(urgent.iter().all(|fence| w.task(fence.task).spec.priority == Priority::Critical));
        assert_eq!(urgent.len(), 5);
    });
}

#[test]
fn two_claims_of_a_batch_share_what_is_ready() {
    in_every_mode(|mut w| {
        for _ in 0..4 {
            w.create(task("work"));
        }
        let claim = |name: &str| {
            let profile = Arc::new(profile(1));
            crate::support::envelope(Command::Claim { name: name.into(), profile, max: 1, lease: Span::seconds(60) })
        };
        let results = w.run_batch(&[claim("one"), claim("two"), claim("three")]);
        for result in results {
            assert!(matches!(result.unwrap().reply, Reply::Claimed(leases) if leases.len() == 1));
        }
        assert_eq!(w.tables.ready_lanes().len(), 1);
    });
}
