//! Waits for some of several children: each is one wait, over when so many have completed or can't any more.

use super::*;
use v1::TaskState::{Completed, Failed, Paused, Running};

/// An agent whose handler of t1 waits, by the wait 1, for so many of c1, c2 and c3. The server knows.
fn waits_for(count: usize) -> Script {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.wait_for("t1/1", count, &["c1", "c2", "c3"], 1);
    assert_eq!(agent.frames(), ["2: t1/1 pause", "await c1 c2 c3"]);
    agent.commit_as(2, Paused);
    agent
}

#[test]
fn it_is_held_back_when_so_many_have_completed_and_the_rest_is_told_at_once() {
    let mut agent = waits_for(2);
    agent.end("c3", Completed);
    assert_eq!(agent.frames(), NOTHING, "one of two");
    agent.end("c1", Completed);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    assert_eq!(agent.actions(), ["over 1 without c2"], "whoever cancels it need not wait for a slot");
    agent.end("c2", Failed);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 1 c1 COMPLETED, c3 COMPLETED"], "those that had by then, in their order");
    agent.wait("t1/1", "c2", 2);
    assert_eq!(agent.actions(), ["wait 2 FAILED"], "what came behind it is known");
}

#[test]
fn it_is_over_when_so_many_can_not_complete_any_more() {
    let mut agent = waits_for(3);
    agent.end("c2", Failed);
    assert_eq!(agent.actions(), ["over 1 without c1 c3"]);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 1 FAILED"]);
}

#[test]
fn it_is_one_wait_beside_others() {
    let mut agent = waits_for(1);
    agent.wait("t1/1", "c2", 2);
    assert_eq!(agent.frames(), NOTHING, "c2 is asked for, and the handler paused");
    agent.end("c1", Completed);
    assert_eq!(agent.actions(), ["over 1 without c2 c3", "wait 1 COMPLETED"], "at once: another is under way");
    assert_eq!(agent.frames(), NOTHING);
    agent.end("c2", Completed);
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["wait 2 COMPLETED"]);
}

#[test]
fn ends_that_are_known_count_when_it_begins() {
    let mut agent = waits_for(1);
    agent.end("c2", Completed);
    agent.commit_all();
    agent.frames();
    agent.commit_as(3, Running);
    agent.actions();
    agent.wait_for("t1/1", 1, &["c3", "c2"], 2);
    assert_eq!(agent.actions(), ["over 2 without c3", "wait 2 COMPLETED"], "at once");
    assert_eq!(agent.frames(), NOTHING);
    agent.end("c1", Completed);
    agent.wait_for("t1/1", 1, &["c3", "c1", "c2"], 4);
    assert_eq!(agent.actions(), ["over 4 without c3", "wait 4 c1 COMPLETED, c2 COMPLETED"], "all that had by then");
    agent.wait_for("t1/1", 2, &["c4", "c2", "c5"], 3);
    assert_eq!(agent.frames(), ["4: t1/1 pause", "await c4 c5"]);
    agent.end("c5", Completed);
    assert_eq!(agent.actions(), ["over 3 without c4"]);
}

#[test]
fn one_that_is_given_up_or_refused_leaves_nothing() {
    let mut agent = waits_for(2);
    agent.end("c1", Completed);
    agent.give_up(1);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.end("c2", Completed);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), NOTHING);

    let mut agent = waits_for(2);
    agent.end("c1", Completed);
    agent.cancellation("t1/1", v1::CancellationReason::LeaseLost);
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "wait 1 STALE_ATTEMPT"], "nothing becomes of the rest");
}

#[test]
fn a_new_stream_is_asked_for_those_that_have_not_ended() {
    let mut agent = waits_for(2);
    agent.end("c2", Failed);
    agent.comes_back();
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["await c1 c3"]);
    agent.end("c1", Completed);
    agent.end("c3", Completed);
    assert_eq!(agent.frames(), ["3: t1/1 resume"]);
    agent.commit_as(3, Running);
    assert_eq!(agent.actions(), ["attached 2", "wait 1 c1 COMPLETED, c2 FAILED, c3 COMPLETED"]);
}

#[test]
fn a_server_without_children_is_asked_for_the_tasks() {
    let mut agent = waits_for(2);
    agent.end("c2", Completed);
    agent.comes_back();
    agent.welcome_with(2, &["t1/1"], &["steps"]);
    assert_eq!(agent.actions(), ["wait 1 ask", "attached 2"]);
    agent.wait_for("t1/1", 1, &["c1", "c2"], 2);
    assert_eq!(agent.actions(), ["over 2 without c1", "wait 2 COMPLETED"], "what is known needs no server");
}
