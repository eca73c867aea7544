"""What one call of a handler has: its context, what it has seen, and how it waits in its style.

A program is one coroutine for both styles. In a sync handler whatever it awaits blocks instead, so that it
runs to its end in one go: see `run_blocking`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from callboard import (
    AsyncChild,
    AsyncContext,
    AsyncMessageContext,
    Cancelled,
    Child,
    Context,
    Message,
    MessageContext,
)
from conformance import shown, values
from conformance.calls import Call
from conformance.lines import Line

T = TypeVar("T")

TaskContext: TypeAlias = Context | AsyncContext
AnyContext: TypeAlias = TaskContext | MessageContext | AsyncMessageContext
Passing: TypeAlias = concurrent.futures.Future[None]

TICK = 0.02
"""Seconds after which a sync handler that waits looks whether it is told to stop: the SDK has an event for
that, and Python has no way to wait for one of two."""


class Style(Protocol):
    """How a handler waits, and hears that it is to stop."""

    async def wait(self, passing: Passing, ignore_cancellation: bool) -> None:
        """Waits at a gate."""

    async def sleep(self, seconds: float) -> None:
        """Waits for so long."""

    async def cancelled(self) -> None:
        """Waits until it is told to stop, and goes on."""

    def cancellation(self) -> BaseException:
        """What a handler ends with that stops because it was told to."""

    async def given(self, answer: Any) -> Any:
        """What a method of the context answers."""

    def play(self, program: Coroutine[Any, Any, Any]) -> Any:
        """Carries out a step's program: what the function of the step gives."""

    async def join(self, children: list[Any]) -> list[Any]:
        """Waits for the results of children beside each other."""

    async def ask(self, call: Call, context: AnyContext) -> Line:
        """Makes a call with the context's client."""


class Async:
    """An async handler, which is cancelled by asyncio's CancelledError."""

    def __init__(self) -> None:
        # asyncio tells it once: whoever has caught that must remember it.
        self._told = False

    async def wait(self, passing: Passing, ignore_cancellation: bool) -> None:
        if ignore_cancellation:
            await self._wait_whatever_comes(passing)
        else:
            await self._unless_told(asyncio.wrap_future(passing))

    async def _wait_whatever_comes(self, passing: Passing) -> None:
        open = asyncio.wrap_future(passing)
        while not open.done():
            try:
                await asyncio.shield(open)
            except asyncio.CancelledError:
                self._told = True

    async def sleep(self, seconds: float) -> None:
        await self._unless_told(asyncio.ensure_future(asyncio.sleep(seconds)))

    async def _unless_told(self, wait: asyncio.Future[None]) -> None:
        if self._told:
            wait.cancel()
        await wait

    async def cancelled(self) -> None:
        if self._told:
            return
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self._told = True

    def cancellation(self) -> BaseException:
        return asyncio.CancelledError()

    async def given(self, answer: Any) -> Any:
        return await answer if inspect.isawaitable(answer) else answer

    def play(self, program: Coroutine[Any, Any, Any]) -> Any:
        return program

    async def join(self, children: list[Any]) -> list[Any]:
        return await asyncio.gather(*(child.result() for child in children))

    async def ask(self, call: Call, context: AnyContext) -> Line:
        assert isinstance(context, (AsyncContext, AsyncMessageContext))
        return await call.ask(context.client)


class Blocking:
    """A sync handler, which looks at its context's event. Nothing here ever awaits."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    async def wait(self, passing: Passing, ignore_cancellation: bool) -> None:
        while not concurrent.futures.wait([passing], TICK).done:
            if self._cancelled.is_set() and not ignore_cancellation:
                raise self.cancellation()

    async def sleep(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise self.cancellation()

    async def cancelled(self) -> None:
        self._cancelled.wait()

    def cancellation(self) -> BaseException:
        return Cancelled("the handler is to stop")

    async def given(self, answer: Any) -> Any:
        return answer

    def play(self, program: Coroutine[Any, Any, Any]) -> Any:
        return run_blocking(program)

    async def join(self, children: list[Any]) -> list[Any]:
        threads = concurrent.futures.ThreadPoolExecutor(max(1, len(children)))
        try:
            waits = [threads.submit(child.result) for child in children]
            done = concurrent.futures.wait(waits, return_when=concurrent.futures.FIRST_EXCEPTION).done
            if failed := [wait for wait in done if wait.exception() is not None]:
                failed[0].result()
            return [wait.result() for wait in waits]
        finally:
            # The first error ends the handler, whatever the others still wait for.
            threads.shutdown(wait=False)

    async def ask(self, call: Call, context: AnyContext) -> Line:
        assert isinstance(context, (Context, MessageContext))
        return call.ask_blocking(context.client)


def run_blocking(program: Coroutine[Any, Any, T]) -> T:
    """Runs a program of a sync handler."""
    try:
        program.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError("a sync handler's program awaited something")


class Turn:
    """One call of a handler."""

    def __init__(
        self, context: AnyContext, style: Style, number: int, names: Line, told: dict[str, Callable[[], Any]]
    ) -> None:
        self.context = context
        self.style = style
        self.number = number
        """Of the attempt, or of the message's delivery."""
        self.names = names
        """What an observation names it by."""
        self.seen: Line = {}
        self._told = told

    def see(self, what: list[str]) -> None:
        """Puts what the context tells into `seen`."""
        self.seen |= {name: self._told[name]() for name in what}


class TaskTurn(Turn):
    """One call of a handler of tasks."""

    SEES = frozenset(
        {
            "task_id",
            "attempt",
            "run",
            "attempts_used",
            "type",
            "namespace",
            "headers",
            "metadata",
            "deadline_at_ms",
            "input",
            "checkpoint",
            "dependencies",
            "workflow",
            "cancelled",
        }
    )

    def __init__(self, input: Any, context: TaskContext, style: Style) -> None:
        names = {"task_id": context.task_id, "attempt": context.attempt}
        super().__init__(context, style, context.attempt, names, _told_of_task(input, context))
        self.input = input
        self.task = context
        self.children: dict[str, Child | AsyncChild] = {}
        """Those that were kept, by their names."""

    @contextmanager
    def catching(self, name: str, wanted: bool) -> Iterator[None]:
        """Puts an error into `seen`, if that is wanted, and goes on."""
        try:
            yield
        except Exception as error:
            if not wanted:
                raise
            self.seen[name] = {"error": shown.error(error)}


class MessageTurn(Turn):
    """One call of a handler of messages."""

    SEES = frozenset({"message_id", "sequence", "from_agent", "principal", "headers", "body"})

    def __init__(self, message: Message, context: AnyContext, style: Style, delivery: int) -> None:
        names = {"message_id": message.id, "delivery": delivery}
        super().__init__(context, style, delivery, names, _told_of_message(message))
        self.message = message


def _told_of_task(input: Any, context: TaskContext) -> dict[str, Callable[[], Any]]:
    return {
        "task_id": lambda: context.task_id,
        "attempt": lambda: context.attempt,
        "run": lambda: context.run,
        "attempts_used": lambda: context.attempts_used,
        "type": lambda: context.type,
        "namespace": lambda: context.namespace,
        "headers": lambda: dict(context.headers),
        "metadata": lambda: dict(context.metadata),
        "deadline_at_ms": lambda: shown.at_ms(context.deadline),
        "input": lambda: values.shown(input),
        "checkpoint": lambda: values.shown(context.checkpoint),
        "dependencies": lambda: [shown.dependency(one) for one in context.dependencies],
        "workflow": lambda: shown.workflow_link(context.workflow),
        "cancelled": context.cancelled.is_set,
    }


def _told_of_message(message: Message) -> dict[str, Callable[[], Any]]:
    return {
        "message_id": lambda: message.id,
        "sequence": lambda: message.sequence,
        "from_agent": lambda: message.agent,
        "principal": lambda: message.principal,
        "headers": lambda: dict(message.headers),
        "body": lambda: values.shown(message.body),
    }
