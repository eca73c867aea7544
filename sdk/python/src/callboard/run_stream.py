"""Moves the frames of `RunTasks`, and does what `callboard.runs` asks for. Everything here runs on the SDK's
loop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from copy import copy
from typing import Any

import grpc

from callboard import following, wire
from callboard.credentials import Metadata
from callboard.crossing import Doorway
from callboard.errors import StatusError, from_rpc_error, status_error
from callboard.runs import Action, Run, Runs, unauthenticated
from callboard.timer import Timer
from callboard.transport import PACKAGE, Transport

log = logging.getLogger("callboard")

GOODBYE = 1.0
"""Seconds that the server has to end the stream when we have ended our side."""

_service = wire.task_service


class RunStream:
    """The runs of one client in one namespace: over a stream that is there while there are any, or by calls
    where the server has no such stream."""

    def __init__(self, transport: Transport, namespace: str, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport = transport
        self._namespace = namespace
        self._runs = Runs(namespace, random.random, transport.has_other_addresses)
        self.doorway = Doorway(loop, behind=self._react)
        """The way to `ask` and `give_up`, from any thread."""
        self._sendable = asyncio.Event()
        self._timer = Timer(lambda: self._happened(self._runs.tick))
        # Of those whose callers don't wait for ever.
        self._timeouts: dict[Run, asyncio.TimerHandle] = {}
        self._stream: asyncio.Task[None] | None = None
        self._address = 0
        # It, and those before it that are just ending.
        self._streams: set[asyncio.Task[None]] = set()
        # The runs that go by calls, and what tells when the stream may be asked for again.
        self._calls: dict[Run, asyncio.Task[None]] = {}
        self._reconnecting: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Ends the stream; runs that are still under way fail."""
        self._closed = True
        closed = status_error(grpc.StatusCode.CANCELLED, "the client was closed")
        for run in [*self._runs.take_all(), *self._calls]:
            self._tell(run, copy(closed))
        self._timer.cancel()
        ending = {*self._streams, *self._calls.values()}
        if self._reconnecting is not None:
            ending.add(self._reconnecting)
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    # What happens.

    def ask(self, run: Run) -> None:
        """A run is asked for."""
        if self._closed:
            run.tell(RuntimeError("the client is closed: make another"))
            return
        run.asked_at = self.loop.time()
        if run.timeout is not None:
            run.deadline = run.asked_at + run.timeout
        if self._reconnecting is not None:
            self._call(run)
            return
        if run.deadline is not None:
            self._timeouts[run] = self.loop.call_at(run.deadline, self._timed_out, run)
        self._runs.ask(run.asked_at, run)

    def give_up(self, run: Run) -> None:
        """Whoever asked wants no outcome any more."""
        self._cancel_timeout(run)
        call = self._calls.get(run)
        if call is not None:
            call.cancel()
        else:
            self._runs.give_up(self.loop.time(), run)

    def _timed_out(self, run: Run) -> None:
        self._tell(run, self._runs.timed_out(self.loop.time(), run))
        self._react()

    def _happened(self, event: Callable[[float], None]) -> None:
        event(self.loop.time())
        self._react()

    def _react(self) -> None:
        """Does what is wanted done about all that happened."""
        for run, outcome in self._runs.take_settled():
            self._tell(run, outcome)
        for action in self._runs.take_actions():
            self._perform(action)
        self._timer.set(self._runs.due_at())
        self._sendable.set()

    def _tell(self, run: Run, outcome: wire.task.Task | Exception) -> None:
        if self._timeouts:
            self._cancel_timeout(run)
        run.tell(outcome)

    def _cancel_timeout(self, run: Run) -> None:
        timeout = self._timeouts.pop(run, None)
        if timeout is not None:
            timeout.cancel()

    # The stream.

    def _perform(self, action: Action) -> None:
        if action is Action.OPEN:
            self._stream = self.loop.create_task(self._carry())
            self._streams.add(self._stream)
            self._stream.add_done_callback(self._streams.discard)
        elif action is Action.CALL:
            self._run_by_calls()
        elif self._stream is not None:
            stream, self._stream = self._stream, None
            if action is Action.FINISH:
                # Its writer ends our side when it notices.
                self.loop.call_later(GOODBYE, stream.cancel)
            else:
                stream.cancel()
                self._transport.leave(self._address)

    async def _carry(self) -> None:
        """Opens a stream, and carries frames until its end."""
        stream = self._stream
        error: StatusError | None = None
        renewed = False
        metadata, address = self._transport.metadata(), self._transport.address
        self._address = address
        try:
            method: Any = self._transport.channel().stream_stream(
                f"/{PACKAGE}.TaskService/RunTasks",
                response_deserializer=_service.RunTasksResponse.FromString,
            )
            error = await self._exchange(method(metadata=metadata), stream, metadata)
            renewed = error is not None
        except grpc.aio.AioRpcError as failed:
            error = from_rpc_error(failed)
            renewed = self._transport.credentials.renewed(error, metadata)
        except Exception as failed:  # whatever goes wrong with a stream, the runs must hear of its end
            log.debug("a stream of runs broke", exc_info=failed)
            error = status_error(grpc.StatusCode.UNAVAILABLE, f"the stream broke: {failed!r}")
        # One that was cut off may end by itself before it notices: another has taken its place.
        if self._stream is not stream:
            return
        self._stream = None
        if renewed:
            self._happened(self._runs.renewed)
            return
        log.info("a stream of runs ended: %s", error or "the server closed it")
        self._transport.leave(address)
        self._happened(lambda now: self._runs.broke(now, error))

    async def _exchange(
        self, call: Any, stream: asyncio.Task[None] | None, metadata: Metadata
    ) -> StatusError | None:
        """Moves frames until the stream's end. Gives the refusal of a run, if the token was changed since."""
        writer = self.loop.create_task(self._write(call, stream))
        try:
            await call.initial_metadata()
            if not call.done() and self._stream is stream:
                self._happened(self._runs.opened)
            while (frame := await call.read()) is not grpc.aio.EOF and self._stream is stream:
                if (refusal := self._received(frame, metadata)) is not None:
                    return refusal
            return None
        finally:
            writer.cancel()
            call.cancel()

    def _received(self, frame: wire.task_service.RunTasksResponse, metadata: Metadata) -> StatusError | None:
        """Takes outcomes. A run that was refused for a token that has been changed since is left for a stream
        with the new one: then this gives its refusal."""
        refused = next((error for one in frame.outcomes if (error := unauthenticated(one))), None)
        if refused is None or not self._transport.credentials.renewed(refused, metadata):
            self._happened(lambda now: self._runs.received(now, frame.outcomes))
            return None
        others = [one for one in frame.outcomes if unauthenticated(one) is None]
        self._happened(lambda now: self._runs.received(now, others))
        return refused

    async def _write(self, call: Any, stream: asyncio.Task[None] | None) -> None:
        try:
            # What one that was cut off took would be lost with it.
            while self._stream is stream:
                self._sendable.clear()
                frame = self._runs.next_frame()
                if frame is None:
                    await self._sendable.wait()
                else:
                    await call.write(frame)
            await call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            return  # the reader learns why, and tells

    # Without a stream.

    def _run_by_calls(self) -> None:
        log.info("the server takes no streams of runs: they are run by calls")
        self._reconnecting = self.loop.create_task(self._until_disconnected())
        for run in self._runs.take_all():
            self._cancel_timeout(run)
            self._call(run)

    async def _until_disconnected(self) -> None:
        try:
            await self._transport.until_disconnected()
        except Exception as failed:  # then the stream is asked for again, and that shows how it is
            log.debug("the state of a connection is not known", exc_info=failed)
        finally:
            self._reconnecting = None

    def _call(self, run: Run) -> None:
        call = self._calls[run] = self.loop.create_task(self._run_by_call(run))
        call.add_done_callback(lambda _: self._calls.pop(run, None))

    async def _run_by_call(self, run: Run) -> None:
        (asked,) = _service.RunTasksRequest.FromString(run.frame).runs
        try:
            run.tell(await following.run(self._transport, self._namespace, asked, run.deadline))
        except Exception as error:  # whatever it is, it is the caller's
            run.tell(error)
