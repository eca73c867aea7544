"""What a session remembers of itself: where it is, its attempts, its stream, its drain."""

from __future__ import annotations

import contextlib
import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import grpc

from callboard import wire
from callboard.errors import StatusError
from callboard.settings import Address, parse_address

PROGRESS_EVERY = 0.1
"""Seconds between two progress reports of an attempt."""
WELCOME_WITHIN = 10.0
"""Seconds from connecting to the welcome; then the next address is tried."""
NAMED_WELCOME_WITHIN = 5.0
"""The same at an endpoint that a server that drains named. There is always something else to try behind it,
and servers give the attempts of an agent that stays away for long to others."""
BRIEF = 1.0
"""Seconds; a server that drains sooner after its welcome is not left at once, but after a while."""
MAX_NAMED = 4
"""How many endpoints of a drain notice are kept: all of them, silent, take less than the time for which
agents that were sent away are awaited (30 s)."""

_FATAL_REASONS = frozenset({"SESSION_SUPERSEDED", "NOT_YOUR_AGENT"})
_FATAL_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


class State(enum.Enum):
    """Where the session is. Draining is told apart: an agent drains in any of them."""

    DETACHED = "detached"
    CONNECTING = "connecting"
    HELLO = "hello"
    ATTACHED = "attached"
    STOPPED = "stopped"


@dataclass(slots=True)
class Attempt:
    """An attempt that this agent has, or whose reports have no receipt yet."""

    lease: wire.agent.Attempt
    # The server that gave it takes steps, and so has said what is recorded.
    has_steps: bool = False
    # The report that it was accepted.
    accepted_id: int = 0
    running: bool = True
    # Nothing more is reported of it: its outcome was, or the lease is lost.
    closed: bool = False
    cancel_requested: bool = False
    progress: wire.agent.Progress | None = None
    progress_due: float = 0.0

    def is_ours(self) -> bool:
        """Whether it runs under its lease, and its handler may report."""
        return self.running and not self.closed

    def take_progress(self, now: float) -> wire.agent.Report | None:
        """Its progress as a report, when there is some and it is time."""
        if self.progress is None or now < self.progress_due:
            return None
        report = wire.agent.Report(attempt=self.lease, progress=self.progress)
        self.progress = None
        self.progress_due = now + PROGRESS_EVERY
        return report


@dataclass
class Drain:
    """When a drain loses its patience: with handlers, then with receipts."""

    handlers_until: float
    receipts_until: float | None = None
    announced: bool = False
    closed_slots: bool = False

    def due(self) -> float:
        """When the patience that is running now ends."""
        return self.handlers_until if self.receipts_until is None else self.receipts_until


@dataclass
class Stream:
    """What belongs to one stream and ends with it."""

    opened: float
    last_sent: float
    last_received: float
    # It is at an endpoint that a drain notice named.
    named: bool = False
    welcomed: float | None = None
    lease: float = 10.0
    features: frozenset[str] = field(default_factory=frozenset)

    def silent_at(self) -> float:
        """When nothing was heard for so long that it is broken."""
        if self.welcomed is not None:
            return self.last_received + self.lease
        return self.opened + (NAMED_WELCOME_WITHIN if self.named else WELCOME_WITHIN)

    def is_brief(self, now: float) -> bool:
        """Whether its welcome is so fresh that whoever attaches again at once may do so on and on."""
        return self.welcomed is not None and now < self.welcomed + BRIEF

    def is_fatal(self, error: StatusError) -> bool:
        """Whether attaching again can't help, when it ended with this."""
        if error.reason in _FATAL_REASONS:
            return True
        # The agent was removed. While attached it's told that its session expired, and learns this when it
        # comes back.
        if error.reason == "AGENT_STATE" and self.welcomed is None:
            return True
        # A named endpoint that has not welcomed the agent may be anything: a server that was misspelled, of
        # others, or that doesn't know the agent yet. What it says is of no matter elsewhere.
        return error.code in _FATAL_CODES and (self.welcomed is not None or not self.named)


def usable(endpoints: Iterable[str]) -> deque[Address]:
    """The endpoints that can be tried, in their order, each once."""
    found: deque[Address] = deque()
    for url in dict.fromkeys(endpoints):
        with contextlib.suppress(ValueError):
            found.append(parse_address(url))
        if len(found) == MAX_NAMED:
            break
    return found
