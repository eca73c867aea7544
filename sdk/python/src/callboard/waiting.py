"""Waiting for children, without any I/O: whose end is awaited, which ends are known, and who is told of them
when. See section 9 of `sdk/SPEC.md`; what becomes of the waiting handler's slot is in `callboard.pausing`."""

from __future__ import annotations

from typing import TypeAlias

from callboard import wire
from callboard.errors import StatusError
from callboard.pausing import Ended, Pausing
from callboard.reports import Key, Outbox

MAX_AWAITS = 1000
"""The most ids in a frame."""
MOST_AWAITED = 10_000
"""The most ids that a stream may await; further ones follow as ends come."""

Outcome: TypeAlias = "wire.agent.TaskEnd | StatusError"


class _Waits:
    """The waits of one attempt."""

    def __init__(self, lease: wire.agent.Attempt, outbox: Outbox) -> None:
        self.pausing = Pausing(lease, outbox)
        self.under_way: dict[int, str] = {}
        """The children that have not ended, by the tickets of those who wait for them."""
        self.asked: set[str] = set()
        """Every child that was ever waited for."""
        self.ends: dict[str, wire.agent.TaskEnd] = {}
        """Those of them that are known to have ended."""


class Waiting:
    """The waits of all attempts."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waits: dict[Key, _Waits] = {}
        # Ids to be awaited on this stream, in their order, and those that are.
        self._to_await: dict[str, None] = {}
        self._awaited: set[str] = set()
        # Ids to be waited for by calls, and those that are, whatever the stream is.
        self._to_follow: list[str] = []
        self._followed: set[str] = set()
        self._settled: list[tuple[int, Outcome]] = []

    def begin(self, key: Key, lease: wire.agent.Attempt, task_id: str, ticket: int, calls: bool) -> None:
        """A handler waits for a child. With `calls` the server that is attached now takes no children."""
        waits = self._waits.get(key)
        if waits is None:
            waits = self._waits[key] = _Waits(lease, self._outbox)
        end = waits.ends.get(task_id)
        if end is not None:
            self._settled.append((ticket, end))
            return
        waits.under_way[ticket] = task_id
        waits.asked.add(task_id)
        if calls:
            self._follow(task_id)
            return
        self._await(task_id)
        self._settled += waits.pausing.pause()

    def give_up(self, now: float, key: Key, ticket: int) -> None:
        """Whoever waited does so no longer."""
        waits = self._waits.get(key)
        if waits is None:
            return
        waits.pausing.give_up(ticket)
        if waits.under_way.pop(ticket, None) is not None and not waits.under_way:
            self._go_on(now, waits, [])

    def ended(self, now: float, end: wire.agent.TaskEnd) -> None:
        """A child ended."""
        self._awaited.discard(end.task_id)
        self._to_await.pop(end.task_id, None)
        self._followed.discard(end.task_id)
        for waits in self._waits.values():
            if end.task_id in waits.asked and end.task_id not in waits.ends:
                self._ended(now, waits, end)

    def _ended(self, now: float, waits: _Waits, end: wire.agent.TaskEnd) -> None:
        waits.ends[end.task_id] = end
        told: list[Ended] = [(t, end) for t, task_id in waits.under_way.items() if task_id == end.task_id]
        for ticket, _ in told:
            del waits.under_way[ticket]
        if told and not waits.under_way:
            self._go_on(now, waits, told)
        else:
            self._settled += told

    def failed(self, now: float, task_id: str, error: StatusError) -> None:
        """The call by which a child was waited for failed; the next wait makes another."""
        self._followed.discard(task_id)
        for waits in self._waits.values():
            for ticket in [ticket for ticket, awaited in waits.under_way.items() if awaited == task_id]:
                del waits.under_way[ticket]
                self._settled.append((ticket, error))
                if not waits.under_way:
                    self._go_on(now, waits, [])

    def _go_on(self, now: float, waits: _Waits, told: list[Ended]) -> None:
        """The last wait is over: the handler goes on when it has its slot."""
        self._settled += told if waits.pausing.is_working() else waits.pausing.resume(now, told)

    def receipted(self, key: Key, receipt: wire.agent.Receipt) -> None:
        """A `resume` is committed."""
        waits = self._waits.get(key)
        if waits is not None:
            self._settled += waits.pausing.receipted(receipt.report_id, receipt.state)

    def resumed(self, key: Key) -> None:
        """The server says that a handler may go on."""
        waits = self._waits.get(key)
        if waits is not None:
            self._settled += waits.pausing.resumed()

    def has(self, key: Key) -> bool:
        """Whether this attempt ever waited."""
        return key in self._waits

    def lose(self, key: Key, error: StatusError) -> None:
        """The attempt isn't ours any more, or its handler has ended: whoever still waits is told so."""
        waits = self._waits.pop(key, None)
        if waits is not None:
            tickets = [*waits.under_way, *waits.pausing.lose()]
            self._settled += [(ticket, error) for ticket in tickets]

    def attached(self, now: float) -> None:
        """A new stream, to a server that takes children: it is told all over again."""
        self._to_await, self._awaited = {}, set()
        for waits in self._waits.values():
            for task_id in waits.under_way.values():
                self._await(task_id)
            self._settled += waits.pausing.attached(now, bool(waits.under_way))

    def attached_without(self) -> None:
        """A new stream, to a server that takes no children: they are waited for by calls."""
        self._to_await, self._awaited = {}, set()
        for waits in self._waits.values():
            for task_id in waits.under_way.values():
                self._follow(task_id)
            self._settled += waits.pausing.without_slots()

    def tick(self, now: float) -> None:
        """Time passed: asks again for slots, if it is time."""
        for waits in self._waits.values():
            waits.pausing.tick(now)

    def due_at(self) -> float | None:
        """When `tick` is due."""
        times = (waits.pausing.due_at() for waits in self._waits.values())
        return min((time for time in times if time is not None), default=None)

    def take_awaits(self) -> list[str]:
        """Ids for the next frame."""
        room = min(MAX_AWAITS, MOST_AWAITED - len(self._awaited))
        batch = list(self._to_await)[: max(0, room)]
        for task_id in batch:
            del self._to_await[task_id]
            self._awaited.add(task_id)
        return batch

    def take_follows(self) -> list[str]:
        """Ids that are to be waited for by calls from now on."""
        follows, self._to_follow = self._to_follow, []
        return follows

    def take_settled(self) -> list[tuple[int, Outcome]]:
        """The tickets of waits that are over, each with the child's end, or the error."""
        settled, self._settled = self._settled, []
        return settled

    def _await(self, task_id: str) -> None:
        if task_id not in self._awaited:
            self._to_await[task_id] = None

    def _follow(self, task_id: str) -> None:
        if task_id not in self._followed:
            self._followed.add(task_id)
            self._to_follow.append(task_id)
