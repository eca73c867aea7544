"""What a session wants done: see `callboard.session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from callboard import wire
from callboard.errors import StatusError
from callboard.reports import Key
from callboard.settings import Address


@dataclass(frozen=True)
class Connect:
    """Open a stream to this address."""

    address: Address


@dataclass(frozen=True)
class Cut:
    """Cut the stream; its end need not be told."""


@dataclass(frozen=True)
class Start:
    """Run the handler of this assignment."""

    key: Key
    assignment: wire.agent.Assignment


@dataclass(frozen=True)
class Stop:
    """Cancel the handler of this attempt. `reported`: its outcome is still reported when it has ended."""

    key: Key
    reason: str
    reported: bool


@dataclass(frozen=True)
class ReportSettled:
    """A report that a handler waits for, a checkpoint or a step, is committed, or, with an error, it isn't
    and never will be."""

    ticket: int
    error: StatusError | None


@dataclass(frozen=True)
class Handle:
    """Run the handler of this message."""

    message: wire.message.Message


@dataclass(frozen=True)
class StopHandling:
    """Cancel the handler of the message."""


@dataclass(frozen=True)
class SendSettled:
    """A message is committed, with its receipt, or it isn't and never will be, with an error."""

    ticket: int
    outcome: wire.message.MessageReceipt | StatusError


@dataclass(frozen=True)
class End:
    """The session is over: close the stream. With an error when trying again can't help."""

    error: StatusError | None


Action: TypeAlias = Connect | Cut | Start | Stop | ReportSettled | Handle | StopHandling | SendSettled | End
