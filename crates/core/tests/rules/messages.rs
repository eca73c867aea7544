//! Mailboxes: into them in order, out of them for good.

use crate::support::{World, envelope, in_every_mode, in_namespace, make::*, with_request};
use callboard_core::command::MessageReceipt;
use callboard_core::model::{AgentId, MessageId, Span};
use callboard_core::{Command, Reason, Reply};
use uuid::Uuid;

/// What waits for an agent, in order.
fn texts(w: &World, agent: AgentId) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    w.tables.mail(agent).into_iter().map(|message| text(message.payload.content.bytes())).collect()
}

fn ids(receipts: &[MessageReceipt]) -> Vec<MessageId> {
    receipts.iter().map(|receipt| receipt.message).collect()
}

#[test]
fn messages_stand_in_the_mailbox_in_the_order_in_which_they_were_sent() {
    in_every_mode(|mut w| {
        let (reader, writer) = (w.attach("reader", 1), w.attach("writer", 1));
        for n in 0..3 {
            let by_stream = w.send(Some(&writer), message("reader", &format!("stream {n}"))).unwrap();
            let by_call = w.send(None, message("reader", &format!("call {n}"))).unwrap();
            assert_eq!((by_stream.sequence, by_call.sequence), (2 * n + 1, 2 * n + 2));
        }
        let expected = ["stream 0", "call 0", "stream 1", "call 1", "stream 2", "call 2"];
        assert_eq!(texts(&w, reader.agent), expected);
        let mail = w.tables.mail(reader.agent);
        assert_eq!(mail[0].sender.agent.as_deref(), Some("writer"));
        assert_eq!((mail[1].sender.agent.as_deref(), &*mail[1].sender.principal), (None, "tester"));
        assert_eq!(w.tables.mailboxes[&reader.agent].messages, 6);
    });
}

#[test]
fn an_agent_that_was_never_seen_has_no_mailbox() {
    in_every_mode(|mut w| {
        w.attach("reader", 1);
        let refused = w.refused(Command::SendMessage { from: None, message: message("raeder", "hello") });
        assert_eq!(refused, Reason::AgentNotFound);
        w.run(Command::CreateNamespace { settings: Default::default() }).unwrap_err();
        w.run_as(in_namespace("other", Command::CreateNamespace { settings: Default::default() })).unwrap();
        let elsewhere = in_namespace("other", Command::SendMessage { from: None, message: message("reader", "hello") });
        assert_eq!(w.refused_as(elsewhere), Reason::AgentNotFound);
    });
}

#[test]
fn an_agent_need_not_be_attached() {
    in_every_mode(|mut w| {
        let reader = w.attach("reader", 1);
        w.end_session(&reader);
        w.send(None, message("reader", "for later")).unwrap();
        let again = w.attach("reader", 1);
        assert_eq!(texts(&w, again.agent), ["for later"]);
    });
}

#[test]
fn what_is_acknowledged_goes_and_a_second_time_does_nothing() {
    in_every_mode(|mut w| {
        let reader = w.attach("reader", 1);
        let sent: Vec<_> = (0..4).map(|n| w.send(None, message("reader", &n.to_string())).unwrap()).collect();
        let some = [sent[2].message, sent[0].message, sent[2].message];
        assert_eq!(w.acknowledge(reader.agent, &some), 2);
        assert_eq!(texts(&w, reader.agent), ["1", "3"]);
        let before = w.tables.clone();
        assert_eq!(w.acknowledge(reader.agent, &some), 0);
        assert!(w.tables == before);
        assert_eq!(w.acknowledge(reader.agent, &[MessageId(Uuid::from_u128(7))]), 0);
        assert_eq!(w.acknowledge(reader.agent, &ids(&sent)), 2);
        let mailbox = &w.tables.mailboxes[&reader.agent];
        assert_eq!((mailbox.messages, mailbox.bytes, mailbox.last_sequence), (0, 0, 4));
        assert_eq!(w.send(None, message("reader", "next")).unwrap().sequence, 5, "a place is never given twice");
    });
}

#[test]
fn nobody_takes_messages_out_of_another_mailbox() {
    in_every_mode(|mut w| {
        let (reader, other) = (w.attach("reader", 1), w.attach("other", 1));
        let sent = w.send(None, message("reader", "mine")).unwrap();
        w.send(None, message("other", "yours")).unwrap();
        assert_eq!(w.acknowledge(other.agent, &[sent.message]), 0);
        assert_eq!(texts(&w, reader.agent), ["mine"]);
    });
}

#[test]
fn a_session_that_is_over_neither_sends_nor_acknowledges() {
    in_every_mode(|mut w| {
        let old = w.attach("reader", 1);
        let sent = w.send(None, message("reader", "hello")).unwrap();
        w.attach("reader", 1);
        let from = Some((old.agent, old.epoch));
        let send = Command::SendMessage { from, message: message("reader", "late") };
        assert_eq!(w.refused(send), Reason::StaleSession);
        let acknowledge =
            Command::AcknowledgeMessages { agent: old.agent, epoch: Some(old.epoch), messages: vec![sent.message] };
        assert_eq!(w.refused(acknowledge), Reason::StaleSession);
    });
}

#[test]
fn a_full_mailbox_refuses_until_something_goes() {
    in_every_mode(|mut w| {
        w.settings.mailbox_messages = 2;
        let reader = w.attach("reader", 1);
        let first = w.send(None, message("reader", "1")).unwrap();
        w.send(None, message("reader", "2")).unwrap();
        let third = || Command::SendMessage { from: None, message: message("reader", "3") };
        assert_eq!(w.refused(third()), Reason::LimitReached);
        w.acknowledge(reader.agent, &[first.message]);
        w.run(third()).unwrap();
        assert_eq!(texts(&w, reader.agent), ["2", "3"]);
    });
}

#[test]
fn bytes_count_with_everything_that_the_sender_chose() {
    in_every_mode(|mut w| {
        w.settings.mailbox_bytes = 100;
        w.attach("reader", 1);
        let with_header = |text: &str, value: usize| {
            let mut new = message("reader", text);
            new.headers.insert("h".into(), "x".repeat(value));
            new
        };
        let refused = |w: &mut World, new| w.refused(Command::SendMessage { from: None, message: new });
        assert_eq!(refused(&mut w, message("reader", &"x".repeat(101))), Reason::LimitReached);
        assert_eq!(refused(&mut w, with_header("", 100)), Reason::LimitReached);
        // "text/plain" and "h" are eleven bytes.
        w.send(None, with_header("12", 87)).unwrap();
        assert_eq!(refused(&mut w, message("reader", "")), Reason::LimitReached);
    });
}

#[test]
fn a_message_whose_time_is_over_goes_and_one_with_time_left_stays() {
    in_every_mode(|mut w| {
        let reader = w.attach("reader", 1);
        let short = w.send(
            None,
            callboard_core::model::NewMessage { ttl: Some(Span::seconds(5)), ..message("reader", "short") },
        );
        let long = w.send(None, message("reader", "long"));
        let messages = ids(&[short.unwrap(), long.unwrap()]);
        let expire = || Command::ExpireMessages { agent: reader.agent, messages: messages.clone() };
        assert_eq!(w.run(expire()).unwrap().reply, Reply::Taken(0));
        w.sleep(Span::seconds(5));
        assert_eq!(w.run(expire()).unwrap().reply, Reply::Taken(1));
        assert_eq!(texts(&w, reader.agent), ["long"]);
        w.sleep(w.settings.message_ttl);
        assert_eq!(w.run(expire()).unwrap().reply, Reply::Taken(1));
        assert_eq!(w.tables.mailboxes[&reader.agent].bytes, 0);
    });
}

#[test]
fn the_mailbox_of_a_removed_agent_is_closed_and_its_successor_begins_with_an_empty_one() {
    in_every_mode(|mut w| {
        let old = w.attach("reader", 1);
        let sent = w.send(None, message("reader", "for the old one")).unwrap();
        w.run(Command::RemoveAgent { name: "reader".into() }).unwrap();
        assert!(w.tables.mailboxes[&old.agent].closed);
        let to_nobody = Command::SendMessage { from: None, message: message("reader", "too late") };
        assert_eq!(w.refused(to_nobody), Reason::AgentNotFound);
        let new = w.attach("reader", 1);
        assert_ne!(old.agent, new.agent);
        assert!(texts(&w, new.agent).is_empty());
        assert_eq!(w.acknowledge(old.agent, &[sent.message]), 0, "what is closed is thrown away elsewhere");
        assert_eq!(w.send(None, message("reader", "for the new one")).unwrap().sequence, 1);
    });
}

#[test]
fn a_message_is_sent_once_by_a_request() {
    in_every_mode(|mut w| {
        let reader = w.attach("reader", 1);
        let send = |digest| {
            with_request(Command::SendMessage { from: None, message: message("reader", "hello") }, "m", digest)
        };
        let first = w.run_as(send(1)).unwrap().reply;
        let Reply::Sent(receipt) = first else { panic!("{first:?}") };
        assert_eq!(w.run_as(send(1)).unwrap().reply, first);
        assert_eq!(w.refused_as(send(2)), Reason::RequestIdReused);
        w.acknowledge(reader.agent, &[receipt.message]);
        assert_eq!(w.run_as(send(1)).unwrap().reply, first, "also when it is acknowledged since");
        assert!(texts(&w, reader.agent).is_empty());
    });
}

#[test]
fn a_batch_sends_and_takes_in_its_order() {
    in_every_mode(|mut w| {
        let reader = w.attach("reader", 1);
        let first = w.send(None, message("reader", "0")).unwrap();
        let send = |text: &str| envelope(Command::SendMessage { from: None, message: message("reader", text) });
        let take = envelope(Command::AcknowledgeMessages {
            agent: reader.agent,
            epoch: Some(reader.epoch),
            messages: vec![first.message],
        });
        let wrong = envelope(Command::SendMessage { from: None, message: message("nobody", "2") });
        let results = w.run_batch(&[send("1"), take.clone(), wrong, send("3"), take]);
        let sequences: Vec<_> = results.iter().map(|result| result.as_ref().map(|o| o.reply.clone()).ok()).collect();
        assert!(matches!(sequences[0], Some(Reply::Sent(MessageReceipt { sequence: 2, .. }))), "{sequences:?}");
        assert_eq!((&sequences[1], &sequences[2]), (&Some(Reply::Taken(1)), &None));
        assert!(matches!(sequences[3], Some(Reply::Sent(MessageReceipt { sequence: 3, .. }))), "{sequences:?}");
        assert_eq!(sequences[4], Some(Reply::Taken(0)));
        assert_eq!(texts(&w, reader.agent), ["1", "3"]);
    });
}
