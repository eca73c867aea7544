"""The agent: attaches to the server, and runs handlers for the tasks that it is given."""

from __future__ import annotations

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

from callboard import wire
from callboard._version import __version__
from callboard.convert import Seconds, seconds
from callboard.credentials import resolve_credentials
from callboard.handlers import Handler, MessageHandler, inspect_handler, inspect_message_handler
from callboard.health import Health
from callboard.interceptors import Interceptor
from callboard.live import Live
from callboard.session import Session
from callboard.settings import resolve_addresses, resolve_agent_name, resolve_health, resolve_namespace
from callboard.spec import string_list
from callboard.transport import Transport

log = logging.getLogger("callboard")

F = TypeVar("F", bound=Callable[..., Any])


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
        interceptors: Sequence[Interceptor] = (),
        health: str | None = None,
    ) -> None:
        """`interceptors` stand around each attempt's handler, and around what handlers submit; the first is
        the outermost. At `health`, a `host:port`, the agent answers probes over HTTP while it runs:
        `/healthz` and `/readyz`."""
        if not 1 <= slots <= 1000:
            raise ValueError(f"slots is {slots}: give 1 to 1,000")
        agent_type = agent_type or "agent"
        self.name = resolve_agent_name(name, agent_type, lambda: secrets.token_hex(2))
        """Its name, unique in its namespace."""
        self.namespace = resolve_namespace(namespace)
        self._addresses = resolve_addresses(address)
        self._credentials = resolve_credentials(
            token, token_file, ca, client_cert, client_key, allow_plaintext
        )
        self._credentials.check(self._addresses)
        self._interceptors = tuple(interceptors)
        self._health = resolve_health(health)
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
        self._live: Live | None = None

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
        result; what it raises fails the attempt.

        The schemas are JSON Schema, shown to people. Where pydantic is installed they come from the
        annotations unless given, and an input is converted to its annotated type: one that doesn't fit fails
        the attempt with `InvalidInput`. Inputs annotated with `str`, `dict` and other plain builtins stay as
        they come."""

        def register(function: F) -> F:
            if self._live is not None:
                raise RuntimeError("the agent has started: register all handlers before")
            if type in self._handlers:
                raise ValueError(f"the task type {type!r} has a handler already")
            handler = inspect_handler(type, function, description, input_schema, output_schema)
            self._handlers[type] = handler
            self._profile.handles.append(handler.to_wire())
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
        """Starts the agent and returns. An agent starts once. Raises OSError when it can't listen at
        `health`; then it has not started."""
        if self._live is not None:
            raise RuntimeError("the agent has started already: make another")
        if not self._handlers:
            raise ValueError("the agent has no handlers: add one with @agent.task(type)")
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
        live = Live(
            session,
            self._handlers,
            self._on_message,
            self._profile.slots,
            self.name,
            self.namespace,
            transport,
            self._interceptors,
            None if self._health is None else Health(self._health, lambda: session.readiness),
        )
        live.start()
        self._live = live

    @property
    def attached(self) -> bool:
        """Whether its stream is open now."""
        return self._live is not None and self._live.status.attached

    @property
    def agent_id(self) -> str:
        """Its id; empty before it was first attached."""
        return "" if self._live is None else self._live.status.agent_id

    @property
    def session_epoch(self) -> int:
        """The epoch of its latest session; 0 before it was first attached."""
        return 0 if self._live is None else self._live.status.epoch

    @property
    def health_address(self) -> str:
        """Where it answers probes, as `host:port`; with port 0 this tells which it is. Empty when nowhere."""
        return "" if self._live is None else self._live.health_address

    def wait_attached(self, timeout: Seconds | None = None) -> bool:
        """Waits until its stream is open; False when the time is over before, or it has ended. Raises the
        StatusError that ended it, if one did."""
        return self._started().wait_attached(None if timeout is None else seconds(timeout))

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

    def _started(self) -> Live:
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
