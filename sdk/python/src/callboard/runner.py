"""Runs handlers: sync ones on threads, async ones on a loop of their own, away from the connection."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from callboard import convert, wire
from callboard import interceptors as chain
from callboard import loop as sdk_loop
from callboard.context import AsyncContext, Context, Link, Reporter
from callboard.crossing import Doorway
from callboard.errors import InvalidArgument, TaskError
from callboard.failure import (
    INVALID_INPUT,
    INVALID_RESULT,
    WireFailure,
    cancelled_failure,
    failure_of,
    is_cancellation,
)
from callboard.handlers import Handler, MessageHandler
from callboard.interceptors import Interceptor
from callboard.message_context import AsyncMessageContext, MessageContext
from callboard.messages import Message
from callboard.models import DependencyResult
from callboard.payload import Payload, decode, encode
from callboard.reports import Key
from callboard.workers import Workers

log = logging.getLogger("callboard")

Dependencies = tuple[DependencyResult, ...]
AnyContext = TypeVar("AnyContext", Context, AsyncContext)


class Upstream(Link, Protocol):
    """Where outcomes go. Any thread may call it."""

    @property
    def interceptors(self) -> Sequence[Interceptor]:
        """What stands around handlers."""

    def reporter(self, key: Key) -> Reporter:
        """What carries the reports of an attempt's handler."""

    def completed(self, key: Key, result: Payload) -> None:
        """A handler gave a result."""

    def failed(self, key: Key, failure: WireFailure) -> None:
        """A handler failed."""

    def handled(self, message_id: str, error: BaseException | None) -> None:
        """The handler of a message has ended."""

    async def fetch_dependencies(self, task_id: str) -> Dependencies:
        """All results of a task's dependencies. Runs on the SDK's loop."""


@dataclass(slots=True)
class _Running:
    key: Key
    assignment: wire.agent.Assignment
    # A sync handler is not interrupted, nor what stands around it.
    cancellable: bool
    # It is told to stop; its context, which only some handlers have, says so, too.
    stopping: bool = False
    reason: str = ""
    context: Context | AsyncContext | None = None
    task: asyncio.Task[None] | None = None


@dataclass
class _Handling:
    message: Message
    cancelled: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[None] | None = None


class Runner:
    """The handlers that run."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        slots: int,
        upstream: Upstream,
        on_message: MessageHandler | None = None,
    ) -> None:
        self._handlers = handlers
        self._on_message = on_message
        self._handling: _Handling | None = None
        self._upstream = upstream
        self._running: dict[Key, _Running] = {}
        self._workers = Workers(slots, "callboard-handler")
        self._doorway: Doorway | None = None
        self._thread: threading.Thread | None = None

    def start(self, key: Key, assignment: wire.agent.Assignment) -> None:
        """Begins a handler; returns at once."""
        handler = self._handlers.get(assignment.spec.type) or self._handlers["*"]
        running = _Running(key, assignment, handler.is_async)
        self._running[key] = running
        try:
            # Interceptors are async, whatever the handler is.
            if handler.is_async or self._upstream.interceptors:
                handlers = self._handler_loop()
                handlers.put(lambda: self._spawn(handlers.loop, handler, running))
            else:
                self._workers.run(lambda: self._run_sync(handler, running))
        except RuntimeError as error:  # the system has no thread left
            self._failed(running, error)

    def stop(self, key: Key, reason: str) -> None:
        """Tells a handler to stop; returns at once."""
        running = self._running.get(key)
        if running is None or running.stopping:
            return
        running.reason = reason
        running.stopping = True
        if running.context is not None:
            running.context.cancel_reason = reason
            running.context.cancelled.set()
        if self._doorway is not None and running.cancellable:
            self._doorway.put(lambda: _cancel_task(running))

    def prolong(self, key: Key, deadline: Timestamp) -> None:
        """Tells a handler that its attempt times out then now."""
        running = self._running.get(key)
        if running is None:
            return
        running.assignment.deadline.CopyFrom(deadline)
        if running.context is not None:
            running.context.deadline = convert.datetime(running.assignment, "deadline")

    def handle(self, message: wire.message.Message) -> None:
        """Begins the handler of a message; returns at once. One runs at a time."""
        handler = self._on_message
        if handler is None:
            return
        handling = self._handling = _Handling(Message.from_wire(message))
        try:
            if handler.is_async:
                handlers = self._handler_loop()
                handlers.put(lambda: self._spawn_handling(handlers.loop, handler, handling))
            else:
                self._workers.run(lambda: self._handle_sync(handler, handling))
        except RuntimeError as error:  # the system has no thread left
            self._upstream.handled(handling.message.id, error)

    def stop_handling(self) -> None:
        """Tells the handler of the message to stop; returns at once."""
        handling = self._handling
        if handling is None:
            return
        handling.cancelled.set()
        if self._doorway is not None:
            self._doorway.put(lambda: _cancel_handling(handling))

    def _handle_sync(self, handler: MessageHandler, handling: _Handling) -> None:
        try:
            arguments: list[Any] = [handling.message]
            if handler.takes_context:
                arguments.append(MessageContext(self._upstream, handling.cancelled))
            handler.function(*arguments)
        except BaseException as error:  # whatever a handler raises is its outcome, SystemExit too
            self._upstream.handled(handling.message.id, error)
        else:
            self._upstream.handled(handling.message.id, None)

    def _spawn_handling(
        self, loop: asyncio.AbstractEventLoop, handler: MessageHandler, handling: _Handling
    ) -> None:
        handling.task = loop.create_task(self._handle_async(handler, handling))
        if handling.cancelled.is_set():
            handling.task.cancel()

    async def _handle_async(self, handler: MessageHandler, handling: _Handling) -> None:
        try:
            arguments: list[Any] = [handling.message]
            if handler.takes_context:
                arguments.append(AsyncMessageContext(self._upstream, handling.cancelled))
            await handler.function(*arguments)
        except BaseException as error:  # its cancellation, too; SystemExit would end the loop
            self._upstream.handled(handling.message.id, error)
        else:
            self._upstream.handled(handling.message.id, None)

    def close(self, patience: float) -> None:
        """Ends the threads; async handlers that were told to stop have so many seconds to unwind."""
        self._workers.close()
        if self._doorway is None or self._thread is None:
            return
        # Whoever waits for the end closes, and several may.
        with contextlib.suppress(RuntimeError):
            self._doorway.put(self._doorway.loop.stop)
        self._thread.join(timeout=patience)

    def _run_sync(self, handler: Handler, running: _Running) -> None:
        try:
            arguments: list[Any] = [_read(handler, _decode_input(running.assignment))]
            if handler.takes_context:
                arguments.append(self._sync_context(running))
            result = _encode_result(handler, handler.function(*arguments))
        except BaseException as error:  # whatever a handler raises is its outcome, SystemExit too
            self._failed(running, error)
        else:
            self._completed(running, result)

    def _spawn(self, loop: asyncio.AbstractEventLoop, handler: Handler, running: _Running) -> None:
        running.task = loop.create_task(self._run_async(handler, running))
        # Also told when it's cancelled before its first step.
        running.task.add_done_callback(lambda task: self._was_cancelled(task, running))
        if running.stopping and running.cancellable:
            running.task.cancel()

    async def _run_async(self, handler: Handler, running: _Running) -> None:
        try:
            result = _encode_result(handler, await self._handle(handler, running))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit would end the loop of all async handlers
            self._failed(running, error)
        else:
            self._completed(running, result)

    async def _handle(self, handler: Handler, running: _Running) -> Any:
        """Calls a handler, through interceptors if there are some."""
        input, interceptors = _decode_input(running.assignment), self._upstream.interceptors
        if not handler.takes_context and not interceptors:
            return await handler.function(_read(handler, input))
        context = await self._async_context(running) if handler.is_async else self._sync_context(running)

        async def call(input: Any) -> Any:
            # Interceptors have the input as it came, and may give another.
            arguments = [_read(handler, input)]
            if handler.takes_context:
                arguments.append(context)
            if handler.is_async:
                return await handler.function(*arguments)
            return await self._in_thread(lambda: handler.function(*arguments))

        return await chain.handle(interceptors, context, input, call)

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        """Calls a sync function on a thread of its own, in the context (of `contextvars`) of who awaits
        it."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        done: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            try:
                outcome = context.run(function)
            except BaseException as error:  # whatever a handler raises is its outcome, SystemExit too
                _tell(loop, done, done.set_exception, error)
            else:
                _tell(loop, done, done.set_result, outcome)

        self._workers.run(run)
        return await done

    def _was_cancelled(self, task: asyncio.Task[None], running: _Running) -> None:
        if task.cancelled():
            self._failed(running, asyncio.CancelledError("the handler was cancelled"))

    def _sync_context(self, running: _Running) -> Context:
        dependencies = lambda: _attached_dependencies(running.assignment)  # noqa: E731
        if running.assignment.dependencies_truncated:
            fetch = self._upstream.fetch_dependencies
            dependencies = lambda: sdk_loop.block_on(fetch(running.key.task_id))  # noqa: E731
        return self._context(Context, running, dependencies)

    async def _async_context(self, running: _Running) -> AsyncContext:
        dependencies = _attached_dependencies(running.assignment)
        if running.assignment.dependencies_truncated:
            dependencies = await sdk_loop.bridge(self._upstream.fetch_dependencies(running.key.task_id))
        return self._context(AsyncContext, running, lambda: dependencies)

    def _context(
        self, kind: type[AnyContext], running: _Running, dependencies: Callable[[], Dependencies]
    ) -> AnyContext:
        reporter = self._upstream.reporter(running.key)
        context = running.context = kind(running.assignment, dependencies, reporter, threading.Event())
        # After it is there to be told: it may be told to stop on another thread just now.
        context.cancel_reason = running.reason
        if running.stopping:
            context.cancelled.set()
        return context

    def _completed(self, running: _Running, result: Payload) -> None:
        self._running.pop(running.key, None)
        self._upstream.completed(running.key, result)

    def _failed(self, running: _Running, error: BaseException) -> None:
        self._running.pop(running.key, None)
        if running.stopping and is_cancellation(error):
            self._upstream.failed(running.key, cancelled_failure())
            return
        log.warning("task %s, attempt %d failed", *running.key, exc_info=error)
        self._upstream.failed(running.key, failure_of(error))

    def _handler_loop(self) -> Doorway:
        if self._doorway is None:
            loop = asyncio.new_event_loop()
            self._doorway = Doorway(loop)
            name = "callboard-async-handlers"
            self._thread = threading.Thread(target=_run_loop, args=(loop,), name=name, daemon=True)
            self._thread.start()
        return self._doorway


def _decode_input(assignment: wire.agent.Assignment) -> Any:
    try:
        return decode(assignment.spec.input)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"the input can't be decoded: {error}", INVALID_INPUT, retryable=False) from error


def _read(handler: Handler, input: Any) -> Any:
    """The input as the handler's type of it."""
    try:
        return handler.input.read(input)
    except ValueError as error:
        raise TaskError(f"the input is refused: {error}", INVALID_INPUT, retryable=False) from None


def _encode_result(handler: Handler, result: Any) -> Payload:
    try:
        return encode(handler.result.write(result), "result")
    except InvalidArgument as error:
        raise TaskError(error.message, INVALID_RESULT, retryable=False) from error
    except ValueError as error:
        raise TaskError(f"the result can't be encoded: {error}", INVALID_RESULT, retryable=False) from error


def _attached_dependencies(assignment: wire.agent.Assignment) -> Dependencies:
    return tuple(DependencyResult.from_wire(one) for one in assignment.dependencies)


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[Any],
    how: Callable[[Any], None],
    outcome: object,
) -> None:
    def tell() -> None:
        if not done.done():
            how(outcome)

    # The agent may have ended meanwhile, and its loop.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)


def _cancel_task(running: _Running) -> None:
    if running.task is not None:
        running.task.cancel()


def _cancel_handling(handling: _Handling) -> None:
    if handling.task is not None:
        handling.task.cancel()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
