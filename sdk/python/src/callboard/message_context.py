"""What a handler of messages gets besides the message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from callboard.blocking import wait_for
from callboard.context import Link
from callboard.convert import Seconds
from callboard.errors import Cancelled
from callboard.messages import MessageReceipt, message_send

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client


class MessageContext:
    """What a sync message handler gets besides the message, if it takes it."""

    def __init__(self, link: Link, cancelled: threading.Event) -> None:
        self._link = link
        self.cancelled = cancelled
        """Set once the handler is to stop."""

    @property
    def client(self) -> Client:
        """A client of the agent's server and namespace, as the agent's principal. It ends with the agent."""
        return self._link.client

    def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
    ) -> MessageReceipt:
        """Sends a message as this agent: an answer, say. It is durable when this returns."""
        sent = self._link.send(message_send(to, body, headers, ttl, request_id))
        return wait_for(sent, self._check_cancelled)

    def _check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("the handler is to stop")


class AsyncMessageContext:
    """The same of an async one."""

    def __init__(self, link: Link, cancelled: threading.Event) -> None:
        self._link = link
        self.cancelled = cancelled
        """Set once the handler is to stop."""

    @property
    def client(self) -> aio.Client:
        """A client of the agent's server and namespace, as the agent's principal. It ends with the agent."""
        return self._link.async_client

    async def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
    ) -> MessageReceipt:
        """Sends a message as this agent: an answer, say. It is durable when this returns."""
        return await asyncio.wrap_future(self._link.send(message_send(to, body, headers, ttl, request_id)))
