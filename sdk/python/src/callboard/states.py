"""What a session remembers of itself: where it is, its attempts, its stream, its drain."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import grpc

from callboard import wire
from callboard.errors import StatusError

PROGRESS_EVERY = 0.1
"""Seconds between two progress reports of an attempt."""

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
    lease: float = 10.0
    features: frozenset[str] = field(default_factory=frozenset)


def is_fatal(error: StatusError, attached: bool) -> bool:
    """Whether attaching again can't help."""
    if error.reason in _FATAL_REASONS or error.code in _FATAL_CODES:
        return True
    # The agent was removed. While attached it's told that its session expired, and learns this when it
    # comes back.
    return error.reason == "AGENT_STATE" and not attached
