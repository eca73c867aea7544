"""Messages in the session: handled in order, acknowledged, tried again; sent until there is a receipt."""

from __future__ import annotations

from script import FEATURES, Script

from callboard import wire
from callboard.actions import End, Handle, SendSettled, StopHandling
from callboard.errors import InvalidArgument, NotFound
from callboard.session import Session
from callboard.settings import parse_addresses

WITH_MESSAGES = (*FEATURES, "messages")


class MailScript(Script):
    """A script of an agent that takes messages."""

    def __init__(self) -> None:
        super().__init__()
        profile = wire.agent.AgentProfile(name="a", slots=2, handles=[wire.agent.TaskHandler(type="greet")])
        self.session = Session(
            "default",
            profile,
            parse_addresses("http://a:1"),
            lambda: 1.0,
            instance_id="i",
            takes_messages=True,
        )

    def deliver(self, *messages: tuple[str, str]) -> None:
        batch = [wire.message.Message(id=id, agent=agent) for id, agent in messages]
        self.receive(messages=wire.message.MessageDeliveryBatch(messages=batch))

    def handled(self, id: str, ok: bool = True) -> bool:
        return self.session.handled(self.now, id, ok)

    def send(self, request_id: str, ticket: int) -> None:
        self.session.send(wire.message.MessageSend(request_id=request_id), ticket)

    def receipts(self, **batch: object) -> None:
        self.receive(message_receipts=wire.message.MessageReceiptBatch(**batch))  # type: ignore[arg-type]

    def handling(self) -> list[str]:
        return [action.message.id for action in self.only(Handle)]

    def said(self) -> list[str]:
        """What the session says now, in short."""
        lines = []
        for frame in self.frames():
            if frame.HasField("acknowledgements"):
                lines.append("ack " + " ".join(frame.acknowledgements.message_ids))
            elif frame.HasField("messages"):
                lines.append("send " + " ".join(send.request_id for send in frame.messages.messages))
            else:
                lines.append(str(frame.WhichOneof("frame")))
        return lines


def attached() -> MailScript:
    s = MailScript()
    hello = s.attach(features=WITH_MESSAGES)
    assert "messages" in hello.features
    s.actions()
    return s


def test_messages_are_handled_one_after_the_other_and_acknowledged() -> None:
    s = attached()
    s.deliver(("m1", "ann"), ("m2", "bob"))
    assert s.handling() == ["m1"]
    assert s.said() == []
    s.handled("m1")
    assert s.handling() == ["m2"]
    assert s.said() == ["ack m1"]
    s.deliver(("m1", "ann"), ("m2", "bob"))
    assert s.handling() == []
    assert s.said() == ["ack m1"]
    s.receipts(acknowledged_ids=["m1"])
    s.handled("m2")
    assert s.said() == ["ack m2"]


def test_what_has_no_receipt_is_said_again_on_the_next_stream() -> None:
    s = attached()
    s.deliver(("m1", "ann"), ("m2", "ann"))
    s.handled("m1")
    s.send("r1", 1)
    assert s.said() == ["ack m1", "send r1"]
    s.drop()
    s.attach(features=WITH_MESSAGES, epoch=2)
    assert s.said() == ["ack m1", "send r1"]
    s.actions()
    s.deliver(("m1", "ann"), ("m2", "ann"), ("m3", "ann"))
    s.handled("m2")
    assert s.handling() == ["m3"]


def test_a_message_that_failed_comes_again_and_holds_up_its_own_sender_only() -> None:
    s = attached()
    s.deliver(("m1", "ann"), ("m2", "ann"), ("m3", "bob"))
    s.actions()
    s.handled("m1", ok=False)
    assert s.handling() == ["m3"]
    s.handled("m3")
    assert s.handling() == []
    due = s.session.tick_at()
    assert due is not None
    assert due <= s.now + 1.0
    s.later(1.0)
    assert s.handling() == ["m1"]
    s.handled("m1")
    assert s.handling() == ["m2"]


def test_a_message_that_keeps_failing_is_given_up() -> None:
    s = attached()
    s.deliver(("m1", "ann"), ("m2", "ann"))
    for seconds in (1.0, 2.0, 4.0, 8.0):
        assert s.handling() == ["m1"]
        assert s.handled("m1", ok=False)
        s.receive(heartbeat=wire.agent.Heartbeat())
        s.later(seconds)
    assert s.handling() == ["m1"]
    assert not s.handled("m1", ok=False)
    assert s.handling() == ["m2"]
    assert "ack m1" in s.said()


def test_a_message_is_sent_until_its_receipt_says_what_became_of_it() -> None:
    s = attached()
    s.send("r1", 1)
    s.send("r2", 2)
    assert s.said() == ["send r1 r2"]
    s.receipts(sent=[wire.message.MessageSendReceipt(request_id="r1", retry=True)])
    assert s.said() == []
    due = s.session.send_at()
    assert due is not None
    s.now = due
    assert s.said() == ["send r1"]
    receipt = wire.message.MessageReceipt(message_id="m1", sequence=1)
    s.receipts(sent=[wire.message.MessageSendReceipt(request_id="r1", message=receipt)] * 2)
    refused = wire.message.MessageSendReceipt(request_id="r2", reason="ERROR_REASON_AGENT_NOT_FOUND")
    s.receipts(sent=[refused])
    first, second = s.only(SendSettled)
    assert (first.ticket, first.outcome) == (1, receipt)
    assert second.ticket == 2
    assert isinstance(second.outcome, NotFound)


def test_at_most_64_messages_are_on_their_way() -> None:
    s = attached()
    for number in range(66):
        s.send(f"r{number}", number)
    (first,) = s.said()
    assert first.split() == ["send", *(f"r{number}" for number in range(64))]
    assert s.session.send_at() != s.now
    receipt = wire.message.MessageReceipt(message_id="m", sequence=1)
    s.receipts(sent=[wire.message.MessageSendReceipt(request_id="r7", message=receipt)])
    assert s.said() == ["send r64"]
    s.drop()
    s.attach(features=WITH_MESSAGES, epoch=2)
    (again,) = s.said()
    assert len(again.split()) == 65 and "r7" not in again.split()


def test_two_messages_under_one_request_id_get_an_answer_each() -> None:
    s = attached()
    s.send("r1", 1)
    s.send("r1", 2)
    assert s.said() == ["send r1 r1"]
    receipt = wire.message.MessageReceipt(message_id="m1", sequence=1)
    reused = wire.message.MessageSendReceipt(request_id="r1", reason="ERROR_REASON_REQUEST_ID_REUSED")
    s.receipts(sent=[wire.message.MessageSendReceipt(request_id="r1", message=receipt), reused])
    first, second = s.only(SendSettled)
    assert (first.ticket, first.outcome, second.ticket) == (1, receipt, 2)
    assert isinstance(second.outcome, InvalidArgument)


def test_a_server_without_messages_is_sent_none() -> None:
    s = MailScript()
    s.session.start(s.now)
    s.send("r1", 1)
    s.attach(features=FEATURES)
    s.send("r2", 2)
    assert sorted(action.ticket for action in s.only(SendSettled)) == [1, 2]
    assert s.said() == []


def test_a_drain_waits_for_the_message_at_work_and_begins_no_other() -> None:
    s = attached()
    s.deliver(("m1", "ann"), ("m2", "ann"))
    s.actions()
    s.session.drain(s.now)
    assert s.said() == ["slots"]
    s.handled("m1")
    assert s.handling() == []
    assert s.said() == ["ack m1"]
    s.receipts(acknowledged_ids=["m1"])
    assert s.said() == ["drain"]
    s.later(0.0)
    assert s.only(End)


def test_a_drain_whose_time_is_over_stops_the_message_at_work() -> None:
    s = attached()
    s.deliver(("m1", "ann"))
    s.actions()
    s.session.drain(s.now, 1.0)
    s.later(1.0)
    assert s.only(StopHandling)
    s.handled("m1", ok=False)
    assert not any(line.startswith("ack") for line in s.said())
