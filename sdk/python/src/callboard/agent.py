"""The agent: attaches to the server, and runs handlers for the tasks that it is given."""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import random
import secrets
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from callboard import calls, loop, wire
from callboard._version import __version__
from callboard.connection import Connection
from callboard.context import Reporter, Saved, Sent
from callboard.convert import Seconds, seconds
from callboard.credentials import resolve_credentials
from callboard.errors import StatusError
from callboard.failure import WireFailure
from callboard.handlers import Handler, MessageHandler, inspect_handler, inspect_message_handler
from callboard.messages import MessageReceipt
from callboard.models import DependencyResult
from callboard.payload import Payload
from callboard.reports import Key
from callboard.runner import Runner
from callboard.session import Session
from callboard.settings import DEFAULT_TIMEOUT, resolve_addresses, resolve_agent_name, resolve_namespace
from callboard.spec import string_list
from callboard.transport import Transport

log = logging.getLogger("callboard")

F = TypeVar("F", bound=Callable[..., Any])

UNWIND = 1.0
"""Seconds that cancelled async handlers have to unwind at the end."""


class Agent:
    """An agent: give it handlers with `@agent.task(...)`, then `run()` it."""

    def __init__(
        self,
        agent_type: str = "agent",
        name: str | None = None,
        *,
        role: str = "",
        skills: Sequence[str] = (),
        tools: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, float] | None = None,
        slots: int = 1,
        build_id: str = "",
        address: str | None = None,
        namespace: str | None = None,
        drain_timeout: Seconds = 30.0,
        token: str | None = None,
        token_file: str | None = None,
        ca: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        allow_plaintext: bool | None = None,
    ) -> None:
        if not 1 <= slots <= 1000:
            raise ValueError(f"slots is {slots}: give 1 to 1,000")
        self.name = resolve_agent_name(name, agent_type, lambda: secrets.token_hex(2))
        """Its name, unique in its namespace."""
        self.namespace = resolve_namespace(namespace)
        self._addresses = resolve_addresses(address)
        self._credentials = resolve_credentials(
            token, token_file, ca, client_cert, client_key, allow_plaintext
        )
        self._credentials.check(self._addresses)
        self._drain_timeout = seconds(drain_timeout)
        self._handlers: dict[str, Handler] = {}
        self._on_message: MessageHandler | None = None
        self._profile = wire.agent.AgentProfile(
            name=self.name,
            agent_type=agent_type,
            role=role,
            skills=string_list(skills, "skills"),
            tools=string_list(tools, "tools"),
            labels=labels,
            resources=resources,
            slots=slots,
            sdk="python",
            sdk_version=__version__,
            build_id=build_id,
        )
        self._live: _Live | None = None

    def task(
        self,
        type: str,
        *,
        description: str = "",
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]:
        """Makes a function the handler of a task type; `*` takes any that no other handler takes.

        The function is `handler(input)` or `handler(input, ctx)`, sync or async. What it returns is the
        result; what it raises fails the attempt. The schemas are JSON Schema, shown to people."""

        def register(function: F) -> F:
            if self._live is not None:
                raise RuntimeError("the agent has started: register all handlers before")
            if type in self._handlers:
                raise ValueError(f"the task type {type!r} has a handler already")
            self._handlers[type] = inspect_handler(type, function, description, input_schema, output_schema)
            return function

        return register

    def on_message(self, function: F) -> F:
        """Makes a function the handler of the messages in the agent's mailbox: `@agent.on_message`.

        The function is `handler(message)` or `handler(message, ctx)`, sync or async; `ctx.send(...)` answers.
        Messages are handled one at a time, in their order. One is acknowledged when its handler returned;
        when it raised, it comes again after a while, five times in all, and later ones of its sender wait. It
        may also come again after a crash: deduplicate by `message.id` what must not happen twice."""
        if self._live is not None:
            raise RuntimeError("the agent has started: register all handlers before")
        if self._on_message is not None:
            raise ValueError("the agent has a handler of messages already")
        self._on_message = inspect_message_handler(function)
        return function

    def run(self, handle_signals: bool = True) -> None:
        """Runs the agent until it is drained or stopped. SIGTERM and SIGINT drain it, a second one ends it at
        once. Raises the StatusError when the server won't have it and trying again can't help."""
        self.start()
        with self._signals(handle_signals):
            self.wait()

    def start(self) -> None:
        """Starts the agent and returns. An agent starts once."""
        if self._live is not None:
            raise RuntimeError("the agent has started already: make another")
        if not self._handlers:
            raise ValueError("the agent has no handlers: add one with @agent.task(type)")
        self._profile.handles.extend(handler.to_wire() for handler in self._handlers.values())
        # The same each time that this agent attaches: it tells an agent that comes back from another program.
        instance_id = str(uuid.uuid4())
        session = Session(
            self.namespace,
            self._profile,
            self._addresses,
            random.random,
            self._drain_timeout,
            instance_id,
            takes_messages=self._on_message is not None,
        )
        transport = Transport(self._addresses, self._credentials)
        self._live = _Live(
            session, self._handlers, self._on_message, self._profile.slots, self.namespace, transport
        )
        self._live.start()

    def drain(self, timeout: Seconds | None = None) -> None:
        """Takes nothing new and ends when what runs is done; what still runs after the time is handed back.
        Returns at once: `wait` waits for the end."""
        live = self._started()
        patience = None if timeout is None else seconds(timeout)
        live.post(lambda now: live.session.drain(now, patience))

    def stop(self) -> None:
        """Ends at once, and returns when it has. The server gives what was running to others."""
        live = self._started()
        live.post(lambda _: live.session.stop())
        self.wait()

    def wait(self, timeout: Seconds | None = None) -> bool:
        """Waits for the end; False when the time is over before. Raises the StatusError that ended it, if one
        did."""
        return self._started().wait(None if timeout is None else seconds(timeout))

    def _started(self) -> _Live:
        if self._live is None:
            raise RuntimeError("the agent has not started: call start() or run()")
        return self._live

    @contextmanager
    def _signals(self, wanted: bool) -> Iterator[None]:
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield
            return
        live = self._started()
        count = itertools.count()

        def on_signal(number: int, _: FrameType | None) -> None:
            if next(count) == 0:
                log.info("draining: got %s", signal.Signals(number).name)
                self.drain()
            else:
                live.post(lambda _: live.session.stop())

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Live:
    """An agent that has started: its session, its handlers, and what is between their threads."""

    def __init__(
        self,
        session: Session,
        handlers: Mapping[str, Handler],
        on_message: MessageHandler | None,
        slots: int,
        namespace: str,
        transport: Transport,
    ) -> None:
        self._namespace = namespace
        self.session = session
        self._runner = Runner(handlers, slots, self, on_message)
        self._transport = transport
        self._connection = Connection(
            session, self._runner, self._settle, transport.credentials, self._settle_send
        )
        self._tickets = itertools.count(1)
        self._saves: dict[int, Saved] = {}
        self._sends: dict[int, Sent] = {}
        self._loop = loop.get()
        self._outcome: concurrent.futures.Future[StatusError | None] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        self._outcome = loop.submit(self._run())
        self._outcome.add_done_callback(lambda _: self._ended.set())

    async def _run(self) -> StatusError | None:
        try:
            return await self._connection.run()
        finally:
            await self._transport.close()

    def post(self, event: Callable[[float], None]) -> None:
        """Tells the session of something, from any thread."""
        self._loop.call_soon_threadsafe(self._connection.happened, event)

    def wait(self, timeout: float | None) -> bool:
        # In short steps: a wait without an end would keep signals out on some systems.
        remaining = timeout
        while not self._ended.is_set():
            step = 0.5 if remaining is None else min(0.5, remaining)
            self._ended.wait(step)
            if remaining is not None:
                remaining -= step
                if remaining <= 0:
                    break
        if not self._ended.is_set() or self._outcome is None:
            return False
        self._runner.close(UNWIND)
        error = self._outcome.result()
        if error is not None:
            raise error
        return True

    def reporter(self, key: Key) -> Reporter:
        return _Reporter(self, key)

    def completed(self, key: Key, result: Payload) -> None:
        self.post(lambda now: self.session.completed(now, key, result))

    def failed(self, key: Key, failure: WireFailure) -> None:
        self.post(lambda now: self.session.failed(now, key, failure))

    def handled(self, message_id: str, error: BaseException | None) -> None:
        if error is not None:
            log.warning("the handler of message %s failed", message_id, exc_info=error)
        self.post(lambda now: self._handled(now, message_id, error is None))

    def _handled(self, now: float, message_id: str, ok: bool) -> None:
        if not self.session.handled(now, message_id, ok):
            log.error("message %s failed too often, and is given up", message_id)

    def send(self, send: wire.message.MessageSend) -> Sent:
        """Sends a message; the future is done when it is committed."""
        ticket = next(self._tickets)
        sent = self._sends[ticket] = Sent()
        self.post(lambda _: self.session.send(send, ticket))
        return sent

    def _settle_send(self, ticket: int, outcome: wire.message.MessageReceipt | StatusError) -> None:
        sent = self._sends.pop(ticket, None)
        # The handler may have given up waiting meanwhile.
        if sent is None or not sent.set_running_or_notify_cancel():
            return
        if isinstance(outcome, StatusError):
            sent.set_exception(outcome)
        else:
            sent.set_result(MessageReceipt.from_wire(outcome))

    async def fetch_dependencies(self, task_id: str) -> tuple[DependencyResult, ...]:
        results: list[DependencyResult] = []
        token = ""
        while True:
            call = calls.dependency_results(self._namespace, task_id, token)
            page = await self._transport.unary(call, DEFAULT_TIMEOUT)
            results += page.items
            token = page.next_page_token
            if not token:
                return tuple(results)

    def checkpoint(self, key: Key, data: Payload) -> Saved:
        """Asks for a checkpoint; the future is done when it is committed."""
        ticket = next(self._tickets)
        saved = self._saves[ticket] = Saved()
        self.post(lambda _: self.session.checkpointed(key, data, ticket))
        return saved

    def _settle(self, ticket: int, error: StatusError | None) -> None:
        saved = self._saves.pop(ticket, None)
        # The handler may have given up waiting meanwhile.
        if saved is None or not saved.set_running_or_notify_cancel():
            return
        if error is None:
            saved.set_result(None)
        else:
            saved.set_exception(error)


class _Reporter:
    """Carries the reports of one handler to the session."""

    def __init__(self, live: _Live, key: Key) -> None:
        self._live = live
        self._key = key
        self._lock = threading.Lock()
        self._latest: wire.agent.Progress | None = None

    def progress(self, progress: wire.agent.Progress) -> None:
        # A handler may tell it a million times a second: one message is under way at most.
        with self._lock:
            under_way = self._latest is not None
            self._latest = progress
        if not under_way:
            self._live.post(self._hand_over)

    def _hand_over(self, _: float) -> None:
        with self._lock:
            progress, self._latest = self._latest, None
        if progress is not None:
            self._live.session.progressed(self._key, progress)

    def checkpoint(self, data: Payload) -> Saved:
        return self._live.checkpoint(self._key, data)

    def send(self, send: wire.message.MessageSend) -> Sent:
        return self._live.send(send)
