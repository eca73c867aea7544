"""Reports on their way: each is kept until its receipt, and sent again in its old order with its old id.
Without any I/O."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from callboard import wire
from callboard.errors import StatusError
from callboard.refusals import is_step, only_the_step, refused
from callboard.retry import Backoff

MAX_BATCH = 1000
MAX_BATCH_BYTES = 3 * 1024 * 1024 - 64 * 1024
"""A frame is at most 3 MiB; what stands around the reports fits into the rest."""

_Status = wire.agent.ReceiptStatus


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
    STEP_REFUSED = "step refused"
    RETRY = "retry"


@dataclass
class _Kept:
    """A report that has no receipt yet."""

    key: Key
    report: wire.agent.Report
    # Of whoever waits for it: a checkpoint or a step.
    ticket: int | None
    backoff: Backoff
    in_flight: bool = False
    # Not to be sent again before: the server could not decide it.
    not_before: float = 0.0

    def is_outdated(self, committed: int) -> bool:
        """Whether a newer one that is committed makes it needless. Steps are recorded each by itself."""
        return self.report.report_id < committed and not is_step(self.report)


class Outbox:
    """Reports in their order. At most `limit` of them wait before checkpoints and steps wait outside."""

    def __init__(self, limit: int, random: Callable[[], float]) -> None:
        self._limit = limit
        self._random = random
        self._last_id = 0
        self._kept: dict[int, _Kept] = {}
        self._of: dict[Key, dict[int, _Kept]] = {}
        self._outside: deque[tuple[wire.agent.Report, int]] = deque()
        self._settled: list[tuple[int, StatusError | None]] = []
        # The newest report of an attempt that is committed: an older one adds nothing to it, but for steps.
        self._committed: dict[Key, int] = {}

    def new_id(self) -> int:
        """A report id that was never used before."""
        self._last_id += 1
        return self._last_id

    def add(self, report: wire.agent.Report, ticket: int | None = None) -> None:
        """Keeps a report and sends it when it can. Acceptances and ends always have room: slots bound
        them."""
        report.report_id = self.new_id()
        kept = _Kept(key_of(report.attempt), report, ticket, Backoff(self._random))
        self._kept[report.report_id] = kept
        self._of.setdefault(kept.key, {})[report.report_id] = kept

    def add_save(self, report: wire.agent.Report, ticket: int) -> None:
        """Keeps a checkpoint or a step when there is room, else lets it wait outside, with whoever saves
        it."""
        self._outside.append((report, ticket))
        self._let_in()

    def has(self, key: Key) -> bool:
        """Whether a report of this attempt has no receipt."""
        return key in self._of

    def find(self, report_id: int) -> wire.agent.Report | None:
        """The report of this id, unless it has its receipt or never had to be kept."""
        kept = self._kept.get(report_id)
        return None if kept is None else kept.report

    def empty(self) -> bool:
        """Whether every report has its receipt."""
        return not self._kept

    def take(self, now: float) -> list[wire.agent.Report]:
        """The reports to send now, in one frame. An attempt's go out in their order: behind one that is to be
        repeated the others wait, and it waits for the receipts of what was sent behind it, lest an old
        checkpoint replace a new one."""
        batch: list[wire.agent.Report] = []
        size = 0
        for kept in self._kept.values():
            if kept.in_flight or not self._is_due(kept, now):
                continue
            report_size = kept.report.ByteSize() + 8
            if len(batch) == MAX_BATCH or (batch and size + report_size > MAX_BATCH_BYTES):
                break
            kept.in_flight = True
            batch.append(kept.report)
            size += report_size
        return batch

    def due_at(self) -> float | None:
        """When the next report becomes due, after `take` had none."""
        waiting = (kept for kept in self._kept.values() if not kept.in_flight)
        return min((kept.not_before for kept in waiting if not self._waits_behind(kept)), default=None)

    def receipt(self, now: float, receipt: wire.agent.Receipt) -> Settled | None:
        """What a receipt makes of its report; None when it means nothing. Progress isn't kept, but can be
        refused."""
        kept = self._kept.get(receipt.report_id)
        if receipt.status == _Status.RECEIPT_STATUS_REFUSED:
            if kept is None:
                return Settled.REFUSED
            self._settle(kept, refused(kept.report, receipt))
            return Settled.STEP_REFUSED if only_the_step(kept.report, receipt) else Settled.REFUSED
        if kept is None:
            return None
        if receipt.status == _Status.RECEIPT_STATUS_COMMITTED:
            self._committed[kept.key] = max(receipt.report_id, self._committed.get(kept.key, 0))
            self._settle(kept, None)
            return Settled.COMMITTED
        if receipt.status == _Status.RECEIPT_STATUS_RETRY:
            if kept.is_outdated(self._committed.get(kept.key, 0)):
                self._settle(kept, None)
                return Settled.COMMITTED
            kept.in_flight = False
            kept.not_before = now + kept.backoff.delay()
            return Settled.RETRY
        return None

    def send_all_again(self) -> None:
        """A new stream: what has no receipt is sent again at once."""
        for kept in self._kept.values():
            kept.in_flight = False
            kept.not_before = 0.0

    def drop_waiting(self, key: Key, error: StatusError) -> None:
        """Forgets what of an attempt waits outside."""
        self._drop_outside(lambda report: key_of(report.attempt) == key, error)

    def lose(self, key: Key, error: StatusError) -> None:
        """An attempt isn't ours any more: nobody waits for its receipts any longer. What was kept is sent
        nonetheless: it may have been committed."""
        for kept in self._of.get(key, {}).values():
            self._release(kept, error)
        self.drop_waiting(key, error)

    def give_up_steps(self, error: StatusError) -> None:
        """Forgets all steps: the server doesn't take them."""
        for kept in [kept for kept in self._kept.values() if is_step(kept.report)]:
            self._forget(kept, error)
        self._drop_outside(is_step, error)
        self._let_in()

    def give_up(self, error: StatusError) -> None:
        """Forgets everything; nobody waits for it any longer."""
        tickets = [kept.ticket for kept in self._kept.values()]
        tickets += [ticket for _, ticket in self._outside]
        self._settled += [(ticket, error) for ticket in tickets if ticket is not None]
        self._kept.clear()
        self._of.clear()
        self._outside.clear()

    def take_settled(self) -> list[tuple[int, StatusError | None]]:
        """The tickets of what was waited for and is decided, each with the error if it was refused."""
        settled, self._settled = self._settled, []
        return settled

    def _let_in(self) -> None:
        while self._outside and len(self._kept) < self._limit:
            report, ticket = self._outside.popleft()
            self.add(report, ticket)

    def _is_due(self, kept: _Kept, now: float) -> bool:
        return now >= kept.not_before and not self._waits_behind(kept)

    def _waits_behind(self, kept: _Kept) -> bool:
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

    def _settle(self, kept: _Kept, error: StatusError | None) -> None:
        self._forget(kept, error)
        committed = self._committed.get(kept.key, 0)
        for other in list(self._of.get(kept.key, {}).values()):
            if not other.in_flight and other.is_outdated(committed):
                self._forget(other, None)
        self._let_in()

    def _forget(self, kept: _Kept, error: StatusError | None) -> None:
        self._release(kept, error)
        del self._kept[kept.report.report_id]
        siblings = self._of[kept.key]
        del siblings[kept.report.report_id]
        if not siblings:
            del self._of[kept.key]
            self._committed.pop(kept.key, None)

    def _release(self, kept: _Kept, error: StatusError | None) -> None:
        """Tells whoever waits for it, once."""
        if kept.ticket is not None:
            self._settled.append((kept.ticket, error))
            kept.ticket = None
