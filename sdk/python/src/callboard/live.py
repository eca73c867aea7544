"""An agent that has started: its session, its handlers, and what is between their threads."""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from callboard import aio, calls, loop, wire
from callboard.client import Client
from callboard.connection import Connection
from callboard.context import Reporter, Saved, Sent
from callboard.errors import StatusError
from callboard.failure import WireFailure
from callboard.handlers import Handler, MessageHandler
from callboard.messages import MessageReceipt
from callboard.models import DependencyResult, Page
from callboard.payload import Payload
from callboard.reports import Key
from callboard.runner import Runner
from callboard.session import Session
from callboard.settings import DEFAULT_TIMEOUT
from callboard.states import State
from callboard.steps import Recorded, Recording, by_key
from callboard.transport import Transport

log = logging.getLogger("callboard")

T = TypeVar("T")

UNWIND = 1.0
"""Seconds that cancelled async handlers have to unwind at the end."""


@dataclass(frozen=True)
class Status:
    """What an agent knows of its session."""

    attached: bool = False
    agent_id: str = ""
    epoch: int = 0


class Live:
    """Carries what happens between the session, the handlers and whoever started the agent."""

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
            session, self._runner, self._settle, transport.credentials, self._settle_send, self._changed
        )
        self.client = Client._over(transport, namespace)
        self.async_client = aio.Client._over(transport, namespace)
        self.status = Status()
        self._status_changed = threading.Condition()
        self._tickets = itertools.count(1)
        self._saves: dict[int, Saved] = {}
        self._sends: dict[int, Sent] = {}
        self._loop = loop.get()
        self._outcome: concurrent.futures.Future[StatusError | None] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        self._outcome = loop.submit(self._run())
        self._outcome.add_done_callback(lambda _: self._has_ended())

    async def _run(self) -> StatusError | None:
        try:
            return await self._connection.run()
        finally:
            await self._transport.close()

    def _has_ended(self) -> None:
        with self._status_changed:
            self._ended.set()
            self._status_changed.notify_all()

    def _changed(self) -> None:
        """Something happened to the session."""
        status = Status(self.session.state is State.ATTACHED, self.session.agent_id, self.session.epoch)
        if status != self.status:
            with self._status_changed:
                self.status = status
                self._status_changed.notify_all()

    def wait_attached(self, timeout: float | None) -> bool:
        """Waits until the stream is open; False when the time is over before, or the agent has ended."""
        with self._status_changed:
            # In short steps, as below.
            remaining = timeout
            while not self.status.attached and not self._ended.is_set():
                step = 0.5 if remaining is None else min(0.5, remaining)
                self._status_changed.wait(step)
                if remaining is not None:
                    remaining -= step
                    if remaining <= 0:
                        break
        if self.status.attached:
            return True
        self._raise_outcome()
        return False

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
        self._raise_outcome()
        return True

    def _raise_outcome(self) -> None:
        """Raises what ended the agent, if it has ended with an error."""
        if self._outcome is not None and self._outcome.done():
            error = self._outcome.result()
            if error is not None:
                raise error

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
        return await self._all(lambda token: calls.dependency_results(self._namespace, task_id, token))

    async def fetch_steps(self, task_id: str, run: int) -> Recorded:
        """All that a run has recorded."""
        return by_key(
            await self._all(lambda token: calls.steps(self._namespace, task_id, run, token, page_size=1000))
        )

    async def _all(self, page: Callable[[str], calls.Call[Page[T]]]) -> tuple[T, ...]:
        """What all pages of a list have."""
        items: list[T] = []
        token = ""
        while True:
            answer = await self._transport.unary(page(token), DEFAULT_TIMEOUT)
            items += answer.items
            token = answer.next_page_token
            if not token:
                return tuple(items)

    def begin_step(self, key: Key) -> Saved:
        """Asks whether a step could be recorded now; the future fails when it couldn't."""
        asked = Saved()
        self.post(lambda _: _answer(asked, self.session.refusal(key, "step")))
        return asked

    def save(self, key: Key, save: wire.agent.Report) -> Saved:
        """Asks for a checkpoint or a step; the future is done when it is committed."""
        ticket = next(self._tickets)
        saved = self._saves[ticket] = Saved()
        self.post(lambda _: self.session.save(key, save, ticket))
        return saved

    def _settle(self, ticket: int, error: StatusError | None) -> None:
        saved = self._saves.pop(ticket, None)
        if saved is not None:
            _answer(saved, error)


def _answer(saved: Saved, error: StatusError | None) -> None:
    # The handler may have given up waiting meanwhile.
    if not saved.set_running_or_notify_cancel():
        return
    if error is None:
        saved.set_result(None)
    else:
        saved.set_exception(error)


class _Reporter:
    """Carries the reports of one handler to the session."""

    def __init__(self, live: Live, key: Key) -> None:
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

    @property
    def client(self) -> Client:
        return self._live.client

    @property
    def async_client(self) -> aio.Client:
        return self._live.async_client

    def checkpoint(self, data: Payload) -> Saved:
        return self._live.save(self._key, wire.agent.Report(checkpoint=wire.agent.Checkpoint(data=data)))

    def begin_step(self) -> Saved:
        return self._live.begin_step(self._key)

    def record_step(self, record: wire.step.StepRecord) -> Saved:
        return self._live.save(self._key, wire.agent.Report(step=record))

    def fetch_steps(self, run: int) -> Recording:
        return loop.submit(self._live.fetch_steps(self._key.task_id, run))

    def send(self, send: wire.message.MessageSend) -> Sent:
        return self._live.send(send)
