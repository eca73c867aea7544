"""What a session remembers of itself: where it is, its attempts, its stream, its drain."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import grpc

from callboard import wire
from callboard.errors import StatusError

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


@dataclass
class Attempt:
    """An attempt that this agent has, or whose reports have no receipt yet."""

    lease: wire.agent.Attempt
    running: bool = True
    # Nothing more is reported of it: its outcome was, or the lease is lost.
    closed: bool = False
    cancel_requested: bool = False
    progress: wire.agent.Progress | None = None
    progress_due: float = 0.0


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
