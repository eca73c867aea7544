"""Planted defects, which the suite must notice: see the end of DRIVER.md. Each replaces functions of the SDK
while it runs, so that it is the SDK which does the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callboard import loop
from callboard.actions import Start
from callboard.reports import Outbox, key_of
from callboard.runner import Runner
from callboard.session import Session
from callboard.states import State
from callboard.workers import Workers


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


def _heartbeat_on_handlers_thread() -> None:
    """Handlers run on the loop of the connections."""
    _replace(Runner, "_handler_loop", lambda runner: loop.get())
    _replace(Workers, "run", lambda workers, job: loop.get().call_soon_threadsafe(job))


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
    def assigned(session: Session, assignment: Any) -> None:
        key = key_of(assignment.attempt)
        if key in session._attempts:
            session._actions.append(Start(key, assignment))
        else:
            right(session, assignment)

    right = _replace(Session, "_assigned", assigned)


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
    "no-reattach": _no_reattach,
}

NAMES = frozenset(_DEFECTS)
"""Those that there are."""
