"""Messages, without any I/O: those that handlers send, until their receipt, and those that are delivered,
until they are handled and acknowledged. One is handled at a time, in the order of the mailbox; one that
failed holds up only its own sender's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc

from callboard import wire
from callboard.convert import enum_name
from callboard.errors import StatusError, status_error
from callboard.reports import MAX_BATCH, MAX_BATCH_BYTES
from callboard.retry import Backoff

MOST_SENDING = 64
"""How many messages may be on their way without a receipt; the rest waits here."""
MOST_WAITING = 1000
"""How many messages wait for the handler at most: only a server that doesn't count comes there."""
REMEMBERED = 1000
"""How many handled messages are remembered, to know them when they come again."""
MOST_TRIES = 5
"""How often a message is given to its handler before it is given up."""
FIRST_DELAY = 1.0
"""Seconds before the second try; doubled for each more."""
LONGEST_DELAY = 60.0

_CODES = {
    "AGENT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "NAMESPACE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "LIMIT_REACHED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INVALID_FIELD": grpc.StatusCode.INVALID_ARGUMENT,
    "PAYLOAD_TOO_LARGE": grpc.StatusCode.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": grpc.StatusCode.INVALID_ARGUMENT,
}

Receipt = wire.message.MessageReceipt
Settled = tuple[int, "Receipt | StatusError"]
_Sender = tuple[str, str]


@dataclass
class _Sending:
    """A message that has no receipt yet."""

    send: wire.message.MessageSend
    in_flight: bool = False


class Mail:
    """Both directions."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._backoff = Backoff(random)
        # By ticket, in the order of sending. Not by request id: callers choose theirs, maybe the same twice.
        self._sending: OrderedDict[int, _Sending] = OrderedDict()
        self._send_after = 0.0
        self._settled: list[Settled] = []
        # Delivered and not handled, in the order of the mailbox; the one that is being handled among them.
        self._waiting: OrderedDict[str, wire.message.Message] = OrderedDict()
        self._running: str | None = None
        self._delayed: dict[_Sender, float] = {}
        self._failures: dict[str, int] = {}
        self._handled: OrderedDict[str, None] = OrderedDict()
        # Acknowledgements in their order; True once they were sent on this stream.
        self._acknowledging: OrderedDict[str, bool] = OrderedDict()
        self._acknowledge_after = 0.0

    # Messages that go.

    def send(self, send: wire.message.MessageSend, ticket: int) -> None:
        """A handler sends a message."""
        self._sending[ticket] = _Sending(send)

    def take_sends(self, now: float) -> list[wire.message.MessageSend]:
        """What can be sent now, as much as fits into a frame."""
        batch: list[wire.message.MessageSend] = []
        size = 0
        if now < self._send_after:
            return batch
        room = MOST_SENDING - self._in_flight()
        for sending in self._sending.values():
            if sending.in_flight:
                continue
            if len(batch) >= room:
                break
            bytes_ = sending.send.ByteSize() + 8
            if batch and size + bytes_ > MAX_BATCH_BYTES:
                break
            size += bytes_
            sending.in_flight = True
            batch.append(sending.send)
        return batch

    def sent(self, now: float, receipt: wire.message.MessageSendReceipt) -> None:
        """The receipt of a message."""
        ticket = self._ticket_of(receipt.request_id)
        if ticket is None:
            return
        if receipt.retry:
            self._sending[ticket].in_flight = False
            self._send_after = max(self._send_after, now + self._backoff.delay())
            return
        self._backoff.reset()
        del self._sending[ticket]
        if receipt.HasField("message"):
            self._settled.append((ticket, receipt.message))
        else:
            self._settled.append((ticket, _refused(receipt)))

    def give_up(self, error: StatusError) -> None:
        """Nobody waits for what has no receipt any longer."""
        self._settled += [(ticket, error) for ticket in self._sending]
        self._sending.clear()

    def take_settled(self) -> list[Settled]:
        """The tickets of messages that are decided, each with its receipt or error."""
        settled, self._settled = self._settled, []
        return settled

    def _in_flight(self) -> int:
        return sum(sending.in_flight for sending in self._sending.values())

    def _ticket_of(self, request_id: str) -> int | None:
        """The oldest message on its way under a request id."""
        for ticket, sending in self._sending.items():
            if sending.in_flight and sending.send.request_id == request_id:
                return ticket
        return None

    # Messages that come.

    def deliver(self, message: wire.message.Message) -> None:
        """A message came. One that is known is not handled again; one that was handled is acknowledged
        again."""
        if message.id in self._handled:
            self._acknowledging[message.id] = False
        elif message.id not in self._waiting and len(self._waiting) < MOST_WAITING:
            self._waiting[message.id] = message

    def start(self, now: float) -> wire.message.Message | None:
        """The next message to be handled, if it is time."""
        if self._running is not None:
            return None
        self._delayed = {sender: until for sender, until in self._delayed.items() if until > now}
        for message in self._waiting.values():
            if _sender(message) not in self._delayed:
                self._running = message.id
                return message
        return None

    def finish(self, now: float, message_id: str, ok: bool) -> bool:
        """The handler has ended; `ok` when without an error. False when the message is given up."""
        if self._running != message_id:
            return True
        self._running = None
        if not ok:
            failures = self._failures.get(message_id, 0) + 1
            self._failures[message_id] = failures
            if failures < MOST_TRIES:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1))
                self._delayed[_sender(self._waiting[message_id])] = now + delay
                return True
        self._failures.pop(message_id, None)
        self._waiting.pop(message_id, None)
        self._handled[message_id] = None
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)
        self._acknowledging[message_id] = False
        return ok

    def abort(self) -> None:
        """The handler is to stop: what it has is delivered again, to whoever attaches next."""
        self._running = None

    def take_acknowledgements(self, now: float) -> list[str]:
        """Acknowledgements that can be sent now."""
        if now < self._acknowledge_after:
            return []
        batch = [message_id for message_id, sent in self._acknowledging.items() if not sent][:MAX_BATCH]
        for message_id in batch:
            self._acknowledging[message_id] = True
        return batch

    def acknowledged(self, ids: Iterable[str]) -> None:
        """Messages are out of the mailbox."""
        for message_id in ids:
            self._acknowledging.pop(message_id, None)

    def acknowledge_again(self, now: float, ids: Iterable[str]) -> None:
        """The server could not take acknowledgements."""
        for message_id in ids:
            if message_id in self._acknowledging:
                self._acknowledging[message_id] = False
                self._acknowledge_after = max(self._acknowledge_after, now + self._backoff.delay())

    # Both.

    def send_all_again(self) -> None:
        """A new stream: what has no receipt is sent again."""
        for sending in self._sending.values():
            sending.in_flight = False
        for message_id in self._acknowledging:
            self._acknowledging[message_id] = False
        self._send_after = self._acknowledge_after = 0.0

    def running(self) -> bool:
        """Whether the handler is at work."""
        return self._running is not None

    def idle(self) -> bool:
        """Whether nothing is at work, and everything has its receipt."""
        return self._running is None and not self._sending and not self._acknowledging

    def send_at(self) -> float | None:
        """When there is something to send at the latest."""
        times = []
        if self._in_flight() < min(MOST_SENDING, len(self._sending)):
            times.append(self._send_after)
        if not all(self._acknowledging.values()):
            times.append(self._acknowledge_after)
        return min(times, default=None)

    def start_at(self) -> float | None:
        """When a message that failed is tried again."""
        return None if self._running is not None else min(self._delayed.values(), default=None)


def _sender(message: wire.message.Message) -> _Sender:
    return message.principal, message.agent


def _refused(receipt: wire.message.MessageSendReceipt) -> StatusError:
    reason = enum_name(wire.error.ErrorReason, receipt.reason, "ERROR_REASON_")
    return status_error(_CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION), receipt.detail, reason)
