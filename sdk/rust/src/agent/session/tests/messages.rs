//! Messages: handled in order, acknowledged, tried again; sent until there is a receipt.

use super::*;

fn message(id: &str, agent: &str) -> v1::Message {
    v1::Message { id: id.into(), agent: agent.into(), ..Default::default() }
}

impl Script {
    fn deliver(&mut self, messages: &[(&str, &str)]) {
        let messages = messages.iter().map(|(id, agent)| message(id, agent)).collect();
        self.receive(Inbound::Messages(v1::MessageDeliveryBatch { messages }));
    }

    fn handled(&mut self, id: &str) {
        self.session.on_handled(self.now, id, None);
    }

    fn fails_to_handle(&mut self, id: &str) {
        self.session.on_handled(self.now, id, Some("no"));
    }

    fn sends(&mut self, request_id: &str, ticket: Ticket) {
        let send = v1::MessageSend { request_id: request_id.into(), ..Default::default() };
        self.session.on_send(send, ticket);
    }

    fn message_receipts(&mut self, batch: v1::MessageReceiptBatch) {
        self.receive(Inbound::MessageReceipts(batch));
    }

    fn acknowledged(&mut self, ids: &[&str]) {
        let acknowledged_ids = ids.iter().map(ToString::to_string).collect();
        self.message_receipts(v1::MessageReceiptBatch { acknowledged_ids, ..Default::default() });
    }

    fn sent(&mut self, receipt: v1::MessageSendReceipt) {
        self.message_receipts(v1::MessageReceiptBatch { sent: vec![receipt], ..Default::default() });
    }
}

fn receipt(request_id: &str, message_id: &str) -> v1::MessageSendReceipt {
    let message = Some(v1::MessageReceipt { message_id: message_id.into(), sequence: 1 });
    v1::MessageSendReceipt { request_id: request_id.into(), message, ..Default::default() }
}

#[test]
fn messages_are_handled_one_after_the_other_and_acknowledged() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann"), ("m2", "bob")]);
    assert_eq!(script.actions(), ["handle m1"]);
    assert!(script.frames().is_empty());
    script.handled("m1");
    assert_eq!(script.actions(), ["handle m2"]);
    assert_eq!(script.frames(), ["acknowledge m1"]);
    script.deliver(&[("m1", "ann"), ("m2", "bob")]);
    assert!(script.actions().is_empty(), "what is known is not handled again");
    assert_eq!(script.frames(), ["acknowledge m1"], "what was handled is acknowledged again");
    script.acknowledged(&["m1"]);
    script.handled("m2");
    assert_eq!(script.frames(), ["acknowledge m2"]);
}

#[test]
fn what_has_no_receipt_is_said_again_on_the_next_stream() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann"), ("m2", "ann")]);
    script.actions();
    script.handled("m1");
    script.sends("r1", 1);
    assert_eq!(script.frames(), ["acknowledge m1", "send r1"]);
    script.actions();
    script.comes_back();
    script.welcome(2, &[]);
    assert_eq!(script.frames(), ["acknowledge m1", "send r1"]);
    script.deliver(&[("m1", "ann"), ("m2", "ann"), ("m3", "ann")]);
    script.handled("m2");
    assert_eq!(script.actions(), ["attached 2", "handle m3"], "m2 was being handled all the time");
}

#[test]
fn a_message_that_failed_comes_again_and_holds_up_its_own_sender_only() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann"), ("m2", "ann"), ("m3", "bob")]);
    script.actions();
    script.fails_to_handle("m1");
    assert_eq!(script.actions(), ["handle m3"]);
    script.handled("m3");
    assert!(script.actions().is_empty());
    script.after(Duration::from_millis(999));
    assert!(script.actions().is_empty());
    script.after(Duration::from_millis(1));
    assert_eq!(script.actions(), ["handle m1"]);
    script.handled("m1");
    assert_eq!(script.actions(), ["handle m2"]);
}

#[test]
fn a_message_that_keeps_failing_is_given_up() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann"), ("m2", "ann")]);
    for seconds in [1, 2, 4, 8] {
        assert_eq!(script.actions(), ["handle m1"]);
        script.fails_to_handle("m1");
        assert!(script.actions().is_empty());
        script.receive(Inbound::Heartbeat(v1::Heartbeat {}));
        script.after(Duration::from_secs(seconds));
    }
    assert_eq!(script.actions(), ["handle m1"]);
    script.fails_to_handle("m1");
    assert_eq!(script.actions(), ["handle m2"]);
    assert!(script.frames().contains(&"acknowledge m1".to_owned()));
}

#[test]
fn a_message_is_sent_until_its_receipt_says_what_became_of_it() {
    let mut script = Script::attached();
    script.sends("r1", 1);
    script.sends("r2", 2);
    assert_eq!(script.frames(), ["send r1 r2"]);
    script.sent(v1::MessageSendReceipt { request_id: "r1".into(), retry: true, ..Default::default() });
    assert!(script.frames().is_empty());
    script.after(Duration::from_millis(100));
    assert_eq!(script.frames(), ["send r1"]);
    script.sent(receipt("r1", "m1"));
    script.sent(receipt("r1", "m1"));
    let mut refused = v1::MessageSendReceipt { request_id: "r2".into(), ..Default::default() };
    refused.set_reason(v1::ErrorReason::AgentNotFound);
    script.sent(refused);
    assert_eq!(script.actions(), ["sent 1 m1", "sent 2 AGENT_NOT_FOUND"]);
}

#[test]
fn a_server_without_messages_is_sent_none() {
    let mut script = Script::new();
    script.sends("r1", 1);
    script.actions();
    script.frames();
    script.welcome_with(1, &[], &["drain"]);
    assert_eq!(script.actions(), ["sent 1 ", "attached 1"]);
    script.sends("r2", 2);
    assert_eq!(script.actions(), ["sent 2 "]);
    assert!(script.frames().is_empty());
}

#[test]
fn a_drain_waits_for_the_message_at_work_and_begins_no_other() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann"), ("m2", "ann")]);
    script.actions();
    script.session.drain(script.now);
    assert!(script.actions().is_empty());
    assert_eq!(script.frames(), ["slots"], "no more tasks, and the stream stays open");
    script.handled("m1");
    assert!(script.actions().is_empty());
    assert_eq!(script.frames(), ["acknowledge m1"]);
    script.acknowledged(&["m1"]);
    assert_eq!(script.frames(), ["drain"]);
    script.is_let_go();
    assert_eq!(script.actions(), ["stop ok"]);
}

#[test]
fn a_drain_whose_time_is_over_drops_the_message_at_work() {
    let mut script = Script::attached();
    script.deliver(&[("m1", "ann")]);
    script.actions();
    script.session.drain(script.now);
    for _ in 0..6 {
        script.after(Duration::from_secs(5));
        script.receive(Inbound::Heartbeat(v1::Heartbeat {}));
        script.frames();
    }
    assert_eq!(script.actions(), ["abort message"]);
    script.fails_to_handle("m1");
    assert!(!script.frames().iter().any(|frame| frame.starts_with("acknowledge")));
}
