"""Following tasks: waiting for their end, and watching events. Everything here runs on the SDK's loop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

import grpc

from callboard import calls, wire
from callboard.calls import TaskRef, task_id_of
from callboard.credentials import Metadata
from callboard.errors import DeadlineExceeded, StatusError, from_rpc_error, status_error
from callboard.models import Event, Task
from callboard.retry import Backoff, retryable
from callboard.spec import TaskSpec
from callboard.transport import PACKAGE, Transport

log = logging.getLogger("callboard")

WAIT = 30.0
"""Seconds that one call waits; waits that last longer are made of several."""

MORE = 30.0
"""Seconds that a call may take beyond its wait."""

SILENCE = 30.0
"""Seconds without a word, after which a watch is broken: the server sends something every 10 s."""


async def wait(transport: Transport, namespace: str, task: TaskRef, timeout: float | None) -> Task:
    """Waits until the task has ended; DeadlineExceeded when the timeout is over before."""
    return await _wait_until(transport, namespace, task_id_of(task), _deadline(timeout))


async def run(
    transport: Transport, namespace: str, spec: TaskSpec, given_id: str | None, timeout: float | None
) -> Any:
    """Creates a task, waits for its end, and gives its result."""
    deadline = _deadline(timeout)
    part = _part(deadline)
    task = await transport.unary(calls.run(namespace, spec, given_id, part), part + MORE)
    if not task.ended:
        task = await _wait_until(transport, namespace, task.id, deadline)
    return task.result()


async def _wait_until(transport: Transport, namespace: str, task_id: str, deadline: float | None) -> Task:
    clock = asyncio.get_running_loop().time
    backoff = Backoff(random.random)
    while True:
        part = _part(deadline)
        asked = clock()
        task = await transport.unary(calls.wait(namespace, task_id, part), part + MORE)
        if task.ended:
            return task
        if deadline is not None and clock() >= deadline:
            message = f"task {task_id} had not ended in time: it is {task.state}"
            raise DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        if clock() - asked < part / 2:
            # A server that answers early, because it drains say, must not be asked in a tight loop.
            await asyncio.sleep(min(backoff.delay(), _part(deadline)))
        else:
            backoff.reset()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


def _part(deadline: float | None) -> float:
    if deadline is None:
        return WAIT
    return min(WAIT, max(0.0, deadline - asyncio.get_running_loop().time()))


class EventStream:
    """Events as they are committed. It goes on behind the last cursor when its stream breaks, so that each
    event comes once."""

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        task: TaskRef | None,
        cursor: str,
        until_ended: bool,
        timeout: float,
    ) -> None:
        self._transport = transport
        self._request = wire.task_service.WatchEventsRequest(
            namespace=namespace,
            task_id="" if task is None else task_id_of(task),
            cursor=cursor,
            until_ended=until_ended,
        )
        self._timeout = timeout
        self._backoff = Backoff(random.random)
        self._call: Any = None
        self._metadata: Metadata = ()
        self._failing_since: float | None = None
        self._heard = False

    async def next(self) -> tuple[Sequence[Event], str] | None:
        """The next events with the cursor behind them, maybe none; None at the end that was asked for."""
        while True:
            try:
                response = await self._read()
            except StatusError as error:
                self._drop()
                if self._transport.credentials.renewed(error, self._metadata):
                    continue
                if not self._may_resume(error):
                    raise
                log.info("watching events again after: %s", error)
                await asyncio.sleep(self._backoff.delay(error.retry_delay))
                self._transport.use_next_address()
                continue
            if response is None:
                return None
            self._heard = True
            self._failing_since = None
            self._backoff.reset()
            # Without a cursor there is nothing to resume from but the last one.
            self._request.cursor = response.cursor or self._request.cursor
            return [Event.from_wire(event) for event in response.events], self._request.cursor

    async def close(self) -> None:
        """Ends the stream."""
        self._drop()

    async def _read(self) -> wire.task_service.WatchEventsResponse | None:
        if self._call is None:
            method = self._transport.channel().unary_stream(
                f"/{PACKAGE}.TaskService/WatchEvents",
                request_serializer=wire.task_service.WatchEventsRequest.SerializeToString,
                response_deserializer=wire.task_service.WatchEventsResponse.FromString,
            )
            self._metadata = self._transport.metadata()
            self._call = method(self._request, metadata=self._metadata)
        try:
            response = await asyncio.wait_for(self._call.read(), SILENCE)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.TimeoutError:
            raise status_error(grpc.StatusCode.UNAVAILABLE, f"nothing was heard for {SILENCE:g} s") from None
        if response is not grpc.aio.EOF:
            return response  # type: ignore[no-any-return]
        if self._request.until_ended and self._heard:
            return None
        raise status_error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")

    def _may_resume(self, error: StatusError) -> bool:
        # A stream can also be cut below gRPC: then the status is made up here, and has no reason.
        cut = error.code in _CUT and not error.reason
        if not (retryable(error) or error.reason == "SLOW_READER" or cut):
            return False
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since < self._timeout

    def _drop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


_CUT = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
