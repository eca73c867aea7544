//! Where a server that drains sends the agent: endpoints that it names, which may be wrong.

use super::*;

/// An agent that is attached to its first address, works, and is told by the server to go to one of these.
fn sent_to(endpoints: &[&str]) -> Script {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.after(seconds(2));
    drains(&mut agent, endpoints);
    agent
}

fn drains(agent: &mut Script, endpoints: &[&str]) {
    let endpoints = endpoints.iter().map(ToString::to_string).collect();
    agent.receive(Inbound::Drain(v1::DrainNotice { endpoints, deadline: None }));
}

/// Where it attaches next, as soon as it does. Its hello goes out.
fn next_target(agent: &mut Script) -> String {
    agent.now = agent.now.max(agent.session.next_wake().expect("it tries again"));
    let last = agent.actions().pop().expect("it does something");
    agent.frames();
    last
}

#[test]
fn a_named_endpoint_that_refuses_does_not_end_the_agent() {
    for (code, reason) in [
        (Code::Unauthenticated, v1::ErrorReason::Unspecified),
        (Code::PermissionDenied, v1::ErrorReason::Unspecified),
        (Code::NotFound, v1::ErrorReason::NamespaceNotFound),
        (Code::InvalidArgument, v1::ErrorReason::InvalidField),
    ] {
        let mut agent = sent_to(&["http://c:3", "http://d:4"]);
        assert_eq!(next_target(&mut agent), "connect http://c:3");
        agent.breaks_with(code, reason);
        assert_eq!(next_target(&mut agent), "connect http://d:4", "{code:?}");
        agent.breaks_with(code, reason);
        assert_eq!(next_target(&mut agent), "connect 1", "its own addresses, the one behind the one that drains");
        agent.breaks_with(code, reason);
        assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "disconnect"], "its own says so: that is the end");
    }
}

#[test]
fn what_a_named_endpoint_says_of_the_agent_itself_ends_it() {
    for (code, reason) in [
        (Code::Aborted, v1::ErrorReason::SessionSuperseded),
        (Code::PermissionDenied, v1::ErrorReason::NotYourAgent),
        (Code::FailedPrecondition, v1::ErrorReason::AgentState),
    ] {
        let mut agent = sent_to(&["http://c:3", "http://d:4"]);
        next_target(&mut agent);
        agent.breaks_with(code, reason);
        assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "disconnect"], "{reason:?}");
    }
}

#[test]
fn a_named_endpoint_that_welcomed_is_believed() {
    let mut agent = sent_to(&["http://c:3", "http://d:4"]);
    next_target(&mut agent);
    agent.welcome(2, &["t1/1"]);
    agent.actions();
    agent.breaks_with(Code::Unauthenticated, v1::ErrorReason::Unspecified);
    assert_eq!(agent.actions(), ["cancel t1/1 LEASE_LOST", "disconnect"]);
}

#[test]
fn named_endpoints_are_tried_in_their_order_and_each_once() {
    let mut agent = sent_to(&["nonsense", "http://c:3", "d:4", "http://d:4", "http://c:3"]);
    for expected in ["connect http://c:3", "connect http://d:4", "connect 1", "connect 0"] {
        assert_eq!(next_target(&mut agent), expected);
        agent.breaks();
    }
}

#[test]
fn a_delay_that_a_named_endpoint_asks_for_is_not_kept_elsewhere() {
    let mut agent = sent_to(&["http://c:3", "http://d:4"]);
    next_target(&mut agent);
    let mut refused = CallError::local(Code::Unavailable, v1::ErrorReason::Draining, "later");
    refused.retry_after = Some(seconds(20));
    agent.session.on_disconnected(agent.now, Some(refused));
    assert!(agent.session.next_wake().unwrap() - agent.now <= millis(100));
}

#[test]
fn a_welcome_forgets_the_other_named_endpoints() {
    let mut agent = sent_to(&["http://c:3", "http://d:4"]);
    next_target(&mut agent);
    agent.welcome(2, &["t1/1"]);
    agent.actions();
    agent.breaks();
    assert_eq!(next_target(&mut agent), "connect 1");
}

#[test]
fn a_new_notice_replaces_the_named_endpoints() {
    let mut agent = sent_to(&["http://c:3", "http://d:4"]);
    next_target(&mut agent);
    agent.welcome(2, &["t1/1"]);
    agent.after(seconds(2)).actions();
    drains(&mut agent, &["http://e:5"]);
    assert_eq!(next_target(&mut agent), "connect http://e:5");
    agent.breaks();
    assert_eq!(next_target(&mut agent), "connect 1");
}

#[test]
fn only_so_many_named_endpoints_are_kept() {
    let names: Vec<String> = (0..20).map(|host| format!("http://h{host}:1")).collect();
    let mut agent = sent_to(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names[..4] {
        assert_eq!(next_target(&mut agent), format!("connect {name}"));
        agent.breaks();
    }
    assert_eq!(next_target(&mut agent), "connect 1");
}

#[test]
fn a_named_endpoint_that_is_silent_is_given_up_soon() {
    let mut agent = sent_to(&["http://c:3", "http://d:4"]);
    next_target(&mut agent);
    assert_eq!(agent.after(millis(4_999)).actions(), NOTHING);
    assert_eq!(agent.after(millis(1)).actions(), ["disconnect"]);
    assert_eq!(next_target(&mut agent), "connect http://d:4");
    agent.breaks();
    assert_eq!(next_target(&mut agent), "connect 1");
    assert_eq!(agent.after(seconds(9)).actions(), NOTHING, "its own has its time");
}

#[test]
fn a_drain_notice_in_place_of_the_welcome_makes_no_hot_loop() {
    let mut agent = Script::new();
    agent.actions();
    agent.frames();
    drains(&mut agent, &[]);
    assert_eq!(agent.actions(), ["disconnect"]);
    assert!(agent.session.next_wake().unwrap() >= millis(50));
}
