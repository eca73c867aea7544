"""Running tasks, as callers have it: a task is asked for, and its result is waited for. Any thread and any
event loop may ask."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

from callboard import calls, loop, wire
from callboard.crossing import hand_over, own_doorway
from callboard.models import Task
from callboard.payload import decode
from callboard.promises import answer
from callboard.run_stream import RunStream
from callboard.runs import Run
from callboard.spec import TaskSpec
from callboard.transport import Transport

Outcome = wire.task.Task | Exception


class Running:
    """The runs of one client."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._streams: dict[str, RunStream] = {}
        self._closed = False

    async def run(
        self, namespace: str, spec: TaskSpec, given_id: str | None, timeout: float | None, patience: float
    ) -> Any:
        """Creates a task, waits for its end, and gives its result."""
        back = own_doorway()
        done: asyncio.Future[wire.task.Task] = back.loop.create_future()

        run = _run(
            spec,
            given_id,
            timeout,
            patience,
            lambda outcome: hand_over(back, lambda: _settle(done, outcome)),
        )
        stream = self._stream(namespace)
        hand_over(stream.doorway, lambda: stream.ask(run))
        try:
            return result_of(await done)
        except asyncio.CancelledError:
            hand_over(stream.doorway, lambda: stream.give_up(run))
            raise

    def run_blocking(
        self, namespace: str, spec: TaskSpec, given_id: str | None, timeout: float | None, patience: float
    ) -> Any:
        """The same for a caller who blocks. One that is interrupted gives the run up."""
        done = concurrent.futures.Future[wire.task.Task]()
        run = _run(spec, given_id, timeout, patience, lambda outcome: answer(done, outcome))
        stream = self._stream(namespace)
        stream.doorway.put(lambda: stream.ask(run))
        try:
            return result_of(done.result())
        except BaseException:
            if not done.done():
                stream.doorway.put(lambda: stream.give_up(run))
            raise

    async def close(self) -> None:
        """Ends the streams; runs that are still under way fail. Runs on the SDK's loop."""
        with self._lock:
            self._closed = True
        for stream in list(self._streams.values()):
            if stream.loop is asyncio.get_running_loop():
                await stream.close()

    def _stream(self, namespace: str) -> RunStream:
        io = loop.get()
        stream = self._streams.get(namespace)
        # A forked child has a loop of its own.
        return self._open(namespace, io) if stream is None or stream.loop is not io else stream

    def _open(self, namespace: str, io: asyncio.AbstractEventLoop) -> RunStream:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed: make another")
            stream = self._streams.get(namespace)
            if stream is None or stream.loop is not io:
                stream = self._streams[namespace] = RunStream(self._transport, namespace, io)
            return stream


def result_of(proto: wire.task.Task) -> Any:
    """The result of a task that has ended. Raises TaskFailed unless it completed."""
    if proto.state == wire.task.TASK_STATE_COMPLETED:
        return decode(proto.result)
    return Task.from_wire(proto).result()


def _run(
    spec: TaskSpec,
    given_id: str | None,
    timeout: float | None,
    patience: float,
    tell: Callable[[Outcome], None],
) -> Run:
    request_id = calls.request_id(given_id)
    asked = wire.task_service.TaskRun(request_id=request_id, task=spec.to_wire())
    frame = wire.task_service.RunTasksRequest(runs=[asked]).SerializeToString()
    return Run(request_id, frame, timeout, patience, tell)


def _settle(done: asyncio.Future[wire.task.Task], outcome: Outcome) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
