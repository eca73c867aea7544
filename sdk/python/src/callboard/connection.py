"""The connection of an agent: gives the session its events and does what it asks for. Everything here runs on
the SDK's loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from callboard import wire
from callboard.actions import (
    Action,
    Connect,
    Cut,
    End,
    Follow,
    Handle,
    Prolong,
    ReportSettled,
    SendSettled,
    Start,
    Stop,
    StopHandling,
    WaitDecided,
    WaitSettled,
)
from callboard.credentials import Credentials
from callboard.errors import StatusError, from_rpc_error, status_error
from callboard.pausing import Ends
from callboard.reports import Key
from callboard.session import Session
from callboard.settings import Address
from callboard.states import State
from callboard.timer import Timer
from callboard.transport import PACKAGE, open_channel

log = logging.getLogger("callboard")

GOODBYE = 1.0
"""Seconds that the server has to end the stream when the agent has closed its side."""


class Handlers(Protocol):
    """Runs handlers."""

    def start(self, key: Key, assignment: wire.agent.Assignment) -> None:
        """Begins one; must return at once."""

    def stop(self, key: Key, reason: str) -> None:
        """Tells one to stop; must return at once."""

    def prolong(self, key: Key, deadline: Timestamp) -> None:
        """Tells one that its attempt times out then now."""

    def handle(self, message: wire.message.Message) -> None:
        """Begins the handler of a message; must return at once."""

    def stop_handling(self) -> None:
        """Tells that one to stop; must return at once."""


class Told(Protocol):
    """Hears what the session has to tell; must return at once."""

    def settled(self, ticket: int, error: StatusError | None) -> None:
        """A report that is waited for is committed, or refused."""

    def sent(self, ticket: int, outcome: wire.message.MessageReceipt | StatusError) -> None:
        """A message is committed, or refused."""

    def decided(self, ticket: int, ends: Ends) -> None:
        """How a wait for children comes out is known; `waited` follows."""

    def waited(self, ticket: int, outcome: Ends | StatusError) -> None:
        """A child has ended, or need not be waited for."""

    def follow(self, task_id: str) -> None:
        """A task is to be waited for by calls."""

    def changed(self) -> None:
        """Something happened to the session."""


class Connection:
    """Drives one session until its end."""

    def __init__(
        self,
        session: Session,
        handlers: Handlers,
        told: Told,
        credentials: Credentials,
    ) -> None:
        self._session = session
        self._handlers = handlers
        self._told = told
        self._credentials = credentials
        self._sendable = asyncio.Event()
        self._timer = Timer(lambda: self.happened(self._session.tick))
        self._send_timer = Timer(self._sendable.set)
        self._stream: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._error: StatusError | None = None

    async def run(self) -> StatusError | None:
        """Attaches, again and again, until the session ends; gives the error if trying again can't help."""
        self.happened(self._session.start)
        try:
            await self._ended.wait()
            if self._stream is not None:
                await asyncio.wait([self._stream], timeout=GOODBYE)
            return self._error
        finally:
            self._timer.cancel()
            self._send_timer.cancel()
            await self._cut()

    def happened(self, event: Callable[[float], None]) -> None:
        """Tells the session of something, with the time, and does what it wants done about it."""
        self.hear(event)
        self.react()

    def hear(self, event: Callable[[float], None]) -> None:
        """Tells the session of something; `react` must follow."""
        event(self._now())

    def react(self) -> None:
        """Does what the session wants done about all that it was told."""
        while actions := self._session.take_actions():
            for action in actions:
                self._perform(action)
        self._told.changed()
        self._timer.set(self._session.tick_at())
        self._sendable.set()

    def _perform(self, action: Action) -> None:
        if isinstance(action, Start):
            self._handlers.start(action.key, action.assignment)
        elif isinstance(action, Stop):
            self._handlers.stop(action.key, action.reason)
        elif isinstance(action, ReportSettled):
            self._told.settled(action.ticket, action.error)
        elif isinstance(action, WaitDecided):
            self._told.decided(action.ticket, action.ends)
        elif isinstance(action, WaitSettled):
            self._told.waited(action.ticket, action.outcome)
        elif isinstance(action, Prolong):
            self._handlers.prolong(action.key, action.deadline)
        elif isinstance(action, Follow):
            self._told.follow(action.task_id)
        elif isinstance(action, Handle):
            self._handlers.handle(action.message)
        elif isinstance(action, StopHandling):
            self._handlers.stop_handling()
        elif isinstance(action, SendSettled):
            self._told.sent(action.ticket, action.outcome)
        elif isinstance(action, Connect):
            log.debug("attaching to %s", action.address.url)
            self._stream = asyncio.get_running_loop().create_task(self._attach(action.address))
        elif isinstance(action, Cut):
            if self._stream is not None:
                self._stream.cancel()
        elif isinstance(action, End):
            self._error = action.error
            self._ended.set()

    async def _attach(self, address: Address) -> None:
        error: StatusError | None = None
        metadata = self._credentials.metadata(address)
        try:
            # A server that drains may have named it.
            self._credentials.check([address])
            async with open_channel(address, self._credentials) as channel:
                method = channel.stream_stream(
                    f"/{PACKAGE}.AgentService/Attach",
                    request_serializer=wire.agent.AttachRequest.SerializeToString,
                    response_deserializer=wire.agent.AttachResponse.FromString,
                )
                await self._exchange(method(metadata=metadata), address)
        except grpc.aio.AioRpcError as failed:
            error = from_rpc_error(failed)
            if self._credentials.renewed(error, metadata):
                changed = "the token was changed: attaching with the new one"
                error = status_error(grpc.StatusCode.UNAVAILABLE, changed)
        except Exception as failed:  # whatever goes wrong with a stream, the session must hear of its end
            log.debug("the stream to %s broke", address.url, exc_info=failed)
            error = status_error(grpc.StatusCode.UNAVAILABLE, f"the stream broke: {failed!r}")
        # One that was cut off may end by itself before it notices: another has taken its place.
        if self._is_current():
            self._log_end(address, error)
            self.happened(lambda now: self._session.disconnected(now, error))

    async def _exchange(self, call: Any, address: Address) -> None:
        writer = asyncio.get_running_loop().create_task(self._write(call, self._stream))
        try:
            while (frame := await call.read()) is not grpc.aio.EOF and self._is_current():
                self._received(frame)
                if frame.HasField("welcome"):
                    log.info("attached to %s, epoch %d", address.url, self._session.epoch)
        finally:
            writer.cancel()
            call.cancel()

    def _received(self, frame: wire.agent.AttachResponse) -> None:
        self.happened(lambda now: self._session.received(now, frame))

    def _is_current(self) -> bool:
        """Whether the stream whose task this is is the session's: no other may speak for it."""
        return self._stream is asyncio.current_task()

    async def _write(self, call: Any, stream: asyncio.Task[None] | None) -> None:
        try:
            # What one that was cut off took would be lost with it.
            while self._stream is stream:
                self._sendable.clear()
                frame = self._session.next_frame(self._now())
                if frame is not None:
                    await call.write(frame)
                    self.happened(self._session.tick)
                elif self._session.state is State.STOPPED:
                    await call.done_writing()
                    return
                else:
                    self._send_timer.set(self._session.send_at())
                    await self._sendable.wait()
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            return  # the reader learns why, and tells

    async def _cut(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.wait([self._stream])

    def _log_end(self, address: Address, error: StatusError | None) -> None:
        if self._session.state is not State.STOPPED:
            log.warning("the stream to %s ended: %s", address.url, error or "the server closed it")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
