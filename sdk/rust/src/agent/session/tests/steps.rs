//! Durable steps: recorded when the receipt says so, each by itself.

use super::*;

#[test]
fn a_handler_hears_when_its_step_is_durable() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.step("t1/1", "fetch", 7);
    assert_eq!(agent.frames(), ["2: t1/1 step fetch"]);
    assert_eq!(agent.actions(), NOTHING);
    agent.comes_back();
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["2: t1/1 step fetch"]);
    agent.commit(2);
    assert_eq!(agent.actions(), ["attached 2", "step 7 ok"]);
}

#[test]
fn a_step_that_is_refused_for_what_it_is_leaves_the_attempt() {
    for reason in [
        v1::ErrorReason::LimitReached,
        v1::ErrorReason::StepExists,
        v1::ErrorReason::InvalidField,
        v1::ErrorReason::PayloadTooLarge,
    ] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.step("t1/1", "fetch", 7);
        agent.frames();
        agent.receipt_because(2, v1::ReceiptStatus::Refused, reason);
        assert_eq!(agent.actions(), [format!("step 7 {}", reason_name(reason))]);
        agent.complete("t1/1");
        assert_eq!(agent.frames(), ["3: t1/1 completed"], "its handler went on");
    }
}

#[test]
fn a_step_of_an_attempt_that_is_lost_stops_its_handler() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.step("t1/1", "fetch", 7);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Refused);
    assert_eq!(agent.actions(), ["step 7 STALE_ATTEMPT", "cancel t1/1 LEASE_LOST"]);
    agent.step("t1/1", "write", 8);
    assert_eq!(agent.actions(), ["step 8 STALE_ATTEMPT"], "at once: its lease is gone");
    assert_eq!(agent.frames(), NOTHING);
}

/// A checkpoint replaces those before it; a step does not.
#[test]
fn the_receipt_of_a_later_step_is_not_that_of_an_earlier() {
    for late in [false, true] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.step("t1/1", "one", 1);
        agent.step("t1/1", "two", 2);
        agent.frames();
        if late {
            agent.commit(3);
            agent.receipt(2, v1::ReceiptStatus::Retry);
        } else {
            agent.receipt(2, v1::ReceiptStatus::Retry);
            agent.commit(3);
        }
        assert_eq!(agent.actions(), ["step 2 ok"]);
        assert_eq!(agent.after(seconds(1)).frames(), ["2: t1/1 step one"]);
        agent.commit(2);
        assert_eq!(agent.actions(), ["step 1 ok"]);
    }
}

#[test]
fn a_server_without_steps_is_sent_none() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.step("t1/1", "fetch", 1);
    agent.checkpoint("t1/1", 2);
    agent.comes_back();
    agent.welcome_with(2, &["t1/1"], &["checkpoint"]);
    assert_eq!(agent.actions(), ["step 1 ", "attached 2"]);
    agent.step("t1/1", "write", 3);
    assert_eq!(agent.actions(), ["step 3 "]);
    assert_eq!(agent.frames(), ["3: t1/1 checkpoint"]);
}

#[test]
fn a_handler_is_told_whether_its_server_has_steps() {
    let mut agent = Script::attached();
    for (epoch, features, expected) in [(2, &["steps"][..], true), (3, &[][..], false)] {
        agent.comes_back();
        agent.welcome_with(epoch, &[], features);
        agent.session.advance(agent.now);
        while agent.session.poll_action().is_some() {}
        agent.assign(&[&format!("t{epoch}/1")]);
        match agent.session.poll_action() {
            Some(Action::Start { has_steps, .. }) => assert_eq!(has_steps, expected),
            other => panic!("not a start: {other:?}"),
        }
    }
}

#[test]
fn a_step_while_the_stream_is_away_waits_for_it() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.breaks();
    agent.step("t1/1", "fetch", 1);
    agent.reopens();
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["2: t1/1 step fetch"]);
}
