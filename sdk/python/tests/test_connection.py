"""A connection whose server drains, with the stream's timing in the test's hand."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from script import LEASE, Script

from callboard import connection, wire
from callboard.connection import Connection
from callboard.credentials import Credentials
from callboard.states import State

LONG = 30.0


class Nobody:
    """Handlers of an agent that is given nothing, and whoever is told nothing."""

    def start(self, key: Any, assignment: Any) -> None: ...

    def prolong(self, key: Any, deadline: Any) -> None: ...

    def settled(self, ticket: int, error: Any) -> None: ...

    def sent(self, ticket: int, outcome: Any) -> None: ...

    def decided(self, ticket: int, ends: Any) -> None: ...

    def waited(self, ticket: int, outcome: Any) -> None: ...

    def follow(self, task_id: str) -> None: ...

    def changed(self) -> None: ...

    def stop(self, key: Any, reason: str) -> None: ...

    def handle(self, message: Any) -> None: ...

    def stop_handling(self) -> None: ...


class Stream:
    """A channel and the one stream on it. It welcomes whoever says hello; then it gives the frames that it
    has, without a wait between them, and ends or falls silent."""

    def __init__(self, frames: list[wire.agent.AttachResponse], ends: bool) -> None:
        self.hello = asyncio.Event()
        self.frames = [_welcome(), *frames]
        self.ends = ends

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return lambda metadata: self

    async def read(self) -> Any:
        if not self.hello.is_set():
            await self.hello.wait()
        if self.frames:
            return self.frames.pop(0)
        if not self.ends:
            await asyncio.Event().wait()
        return grpc.aio.EOF

    async def write(self, frame: wire.agent.AttachRequest) -> None:
        if frame.HasField("hello"):
            self.hello.set()

    async def done_writing(self) -> None: ...

    def cancel(self) -> None: ...


def _welcome() -> wire.agent.AttachResponse:
    frame = wire.agent.AttachResponse(welcome=wire.agent.Welcome(agent_id="id", session_epoch=1))
    frame.welcome.lease.seconds = LEASE
    return frame


@pytest.mark.parametrize("ends", [True, False], ids=["and ends the stream", "and is silent"])
def test_a_stream_that_was_cut_off_does_not_speak_for_the_one_behind_it(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    asyncio.run(_attaches_twice(monkeypatch, ends))


async def _attaches_twice(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    drain = wire.agent.AttachResponse(drain=wire.agent.DrainNotice(endpoints=["http://b:2"]))
    second = Stream([], ends=False)
    streams = [Stream([drain], ends), second]
    third = asyncio.Event()

    def open_channel(address: Any, credentials: Any) -> Stream:
        if not streams:
            third.set()
            return Stream([], ends=False)
        return streams.pop(0)

    monkeypatch.setattr(connection, "open_channel", open_channel)
    session = Script().session
    attached = asyncio.Event()

    class Told(Nobody):
        def changed(self) -> None:
            if second.hello.is_set() and session.state is State.ATTACHED:
                attached.set()

    driven = Connection(session, Nobody(), Told(), Credentials())
    running = asyncio.create_task(driven.run())
    waits = [asyncio.create_task(event.wait()) for event in (attached, third)]
    await asyncio.wait(waits, timeout=LONG, return_when=asyncio.FIRST_COMPLETED)
    assert attached.is_set(), "the second stream was not welcomed"
    assert not third.is_set(), "a third was opened"
    driven.happened(lambda _: session.stop())
    assert await running is None
    for wait in waits:
        wait.cancel()
