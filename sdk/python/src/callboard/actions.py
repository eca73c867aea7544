"""What a session wants done: see `callboard.session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from callboard import wire
from callboard.errors import StatusError
from callboard.pausing import Ends
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
class Prolong:
    """The attempt times out then now."""

    key: Key
    deadline: Timestamp


@dataclass(frozen=True)
class ReportSettled:
    """A report that a handler waits for, a checkpoint or a step, is committed, or output is in the buffer;
    or, with an error, it isn't and never will be."""

    ticket: int
    error: StatusError | None


@dataclass(frozen=True)
class WaitDecided:
    """Nothing else changes how a wait for children comes out: these ends are known. Ahead of its
    `WaitSettled`, also while that is held back for a slot."""

    ticket: int
    ends: Ends


@dataclass(frozen=True)
class WaitSettled:
    """A wait for children is over, with the ends that are known, and who waits may go on; or, with an error,
    need not wait any longer."""

    ticket: int
    outcome: Ends | StatusError


@dataclass(frozen=True)
class Follow:
    """Wait for a task by calls, and tell its end: the server that is attached can't."""

    task_id: str


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


Action: TypeAlias = (
    Connect
    | Cut
    | Start
    | Stop
    | Prolong
    | ReportSettled
    | WaitDecided
    | WaitSettled
    | Follow
    | Handle
    | StopHandling
    | SendSettled
    | End
)
