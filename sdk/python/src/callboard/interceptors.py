"""Interceptors: what an application wants done around every task. See section 11 of `sdk/SPEC.md`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from callboard.failure import is_cancellation
from callboard.spec import TaskSpec

if TYPE_CHECKING:
    from callboard.context import AsyncContext, Context

T = TypeVar("T")

Submit: TypeAlias = Callable[[TaskSpec], Awaitable[Any]]
"""Submits a task, and gives what the call gives."""
Handle: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Has an input handled, and gives the handler's value or raises its error."""


class Interceptor:
    """Stands around every task of a client or an agent that was given it. Override one method or both.

    Both are async, whatever the client or handler is: they must not block. Those around a sync handler run on
    the event loop of the agent's async handlers, those of a blocking client on one of their own; the handler,
    and the caller, see the same `contextvars`."""

    async def submit(self, spec: TaskSpec, next: Submit) -> Any:
        """Around `create`, each task of `create_all` and `workflows.create`, `run`, and `start_child`. It may
        change the spec (`dataclasses.replace`) before it calls `next(spec)`, which gives what the call gives.
        What it raises is raised by the call, and nothing is sent. For a task of a workflow it must call
        `next`, once: else the call raises InvalidArgument, for all of them are created or none."""
        return await next(spec)

    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Handle) -> Any:
        """Around each attempt's handler. `next(input)` gives the handler's value or raises its error, which
        this may replace. Around an async handler it is cancelled as that is; around a sync one it looks at
        `ctx.cancelled`."""
        return await next(input)


class LoggingInterceptor(Interceptor):
    """Logs a line when an attempt begins and one when it ends: task, type, attempt, how it ended, and how
    long it took. Never inputs, results or headers."""

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self._logger = logger or logging.getLogger("callboard.tasks")
        self._level = level

    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Handle) -> Any:
        """Logs around the handler."""
        began = time.monotonic()
        self._logger.log(self._level, "task %s (%s), attempt %d began", ctx.task_id, ctx.type, ctx.attempt)
        how = "completed"
        try:
            return await next(input)
        except BaseException as error:
            how = "was cancelled" if is_cancellation(error) else f"failed with {type(error).__name__}"
            raise
        finally:
            took = (time.monotonic() - began) * 1000
            self._logger.log(
                self._level,
                "task %s (%s), attempt %d %s after %.1f ms",
                ctx.task_id,
                ctx.type,
                ctx.attempt,
                how,
                took,
            )


async def submit(
    interceptors: Sequence[Interceptor], spec: TaskSpec, send: Callable[[TaskSpec], Awaitable[T]]
) -> T:
    """Submits a task through interceptors, the first of which is the outermost."""
    next: Submit = send
    for interceptor in reversed(interceptors):
        next = _submitting(interceptor, next)
    result: T = await next(spec)
    return result


async def submit_all(
    interceptors: Sequence[Interceptor],
    specs: Sequence[TaskSpec],
    send: Callable[[Sequence[TaskSpec]], Awaitable[Sequence[T]]],
) -> list[T]:
    """Submits tasks by one call, each through the interceptors. When one of those raises, nothing is sent."""
    batch = _Batch(len(specs), send)
    submitting = [
        asyncio.create_task(batch.through(interceptors, number, spec)) for number, spec in enumerate(specs)
    ]
    try:
        return list(await asyncio.gather(*submitting))
    finally:
        for one in submitting:
            one.cancel()
        await asyncio.gather(*submitting, return_exceptions=True)


async def handle(
    interceptors: Sequence[Interceptor],
    ctx: Context | AsyncContext,
    input: Any,
    function: Callable[[Any], Awaitable[Any]],
) -> Any:
    """Calls a handler through interceptors, the first of which is the outermost."""
    next: Handle = function
    for interceptor in reversed(interceptors):
        next = _handling(interceptor, ctx, next)
    return await next(input)


def _submitting(interceptor: Interceptor, next: Submit) -> Submit:
    async def submit(spec: TaskSpec) -> Any:
        return await interceptor.submit(spec, next)

    return submit


def _handling(interceptor: Interceptor, ctx: Context | AsyncContext, next: Handle) -> Handle:
    async def handle(input: Any) -> Any:
        return await interceptor.handle(ctx, input, next)

    return handle


class _Batch:
    """Tasks that go through interceptors one by one, and are sent together when all have come through."""

    def __init__(self, count: int, send: Callable[[Sequence[TaskSpec]], Awaitable[Sequence[Any]]]) -> None:
        self._missing = count
        self._send = send
        self._specs: dict[int, TaskSpec] = {}
        self._answers: asyncio.Future[dict[int, Any]] = asyncio.get_running_loop().create_future()

    async def through(self, interceptors: Sequence[Interceptor], number: int, spec: TaskSpec) -> Any:
        """Submits one of them."""
        came = False

        async def arrive(spec: TaskSpec) -> Any:
            nonlocal came
            if came:
                # It is asked for a second time: that is a call of its own.
                return (await self._send([spec]))[0]
            came = True
            self._specs[number] = spec
            await self._one_less()
            return (await asyncio.shield(self._answers))[number]

        answer = await submit(interceptors, spec, arrive)
        if not came:
            # An interceptor answered in the call's place: the others don't wait for it.
            came = True
            await self._one_less()
        return answer

    async def _one_less(self) -> None:
        self._missing -= 1
        if self._missing > 0 or not self._specs:
            return
        numbers = sorted(self._specs)
        try:
            answers = await self._send([self._specs[number] for number in numbers])
        except BaseException as error:
            if not self._answers.done():
                self._answers.set_exception(error)
                self._answers.exception()  # told to whoever awaits it
            raise
        self._answers.set_result(dict(zip(numbers, answers, strict=True)))
