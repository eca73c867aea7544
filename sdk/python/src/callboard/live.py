"""An agent that has started: its session, its handlers, and what is between their threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from callboard import aio, calls, following, loop, wire
from callboard.client import Client
from callboard.connection import Connection
from callboard.context import Reporter, Sent
from callboard.crossing import Doorway, hand_over
from callboard.errors import NotFound, StatusError
from callboard.failure import WireFailure
from callboard.handlers import Handler, MessageHandler
from callboard.health import Health
from callboard.interceptors import Interceptor
from callboard.messages import MessageReceipt
from callboard.models import DependencyResult, Page, Receipt, Task
from callboard.pausing import Ends
from callboard.payload import Payload
from callboard.promises import Promises
from callboard.reporter import AttemptReporter
from callboard.reports import Key
from callboard.retry import Backoff, retryable
from callboard.runner import Runner
from callboard.session import Session
from callboard.settings import DEFAULT_TIMEOUT
from callboard.states import State
from callboard.steps import Recorded, by_key
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
        agent: str,
        namespace: str,
        transport: Transport,
        interceptors: Sequence[Interceptor],
        health: Health | None = None,
    ) -> None:
        self.agent = agent
        self.namespace = namespace
        self.interceptors = interceptors
        self.session = session
        self.saves = Promises[None]()
        self.waits = Promises[Ends]()
        # What is to be done as soon as the outcome of a wait is known, by its ticket.
        self.decisions: dict[int, Callable[[Ends], None]] = {}
        self._sends = Promises[MessageReceipt]()
        self._runner = Runner(handlers, slots, self, on_message)
        self._transport = transport
        self._health = health
        self._connection = Connection(session, self._runner, self, transport.credentials)
        self.client = Client._over(transport, namespace, interceptors)
        self.async_client = aio.Client._over(transport, namespace, interceptors)
        self.status = Status()
        self._status_changed = threading.Condition()
        self._follows: set[asyncio.Task[None]] = set()
        self._loop = loop.get()
        self._events = Doorway(self._loop, behind=self._connection.react)
        self._outcome: concurrent.futures.Future[StatusError | None] | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Raises OSError when the agent can't listen for probes; then nothing has begun."""
        if self._health is not None:
            loop.block_on(self._health.listen())
            log.info("answering probes at %s", self._health.address)
        self._outcome = loop.submit(self._run())
        self._outcome.add_done_callback(lambda _: self._has_ended())

    async def _run(self) -> StatusError | None:
        try:
            return await self._connection.run()
        finally:
            for follow in self._follows:
                follow.cancel()
            await self.client._end()
            await self.async_client._end()
            await self._transport.close()
            if self._health is not None:
                await self._health.close()

    @property
    def health_address(self) -> str:
        """Where probes are answered; empty when nowhere."""
        return "" if self._health is None else self._health.address

    def _has_ended(self) -> None:
        with self._status_changed:
            self._ended.set()
            self._status_changed.notify_all()

    def changed(self) -> None:
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
        self._events.put(lambda: self._connection.hear(event))

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
        return AttemptReporter(self, key)

    def completed(self, key: Key, result: Payload) -> None:
        self._ended_handler(lambda now: self.session.completed(now, key, result))

    def failed(self, key: Key, failure: WireFailure) -> None:
        self._ended_handler(lambda now: self.session.failed(now, key, failure))

    def _ended_handler(self, event: Callable[[float], None]) -> None:
        """Tells the session how a handler ended: those of async ones that end together are told together."""
        try:
            hand_over(self._events, lambda: self._connection.hear(event))
        except RuntimeError:  # a thread without a loop
            self.post(event)

    def handled(self, message_id: str, error: BaseException | None) -> None:
        if error is not None:
            log.warning("the handler of message %s failed", message_id, exc_info=error)
        self.post(lambda now: self._handled(now, message_id, error is None))

    def _handled(self, now: float, message_id: str, ok: bool) -> None:
        if not self.session.handled(now, message_id, ok):
            log.error("message %s failed too often, and is given up", message_id)

    def send(self, send: wire.message.MessageSend) -> Sent:
        """Sends a message; the future is done when it is committed."""
        ticket, sent = self._sends.make()
        self.post(lambda _: self.session.send(send, ticket))
        return sent

    # What the session tells.

    def settled(self, ticket: int, error: StatusError | None) -> None:
        """A report is committed, or refused."""
        self.saves.keep(ticket, error)

    def sent(self, ticket: int, outcome: wire.message.MessageReceipt | StatusError) -> None:
        """A message is committed, or refused."""
        told = outcome if isinstance(outcome, StatusError) else MessageReceipt.from_wire(outcome)
        self._sends.keep(ticket, told)

    def decided(self, ticket: int, ends: Ends) -> None:
        """How a wait for children comes out is known."""
        decide = self.decisions.pop(ticket, None)
        if decide is not None:
            decide(ends)

    def waited(self, ticket: int, outcome: Ends | StatusError) -> None:
        """Children have ended, or need not be waited for."""
        self.waits.keep(ticket, outcome)

    def follow(self, task_id: str) -> None:
        """A task is to be waited for by calls."""
        follow = self._loop.create_task(self._follow(task_id))
        self._follows.add(follow)
        follow.add_done_callback(self._follows.discard)

    async def _follow(self, task_id: str) -> None:
        outcome: wire.agent.TaskEnd | tuple[str, StatusError]
        backoff = Backoff(random.random)
        while True:
            try:
                proto = (await following.wait(self._transport, self.namespace, task_id, None)).proto
            except NotFound:
                outcome = wire.agent.TaskEnd(task_id=task_id)
            except StatusError as error:
                if retryable(error):
                    await asyncio.sleep(backoff.delay(error.retry_delay))
                    continue
                outcome = task_id, error
            else:
                outcome = wire.agent.TaskEnd(task_id=task_id, state=proto.state, run=proto.run)
                if proto.HasField("result"):
                    outcome.result.CopyFrom(proto.result)
                if proto.HasField("failure"):
                    outcome.failure.CopyFrom(proto.failure)
            break
        self._connection.happened(lambda now: self.session.followed(now, outcome))

    # Calls for handlers. They run on the SDK's loop.

    async def call(self, call: calls.Call[T], timeout: float | None) -> T:
        """Makes a call."""
        return await self._transport.unary(call, DEFAULT_TIMEOUT if timeout is None else timeout)

    async def get_task(self, task_id: str) -> Task:
        """A task as it is now."""
        return await self.call(calls.get(self.namespace, task_id), None)

    async def cancel_task(self, task_id: str, request_id: str) -> Receipt:
        """Cancels a task."""
        return await self.call(calls.cancel(self.namespace, task_id, "", request_id), None)

    async def fetch_dependencies(self, task_id: str) -> tuple[DependencyResult, ...]:
        return await self._all(lambda token: calls.dependency_results(self.namespace, task_id, token))

    async def fetch_steps(self, task_id: str, run: int) -> Recorded:
        """All that a run has recorded."""
        return by_key(
            await self._all(lambda token: calls.steps(self.namespace, task_id, run, token, page_size=1000))
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
