"""Planted defects, which the suite must notice: see the end of DRIVER.md. Each replaces functions of the SDK
while it runs, so that it is the SDK which does the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from callboard import loop
from callboard.actions import Start
from callboard.attempts import Attempts
from callboard.children import ChildKey, Children
from callboard.connection import Connection
from callboard.pausing import Pausing
from callboard.reports import Outbox, key_of
from callboard.runner import Runner
from callboard.runs import Runs
from callboard.session import Frame, Session
from callboard.states import State
from callboard.wire import agent

_LONGER_THAN_A_DRAIN = 3600.0
"""Seconds."""


def plant(name: str) -> bool:
    """Plants the defect of this name; False when there is none."""
    defect = _DEFECTS.get(name)
    if defect is not None:
        defect()
    return defect is not None


def _replace(owner: type, method: str, wrong: Callable[..., Any]) -> Any:
    """Puts a wrong method in the place of the right one, which it gives."""
    right = getattr(owner, method)  # one that the SDK has no more is no defect: an AttributeError says so
    setattr(owner, method, wrong)
    return right


class _Heart:
    """Has an agent's heartbeats sent by the loop of its handlers."""

    def __init__(self, connection: Connection, runner: Runner) -> None:
        self._connection = connection
        self._runner = runner
        self._io = loop.get()
        self._beaten = False

    def instead_of(self, frame: Frame | None) -> Frame | None:
        """What is sent instead of a frame: a heartbeat when that loop had time for it, not when it is due."""
        if frame is not None and frame.HasField("heartbeat"):
            self._runner._handler_loop().put(self._beat_from_there)
            return None
        if frame is None and self._beaten:
            self._beaten = False
            return Frame(heartbeat=agent.Heartbeat())
        return frame

    def _beat_from_there(self) -> None:
        self._io.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self._beaten = True
        self._connection._sendable.set()


class _HandlersLoop:
    """Runs sync handlers where the async ones run."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, job: Callable[[], None]) -> None:
        self._runner._handler_loop().put(job)

    def close(self) -> None:
        pass


def _heartbeat_on_handlers_thread() -> None:
    def new_connection(connection: Connection, session: Session, runner: Runner, *rest: Any) -> None:
        right_connection(connection, session, runner, *rest)
        hearts[session] = _Heart(connection, runner)

    def new_runner(runner: Any, *rest: Any) -> None:
        right_runner(runner, *rest)
        runner._workers = _HandlersLoop(runner)

    def next_frame(session: Session, now: float) -> Frame | None:
        return hearts[session].instead_of(right_frame(session, now))

    hearts: WeakKeyDictionary[Session, _Heart] = WeakKeyDictionary()
    right_connection = _replace(Connection, "__init__", new_connection)
    right_runner = _replace(Runner, "__init__", new_runner)
    right_frame = _replace(Session, "next_frame", next_frame)


def _receipt_ignored() -> None:
    _replace(Outbox, "receipt", lambda outbox, now, receipt: None)


def _report_forgotten() -> None:
    """What was sent counts as committed."""

    def take(outbox: Outbox, now: float) -> Any:
        batch = right(outbox, now)
        for report in batch:
            outbox._settle(outbox._kept[report.report_id], None)
        return batch

    right = _replace(Outbox, "take", take)


def _cancellation_ignored() -> None:
    _replace(Runner, "stop", lambda runner, key, reason: None)
    _replace(Runner, "stop_handling", lambda runner: None)


def _assignment_run_twice() -> None:
    def assigned(attempts: Attempts, now: float, assignment: Any, refusal: str) -> None:
        key = key_of(assignment.attempt)
        if key in attempts._attempts:
            attempts._actions.append(Start(key, assignment))
        else:
            right(attempts, now, assignment, refusal)

    right = _replace(Attempts, "assigned", assigned)


def _child_key_per_attempt() -> None:
    def create(children: Children, key: ChildKey, *rest: Any) -> Any:
        attempt = children._assignment.attempt.attempt
        return right(children, ChildKey(key.name, key.occurrence + 1000 * attempt), *rest)

    right = _replace(Children, "create", create)


def _slot_held_while_waiting() -> None:
    _replace(Pausing, "pause", lambda pausing: [])


def _runs_not_asked_again() -> None:
    """What was on a stream that broke counts as being on the next."""

    def detach(runs: Runs) -> None:
        sent, runs._sent = runs._sent, {}
        right(runs)
        runs._sent = sent

    right = _replace(Runs, "_detach", detach)


def _silent_while_draining() -> None:
    """Who drains takes a frame for sent just now, and the next heartbeat for due after its drain."""

    def next_frame(session: Session, now: float) -> Frame | None:
        frame: Frame | None = right(session, now)
        if session._drain is not None:
            session._stream.last_sent = now + _LONGER_THAN_A_DRAIN
        return frame

    right = _replace(Session, "next_frame", next_frame)


def _no_reattach() -> None:
    def disconnected(session: Session, now: float, error: Any) -> None:
        if session.state is State.ATTACHED:
            session._end(error)
        else:
            right(session, now, error)

    right = _replace(Session, "disconnected", disconnected)


_DEFECTS: dict[str, Callable[[], None]] = {
    "heartbeat-on-handlers-thread": _heartbeat_on_handlers_thread,
    "receipt-ignored": _receipt_ignored,
    "report-forgotten": _report_forgotten,
    "cancellation-ignored": _cancellation_ignored,
    "assignment-run-twice": _assignment_run_twice,
    "child-key-per-attempt": _child_key_per_attempt,
    "slot-held-while-waiting": _slot_held_while_waiting,
    "runs-not-asked-again": _runs_not_asked_again,
    "silent-while-draining": _silent_while_draining,
    "no-reattach": _no_reattach,
}

NAMES = frozenset(_DEFECTS)
"""Those that there are."""
