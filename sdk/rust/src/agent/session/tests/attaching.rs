use super::*;

#[test]
fn it_says_hello_and_nothing_more_before_the_welcome() {
    let mut agent = Script::new();
    assert_eq!(agent.actions(), ["connect 0"]);
    assert_eq!(agent.frames(), ["hello 0 []"]);
    assert_eq!(agent.after(seconds(5)).frames(), NOTHING);
    agent.welcome(1, &[]);
    assert_eq!(agent.actions(), ["attached 1"]);
}

#[test]
fn the_hello_says_who_it_is() {
    let mut agent = Script::new();
    agent.actions();
    let frame = agent.session.poll_frame(agent.now).unwrap().frame.unwrap();
    let Frame::Hello(hello) = frame else { panic!("{frame:?}") };
    assert_eq!((hello.namespace.as_str(), hello.instance_id.as_str()), ("n", "i"));
    assert_eq!(hello.features, ["cancellation", "drain", "message_receipts", "steps", "children", "messages"]);
    assert_eq!(hello.profile.unwrap().name, "a");
}

#[test]
fn it_tries_the_addresses_in_turn_with_growing_delays() {
    let mut agent = Script::new();
    let mut delays = Vec::new();
    for turn in 0..8 {
        assert_eq!(agent.actions(), [format!("connect {}", turn % 2)]);
        agent.breaks();
        let retry_at = agent.session.next_wake().unwrap();
        delays.push(retry_at - agent.now);
        agent.now = retry_at;
    }
    for (turn, delay) in delays.iter().enumerate() {
        let whole = millis(100 << turn).min(seconds(5));
        assert!(*delay >= whole / 2 && *delay <= whole, "delay {turn} is {delay:?}");
    }
}

#[test]
fn a_welcome_resets_the_delays() {
    let mut agent = Script::new();
    for _ in 0..6 {
        agent.actions();
        agent.comes_back();
    }
    agent.welcome(1, &[]);
    agent.actions();
    agent.breaks();
    assert!(agent.session.next_wake().unwrap() - agent.now <= millis(100));
}

#[test]
fn it_waits_as_long_as_the_server_asks() {
    let mut agent = Script::new();
    agent.actions();
    let mut refused = CallError::local(Code::Unavailable, v1::ErrorReason::Draining, "later");
    refused.retry_after = Some(seconds(20));
    agent.session.on_disconnected(agent.now, Some(refused));
    assert!(agent.session.next_wake().unwrap() >= seconds(10));
}

#[test]
fn a_stream_that_is_never_welcomed_is_given_up() {
    let mut agent = Script::new();
    agent.actions();
    agent.frames();
    assert_eq!(agent.after(seconds(9)).actions(), NOTHING);
    assert_eq!(agent.after(seconds(1)).actions(), ["disconnect"]);
    agent.reopens();
}

#[test]
fn it_comes_back_with_what_it_holds_and_keeps_it() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/4");
    assert_eq!(agent.comes_back(), ["hello 1 [t1/1 t2/4]"]);
    agent.welcome(2, &["t1/1", "t2/4"]);
    assert_eq!(agent.actions(), ["attached 2"]);
    assert_eq!(agent.frames(), NOTHING);
    agent.complete("t1/1");
    assert_eq!(agent.frames(), ["3: t1/1 completed"]);
}

#[test]
fn handlers_of_attempts_that_are_not_held_any_more_stop() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.running("t2/1");
    agent.comes_back();
    agent.welcome(2, &["t2/1"]);
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "attached 2"]);
    agent.complete("t1/1");
    assert_eq!(agent.frames(), NOTHING, "nothing is reported of what was lost");
    assert_eq!(agent.comes_back(), ["hello 2 [t2/1]"]);
}

#[test]
fn an_attempt_that_comes_twice_runs_once() {
    let mut agent = Script::attached();
    agent.assign(&["t1/1", "t1/1"]);
    assert_eq!(agent.actions(), ["start t1/1"]);
    agent.assign(&["t1/1"]);
    assert_eq!(agent.actions(), NOTHING);
    agent.complete("t1/1");
    agent.assign(&["t1/1"]);
    assert_eq!(agent.actions(), NOTHING, "its report has no receipt yet");
    agent.assign(&["t1/2"]);
    assert_eq!(agent.actions(), ["start t1/2"], "the next attempt is another");
}

#[test]
fn what_no_handler_takes_is_handed_back() {
    let mut agent = Script::attached();
    agent.assign_of_type("other", &["t1/1"]);
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.frames(), ["1: t1/1 rejected (this agent has no handler for the task type `other`)"]);
}

#[test]
fn a_server_that_does_not_count_is_refused() {
    let mut agent = Script::with_slots(1);
    agent.actions();
    agent.frames();
    agent.welcome(1, &[]);
    agent.actions();
    agent.assign(&["t1/1", "t2/1", "t3/1"]);
    assert_eq!(agent.actions(), ["start t1/1", "start t2/1"]);
    assert_eq!(agent.frames(), ["1: t1/1 accepted, 2: t2/1 accepted, 3: t3/1 rejected (all slots are taken)"]);
}

#[test]
fn a_server_that_gives_no_receipts_does_not_fill_the_memory() {
    let mut agent = Script::attached();
    for task in 0..1000 {
        agent.assign(&[&format!("t{task}/1")]);
    }
    assert_eq!(agent.session.outbox.len(), agent.session.most_reports());
}

#[test]
fn it_moves_on_when_the_server_drains() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.after(seconds(2));
    let endpoints = vec!["http://elsewhere:1".to_owned()];
    agent.receive(Inbound::Drain(v1::DrainNotice { endpoints, deadline: None }));
    assert_eq!(agent.actions(), ["disconnect", "connect http://elsewhere:1"]);
    assert_eq!(agent.frames(), ["hello 1 [t1/1]"]);
    agent.breaks();
    agent.now = agent.session.next_wake().unwrap();
    assert_eq!(agent.actions(), ["connect 1"], "the next of its own addresses when that one fails");
}

#[test]
fn a_drain_notice_without_a_usable_endpoint_means_the_next_address() {
    let mut agent = Script::attached();
    agent.after(seconds(2));
    agent.receive(Inbound::Drain(v1::DrainNotice { endpoints: vec!["elsewhere:1".into()], deadline: None }));
    assert_eq!(agent.actions(), ["disconnect", "connect 1"]);
}

#[test]
fn servers_that_drain_on_and_on_make_no_hot_loop() {
    let mut agent = Script::attached();
    agent.receive(Inbound::Drain(v1::DrainNotice::default()));
    assert_eq!(agent.actions(), ["disconnect"]);
    assert!(agent.session.next_wake().unwrap() >= millis(50));
}

#[test]
fn it_ends_where_trying_again_cannot_help() {
    for (code, reason) in [
        (Code::Aborted, v1::ErrorReason::SessionSuperseded),
        (Code::PermissionDenied, v1::ErrorReason::NotYourAgent),
        (Code::InvalidArgument, v1::ErrorReason::InvalidField),
        (Code::NotFound, v1::ErrorReason::NamespaceNotFound),
        (Code::Unauthenticated, v1::ErrorReason::Unspecified),
    ] {
        let mut agent = Script::attached();
        agent.running("t1/1");
        agent.checkpoint("t1/1", 5);
        agent.breaks_with(code, reason);
        let name = reason_name(reason);
        let expected = ["cancel t1/1 LEASE_LOST".to_owned(), format!("checkpoint 5 {name}"), "disconnect".to_owned()];
        assert_eq!(agent.actions(), expected);
        assert_eq!(agent.after(seconds(5)).frames(), NOTHING);
        agent.complete("t1/1");
        assert_eq!(agent.actions(), [format!("stop {name}")]);
    }
}

#[test]
fn handlers_that_do_not_clean_up_delay_that_end_only_so_long() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.breaks_with(Code::Aborted, v1::ErrorReason::SessionSuperseded);
    agent.actions();
    assert_eq!(agent.session.next_wake(), Some(CANCEL_GRACE), "no timer of the dead stream is left");
    assert_eq!(agent.after(CANCEL_GRACE).actions(), ["abort t1/1", "stop SESSION_SUPERSEDED"]);
}

#[test]
fn it_tries_again_after_anything_else() {
    for (code, reason) in [
        (Code::Aborted, v1::ErrorReason::SessionExpired),
        (Code::ResourceExhausted, v1::ErrorReason::SlowReader),
        (Code::FailedPrecondition, v1::ErrorReason::AgentState),
        (Code::Internal, v1::ErrorReason::Internal),
        (Code::Unknown, v1::ErrorReason::Unspecified),
    ] {
        let mut agent = Script::attached();
        agent.breaks_with(code, reason);
        assert_eq!(agent.reopens(), ["hello 1 []"], "{code:?}");
    }
}

#[test]
fn a_removed_agent_ends_when_it_attaches() {
    let mut agent = Script::new();
    agent.actions();
    agent.frames();
    agent.breaks_with(Code::FailedPrecondition, v1::ErrorReason::AgentState);
    assert_eq!(agent.actions(), ["disconnect", "stop AGENT_STATE"]);
}

#[test]
fn frames_of_a_newer_protocol_are_ignored() {
    let mut agent = Script::attached();
    agent.session.on_frame(agent.now, v1::AttachResponse { frame: None });
    agent.receive(Inbound::Receipts(v1::ReceiptBatch {
        receipts: vec![v1::Receipt { report_id: 1, status: 99, ..Default::default() }],
    }));
    agent.receive(Inbound::Cancellations(v1::CancellationBatch {
        cancellations: vec![v1::Cancellation { attempt: Some(attempt("t1/1")), reason: 99, ..Default::default() }],
    }));
    assert_eq!((agent.actions(), agent.frames()), (Vec::new(), Vec::new()));
}
