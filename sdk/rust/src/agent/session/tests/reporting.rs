use super::*;

#[test]
fn acceptance_and_end_are_reported() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1", "t2/1"]);
    assert_eq!(agent.actions(), ["start t1/1", "start t2/1"]);
    assert_eq!(agent.frames(), ["1: t1/1 accepted, 2: t2/1 accepted"]);
    agent.complete("t1/1");
    agent.fail("t2/1", "Boom");
    assert_eq!(agent.frames(), ["3: t1/1 completed, 4: t2/1 failed Boom"], "what waits goes in one frame");
}

#[test]
fn an_end_that_overtakes_its_acceptance_stands_alone() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1"]);
    agent.actions();
    agent.complete("t1/1");
    assert_eq!(agent.frames(), ["2: t1/1 completed"]);
    agent.commit(2);
    assert_eq!(agent.comes_back(), ["hello 1 []"]);
}

#[test]
fn reports_without_a_receipt_are_sent_again_in_their_order_under_their_ids() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1", "t2/1", "t3/1"]);
    agent.actions();
    agent.frames();
    agent.complete("t2/1");
    agent.frames();
    agent.complete("t1/1");
    agent.frames();
    agent.commit(1);
    agent.commit(4);
    assert_eq!(agent.comes_back(), ["hello 1 [t1/1 t2/1 t3/1]"]);
    agent.complete("t3/1");
    agent.welcome(2, &["t3/1"]);
    assert_eq!(agent.actions(), ["attached 2"], "t1 has ended here, whatever the server says");
    assert_eq!(
        agent.frames(),
        ["2: t2/1 accepted, 3: t3/1 accepted, 5: t1/1 completed, 6: t3/1 completed"],
        "also those of attempts that are not held any more"
    );
}

#[test]
fn a_committed_report_is_not_sent_again() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.complete("t1/1");
    assert_eq!(agent.frames(), ["2: t1/1 completed"]);
    agent.commit(2);
    agent.commit(2);
    assert_eq!(agent.comes_back(), ["hello 1 []"]);
    agent.welcome(2, &[]);
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn a_report_the_server_could_not_decide_is_sent_again_later_and_in_order() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/1");
    agent.complete("t1/1");
    assert_eq!(agent.frames(), ["3: t1/1 completed"]);
    agent.receipt(3, v1::ReceiptStatus::Retry);
    agent.complete("t2/1");
    assert_eq!(agent.frames(), NOTHING, "later ones wait, too");
    let due = agent.session.next_frame().unwrap();
    assert!(due >= millis(50) && due <= millis(100), "{due:?}");
    agent.now = due;
    assert_eq!(agent.frames(), ["3: t1/1 completed, 4: t2/1 completed"]);
}

#[test]
fn undecided_reports_are_repeated_ever_more_slowly() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1"]);
    agent.actions();
    agent.frames();
    let mut delays = Vec::new();
    for _ in 0..8 {
        agent.receipt(1, v1::ReceiptStatus::Retry);
        agent.receipt(1, v1::ReceiptStatus::Retry);
        let due = agent.session.outbox.next_due().unwrap();
        delays.push(due - agent.now);
        agent.now = due;
        assert_eq!(agent.frames(), ["1: t1/1 accepted"]);
    }
    for (turn, delay) in delays.iter().enumerate() {
        let whole = millis(100 << turn).min(seconds(5));
        assert!(*delay >= whole / 2 && *delay <= whole, "delay {turn} is {delay:?}");
    }
}

#[test]
fn a_refused_report_stops_its_handler() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1"]);
    agent.actions();
    agent.frames();
    agent.receipt(1, v1::ReceiptStatus::Refused);
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST"]);
    agent.complete("t1/1");
    assert_eq!(agent.frames(), NOTHING);
    assert_eq!(agent.comes_back(), ["hello 1 []"]);
}

#[test]
fn refused_progress_stops_its_handler() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.progress("t1/1", 0.5);
    agent.frames();
    let progress_id = *agent.sent.keys().max().unwrap();
    agent.receipt(progress_id, v1::ReceiptStatus::Refused);
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST"]);
}

#[test]
fn a_handler_hears_when_its_checkpoint_is_durable() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 7);
    assert_eq!(agent.frames(), ["2: t1/1 checkpoint"]);
    assert_eq!(agent.actions(), NOTHING);
    agent.comes_back();
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["2: t1/1 checkpoint"]);
    agent.commit(2);
    assert_eq!(agent.actions(), ["attached 2", "checkpoint 7 ok"]);
}

#[test]
fn a_handler_hears_when_its_checkpoint_is_refused() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 7);
    agent.frames();
    agent.receipt(2, v1::ReceiptStatus::Refused);
    assert_eq!(agent.actions(), ["checkpoint 7 STALE_ATTEMPT", "cancel t1/1 LEASE_LOST"]);
    agent.checkpoint("t1/1", 8);
    assert_eq!(agent.actions(), ["checkpoint 8 STALE_ATTEMPT"], "at once: its lease is gone");
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn a_server_without_a_feature_is_not_sent_it() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.checkpoint("t1/1", 1);
    agent.comes_back();
    agent.welcome_with(2, &["t1/1"], &[]);
    assert_eq!(agent.actions(), ["checkpoint 1 ", "attached 2"]);
    agent.checkpoint("t1/1", 2);
    agent.progress("t1/1", 0.5);
    assert_eq!(agent.actions(), ["checkpoint 2 "]);
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn progress_is_sent_ten_times_a_second_and_the_latest_wins() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.progress("t1/1", 0.1);
    assert_eq!(agent.frames(), ["t1/1 progress 0.1"]);
    agent.after(millis(10)).progress("t1/1", 0.2);
    agent.after(millis(10)).progress("t1/1", 0.3);
    assert_eq!(agent.frames(), NOTHING);
    assert_eq!(agent.session.next_frame(), Some(millis(100)));
    agent.now = millis(100);
    assert_eq!(agent.frames(), ["t1/1 progress 0.3"]);
}

#[test]
fn progress_does_not_outlive_its_stream_or_its_handler() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/1");
    agent.progress("t1/1", 0.1);
    agent.progress("t2/1", 0.1);
    agent.frames();
    agent.progress("t1/1", 0.9);
    agent.progress("t2/1", 0.9);
    agent.complete("t2/1");
    agent.comes_back();
    agent.progress("t1/1", 0.95);
    agent.welcome(2, &["t1/1"]);
    agent.after(seconds(1));
    assert_eq!(agent.frames().len(), 1, "the completion alone");
    agent.progress("t1/1", 1.0);
    assert_eq!(agent.frames(), ["t1/1 progress 1"]);
}

#[test]
fn a_frame_has_at_most_a_thousand_reports_and_three_mebibytes() {
    let mut outbox = Outbox::default();
    for _ in 0..1500 {
        outbox.push(attempt("t1/1"), Kind::Accepted(v1::Accepted {}), None);
    }
    assert_eq!(outbox.take_batch(Moment::ZERO).len(), 1000);
    assert_eq!(outbox.take_batch(Moment::ZERO).len(), 500);

    let mut outbox = Outbox::default();
    for _ in 0..5 {
        let result = v1::Payload {
            content: Some(v1::payload::Content::Text("x".repeat(callboard_proto::MAX_PAYLOAD_BYTES))),
            ..Default::default()
        };
        outbox.push(attempt("t1/1"), Kind::Completed(v1::Completion { result: Some(result) }), None);
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| Some(outbox.take_batch(Moment::ZERO).len())).take(4).collect();
    assert_eq!(sizes, [2, 2, 1, 0]);
}
