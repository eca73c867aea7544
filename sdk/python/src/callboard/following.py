"""Waiting for the end of tasks. Everything here runs on the SDK's loop."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc

from callboard import calls, wire
from callboard.calls import TaskRef, task_id_of
from callboard.errors import DeadlineExceeded
from callboard.models import Task
from callboard.payload import decode
from callboard.retry import Backoff
from callboard.spec import TaskSpec
from callboard.transport import Transport

WAIT = 30.0
"""Seconds that one call waits; waits that last longer are made of several."""

MORE = 30.0
"""Seconds that a call may take beyond its wait."""


async def wait(transport: Transport, namespace: str, task: TaskRef, timeout: float | None) -> Task:
    """Waits until the task has ended; DeadlineExceeded when the timeout is over before."""
    return await _wait_until(transport, namespace, task_id_of(task), _deadline(timeout))


async def run(
    transport: Transport, namespace: str, spec: TaskSpec, given_id: str | None, timeout: float | None
) -> Any:
    """Creates a task, waits for its end, and gives its result."""
    deadline = _deadline(timeout)
    part = _part(deadline)
    proto = await transport.unary(calls.run(namespace, spec, given_id, part), part + MORE)
    if proto.state == wire.task.TASK_STATE_COMPLETED:
        return decode(proto.result)
    task = Task.from_wire(proto)
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
