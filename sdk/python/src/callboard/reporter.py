"""What carries the reports, calls and questions of one handler to the session, from any thread."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from callboard import aio, loop, wire
from callboard.calls import Call
from callboard.client import Client
from callboard.context import Begun, Decided, Saved, Sent, Waited
from callboard.interceptors import Interceptor
from callboard.models import Receipt, Task
from callboard.output import Chunk
from callboard.payload import Payload
from callboard.promises import answer
from callboard.reports import Key
from callboard.steps import Recording

if TYPE_CHECKING:
    from callboard.live import Live


class AttemptReporter:
    """Carries them for one attempt."""

    def __init__(self, live: Live, key: Key) -> None:
        self._live = live
        self._key = key
        self._lock = threading.Lock()
        self._latest: wire.agent.Progress | None = None

    @property
    def agent(self) -> str:
        return self._live.agent

    @property
    def namespace(self) -> str:
        return self._live.namespace

    @property
    def interceptors(self) -> Sequence[Interceptor]:
        return self._live.interceptors

    @property
    def client(self) -> Client:
        return self._live.client

    @property
    def async_client(self) -> aio.Client:
        return self._live.async_client

    def send(self, send: wire.message.MessageSend) -> Sent:
        return self._live.send(send)

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
        return self._save(wire.agent.Report(checkpoint=wire.agent.Checkpoint(data=data)))

    def record_step(self, record: wire.step.StepRecord) -> Saved:
        return self._save(wire.agent.Report(step=record))

    def _save(self, save: wire.agent.Report) -> Saved:
        ticket, saved = self._live.saves.make()
        self._live.post(lambda _: self._live.session.save(self._key, save, ticket))
        return saved

    def begin_step(self) -> Begun:
        begun = Begun()

        def ask(_: float) -> None:
            none_at_all = self._live.session.refusal(self._key, "recorded")
            if none_at_all is not None:
                answer(begun, none_at_all)
            elif begun.set_running_or_notify_cancel():
                begun.set_result(self._live.session.refusal(self._key, "step"))

        self._live.post(ask)
        return begun

    def fetch_steps(self, run: int) -> Recording:
        return loop.submit(self._live.fetch_steps(self._key.task_id, run))

    def begin_child(self) -> Saved:
        begun = Saved()
        self._live.post(lambda _: answer(begun, self._live.session.refusal(self._key, "children")))
        return begun

    def create_child(self, call: Call[Receipt], timeout: float | None) -> concurrent.futures.Future[Receipt]:
        return loop.submit(self._live.call(call, timeout))

    def wait_children(self, children: Sequence[str], count: int, decided: Decided | None = None) -> Waited:
        ticket, waited = self._live.waits.make()
        if decided is not None:
            self._live.decisions[ticket] = decided

        def done(waited: Waited) -> None:
            self._live.decisions.pop(ticket, None)
            if waited.cancelled():
                self._live.waits.drop(ticket)
                self._live.post(lambda now: self._live.session.stop_waiting(now, self._key, ticket))

        waited.add_done_callback(done)
        self._live.post(lambda _: self._live.session.wait(self._key, children, count, ticket))
        return waited

    def cancel_task(self, task_id: str, request_id: str) -> concurrent.futures.Future[Receipt]:
        return loop.submit(self._live.cancel_task(task_id, request_id))

    def get_task(self, task_id: str) -> concurrent.futures.Future[Task]:
        return loop.submit(self._live.get_task(task_id))

    def output(self, chunks: list[Chunk]) -> Saved:
        ticket, given = self._live.saves.make()
        self._live.post(lambda _: self._live.session.output(self._key, chunks, ticket))
        return given
