//! Output: gathered, one report of an attempt on its way, in its place before what is reported behind it.

use super::*;

fn running() -> Script {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent
}

#[test]
fn the_first_goes_at_once_and_what_comes_meanwhile_is_gathered() {
    let mut agent = running();
    agent.output("t1/1", "To ", 1);
    assert_eq!(agent.actions(), ["output 1 ok"], "it returns when it waits to be sent");
    assert_eq!(agent.frames(), ["2: t1/1 output at 0 [To ]"]);
    agent.output("t1/1", "be, ", 2);
    agent.output("t1/1", "or not", 3);
    assert_eq!(agent.after(millis(100)).frames(), NOTHING, "the one before has no receipt");
    agent.commit(2);
    assert_eq!(agent.frames(), ["3: t1/1 output at 3 [be, or not]"]);
    agent.output("t1/1", " to be", 4);
    agent.commit(3);
    assert_eq!(agent.after(millis(49)).frames(), NOTHING, "at most twenty a second");
    assert!(agent.session.next_frame().is_some_and(|at| at == agent.now + millis(1)));
    assert_eq!(agent.after(millis(1)).frames(), ["4: t1/1 output at 13 [ to be]"]);
}

#[test]
fn it_keeps_its_place_before_what_is_reported_behind_it() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.frames();
    agent.output("t1/1", "b", 2);
    agent.checkpoint("t1/1", 3);
    agent.output("t1/1", "c", 4);
    agent.step("t1/1", "fetch", 5);
    agent.output("t1/1", "d", 6);
    agent.complete("t1/1");
    assert_eq!(
        agent.frames(),
        ["3: t1/1 output at 1 [b], 4: t1/1 checkpoint, 5: t1/1 output at 2 [c], 6: t1/1 step fetch, \
          7: t1/1 output at 3 [d], 8: t1/1 completed"]
    );
}

#[test]
fn a_full_buffer_lets_its_handler_wait() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.frames();
    let large = "x".repeat(700 << 10);
    agent.output("t1/1", &large, 2);
    agent.output("t1/1", &large, 3);
    agent.output("t1/1", "b", 4);
    assert_eq!(agent.actions(), ["output 1 ok", "output 2 ok", "output 3 ok"]);
    agent.commit(2);
    let frames = agent.after(millis(50)).frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(agent.actions(), ["output 4 ok"], "there is room again");
}

#[test]
fn what_has_no_receipt_is_repeated_as_it_was() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.frames();
    agent.output("t1/1", "b", 2);
    agent.comes_back();
    agent.output("t1/1", "c", 3);
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["2: t1/1 output at 0 [a]"]);
    agent.commit(2);
    assert_eq!(agent.frames(), ["3: t1/1 output at 1 [bc]"]);
}

#[test]
fn at_the_limit_it_is_refused_and_the_handler_goes_on() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.output("t1/1", "b", 2);
    agent.frames();
    agent.output("t1/1", "c", 3);
    agent.checkpoint("t1/1", 4);
    agent.frames();
    agent.output("t1/1", "d", 5);
    agent.actions();
    agent.receipt_because(2, v1::ReceiptStatus::Refused, v1::ErrorReason::LimitReached);
    agent.receipt_because(3, v1::ReceiptStatus::Refused, v1::ErrorReason::InvalidField);
    agent.output("t1/1", "e", 6);
    assert_eq!(agent.actions(), ["output 6 LIMIT_REACHED"]);
    agent.complete("t1/1");
    assert_eq!(agent.after(seconds(1)).frames(), ["5: t1/1 completed"], "and nothing more of the output");
}

#[test]
fn any_other_refusal_costs_the_attempt() {
    for reason in [v1::ErrorReason::StaleAttempt, v1::ErrorReason::InvalidField] {
        let mut agent = running();
        agent.output("t1/1", "a", 1);
        agent.frames();
        agent.receipt_because(2, v1::ReceiptStatus::Refused, reason);
        agent.output("t1/1", "b", 2);
        assert_eq!(agent.actions(), ["output 1 ok", "cancel t1/1 LEASE_LOST", "output 2 STALE_ATTEMPT"]);
    }
}

/// The server could not decide the first, and so refuses the second: both are sent again, in their order.
#[test]
fn a_gap_is_closed_again() {
    for late in [false, true] {
        let mut agent = running();
        agent.output("t1/1", "a", 1);
        agent.frames();
        agent.output("t1/1", "b", 2);
        agent.complete("t1/1");
        assert_eq!(agent.frames(), ["3: t1/1 output at 1 [b], 4: t1/1 completed"]);
        if late {
            agent.receipt_because(3, v1::ReceiptStatus::Refused, v1::ErrorReason::InvalidField);
            agent.receipt(2, v1::ReceiptStatus::Retry);
        } else {
            agent.receipt(2, v1::ReceiptStatus::Retry);
            agent.receipt_because(3, v1::ReceiptStatus::Refused, v1::ErrorReason::InvalidField);
        }
        agent.receipt(4, v1::ReceiptStatus::Retry);
        assert_eq!(
            agent.after(seconds(1)).frames(),
            ["2: t1/1 output at 0 [a], 3: t1/1 output at 1 [b], 4: t1/1 completed"]
        );
    }
}

/// A later checkpoint says nothing of output that has to be sent again.
#[test]
fn output_counts_by_itself() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.checkpoint("t1/1", 2);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.commit(3);
    assert_eq!(agent.after(seconds(1)).frames(), ["2: t1/1 output at 0 [a]"]);
}

#[test]
fn a_server_without_output_is_sent_none() {
    let mut agent = running();
    agent.output("t1/1", "a", 1);
    agent.frames();
    agent.output("t1/1", "b", 2);
    agent.actions();
    agent.comes_back();
    agent.welcome_with(2, &["t1/1"], &["checkpoint"]);
    agent.output("t1/1", "c", 3);
    assert_eq!(agent.actions(), ["attached 2", "output 3 "]);
    assert_eq!(agent.frames(), NOTHING);
    agent.comes_back();
    agent.welcome(3, &["t1/1"]);
    agent.output("t1/1", "d", 4);
    assert_eq!(agent.actions(), ["attached 3", "output 4 "], "what came before is lost");
}
