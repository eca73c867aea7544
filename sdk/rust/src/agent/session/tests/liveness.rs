use super::*;

#[test]
fn a_heartbeat_goes_out_when_a_third_of_the_lease_passed_in_silence() {
    let mut agent = Script::attached();
    assert_eq!(agent.session.next_frame(), Some(LEASE / 3));
    assert_eq!(agent.after(LEASE / 3 - millis(1)).frames(), NOTHING);
    assert_eq!(agent.after(millis(1)).frames(), ["heartbeat"]);
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn any_frame_puts_the_heartbeat_off() {
    let mut agent = Script::attached();
    agent.after(seconds(2)).assign(&["t1/1"]);
    agent.actions();
    agent.frames();
    assert_eq!(agent.after(seconds(2)).frames(), NOTHING);
    assert_eq!(agent.after(seconds(1)).frames(), ["heartbeat"]);
}

#[test]
fn a_server_that_is_silent_for_a_lease_is_left() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.after(LEASE - millis(1));
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.session.next_wake(), Some(LEASE));
    assert_eq!(agent.after(millis(1)).actions(), ["disconnect"]);
    assert_eq!(agent.reopens(), ["hello 1 [t1/1]"]);
}

#[test]
fn any_frame_of_the_server_is_a_sign_of_life() {
    let mut agent = Script::attached();
    agent.after(seconds(8)).receive(Inbound::Heartbeat(v1::Heartbeat {}));
    assert_eq!(agent.after(seconds(8)).actions(), NOTHING);
    assert_eq!(agent.after(seconds(1)).actions(), ["disconnect"]);
}

#[test]
fn the_late_end_of_a_stream_that_was_left_is_no_news() {
    let mut agent = Script::attached();
    agent.after(LEASE).actions();
    let retry_at = agent.session.next_wake();
    agent.breaks_with(Code::NotFound, v1::ErrorReason::NamespaceNotFound);
    assert_eq!(agent.session.next_wake(), retry_at);
    assert_eq!(agent.actions(), NOTHING);
}

#[test]
fn a_welcome_without_a_lease_means_the_default() {
    let mut agent = Script::new();
    agent.actions();
    agent.frames();
    agent.receive(Inbound::Welcome(v1::Welcome { session_epoch: 1, ..Default::default() }));
    assert_eq!(agent.session.next_wake(), Some(seconds(10)));
}

/// Whatever happens, the agent always knows when to wake up next, and never wakes without an effect: a timer in the past
/// would burn the processor.
#[test]
fn no_timer_is_left_in_the_past() {
    let mut chance = StdRng::seed_from_u64(11);
    for round in 0..200 {
        let mut agent = Script::attached();
        let mut task = 0;
        for step in 0..60 {
            match chance.random_range(0..11) {
                0 => {
                    task += 1;
                    agent.assign(&[&format!("t{task}/1")]);
                }
                1 => agent.breaks(),
                2 => agent.receive(Inbound::Heartbeat(v1::Heartbeat {})),
                3 => agent.welcome(step, &["t1/1", "t2/1"]),
                4 => agent.cancellation("t1/1", v1::CancellationReason::Requested),
                5 => agent.cancellation("t2/1", v1::CancellationReason::TimedOut),
                6 => agent.receipt(chance.random_range(1..6), v1::ReceiptStatus::Retry),
                7 => agent.commit_all(),
                8 if chance.random_bool(0.1) => agent.session.drain(agent.now),
                8 if chance.random_bool(0.05) => agent.breaks_with(Code::NotFound, v1::ErrorReason::NamespaceNotFound),
                9 if agent.handlers.values().any(|name| name == "t1/1") => {
                    agent.progress("t1/1", 0.5);
                    agent.complete("t1/1");
                }
                _ => {
                    agent.after(millis(chance.random_range(0..4000)));
                }
            }
            let lines = agent.actions();
            if lines.iter().any(|line| line.starts_with("stop")) {
                break;
            }
            agent.frames();
            let wakes = [agent.session.next_wake(), agent.session.next_frame()];
            let overdue = wakes.into_iter().flatten().find(|wake| *wake <= agent.now);
            assert_eq!(overdue, None, "round {round}, step {step}, at {:?}: {lines:?}", agent.now);
        }
    }
}
