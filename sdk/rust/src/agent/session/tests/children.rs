//! Children: a handler that waits holds no slot, and goes on when it has one again.

use super::*;
use v1::TaskState::{Completed, Paused, Running, Unspecified};

/// An agent whose handler of t1 waits for the child c1, by the wait 1. The server knows.
fn paused() -> Script {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.wait("t1/1", "c1", 1);
    assert_eq!(agent.frames(), ["2: t1/1 pause", "await c1"]);
    agent.commit_as(2, Paused);
    agent
}

#[test]
fn a_handler_that_waits_is_paused_and_goes_on_when_it_is_running_again() {
    let mut agent = paused();
    agent.end("c1", Completed);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    assert_eq!(agent.actions(), NOTHING, "the end is held back");
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 1 COMPLETED"]);
    agent.wait("t1/1", "c1", 2);
    assert_eq!(agent.actions(), ["wait 2 COMPLETED"], "an end that is known is given at once");
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn without_a_slot_it_asks_each_second_until_it_has_one() {
    let mut agent = paused();
    agent.end("c1", Completed);
    agent.frames();
    agent.commit_as(3, Paused);
    assert_eq!(agent.after(millis(999)).frames(), NOTHING);
    assert_eq!(agent.session.next_wake(), Some(seconds(1)));
    assert_eq!(agent.after(millis(1)).frames(), ["4: t1/1 resume"]);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING, "it has no answer yet");
    agent.commit_as(4, Paused);
    agent.resumption("t1/1", Some(77));
    assert_eq!(agent.actions(), ["deadline t1/1 77", "wait 1 COMPLETED"]);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING);
}

#[test]
fn the_last_end_alone_is_held_back() {
    let mut agent = paused();
    agent.wait("t1/1", "c2", 2);
    agent.wait("t1/1", "c2", 3);
    assert_eq!(agent.frames(), ["await c2"], "it is paused already, and c2 is asked for once");
    agent.end("c1", Completed);
    assert_eq!(agent.actions(), ["wait 1 COMPLETED"]);
    agent.end("c2", v1::TaskState::Failed);
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 2 FAILED", "wait 3 FAILED"]);
}

#[test]
fn a_wait_that_begins_while_it_wants_to_go_on_pauses_anew() {
    let mut agent = paused();
    agent.end("c1", Completed);
    agent.frames();
    agent.wait("t1/1", "c2", 2);
    assert_eq!(agent.actions(), ["wait 1 COMPLETED"], "what is held back is given");
    assert_eq!(agent.frames(), ["4: t1/1 pause", "await c2"]);
    agent.commit_as(3, Running);
    agent.resumption("t1/1", None);
    agent.end("c2", Completed);
    assert_eq!(agent.frames(), ["5: t1/1 resume"]);
    agent.resumption("t1/1", None);
    assert_eq!(agent.actions(), NOTHING, "all that is of the time before the second pause, which has no receipt");
    agent.commit_as(4, Paused);
    agent.commit_as(5, Running);
    assert_eq!(agent.actions(), ["wait 2 COMPLETED"]);
}

#[test]
fn what_never_left_is_taken_back() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.wait("t1/1", "c1", 1);
    agent.give_up(1);
    assert_eq!(agent.frames(), ["await c1"], "no pause, and so no resume");
    agent.wait("t1/1", "c1", 2);
    assert_eq!(agent.frames(), ["3: t1/1 pause"]);
    agent.end("c1", Completed);
    agent.wait("t1/1", "c2", 3);
    assert_eq!(agent.actions(), ["wait 2 COMPLETED"]);
    assert_eq!(agent.frames(), ["await c2"], "the pause stands");
}

/// The pause never left, but the slot that it would have freed was not there: the handler wants it as before.
#[test]
fn what_never_left_gives_no_slot_that_was_not_there() {
    let mut agent = paused();
    agent.end("c1", Completed);
    agent.frames();
    agent.commit_as(3, Paused);
    agent.wait("t1/1", "c2", 2);
    assert_eq!(agent.actions(), ["wait 1 COMPLETED"]);
    agent.give_up(2);
    assert_eq!(agent.frames(), ["4: t1/1 pause, 5: t1/1 resume", "await c2"]);
    agent.commit_as(4, Paused);
    agent.commit_as(5, Paused);
    assert_eq!(agent.after(seconds(1)).frames(), ["6: t1/1 resume"]);
    agent.commit_as(6, Running);
    agent.wait("t1/1", "c3", 3);
    assert_eq!(agent.frames(), ["7: t1/1 pause", "await c3"]);
}

#[test]
fn a_wait_that_is_given_up_frees_nothing_any_more() {
    let mut agent = paused();
    agent.give_up(1);
    agent.give_up(1);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), NOTHING);
    agent.end("c1", Completed);
    assert_eq!(agent.actions(), NOTHING);
    agent.wait("t1/1", "c1", 2);
    assert_eq!(agent.actions(), ["wait 2 COMPLETED"], "it was told all the same");
}

#[test]
fn a_new_stream_is_asked_for_what_is_awaited_and_told_who_wants_to_go_on() {
    let mut agent = paused();
    agent.running("t2/1");
    agent.wait("t2/1", "c2", 2);
    agent.frames();
    agent.end("c1", Completed);
    assert_eq!(agent.frames(), ["5: t1/1 resume"]);
    agent.commit_as(5, Paused);
    assert_eq!(agent.comes_back(), ["hello 1 [t1/1 t2/1]"]);
    agent.welcome(2, &["t1/1", "t2/1"]);
    assert_eq!(agent.frames(), ["4: t2/1 pause, 6: t1/1 resume", "await c2"]);
    agent.commit_as(6, Running);
    assert_eq!(agent.actions(), ["attached 2", "wait 1 COMPLETED"]);
}

/// One that has to be sent again must not undo what came behind it, nor be undone by what is no pause or resume.
#[test]
fn pauses_keep_their_place_when_they_are_sent_again() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.wait("t1/1", "c1", 1);
    agent.checkpoint("t1/1", 9);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.commit(3);
    assert_eq!(agent.after(seconds(1)).frames(), ["2: t1/1 pause"]);
    agent.end("c1", Completed);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.commit_as(4, Running);
    assert_eq!(agent.actions(), ["checkpoint 9 ok", "wait 1 COMPLETED"]);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING, "the pause is past");
}

#[test]
fn a_child_that_is_none_is_told_as_such() {
    let mut agent = paused();
    agent.end("c1", Unspecified);
    agent.frames();
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 1 UNSPECIFIED"]);
}

#[test]
fn a_handler_that_is_told_to_stop_waits_no_longer() {
    let mut agent = paused();
    agent.cancellation("t1/1", v1::CancellationReason::Requested);
    assert_eq!(agent.actions(), ["cancel t1/1 REQUESTED", "wait 1 STALE_ATTEMPT"]);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.fail("t1/1", "callboard.cancelled");
    assert_eq!(agent.frames(), ["4: t1/1 failed callboard.cancelled"]);
}

#[test]
fn an_attempt_that_is_lost_waits_no_longer() {
    for refused in [false, true] {
        let mut agent = paused();
        agent.wait("t1/1", "c2", 2);
        agent.frames();
        if refused {
            agent.give_up(1);
            agent.give_up(2);
            agent.wait("t1/1", "c2", 2);
            agent.wait("t1/1", "c1", 1);
            agent.end("c1", Completed);
            assert_eq!(agent.actions(), ["wait 1 COMPLETED"]);
            agent.end("c2", Completed);
            agent.frames();
            agent.receipt(4, v1::ReceiptStatus::Refused);
            assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "wait 2 STALE_ATTEMPT"]);
        } else {
            agent.cancellation("t1/1", v1::CancellationReason::LeaseLost);
            assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "wait 1 STALE_ATTEMPT", "wait 2 STALE_ATTEMPT"]);
        }
        agent.wait("t1/1", "c1", 3);
        assert_eq!(agent.actions(), ["wait 3 STALE_ATTEMPT"]);
        assert_eq!(agent.after(seconds(3)).frames().len(), 1, "a heartbeat alone");
    }
}

#[test]
fn a_handler_may_end_while_it_is_paused() {
    let mut agent = paused();
    agent.complete("t1/1");
    assert_eq!(agent.actions(), ["wait 1 STALE_ATTEMPT"], "a wait that outlives its handler");
    assert_eq!(agent.frames(), ["3: t1/1 completed"]);
    agent.end("c1", Completed);
    assert_eq!(agent.actions(), NOTHING);
}

#[test]
fn handlers_without_a_slot_make_room_for_others() {
    let mut agent = Script::with_slots(1);
    agent.actions();
    agent.frames();
    agent.welcome(1, &[]);
    for (number, child) in (1..=40).map(|number| (number, format!("c{number}"))) {
        let name = format!("t{number}/1");
        agent.assign(&[&name]);
        assert!(agent.actions().contains(&format!("start {name}")), "{number}");
        agent.wait(&name, &child, number);
        agent.frames();
        agent.commit_all();
    }
}

#[test]
fn a_server_without_children_is_asked_for_the_task() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/1");
    agent.wait("t1/1", "c1", 1);
    agent.wait("t1/1", "c2", 2);
    agent.wait("t2/1", "c3", 3);
    agent.frames();
    agent.end("c3", Completed);
    agent.comes_back();
    agent.welcome_with(2, &["t1/1", "t2/1"], &["steps"]);
    let mut actions = agent.actions();
    actions.sort();
    assert_eq!(actions, ["attached 2", "wait 1 ask", "wait 2 ask", "wait 3 COMPLETED"]);
    assert_eq!(agent.frames(), NOTHING, "neither pauses nor resumes");
    agent.wait("t1/1", "c4", 4);
    assert_eq!(agent.actions(), ["wait 4 ask"]);
}

/// It was paused when the server of before let it go on: for the server that takes children it still is.
#[test]
fn a_server_with_children_again_is_asked_for_the_slot() {
    let mut agent = paused();
    agent.comes_back();
    agent.welcome_with(2, &["t1/1"], &["steps"]);
    assert_eq!(agent.actions(), ["wait 1 ask", "attached 2"]);
    agent.comes_back();
    agent.welcome(3, &["t1/1"]);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Paused);
    assert_eq!(agent.after(seconds(1)).frames(), ["4: t1/1 resume"]);
    agent.commit_as(4, Running);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING);
}

#[test]
fn many_are_asked_for_in_frames_of_a_thousand_and_not_more_than_ten_thousand() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    (0..10_050).for_each(|child| agent.wait("t1/1", &format!("c{child:05}"), child));
    let frames = agent.frames();
    assert_eq!(frames.len(), 11, "a pause, and ten frames");
    assert!(frames[1..].iter().all(|frame| frame.split(' ').count() == 1001));
    agent.end("c00000", Completed);
    assert_eq!(agent.frames(), ["await c10000"]);
}

#[test]
fn an_agent_that_ends_gives_up_all_waits() {
    let mut agent = paused();
    agent.breaks_with(Code::FailedPrecondition, v1::ErrorReason::SessionSuperseded);
    assert!(agent.actions().contains(&"wait 1 SESSION_SUPERSEDED".to_owned()));
}
