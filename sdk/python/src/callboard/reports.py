"""Reports on their way: each is kept until its receipt, and sent again in its old order with its old id.
Without any I/O."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from callboard import wire
from callboard.errors import StatusError
from callboard.refusals import leaves_the_attempt, refused
from callboard.retry import Backoff

MAX_BATCH = 1000
MAX_BATCH_BYTES = 3 * 1024 * 1024 - 64 * 1024
"""A frame is at most 3 MiB; what stands around the reports fits into the rest."""

_COMMITTED = wire.agent.RECEIPT_STATUS_COMMITTED
_REFUSED = wire.agent.RECEIPT_STATUS_REFUSED
_RETRY = wire.agent.RECEIPT_STATUS_RETRY

_ENDS = frozenset({"completed", "failed", "rejected"})
_REPLACED_BY = {
    "checkpoint": {"checkpoint"} | _ENDS,
    # A pause that is sent again behind its resume would leave the handler without a slot.
    "pause": {"pause", "resume"} | _ENDS,
    "resume": {"pause", "resume"} | _ENDS,
    "step": frozenset[str](),
    "output": frozenset[str](),
}
"""Which later reports of the attempt, once committed, make one needless that would have to be sent again.
What isn't named here is replaced by any."""


class Key(NamedTuple):
    """What tells attempts apart."""

    task_id: str
    attempt: int


def key_of(attempt: wire.agent.Attempt) -> Key:
    """The key of an attempt."""
    return Key(attempt.task_id, attempt.attempt)


class Settled(enum.Enum):
    """What a receipt made of its report."""

    COMMITTED = "committed"
    REFUSED = "refused"
    PART_REFUSED = "refused, and the attempt goes on"
    RETRY = "retry"


@dataclass(slots=True)
class Kept:
    """A report that has no receipt yet."""

    key: Key
    kind: str
    report: wire.agent.Report
    # Of whoever waits for it: a checkpoint or a step.
    ticket: int | None
    backoff: Backoff | None = None
    in_flight: bool = False
    # It left on some stream, and may have arrived.
    sent: bool = False
    # Not to be sent again before: the server could not decide it.
    not_before: float = 0.0

    def is_outdated(self, committed: Mapping[str, int]) -> bool:
        """Whether a newer one that is committed makes it needless."""
        replaced_by = _REPLACED_BY.get(self.kind)
        return any(
            report_id > self.report.report_id
            for kind, report_id in committed.items()
            if replaced_by is None or kind in replaced_by
        )


class Outbox:
    """Reports in their order. At most `limit` of them wait before checkpoints and steps wait outside."""

    def __init__(self, limit: int, random: Callable[[], float]) -> None:
        self._limit = limit
        self._random = random
        self._last_id = 0
        self._kept: dict[int, Kept] = {}
        self._of: dict[Key, dict[int, Kept]] = {}
        self._outside: deque[tuple[wire.agent.Report, int]] = deque()
        self._settled: list[tuple[int, StatusError | None]] = []
        # The newest reports of an attempt that are committed, by their kind.
        self._committed: dict[Key, dict[str, int]] = {}
        # Those of `_kept` that are not on their way.
        self._idle: dict[int, Kept] = {}

    def new_id(self) -> int:
        """A report id that was never used before."""
        self._last_id += 1
        return self._last_id

    def add(self, report: wire.agent.Report, ticket: int | None = None) -> int:
        """Keeps a report and sends it when it can; gives its id. Acceptances, ends, pauses and output always
        have room: slots bound them."""
        report_id = report.report_id = self.new_id()
        kept = Kept(key_of(report.attempt), str(report.WhichOneof("kind")), report, ticket)
        self._kept[report_id] = self._idle[report_id] = kept
        self._of.setdefault(kept.key, {})[report_id] = kept
        return report_id

    def add_save(self, report: wire.agent.Report, ticket: int) -> None:
        """Keeps a checkpoint or a step when there is room, else lets it wait outside, with whoever saves
        it."""
        self._outside.append((report, ticket))
        self._let_in()

    def recall(self, report_id: int) -> bool:
        """Takes a report back that never left; False when it may have arrived, or is settled."""
        kept = self._kept.get(report_id)
        if kept is None or kept.sent:
            return False
        self._forget(kept, None)
        self._let_in()
        return True

    def repeat(self, report_id: int) -> bool:
        """Sends a report again that has no receipt; False when it has."""
        kept = self._kept.get(report_id)
        if kept is None:
            return False
        kept.in_flight = False
        self._idle[report_id] = kept
        return True

    def has(self, key: Key) -> bool:
        """Whether a report of this attempt has no receipt."""
        return key in self._of

    def find(self, report_id: int) -> Kept | None:
        """The report of this id, unless it has its receipt or never had to be kept."""
        return self._kept.get(report_id)

    def empty(self) -> bool:
        """Whether every report has its receipt."""
        return not self._kept

    def is_full(self) -> bool:
        """Whether checkpoints or steps wait outside."""
        return bool(self._outside)

    def take(self, now: float) -> list[wire.agent.Report]:
        """The reports to send now, in one frame. An attempt's go out in their order: behind one that is to be
        repeated the others wait, and it waits for the receipts of what was sent behind it, lest an old
        checkpoint replace a new one."""
        batch: list[wire.agent.Report] = []
        size = 0
        for report_id in sorted(self._idle):
            kept = self._idle[report_id]
            if not self._is_due(kept, now):
                continue
            report_size = kept.report.ByteSize() + 8
            if len(batch) == MAX_BATCH or (batch and size + report_size > MAX_BATCH_BYTES):
                break
            kept.in_flight = kept.sent = True
            del self._idle[report_id]
            batch.append(kept.report)
            size += report_size
        return batch

    def due_at(self) -> float | None:
        """When the next report becomes due, after `take` had none."""
        idle = self._idle.values()
        return min((kept.not_before for kept in idle if not self._waits_behind(kept)), default=None)

    def receipt(self, now: float, receipt: wire.agent.Receipt) -> Settled | None:
        """What a receipt makes of its report; None when it means nothing. Progress isn't kept, but can be
        refused."""
        kept = self._kept.get(receipt.report_id)
        if receipt.status == _REFUSED:
            if kept is None:
                return Settled.REFUSED
            self._settle(kept, refused(kept.report, receipt))
            return Settled.PART_REFUSED if leaves_the_attempt(kept.report, receipt) else Settled.REFUSED
        if kept is None:
            return None
        if receipt.status == _COMMITTED:
            if len(self._of[kept.key]) > 1:
                committed = self._committed.setdefault(kept.key, {})
                committed[kept.kind] = max(receipt.report_id, committed.get(kept.kind, 0))
            self._settle(kept, None)
            return Settled.COMMITTED
        if receipt.status == _RETRY:
            if kept.is_outdated(self._committed.get(kept.key, {})):
                self._settle(kept, None)
                return Settled.COMMITTED
            kept.backoff = kept.backoff or Backoff(self._random)
            kept.not_before = now + kept.backoff.delay()
            kept.in_flight = False
            self._idle[receipt.report_id] = kept
            return Settled.RETRY
        return None

    def send_all_again(self) -> None:
        """A new stream: what has no receipt is sent again at once."""
        for kept in self._kept.values():
            kept.in_flight = False
            kept.not_before = 0.0
        self._idle = dict(self._kept)

    def drop_waiting(self, key: Key, error: StatusError) -> None:
        """Forgets what of an attempt waits outside."""
        self._drop_outside(lambda report: key_of(report.attempt) == key, error)

    def lose(self, key: Key, error: StatusError) -> None:
        """An attempt isn't ours any more: nobody waits for its receipts any longer. What was kept is sent
        nonetheless: it may have been committed."""
        for kept in self._of.get(key, {}).values():
            self._release(kept, error)
        self.drop_waiting(key, error)

    def give_up_kinds(self, kinds: Collection[str], error: StatusError, key: Key | None = None) -> None:
        """Forgets all reports of these kinds that are not on their way, of all attempts or of one: the server
        doesn't take them."""
        for kept in [kept for kept in self._idle.values() if kept.kind in kinds and key in (None, kept.key)]:
            self._forget(kept, error)
        if key is None:
            self._drop_outside(lambda report: report.WhichOneof("kind") in kinds, error)
        self._let_in()

    def give_up(self, error: StatusError) -> None:
        """Forgets everything; nobody waits for it any longer."""
        tickets = [kept.ticket for kept in self._kept.values()]
        tickets += [ticket for _, ticket in self._outside]
        self._settled += [(ticket, error) for ticket in tickets if ticket is not None]
        self._kept.clear()
        self._idle.clear()
        self._of.clear()
        self._committed.clear()
        self._outside.clear()

    def take_settled(self) -> list[tuple[int, StatusError | None]]:
        """The tickets of what was waited for and is decided, each with the error if it was refused."""
        settled, self._settled = self._settled, []
        return settled

    def _let_in(self) -> None:
        while self._outside and len(self._kept) < self._limit:
            report, ticket = self._outside.popleft()
            self.add(report, ticket)

    def _is_due(self, kept: Kept, now: float) -> bool:
        return now >= kept.not_before and not self._waits_behind(kept)

    def _waits_behind(self, kept: Kept) -> bool:
        """Whether another of its attempt is to be settled first: an earlier one to be repeated, a later one
        on its way."""
        for report_id, other in self._of[kept.key].items():
            if report_id < kept.report.report_id and not other.in_flight and other.not_before > 0:
                return True
            if report_id > kept.report.report_id and other.in_flight:
                return True
        return False

    def _drop_outside(self, wanted: Callable[[wire.agent.Report], bool], error: StatusError) -> None:
        self._settled += [(ticket, error) for report, ticket in self._outside if wanted(report)]
        self._outside = deque(one for one in self._outside if not wanted(one[0]))

    def _settle(self, kept: Kept, error: StatusError | None) -> None:
        self._forget(kept, error)
        committed = self._committed.get(kept.key)
        if committed:
            for other in list(self._of[kept.key].values()):
                if not other.in_flight and other.is_outdated(committed):
                    self._forget(other, None)
        self._let_in()

    def _forget(self, kept: Kept, error: StatusError | None) -> None:
        self._release(kept, error)
        report_id = kept.report.report_id
        del self._kept[report_id]
        self._idle.pop(report_id, None)
        siblings = self._of[kept.key]
        del siblings[report_id]
        if not siblings:
            del self._of[kept.key]
            self._committed.pop(kept.key, None)

    def _release(self, kept: Kept, error: StatusError | None) -> None:
        """Tells whoever waits for it, once."""
        if kept.ticket is not None:
            self._settled.append((kept.ticket, error))
            kept.ticket = None
