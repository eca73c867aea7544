//! The reports of one attempt keep their order, whatever has to be sent again.

use super::*;

#[test]
fn what_is_sent_again_waits_for_what_was_sent_behind_it() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.checkpoint("t1/1", 2);
    assert_eq!(agent.frames(), ["2: t1/1 checkpoint, 3: t1/1 checkpoint"]);
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.complete("t1/1");
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING, "3 is on its way, and 4 waits behind 2");
    agent.receipt(3, v1::ReceiptStatus::Retry);
    assert_eq!(
        agent.after(seconds(1)).frames(),
        ["2: t1/1 checkpoint, 3: t1/1 checkpoint, 4: t1/1 completed"],
        "all in their order"
    );
}

#[test]
fn a_newer_checkpoint_is_never_replaced_by_an_older_one() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.checkpoint("t1/1", 2);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.commit(3);
    assert_eq!(agent.actions(), ["checkpoint 2 ok", "checkpoint 1 ok"]);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING);
}

#[test]
fn nor_when_its_receipt_comes_late() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.checkpoint("t1/1", 2);
    agent.frames();
    agent.commit(3);
    agent.receipt(2, v1::ReceiptStatus::Retry);
    assert_eq!(agent.actions(), ["checkpoint 2 ok", "checkpoint 1 ok"]);
    assert_eq!(agent.after(seconds(1)).frames(), NOTHING);
}

/// A later checkpoint replaces an earlier one; a step behind it doesn't.
#[test]
fn a_checkpoint_is_not_saved_by_what_is_none() {
    for late in [false, true] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.checkpoint("t1/1", 1);
        agent.step("t1/1", "fetch", 2);
        agent.frames();
        if late {
            agent.commit(3);
            agent.receipt(2, v1::ReceiptStatus::Retry);
        } else {
            agent.receipt(2, v1::ReceiptStatus::Retry);
            agent.commit(3);
        }
        assert_eq!(agent.actions(), ["step 2 ok"]);
        assert_eq!(agent.after(seconds(1)).frames(), ["2: t1/1 checkpoint"]);
    }
}

#[test]
fn a_refusal_of_the_later_lets_the_earlier_go() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.complete("t1/1");
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    agent.receipt_because(3, v1::ReceiptStatus::Refused, v1::ErrorReason::InvalidField);
    assert_eq!(agent.after(seconds(1)).frames(), ["2: t1/1 checkpoint, 4: t1/1 failed InvalidResult for good"]);
}

#[test]
fn a_new_stream_begins_with_the_old_order() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.complete("t1/1");
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Retry);
    assert_eq!(agent.comes_back(), ["hello 1 [t1/1]"]);
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["2: t1/1 checkpoint, 3: t1/1 completed"]);
}
