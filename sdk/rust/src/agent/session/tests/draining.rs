use super::*;
use crate::logged::Logged;

#[test]
fn an_idle_agent_says_so_and_is_let_go() {
    let mut agent = Script::attached();
    agent.session.drain(agent.now);
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.frames(), ["drain"], "else it might be given a task while it leaves");
    agent.is_let_go();
    assert_eq!(agent.actions(), ["stop ok"]);
}

#[test]
fn a_server_that_does_not_let_go_stops_nobody() {
    let mut agent = Script::attached();
    agent.session.drain(agent.now);
    agent.frames();
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(agent.after(seconds(5)).actions(), ["stop ok"]);
}

#[test]
fn running_handlers_go_on_and_their_receipts_are_awaited() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(agent.frames(), ["drain"]);
    agent.complete("t1/1");
    assert_eq!(agent.frames(), ["2: t1/1 completed"]);
    assert_eq!(agent.actions(), NOTHING);
    agent.commit(2);
    assert_eq!(agent.actions(), NOTHING);
    agent.is_let_go();
    assert_eq!(agent.actions(), ["stop ok"]);
}

/// Else a drain that takes longer than the lease loses what it waits for.
#[test]
fn heartbeats_go_on_while_a_drain_waits_for_handlers() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(agent.frames(), ["drain"]);
    for _ in 0..6 {
        assert_eq!(agent.after(LEASE / 3 + millis(1)).frames(), ["heartbeat"]);
        agent.receive(Inbound::Heartbeat(v1::Heartbeat {}));
    }
}

#[test]
fn what_comes_after_the_drain_is_handed_back() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.assign(&["t2/1"]);
    assert_eq!(agent.actions(), NOTHING);
    assert_eq!(
        agent.frames(),
        ["drain", "2: t2/1 rejected (drain)"],
        "handed back to a server that knows of the drain"
    );
}

#[test]
fn after_the_drain_timeout_what_still_runs_is_handed_back() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.frames();
    for _ in 0..6 {
        agent.after(seconds(5)).receive(Inbound::Heartbeat(v1::Heartbeat {}));
    }
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST"]);
    assert_eq!(agent.frames(), ["2: t1/1 rejected (drain)"]);
    agent.commit(2);
    assert_eq!(agent.actions(), NOTHING, "the handler may clean up");
    agent.complete("t1/1");
    assert_eq!(agent.frames(), NOTHING);
    agent.is_let_go();
    assert_eq!(agent.actions(), ["stop ok"]);
}

#[test]
fn receipts_are_awaited_for_five_seconds() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.complete("t1/1");
    agent.frames();
    agent.actions();
    assert_eq!(agent.session.next_wake(), Some(seconds(5)));
    assert_eq!(agent.after(seconds(5)).actions(), ["stop ok"]);
}

#[test]
fn handlers_that_never_end_do_not_stop_the_end() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.breaks();
    agent.after(seconds(30)).actions();
    let lines = agent.after(seconds(5)).actions();
    assert_eq!(lines.last().map(String::as_str), Some("stop ok"));
}

#[test]
fn a_detached_agent_that_drains_comes_back_to_deliver() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.breaks();
    agent.session.drain(agent.now);
    agent.complete("t1/1");
    assert_eq!(agent.reopens(), ["hello 1 [t1/1]"]);
    // The server is away for longer than receipts are awaited.
    for _ in 0..6 {
        agent.comes_back();
    }
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["drain", "2: t1/1 completed"]);
    agent.commit(2);
    assert_eq!(agent.actions(), ["attached 2"]);
    agent.is_let_go();
    assert_eq!(agent.actions(), ["stop ok"]);
}

#[test]
fn a_detached_agent_with_nothing_to_deliver_just_ends() {
    let mut agent = Script::new();
    agent.actions();
    agent.breaks();
    agent.session.drain(agent.now);
    assert_eq!(agent.actions(), ["stop ok"]);
}

#[test]
fn a_server_that_stays_away_does_not_stop_the_end() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.complete("t1/1");
    agent.frames();
    agent.breaks();
    agent.session.drain(agent.now);
    let mut lines = Vec::new();
    while lines.last().map(String::as_str) != Some("stop ok") {
        agent.now = agent.session.next_wake().unwrap();
        lines = agent.actions();
        agent.breaks();
        assert!(agent.now <= seconds(60));
    }
    assert!(agent.now >= seconds(30), "it tried for as long as the drain may take: {:?}", agent.now);
}

#[test]
fn the_drain_is_said_again_on_each_stream() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(agent.frames(), ["drain"]);
    assert_eq!(agent.frames(), NOTHING);
    agent.comes_back();
    agent.welcome(2, &["t1/1"]);
    assert_eq!(agent.frames(), ["drain"]);
}

#[test]
fn a_server_without_the_feature_is_not_told() {
    let mut agent = Script::new();
    agent.actions();
    agent.frames();
    agent.welcome_with(1, &[], &["progress"]);
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(agent.frames(), NOTHING);
}

#[test]
fn the_server_ends_the_stream_of_a_drained_agent() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.complete("t1/1");
    agent.frames();
    agent.commit(2);
    agent.is_let_go();
    assert_eq!(agent.actions(), ["stop ok"]);
}

#[test]
fn the_log_says_attaching_again_only_of_an_agent_that_does() {
    let logged = Logged::begin();
    let line_of = |disconnect: &dyn Fn(&mut Script), agent: &mut Script| {
        let before = logged.lines().len();
        disconnect(agent);
        logged.lines()[before..].join("; ")
    };
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(line_of(&Script::is_let_go, &mut agent), "INFO the server ended the stream, attaching again");
    agent.reopens();
    agent.welcome(2, &["t1/1"]);
    agent.complete("t1/1");
    agent.frames();
    agent.commit(2);
    assert_eq!(line_of(&Script::is_let_go, &mut agent), "DEBUG the server ended the stream behind the drain");
    assert_eq!(agent.actions().last().unwrap(), "stop ok");

    let mut agent = Script::attached();
    let broken = "error=broken reason=\"\"";
    assert_eq!(line_of(&Script::breaks, &mut agent), format!("WARN the stream broke, attaching again {broken}"));
    agent.reopens();
    agent.welcome(2, &[]);
    agent.session.drain(agent.now);
    assert_eq!(line_of(&Script::breaks, &mut agent), format!("DEBUG the stream broke behind the drain {broken}"));
    assert_eq!(agent.actions().last().unwrap(), "stop ok");
}

#[test]
fn stopping_ends_at_once_and_once() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    agent.session.stop();
    agent.session.stop();
    assert_eq!(agent.actions(), ["stop ok"]);
    assert_eq!(agent.frames(), NOTHING);
    agent.assign(&["t2/1"]);
    assert_eq!(agent.after(seconds(60)).actions(), NOTHING);
}
