"""Runs over a stream of `RunTasks`, without any I/O: which wait, which the server has, what an outcome means,
and what a break. See section 3 of `sdk/SPEC.md`.

What happens is told to `Runs`; what is to be done about it is asked of it, as of `callboard.session`:
`take_actions()` for the stream, `take_settled()` for whoever asked, `next_frame()` for the next frame to
send, `due_at()` for when to call `tick()`. A run is in one place at a time: it waits to be sent, the server
has it, it was refused and is to be asked again later, or it is behind another of its request id."""

from __future__ import annotations

import enum
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from callboard import wire
from callboard.errors import StatusError, from_status_bytes, status_error
from callboard.retry import Backoff, Retries, retryable

MAX_RUNS = 1000
"""The most runs in a frame."""
MAX_BYTES = 1024 * 1024
"""The most bytes of runs in a frame; one run always fits."""
MOST_SENT = 4096
"""The most runs without an outcome that a stream may have."""
SILENCE = 30.0
"""Seconds without a word, after which a stream is broken: the server says something every 10 s."""
IDLE = 10.0
"""Seconds without a run, after which a stream is ended."""

Outcome: TypeAlias = "wire.task.Task | StatusError"
Frame = wire.task_service.RunTasksRequest

# What a server or a proxy refuses by. Any other status without a reason of the server's is the transport's.
_REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class Action(enum.Enum):
    """What is to be done about the stream."""

    OPEN = "open one"
    FINISH = "end our side of it: nothing is left to run"
    MOVE = "cut it; its end need not be told. The next one goes to the next address"
    CALL = "give all runs to calls: the server has no such stream"


@dataclass(eq=False, slots=True)
class Run:
    """A run that was asked for and has no outcome yet."""

    request_id: str
    frame: bytes
    """A frame with this run alone. Encoded frames put behind each other are one frame with the runs of all:
    that is how protobuf joins what is repeated."""
    timeout: float | None
    """Seconds that whoever asked waits; None means for ever."""
    patience: float
    """Seconds that it waits for a server at the most: the client's timeout."""
    tell: Callable[[wire.task.Task | Exception], None]
    """Where its outcome goes."""
    asked_at: float = 0.0
    deadline: float | None = None
    """When the timeout is over."""
    retries: Retries | None = None


@dataclass
class _Stream:
    """What belongs to one stream and ends with it."""

    last_heard: float
    opened: bool = False
    named: bool = False
    """Whether a frame named the namespace."""


class Runs:
    """The state machine. Every method that takes `now` takes the caller's monotonic clock, in seconds."""

    def __init__(
        self, namespace: str, random: Callable[[], float], has_other_addresses: bool = False
    ) -> None:
        self._namespace = Frame(namespace=namespace).SerializeToString()
        self._random = random
        self._has_other_addresses = has_other_addresses
        self._backoff = Backoff(random)
        self._stream: _Stream | None = None
        self._open_at: float | None = None
        # Since when no stream could be opened, and why.
        self._failing_since: float | None = None
        self._error: StatusError | None = None
        self._idle_since: float | None = None

        self._waiting: dict[str, Run] = {}
        self._sent: dict[str, Run] = {}
        self._refused: dict[str, Run] = {}
        self._again: list[tuple[float, int, Run, bool]] = []
        self._numbers = itertools.count()
        self._behind: dict[str, deque[Run]] = {}
        self._forgotten: list[str] = []

        self._actions: list[Action] = []
        self._settled: list[tuple[Run, Outcome]] = []

    # What happens.

    def ask(self, now: float, run: Run) -> None:
        """A run is asked for."""
        if self._knows(run.request_id):
            # Each is to have the server's answer to what it asks: they are asked one behind the other.
            self._behind.setdefault(run.request_id, deque()).append(run)
            return
        self._waiting[run.request_id] = run
        self._idle_since = None
        if self._stream is None and self._open_at is None:
            self._open_at = now
            self._open_if_due(now)

    def give_up(self, now: float, run: Run) -> None:
        """Whoever asked wants no outcome any more. The task goes on, if there is one."""
        request_id = run.request_id
        behind = self._behind.get(request_id)
        if behind is not None and run in behind:
            behind.remove(run)
            return
        if self._sent.get(request_id) is run:
            del self._sent[request_id]
            self._forgotten.append(request_id)
        elif self._waiting.get(request_id) is run:
            del self._waiting[request_id]
        elif self._refused.get(request_id) is run:
            del self._refused[request_id]
        else:
            return
        self._follow(now, request_id)
        self._rest_if_idle(now)

    def timed_out(self, now: float, run: Run) -> StatusError:
        """The time is over of whoever asked; gives what they are told."""
        why = "" if self._error is None else f"; the last error: {self._error}"
        self.give_up(now, run)
        if self._stream is not None and not self._stream.opened and self._has_other_addresses:
            # Nobody answers there: those who come next are not to wait for it, too.
            self._move(now)
        message = f"the task had not ended in time{why}"
        return status_error(grpc.StatusCode.DEADLINE_EXCEEDED, message)

    def opened(self, now: float) -> None:
        """The server took the stream."""
        if self._stream is not None:
            self._stream.opened = True
            self._stream.last_heard = now
            self._failing_since = self._error = None

    def received(self, now: float, outcomes: Iterable[wire.task_service.TaskOutcome]) -> None:
        """A frame came."""
        if self._stream is None:
            return
        self.opened(now)
        self._backoff.reset()
        for outcome in outcomes:
            run = self._sent.pop(outcome.request_id, None)
            if run is None:
                continue
            if outcome.HasField("task"):
                self._settle(now, run, outcome.task)
            else:
                self._refuse(now, run, from_status_bytes(outcome.status))
        self._rest_if_idle(now)

    def broke(self, now: float, error: StatusError | None) -> None:
        """The stream ended or could not be opened; with its status unless that was OK. What it had is asked
        again on the next one."""
        if self._stream is None:
            return
        self._detach()
        error = error or status_error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")
        if error.code is grpc.StatusCode.UNIMPLEMENTED:
            self._actions.append(Action.CALL)
        elif _is_refusal(error):
            self._failing_since = self._error = None
            self._fail(now, error, list(self._waiting.values()))
        else:
            self._error = _of_break(error)
            if self._failing_since is None:
                self._failing_since = now
            delay = self._backoff.delay(error.retry_delay)
            self._open_at = now + delay
            self._fail_impatient(now, now + delay)
        self._rest_if_idle(now)

    def renewed(self, now: float) -> None:
        """The stream was refused for a token that has been changed since: it is tried again at once."""
        if self._stream is not None:
            self._detach()
            self._open_at = now
            self._rest_if_idle(now)
            self._open_if_due(now)

    def tick(self, now: float) -> None:
        """Time passed: does whatever is due."""
        self._ask_again(now)
        stream = self._stream
        if stream is not None and now >= stream.last_heard + SILENCE:
            self._error = status_error(grpc.StatusCode.UNAVAILABLE, f"nothing was heard for {SILENCE:g} s")
            self._move(now)
        elif stream is not None and self._idle_since is not None and now >= self._idle_since + IDLE:
            self._stream = None
            self._actions.append(Action.FINISH)
        if (patience := self._patience_at()) is not None and now >= patience:
            self._fail_impatient(now, now)
        self._open_if_due(now)

    def take_all(self) -> list[Run]:
        """All runs there are: whoever takes them sees to them."""
        runs = [*self._sent.values(), *self._waiting.values(), *self._refused.values()]
        runs += [run for behind in self._behind.values() for run in behind]
        for place in (self._sent, self._waiting, self._refused, self._behind, self._again):
            place.clear()
        self._open_at = self._failing_since = self._error = None
        return runs

    # What is to be done.

    def take_actions(self) -> list[Action]:
        """What to do about the stream now, in this order."""
        actions, self._actions = self._actions, []
        return actions

    def take_settled(self) -> list[tuple[Run, Outcome]]:
        """The runs that have their outcome, with it."""
        settled, self._settled = self._settled, []
        return settled

    def next_frame(self) -> bytes | None:
        """The next frame to send, encoded, if there is something to say."""
        if self._stream is None:
            return None
        if self._forgotten:
            # Ahead of runs, in a frame of its own: one of these ids may be asked for anew.
            forgotten, self._forgotten = self._forgotten, []
            return self._named(Frame(forgotten_ids=forgotten).SerializeToString())
        runs = self._take_waiting()
        return self._named(*(run.frame for run in runs)) if runs else None

    def due_at(self) -> float | None:
        """When `tick` is due."""
        times = [self._open_at, self._patience_at(), self._again[0][0] if self._again else None]
        if self._stream is not None:
            times.append(self._stream.last_heard + SILENCE)
            times.append(None if self._idle_since is None else self._idle_since + IDLE)
        return min((time for time in times if time is not None), default=None)

    # The stream.

    def _open_if_due(self, now: float) -> None:
        if self._open_at is not None and now >= self._open_at:
            self._open_at = None
            self._stream = _Stream(last_heard=now)
            if self._failing_since is None:
                self._failing_since = now
            self._actions.append(Action.OPEN)

    def _move(self, now: float) -> None:
        """Leaves the stream for another one, elsewhere if there is another address."""
        self._actions.append(Action.MOVE)
        self._detach()
        self._open_at = now
        self._rest_if_idle(now)
        self._open_if_due(now)

    def _detach(self) -> None:
        """What the stream had waits again, ahead of what it did not get."""
        self._stream = None
        self._forgotten.clear()
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}

    def _rest_if_idle(self, now: float) -> None:
        if self._waiting or self._sent or self._refused:
            return
        self._open_at = None
        if self._stream is None:
            self._failing_since = self._error = None
        elif self._idle_since is None:
            self._idle_since = now

    def _named(self, *parts: bytes) -> bytes:
        """A frame of these parts; the stream's first names the namespace."""
        if self._stream is None or self._stream.named:
            return b"".join(parts)
        self._stream.named = True
        return b"".join((self._namespace, *parts))

    # Runs.

    def _knows(self, request_id: str) -> bool:
        return request_id in self._sent or request_id in self._waiting or request_id in self._refused

    def _take_waiting(self) -> list[Run]:
        runs: list[Run] = []
        size, most = 0, min(MAX_RUNS, MOST_SENT - len(self._sent))
        for run in self._waiting.values():
            size += len(run.frame)
            if len(runs) >= most or (runs and size > MAX_BYTES):
                break
            runs.append(run)
        for run in runs:
            del self._waiting[run.request_id]
            self._sent[run.request_id] = run
        return runs

    def _settle(self, now: float, run: Run, outcome: Outcome) -> None:
        self._settled.append((run, outcome))
        self._follow(now, run.request_id)

    def _follow(self, now: float, request_id: str) -> None:
        """The next run of a request id takes its turn."""
        behind = self._behind.get(request_id) if self._behind else None
        if behind is None:
            return
        if behind:
            self.ask(now, behind.popleft())
        if not behind:
            del self._behind[request_id]

    def _refuse(self, now: float, run: Run, error: StatusError) -> None:
        """A run was refused: it is asked again, if that can help."""
        if run.retries is None:
            until = now + run.patience
            run.retries = Retries(until if run.deadline is None else min(until, run.deadline), self._random)
        delay = run.retries.delay(error, now)
        if delay is None:
            self._settle(now, run, error)
            return
        self._refused[run.request_id] = run
        elsewhere = self._has_other_addresses and error.code is grpc.StatusCode.UNAVAILABLE
        heapq.heappush(self._again, (now + delay, next(self._numbers), run, elsewhere))

    def _ask_again(self, now: float) -> None:
        """Those that were refused and whose time has come wait to be sent; a server that can't decide now is
        left, if there is another."""
        moves = False
        while self._again and now >= self._again[0][0]:
            _, _, run, elsewhere = heapq.heappop(self._again)
            if self._refused.get(run.request_id) is run:
                del self._refused[run.request_id]
                self._waiting[run.request_id] = run
                moves = moves or elsewhere
        if moves and self._stream is not None:
            self._move(now)
        elif self._waiting and self._stream is None and self._open_at is None:
            self._open_at = now

    def _patience_at(self) -> float | None:
        """When the run that waits longest has waited for a stream long enough."""
        if self._failing_since is None or not self._waiting:
            return None
        oldest = next(iter(self._waiting.values()))
        return max(self._failing_since, oldest.asked_at) + oldest.patience

    def _fail_impatient(self, now: float, until: float) -> None:
        """Fails those that will have waited for a stream long enough by then."""
        since = now if self._failing_since is None else self._failing_since
        late = [run for run in self._waiting.values() if max(since, run.asked_at) + run.patience <= until]
        error = self._error or status_error(grpc.StatusCode.UNAVAILABLE, "no server answered in time")
        self._fail(now, error, late)
        self._rest_if_idle(now)

    def _fail(self, now: float, error: StatusError, runs: list[Run]) -> None:
        for run in runs:
            del self._waiting[run.request_id]
        for run in runs:
            # Each caller raises one of their own.
            self._settle(now, run, copy(error))


def unauthenticated(outcome: wire.task_service.TaskOutcome) -> StatusError | None:
    """Why a run was refused, if that is for who asked."""
    if not outcome.HasField("status"):
        return None
    error = from_status_bytes(outcome.status)
    return error if error.code is grpc.StatusCode.UNAUTHENTICATED else None


def _of_break(error: StatusError) -> StatusError:
    """What callers are told of a break: whatever the transport calls it, no server was there."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return error
    return status_error(grpc.StatusCode.UNAVAILABLE, f"the stream of runs broke: {error}")


def _is_refusal(error: StatusError) -> bool:
    """Whether a stream's status is an answer. A break has whatever status the transport gives it, and no
    reason: the server gives one with everything that it refuses."""
    return not retryable(error) and (bool(error.reason) or error.code in _REFUSALS)
