//! Results that the server refuses for what they hold.

use super::*;

#[test]
fn a_result_that_is_refused_for_what_it_holds_fails_its_attempt() {
    for reason in [v1::ErrorReason::InvalidField, v1::ErrorReason::PayloadTooLarge] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.complete("t1/1");
        agent.frames();
        agent.receipt_because(2, v1::ReceiptStatus::Refused, reason);
        agent.receipt_because(2, v1::ReceiptStatus::Refused, reason);
        let frame = agent.session.poll_frame(agent.now).and_then(|frame| frame.frame);
        let Some(Frame::Reports(batch)) = &frame else { panic!("no reports: {frame:?}") };
        let Some(Kind::Failed(failed)) = &batch.reports[0].kind else { panic!("no failure: {batch:?}") };
        assert_eq!(failed.failure.as_ref().unwrap().message, "refused", "the receipt's");
        assert_eq!(agent.describe_frame(frame.unwrap()), "3: t1/1 failed InvalidResult for good", "once");

        assert_eq!(agent.comes_back(), ["hello 1 [t1/1]"], "it is kept like any other");
        agent.welcome(2, &["t1/1"]);
        assert_eq!(agent.frames(), ["3: t1/1 failed InvalidResult for good"]);
        agent.receipt_because(3, v1::ReceiptStatus::Refused, reason);
        assert_eq!(agent.frames(), NOTHING, "nothing follows a failure");
        assert_eq!(agent.comes_back(), ["hello 2 []"]);
    }
}

#[test]
fn a_stale_result_is_just_refused() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.complete("t1/1");
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Refused);
    assert_eq!(agent.frames(), NOTHING);
    assert_eq!(agent.comes_back(), ["hello 1 []"]);
}
