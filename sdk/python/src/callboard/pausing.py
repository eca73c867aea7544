"""The slot of one attempt whose handler waits for children: `pause` frees it, and `resume` asks for it back.
Without any I/O: see rule 4 of section 9 of `sdk/SPEC.md`."""

from __future__ import annotations

import enum
from typing import TypeAlias

from callboard import wire
from callboard.reports import Outbox

AGAIN_AFTER = 1.0
"""Seconds after which `resume` is sent again while the handler may not go on."""

Ends: TypeAlias = tuple[wire.agent.TaskEnd, ...]
"""How those of some children ended that have."""

Ended: TypeAlias = tuple[int, Ends]
"""The ticket of a wait, and how the children ended that it is for."""


class Phase(enum.Enum):
    """What an attempt's handler has of its slot."""

    WORKING = "it has it"
    PAUSED = "it waits, and needs none"
    RESUMING = "it wants it back"


class Pausing:
    """The slot of one attempt, and what is held back from its handler until it has it again."""

    def __init__(self, lease: wire.agent.Attempt, outbox: Outbox) -> None:
        self.phase = Phase.WORKING
        self._lease = lease
        self._outbox = outbox
        self._held: list[Ended] = []
        # The latest of each that left, or still may. What never left is taken back when the other follows:
        # so there are few of them, however often a handler waits while the stream is away.
        self._pause_id = 0
        self._resume_id = 0
        # The first since that pause: when it left, the server knows that the handler wants its slot.
        self._first_resume_id = 0
        self._paused_from = Phase.WORKING
        self._again_at = 0.0
        # The handler went on without asking: the server of then took no `resume`.
        self._unasked = False

    def is_working(self) -> bool:
        """Whether the handler has its slot, or need not ask for it."""
        return self.phase is Phase.WORKING

    def pause(self) -> list[Ended]:
        """A wait begins. Gives what was held back: the handler may have it, for it waits for more."""
        before, self.phase = self.phase, Phase.PAUSED
        recalled = before is Phase.RESUMING and self._outbox.recall(self._resume_id)
        never_asked = recalled and self._resume_id == self._first_resume_id
        if before is not Phase.PAUSED and not never_asked:
            self._paused_from = before
            self._pause_id = self._outbox.add(
                wire.agent.Report(attempt=self._lease, pause=wire.agent.Pause())
            )
        return self._take_held()

    def resume(self, now: float, held: list[Ended]) -> list[Ended]:
        """No wait is under way any longer. `held` is for the handler when it may go on; gives what it may
        have at once."""
        self._held += held
        recalled = self._outbox.recall(self._pause_id)
        if recalled and self._paused_from is Phase.WORKING:
            return self._go_on()
        self.phase = Phase.RESUMING
        if recalled:
            # For the server the handler wants its slot all the time.
            self._ask_again(now)
        else:
            self._ask(now)
        return []

    def receipted(self, report_id: int, state: int) -> list[Ended]:
        """A `resume` has its receipt. Gives what was held back, if the handler may go on."""
        asked = self.phase is Phase.RESUMING and report_id == self._resume_id
        return self._go_on() if asked and state == wire.task.TASK_STATE_RUNNING else []

    def resumed(self) -> list[Ended]:
        """The server says that the handler may go on; gives what was held back if it wants to. What is said
        before the latest `pause` has its receipt was said without knowing of that."""
        knows = self._outbox.find(self._pause_id) is None
        return self._go_on() if self.phase is Phase.RESUMING and knows else []

    def give_up(self, ticket: int) -> None:
        """Nobody wants what is held back for this ticket."""
        self._held = [ended for ended in self._held if ended[0] != ticket]

    def lose(self) -> list[int]:
        """The attempt is over. Gives the tickets for which something was held back."""
        return [ticket for ticket, _ in self._go_on()]

    def tick(self, now: float) -> None:
        """Time passed: asks again, if it is time."""
        if self.phase is Phase.RESUMING and now >= self._again_at:
            self._ask_again(now)

    def due_at(self) -> float | None:
        """When `tick` is due."""
        return self._again_at if self.phase is Phase.RESUMING else None

    def attached(self, now: float, waits: bool) -> list[Ended]:
        """A new stream, to a server that takes children; `waits`: waits are under way. Gives what the
        handler may have."""
        if self.phase is Phase.RESUMING:
            self._ask_again(now)
        elif self.phase is Phase.WORKING and waits:
            return self.pause()
        elif self._unasked:
            self.phase = Phase.RESUMING
            self._ask(now)
        self._unasked = False
        return []

    def without_slots(self) -> list[Ended]:
        """A new stream, to a server that takes neither report: the handler goes on as it can. Gives what was
        held back."""
        self._unasked = self._unasked or self.phase is not Phase.WORKING
        return self._go_on()

    def _ask(self, now: float) -> None:
        """Asks for the slot behind the latest pause. What was asked ahead of it is answered by a slot that
        this pause frees."""
        self._first_resume_id = self._send_resume(now)

    def _ask_again(self, now: float) -> None:
        """Asks once more: with the same report when that has no receipt, so there are never many of them."""
        if self._outbox.repeat(self._resume_id):
            self._again_at = now + AGAIN_AFTER
        else:
            self._send_resume(now)

    def _send_resume(self, now: float) -> int:
        self._again_at = now + AGAIN_AFTER
        report = wire.agent.Report(attempt=self._lease, resume=wire.agent.Resume())
        self._resume_id = self._outbox.add(report)
        return self._resume_id

    def _go_on(self) -> list[Ended]:
        self.phase = Phase.WORKING
        return self._take_held()

    def _take_held(self) -> list[Ended]:
        held, self._held = self._held, []
        return held
