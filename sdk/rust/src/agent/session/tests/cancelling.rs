use super::*;

#[test]
fn a_cancelled_handler_is_told_and_its_end_is_reported() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/1");
    agent.cancellation("t1/1", v1::CancellationReason::Requested);
    agent.cancellation("t2/1", v1::CancellationReason::Requested);
    assert_eq!(agent.actions(), ["cancel t1/1 REQUESTED", "cancel t2/1 REQUESTED"]);
    agent.complete("t1/1");
    agent.fail("t2/1", "callboard.cancelled");
    assert_eq!(agent.frames(), ["3: t1/1 completed, 4: t2/1 failed callboard.cancelled"]);
}

#[test]
fn of_a_lost_attempt_nothing_is_reported() {
    for reason in [v1::CancellationReason::LeaseLost, v1::CancellationReason::TimedOut] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.progress("t1/1", 0.1);
        agent.cancellation("t1/1", reason);
        assert_eq!(agent.actions().len(), 1);
        agent.progress("t1/1", 0.2);
        agent.complete("t1/1");
        assert_eq!(agent.after(millis(500)).frames(), NOTHING, "{reason:?}");
        assert_eq!(agent.comes_back(), ["hello 1 []"]);
    }
}

#[test]
fn a_cancellation_is_told_once_but_may_get_worse() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    for _ in 0..2 {
        agent.cancellation("t1/1", v1::CancellationReason::Requested);
    }
    assert_eq!(agent.actions(), ["cancel t1/1 REQUESTED"]);
    for reason in [v1::CancellationReason::TimedOut, v1::CancellationReason::Requested] {
        agent.cancellation("t1/1", reason);
    }
    assert_eq!(agent.actions(), ["cancel t1/1 TIMED_OUT"]);
    agent.complete("t1/1");
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn a_handler_that_does_not_stop_is_dropped_and_reported() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.cancellation("t1/1", v1::CancellationReason::Requested);
    agent.actions();
    agent.after(seconds(5)).receive(Inbound::Heartbeat(v1::Heartbeat {}));
    assert_eq!(agent.after(seconds(5) - millis(1)).actions(), NOTHING);
    assert_eq!(agent.session.next_wake(), Some(CANCEL_GRACE));
    assert_eq!(agent.after(millis(1)).actions(), ["abort t1/1"]);
    agent.fail("t1/1", "callboard.cancelled");
    assert_eq!(agent.frames(), ["2: t1/1 failed callboard.cancelled"]);
}

#[test]
fn a_handler_that_stops_in_time_is_not_dropped() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.cancellation("t1/1", v1::CancellationReason::Requested);
    agent.actions();
    agent.complete("t1/1");
    assert_eq!(agent.session.attempts.next_abort(), None);
}

#[test]
fn what_is_not_here_cannot_be_cancelled() {
    let mut agent = Script::attached();
    agent.cancellation("t9/1", v1::CancellationReason::Requested);
    agent.running("t1/2");
    agent.cancellation("t1/1", v1::CancellationReason::LeaseLost);
    assert_eq!(agent.actions(), NOTHING, "another attempt is meant");
}

#[test]
fn a_report_that_crossed_with_the_loss_still_gets_its_receipt() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.complete("t1/1");
    agent.frames();
    agent.cancellation("t1/1", v1::CancellationReason::LeaseLost);
    assert_eq!(agent.comes_back(), ["hello 1 [t1/1]"]);
    agent.welcome(2, &[]);
    assert_eq!(agent.frames(), ["2: t1/1 completed"]);
    agent.receipt(2, v1::ReceiptStatus::Refused);
    assert_eq!(agent.comes_back(), ["hello 2 []"]);
}
