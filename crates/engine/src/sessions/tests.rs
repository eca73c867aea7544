//! Who is awaited, and what is pushed to whom.

use super::*;
use crate::push::Leave;
use callboard_core::model::{Message, MessageId, NamespaceId, Payload, Sender, Timestamp};
use uuid::Uuid;

const LEASE: Span = Span::seconds(10);
const GRACE: Span = Span::seconds(3);

fn live(capacity: usize) -> (Live, mpsc::Receiver<Push>, Arc<Pulse>) {
    let (pushes, receiver) = mpsc::channel(capacity);
    let pulse = Arc::new(Pulse::default());
    let live = Live {
        namespace: "default".into(),
        pushes,
        pulse: pulse.clone(),
        takes_drain: true,
        takes_cancellation: true,
        takes_message_receipts: true,
        takes_children: true,
        mail: None,
        grace: GRACE,
    };
    (live, receiver, pulse)
}

#[test]
fn who_is_awaited_again_when_an_end_is_decided_is_not_forgotten() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, _receiver, _pulse) = live(4);
    let silent = Span::seconds(11);
    let ordered = |now| sessions.gone(now, LEASE).len();
    sessions.open(agent, 1, live);
    assert_eq!(ordered(silent), 1, "its end is ordered");
    sessions.forget_gone(agent, 1, silent, LEASE);
    assert!(sessions.is_open(agent), "who decides closes a stream, and forgets it with that");
    sessions.broke(agent, 1, silent);
    sessions.forget_gone(agent, 1, silent, LEASE);
    assert_eq!(sessions.count(), (0, 1), "it is awaited");
    assert_eq!(ordered(Span::seconds(15)), 1, "it did not come back");
    sessions.forget_gone(agent, 1, Span::seconds(15), LEASE);
    assert_eq!(sessions.count(), (0, 0));
}

#[test]
fn a_quiet_replica_pushes_nothing_and_breaks_its_streams() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, mut receiver, _pulse) = live(4);
    sessions.open(agent, 1, live);
    sessions.quiet_at(Span::seconds(5));
    assert!(sessions.push(agent, Some(1), Push::Heartbeat, Span::seconds(5)));
    assert!(!sessions.push(agent, Some(1), Push::Heartbeat, Span(5_000_001)));
    sessions.beat(Span::seconds(60), Span::seconds(1));
    assert!(receiver.try_recv().is_ok() && receiver.try_recv().is_err());
    assert!(sessions.is_open(agent), "it may come to itself again");
    sessions.break_all(Span::seconds(6), Span::seconds(30));
    assert!(matches!(receiver.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    assert!(sessions.gone(Span::seconds(36), LEASE).is_empty(), "its agent is awaited");
    assert_eq!(sessions.gone(Span::seconds(37), LEASE).len(), 1);
}

/// Where it is sent it may find nobody, and has to look for another server.
#[test]
fn who_is_sent_away_has_as_long_as_behind_a_restart() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, _receiver, _pulse) = live(4);
    sessions.open(agent, 1, live);
    let leave = Leave { by: Timestamp(0), to: vec!["http://b:1".into()] };
    assert!(sessions.push(agent, Some(1), Push::Drain(leave), Span::seconds(1)));
    sessions.broke(agent, 1, Span::seconds(1));
    assert!(sessions.gone(Span::seconds(31), LEASE).is_empty(), "it is awaited");
    assert_eq!(sessions.gone(Span::seconds(32), LEASE).len(), 1);
}

#[test]
fn who_misses_a_receipt_while_we_are_quiet_attaches_again() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, mut receiver, _pulse) = live(4);
    sessions.open(agent, 1, live);
    sessions.quiet_at(Span::seconds(5));
    assert!(!sessions.push(agent, Some(1), Push::Receipts(Vec::new()), Span::seconds(6)));
    assert!(matches!(receiver.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)), "its stream ends");
    assert!(sessions.gone(Span::seconds(36), LEASE).is_empty(), "its agent is awaited");
    assert_eq!(sessions.gone(Span::seconds(37), LEASE).len(), 1);
}

/// What it would have been pushed counts as pushed by then: a stream that went on would never get it, and would get what comes
/// behind it.
#[test]
fn who_misses_a_message_while_we_are_quiet_attaches_again() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let letter = |sequence| [Arc::new(message(agent, sequence))];
    let (live, mut receiver, _pulse) = live(4);
    let mut window = Window::new(10);
    window.take_page(0, &[], 0, false);
    sessions.open(agent, 1, Live { mail: Some(window), ..live });
    sessions.quiet_at(Span::seconds(5));
    assert_eq!(sessions.deliver_new(agent, &letter(1), Span::seconds(6)), Delivered::default());
    sessions.quiet_at(Span::seconds(11));
    assert_eq!(sessions.deliver_new(agent, &letter(2), Span::seconds(7)), Delivered::default());
    assert!(matches!(receiver.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)), "its stream ends");
}

fn message(recipient: AgentId, sequence: i64) -> Message {
    Message {
        namespace: NamespaceId(1),
        id: MessageId(Uuid::from_u128(sequence as u128)),
        recipient,
        sequence,
        sender: Sender { principal: "anonymous".into(), agent: None },
        payload: Arc::new(Payload::text("hello")),
        headers: Default::default(),
        sent_at: Timestamp(0),
        expires_at: Timestamp(1),
    }
}

#[test]
fn silence_is_counted_only_while_we_read() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, _receiver, pulse) = live(1);
    sessions.open(agent, 1, live);
    pulse.hear(Span::seconds(5));
    assert!(sessions.gone(Span::seconds(15), LEASE).is_empty());
    assert_eq!(sessions.gone(Span::seconds(16), LEASE).len(), 1);
    pulse.pause(true);
    assert!(sessions.gone(Span::seconds(60), LEASE).is_empty());
    pulse.pause(false);
    sessions.forgive(Span::seconds(60));
    assert!(sessions.gone(Span::seconds(61), LEASE).is_empty());
}

#[test]
fn a_reader_that_does_not_read_is_cut_off() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, _receiver, pulse) = live(1);
    sessions.open(agent, 1, live);
    assert!(sessions.push(agent, Some(1), Push::Heartbeat, Span(0)));
    assert!(!sessions.push(agent, Some(1), Push::Heartbeat, Span(0)));
    assert!(pulse.was_slow());
    assert!(!sessions.is_open(agent));
}

#[test]
fn whose_stream_has_just_gone_is_awaited_though_something_is_pushed_to_it() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, receiver, pulse) = live(4);
    sessions.open(agent, 1, live);
    // The writing half goes first, and a receipt may be on its way before the reading half knows.
    drop(receiver);
    assert!(!sessions.push(agent, Some(1), Push::Receipts(Vec::new()), Span::seconds(1)));
    assert!(sessions.gone(Span::seconds(4), LEASE).is_empty(), "its agent has the time to come back");
    assert!(!pulse.was_slow());
    assert_eq!(sessions.gone(Span(4_000_001), LEASE).len(), 1);
}

#[test]
fn a_stream_that_nobody_reads_any_more_is_noticed_by_its_heartbeat() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, receiver, _pulse) = live(4);
    sessions.open(agent, 1, live);
    drop(receiver);
    sessions.beat(Span::seconds(5), Span::seconds(3));
    assert_eq!(sessions.count(), (0, 1), "its agent is awaited");
    assert_eq!(sessions.gone(Span(8_000_001), LEASE).len(), 1);
}

#[test]
fn nothing_is_pushed_to_a_session_of_another_epoch() {
    let sessions = Sessions::new(Span::seconds(30));
    let agent = AgentId(Uuid::nil());
    let (live, mut receiver, _pulse) = live(1);
    sessions.open(agent, 2, live);
    assert!(!sessions.push(agent, Some(1), Push::Heartbeat, Span(0)));
    assert!(receiver.try_recv().is_err());
    assert!(!sessions.broke(agent, 1, Span(0)));
    assert!(sessions.is_open(agent));
}
