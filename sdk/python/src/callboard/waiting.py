"""Waiting for children, without any I/O: whose end is awaited, which ends are known, and who is told of them
when. See section 9 of `sdk/SPEC.md`; what becomes of the waiting handler's slot is in `callboard.pausing`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from callboard import wire
from callboard.errors import StatusError
from callboard.pausing import Ended, Ends, Pausing
from callboard.reports import Key, Outbox

MAX_AWAITS = 1000
"""The most ids in a frame."""
MOST_AWAITED = 10_000
"""The most ids that a stream may await; further ones follow as ends come."""

Outcome: TypeAlias = "Ends | StatusError"


class _Wait:
    """A wait for some children: until so many have completed, or can't any more. For a single one that is
    until it has ended, however."""

    def __init__(self, children: Sequence[str], count: int) -> None:
        self.children = children
        self.open = dict.fromkeys(children)
        """Those that are not known to have ended, in their order."""
        self._missing = count
        self._spare = len(children) - count

    def ended(self, end: wire.agent.TaskEnd) -> bool:
        """A child ended. Whether the wait is over by that."""
        if end.task_id not in self.open:
            return False
        del self.open[end.task_id]
        if end.state == wire.task.TASK_STATE_COMPLETED:
            self._missing -= 1
        else:
            self._spare -= 1
        return self._missing == 0 or self._spare < 0


class _Waits:
    """The waits of one attempt."""

    def __init__(self, lease: wire.agent.Attempt, outbox: Outbox) -> None:
        self.pausing = Pausing(lease, outbox)
        self.under_way: dict[int, _Wait] = {}
        """By the tickets of those who wait."""
        self.asked: set[str] = set()
        """Every child that was ever waited for."""
        self.ends: dict[str, wire.agent.TaskEnd] = {}
        """Those of them that are known to have ended."""

    def ends_of(self, wait: _Wait) -> Ends:
        """How those of a wait's children ended that have, in their order."""
        return tuple(self.ends[child] for child in wait.children if child in self.ends)

    def open(self) -> Iterator[str]:
        """The children that are waited for."""
        return (child for wait in self.under_way.values() for child in wait.open)


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
        self._decided: list[Ended] = []
        self._settled: list[tuple[int, Outcome]] = []

    def begin(
        self,
        key: Key,
        lease: wire.agent.Attempt,
        children: Sequence[str],
        count: int,
        ticket: int,
        calls: bool,
    ) -> None:
        """A handler waits until so many of these children have completed, or can't any more. With `calls` the
        server that is attached now takes no children."""
        waits = self._waits.get(key)
        if waits is None:
            waits = self._waits[key] = _Waits(lease, self._outbox)
        wait = _Wait(children, count)
        waits.asked.update(children)
        known = [waits.ends[child] for child in children if child in waits.ends]
        if any(wait.ended(end) for end in known):
            ends = waits.ends_of(wait)
            self._decided.append((ticket, ends))
            self._settled.append((ticket, ends))
            return
        waits.under_way[ticket] = wait
        for task_id in wait.open:
            if calls:
                self._follow(task_id)
            else:
                self._await(task_id)
        if not calls:
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
        over = [ticket for ticket, wait in waits.under_way.items() if wait.ended(end)]
        told: list[Ended] = [(ticket, waits.ends_of(waits.under_way.pop(ticket))) for ticket in over]
        self._decided += told
        if told and not waits.under_way:
            self._go_on(now, waits, told)
        else:
            self._settled += told

    def failed(self, now: float, task_id: str, error: StatusError) -> None:
        """The call by which a child was waited for failed; the next wait makes another."""
        self._followed.discard(task_id)
        for waits in self._waits.values():
            for ticket in [ticket for ticket, wait in waits.under_way.items() if task_id in wait.open]:
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
            for task_id in waits.open():
                self._await(task_id)
            self._settled += waits.pausing.attached(now, bool(waits.under_way))

    def attached_without(self) -> None:
        """A new stream, to a server that takes no children: they are waited for by calls."""
        self._to_await, self._awaited = {}, set()
        for waits in self._waits.values():
            for task_id in waits.open():
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

    def take_decided(self) -> list[Ended]:
        """The tickets of waits whose outcome no other end changes, each once, with the ends of its children;
        they are settled then or later."""
        decided, self._decided = self._decided, []
        return decided

    def take_settled(self) -> list[tuple[int, Outcome]]:
        """The tickets of waits that are over, each with the ends of its children, or the error."""
        settled, self._settled = self._settled, []
        return settled

    def _await(self, task_id: str) -> None:
        if task_id not in self._awaited:
            self._to_await[task_id] = None

    def _follow(self, task_id: str) -> None:
        if task_id not in self._followed:
            self._followed.add(task_id)
            self._to_follow.append(task_id)
