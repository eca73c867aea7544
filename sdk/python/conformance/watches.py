"""Watches by their names, and what they gathered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from callboard import Event, Message, OutputChunk, aio
from conformance import shown, values
from conformance.calls import OFFSET, RUN
from conformance.clients import Clients
from conformance.fields import Fields, Option, flag, seconds, text, whole
from conformance.lines import Fault, Line
from conformance.raised import of_sdk


class Watches:
    """The watches of the process."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._watches: dict[str, EventWatch | MailboxWatch | OutputWatch] = {}

    async def do(self, name: str, fields: Fields) -> Line:
        """Carries out an instruction `watch.…` or `output.…`."""
        watch = fields.take("watch", text)
        if name == "watch.start":
            return self._start(watch, fields)
        if name == "output.start":
            return self._start_output(watch, fields)
        found = self._watches.get(watch)
        if found is None:
            raise Fault(f"there is no watch `{watch}`")
        if isinstance(found, OutputWatch) is not name.startswith("output."):
            raise Fault(f"{name}: `{watch}` is of something else")
        if name == "output.wait":
            size, timeout = fields.take("bytes", whole), fields.take("timeout_ms", seconds)
            fields.all_taken()
            await found.wait(size, timeout)
            return found.told()
        if name == "watch.wait":
            count, timeout = fields.take("count", whole), fields.take("timeout_ms", seconds)
            fields.all_taken()
            await found.wait(count, timeout)
            return found.told()
        if name in ("watch.stop", "output.stop"):
            fields.all_taken()
            del self._watches[watch]
            await found.stop()
            return found.told()
        raise Fault(f"{name} is unknown")

    def _start(self, name: str, fields: Fields) -> Line:
        if name in self._watches:
            raise Fault(f"there is a watch `{name}` already")
        client = self._clients.find(fields.take("client", text))
        mailbox = fields.get("mailbox", text)
        given = fields.given(Option("task_id", text, "task"), Option("cursor", text))
        given |= fields.given(Option("until_ended", flag))
        fields.all_taken()
        if mailbox is not None and given:
            raise Fault("watch.start: `mailbox` goes alone")
        with of_sdk():
            if mailbox is None:
                self._watches[name] = EventWatch(client.watch(**given))
            else:
                self._watches[name] = MailboxWatch(client.messages.watch(mailbox))
        return {}

    def _start_output(self, name: str, fields: Fields) -> Line:
        if name in self._watches:
            raise Fault(f"there is a watch `{name}` already")
        client = self._clients.find(fields.take("client", text))
        task_id, given = fields.take("task_id", text), fields.given(RUN, OFFSET)
        fields.all_taken()
        with of_sdk():
            self._watches[name] = OutputWatch(client.watch_output(task_id, **given))
        return {}


class _Watch:
    """Gathers what the SDK gives."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._gathered: list[Any] = []
        self._ended = False
        self._error: BaseException | None = None
        self._changed = asyncio.Condition()
        self._gathering = asyncio.create_task(self._gather(source))

    async def _gather(self, source: AsyncIterator[Any]) -> None:
        try:
            async for one in source:
                async with self._changed:
                    self._gathered.append(one)
                    self._changed.notify_all()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # it is told to whoever asks
            self._error = error
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _amount(self) -> int:
        """How much was gathered."""
        return len(self._gathered)

    async def wait(self, amount: int, timeout: float) -> None:
        """Waits until there is so much, it has ended, or the time is over."""
        try:
            await asyncio.wait_for(self._until(amount), timeout)
        except asyncio.TimeoutError:
            return

    async def _until(self, amount: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._amount() >= amount)

    async def stop(self) -> None:
        """Ends it."""
        self._gathering.cancel()
        await asyncio.wait([self._gathering])

    def _raise(self) -> None:
        if self._error is not None:
            with of_sdk():
                raise self._error


class EventWatch(_Watch):
    """A watch of events."""

    def __init__(self, watch: aio.Watch) -> None:
        super().__init__(watch)
        self._watch = watch

    def told(self) -> Line:
        """What it gathered; raises the error that ended it."""
        self._raise()
        events: list[Event] = self._gathered
        return {**shown.events(events), "cursor": self._watch.cursor, "ended": self._ended}

    async def stop(self) -> None:
        await super().stop()
        with of_sdk():
            await self._watch.close()


class OutputWatch(_Watch):
    """A watch of output."""

    def __init__(self, watch: aio.OutputWatch) -> None:
        super().__init__(watch)
        self._watch = watch

    def _amount(self) -> int:
        return sum(values.size(chunk.payload) for chunk in self._gathered)

    def told(self) -> Line:
        """What it gathered; raises the error that ended it."""
        self._raise()
        chunks: list[OutputChunk] = self._gathered
        with of_sdk():
            return {**shown.output(chunks), "ended": self._ended}

    async def stop(self) -> None:
        await super().stop()
        with of_sdk():
            await self._watch.close()


class MailboxWatch(_Watch):
    """A watch of the messages in a mailbox."""

    def told(self) -> Line:
        """What it gathered; raises the error that ended it."""
        self._raise()
        messages: list[Message] = self._gathered
        with of_sdk():
            return {**shown.messages(messages), "ended": self._ended}
