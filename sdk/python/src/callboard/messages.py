"""Messages between agents: what they are, and `client.messages`."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from callboard import convert, wire
from callboard.calls import Call, request_id
from callboard.convert import Seconds
from callboard.payload import Payload, decode, encode

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client

WAIT_SLICE = 50.0
"""Seconds that one fetch of a watch waits: shorter than what proxies leave an idle request."""
MORE = 30.0
"""Seconds that a fetch may take beyond its wait."""

service = wire.message_service


@dataclass(frozen=True)
class Message:
    """A message in a mailbox."""

    id: str
    """The same each time that the message is delivered: deduplicate by it."""
    namespace: str
    to: str
    """The agent whose mailbox it is in."""
    sequence: int
    """Its place in the mailbox: 1, 2, 3, … Behind a promoted standby of PostgreSQL there is a gap."""
    principal: str
    """Who sent it."""
    agent: str
    """The agent that sent it; empty when it was sent by a call."""
    payload: Payload
    """What it says, as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None

    @property
    def body(self) -> Any:
        """What it says, decoded."""
        return decode(self.payload)

    @staticmethod
    def from_wire(message: wire.message.Message) -> Message:
        return Message(
            id=message.id,
            namespace=message.namespace,
            to=message.to.agent,
            sequence=message.sequence,
            principal=message.principal,
            agent=message.agent,
            payload=message.payload,
            headers=dict(message.headers),
            sent_at=convert.datetime(message, "sent_at"),
            expires_at=convert.datetime(message, "expires_at"),
        )


@dataclass(frozen=True)
class MessageReceipt:
    """Where a message is."""

    message_id: str
    sequence: int

    @staticmethod
    def from_wire(receipt: wire.message.MessageReceipt) -> MessageReceipt:
        return MessageReceipt(receipt.message_id, receipt.sequence)


def new_message(
    to: str, body: Any, headers: Mapping[str, str] | None, ttl: Seconds | None
) -> wire.message.NewMessage:
    """A message that is to be sent."""
    return wire.message.NewMessage(
        to=wire.message.Address(agent=to),
        payload=encode(body, "message.payload"),
        headers=headers,
        ttl=convert.duration(ttl),
    )


def message_send(
    to: str, body: Any, headers: Mapping[str, str] | None, ttl: Seconds | None, given_id: str | None
) -> wire.message.MessageSend:
    """The same over an agent's stream."""
    # The protocol wants one here: an empty one counts as none.
    chosen = request_id(given_id or None)
    return wire.message.MessageSend(request_id=chosen, message=new_message(to, body, headers, ttl))


def send(namespace: str, message: wire.message.NewMessage, given_id: str | None) -> Call[MessageReceipt]:
    """SendMessage."""
    request = service.SendMessageRequest(
        namespace=namespace, message=message, request_id=request_id(given_id)
    )
    return Call(
        "MessageService/SendMessage",
        request,
        service.SendMessageResponse,
        lambda answer: MessageReceipt.from_wire(answer.receipt),
    )


def fetch(
    namespace: str, agent: str, after: int, max_messages: int = 0, wait: float = 0.0
) -> Call[list[Message]]:
    """FetchMessages."""
    request = service.FetchMessagesRequest(
        namespace=namespace,
        agent=agent,
        after_sequence=after,
        max_messages=max_messages,
        wait=convert.duration(wait),
    )
    return Call(
        "MessageService/FetchMessages",
        request,
        service.FetchMessagesResponse,
        lambda answer: [Message.from_wire(message) for message in answer.messages],
    )


def acknowledge(namespace: str, agent: str, messages: Sequence[Message | str]) -> Call[int]:
    """AcknowledgeMessages."""
    ids = [message.id if isinstance(message, Message) else message for message in messages]
    request = service.AcknowledgeMessagesRequest(namespace=namespace, agent=agent, message_ids=ids)
    return Call(
        "MessageService/AcknowledgeMessages",
        request,
        service.AcknowledgeMessagesResponse,
        lambda answer: int(answer.acknowledged),
    )


class Messages:
    """Messages to agents: `client.messages`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> MessageReceipt:
        """Sends a message to the mailbox of an agent; it is durable when this returns. Raises NotFound when
        the agent is unknown, ResourceExhausted when its mailbox is full."""
        message = new_message(to, body, headers, ttl)
        return self._client._do(send(self._client.namespace, message, request_id), timeout)

    def list(self, agent: str, *, timeout: float | None = None) -> Iterator[Message]:
        """Gives the messages that wait in an agent's mailbox, oldest first. It takes nothing away."""
        after = 0
        while page := self._client._do(fetch(self._client.namespace, agent, after), timeout):
            yield from page
            after = page[-1].sequence

    def watch(self, agent: str) -> Iterator[Message]:
        """Gives the messages that wait, and then each that comes, without an end. It takes nothing away:
        acknowledge what is handled."""
        after = 0
        while True:
            call = fetch(self._client.namespace, agent, after, wait=WAIT_SLICE)
            for message in self._client._do(call, WAIT_SLICE + MORE):
                after = message.sequence
                yield message

    def acknowledge(self, agent: str, *messages: Message | str, timeout: float | None = None) -> int:
        """Takes messages out of an agent's mailbox for good; gives how many were there. A second time is
        fine."""
        return self._client._do(acknowledge(self._client.namespace, agent, messages), timeout)


class AsyncMessages:
    """The same for asyncio: `client.messages` of `callboard.aio.Client`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> MessageReceipt:
        """Sends a message to the mailbox of an agent; it is durable when this returns."""
        message = new_message(to, body, headers, ttl)
        return await self._client._do(send(self._client.namespace, message, request_id), timeout)

    async def list(self, agent: str, *, timeout: float | None = None) -> AsyncIterator[Message]:
        """Gives the messages that wait in an agent's mailbox, oldest first. It takes nothing away."""
        after = 0
        while page := await self._client._do(fetch(self._client.namespace, agent, after), timeout):
            for message in page:
                yield message
            after = page[-1].sequence

    async def watch(self, agent: str) -> AsyncIterator[Message]:
        """Gives the messages that wait, and then each that comes, without an end."""
        after = 0
        while True:
            call = fetch(self._client.namespace, agent, after, wait=WAIT_SLICE)
            for message in await self._client._do(call, WAIT_SLICE + MORE):
                after = message.sequence
                yield message

    async def acknowledge(self, agent: str, *messages: Message | str, timeout: float | None = None) -> int:
        """Takes messages out of an agent's mailbox for good; gives how many were there."""
        return await self._client._do(acknowledge(self._client.namespace, agent, messages), timeout)
