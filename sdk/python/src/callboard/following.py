"""Waiting for the end of tasks and workflows. Everything here runs on the SDK's loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol, TypeVar

import grpc

from callboard import calls, wire
from callboard.calls import Call, TaskRef, task_id_of
from callboard.errors import DeadlineExceeded
from callboard.models import Task
from callboard.retry import Backoff
from callboard.transport import Transport

WAIT = 30.0
"""Seconds that one call waits; waits that last longer are made of several."""

MORE = 30.0
"""Seconds that a call may take beyond its wait."""


class Ending(Protocol):
    """What is waited for."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""

    @property
    def state(self) -> str:
        """Where it is in its life."""


E = TypeVar("E", bound=Ending)


async def wait(transport: Transport, namespace: str, task: TaskRef, timeout: float | None) -> Task:
    """Waits until the task has ended; DeadlineExceeded when the timeout is over before."""
    return await _wait_until(transport, namespace, task_id_of(task), _deadline(timeout))


async def until_ended(
    transport: Transport, what: str, ask: Callable[[float], Call[E]], timeout: float | None
) -> E:
    """Waits until something has ended, by calls that wait for a part of the time; DeadlineExceeded, which
    says `what` had not, when the timeout is over before."""
    return await _until_ended(transport, what, ask, _deadline(timeout))


async def run(
    transport: Transport, namespace: str, run: wire.task_service.TaskRun, deadline: float | None
) -> wire.task.Task:
    """Creates a task and waits for its end by calls; DeadlineExceeded when the deadline is over before."""
    part = _part(deadline)
    proto = await transport.unary(calls.run(namespace, run, part), part + MORE)
    task = Task.from_wire(proto)
    return proto if task.ended else (await _wait_until(transport, namespace, task.id, deadline)).proto


async def _wait_until(transport: Transport, namespace: str, task_id: str, deadline: float | None) -> Task:
    return await _until_ended(
        transport, f"task {task_id}", lambda part: calls.wait(namespace, task_id, part), deadline
    )


async def _until_ended(
    transport: Transport, what: str, ask: Callable[[float], Call[E]], deadline: float | None
) -> E:
    clock = asyncio.get_running_loop().time
    backoff = Backoff(random.random)
    while True:
        part = _part(deadline)
        asked = clock()
        answer = await transport.unary(ask(part), part + MORE)
        if answer.ended:
            return answer
        if deadline is not None and clock() >= deadline:
            message = f"{what} had not ended in time: it is {answer.state}"
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
