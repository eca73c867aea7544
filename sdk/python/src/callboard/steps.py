"""Durable steps: parts of a handler's work that run once for all attempts of a run, as far as that can be.
See section 8 of `sdk/SPEC.md`."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from callboard import wire
from callboard.errors import invalid_argument
from callboard.models import Step
from callboard.occurrences import Occurrences
from callboard.payload import Payload, decode, encode

if TYPE_CHECKING:
    from callboard.context import Reporter


class StepKey(NamedTuple):
    """What tells the steps of a run apart."""

    name: str
    occurrence: int
    """How many steps of this name the attempt began before it."""

    def __str__(self) -> str:
        return f"step {self.name!r} (occurrence {self.occurrence})"


Recorded: TypeAlias = Mapping[StepKey, Payload]
"""Results by their steps."""

Recording = concurrent.futures.Future[Recorded]
"""Done when it is known what is recorded."""

_inside: ContextVar[Steps | None] = ContextVar("callboard_inside_step", default=None)
"""The attempt whose step's function runs here, if one does; what that starts inherits it."""


class Steps:
    """The steps of one attempt. The threads and tasks of its handler share them."""

    def __init__(self, assignment: wire.agent.Assignment, reporter: Reporter) -> None:
        self._assignment = assignment
        self._reporter = reporter
        self._lock = threading.Lock()
        self._begun = Occurrences("step")
        self._recorded: Recording | None = None

    def begin(self, name: str) -> StepKey:
        """The key of the step that begins now. Raises InvalidArgument for a name that no step may have, and
        within the function of another step: it would be counted only by the attempts that run that one."""
        self._begun.check(name)
        if _inside.get() is self:
            raise invalid_argument("name", f"step {name!r} begins within another: call it behind that one")
        return StepKey(name, self._begun.next(name))

    def recorded(self) -> Recording:
        """What earlier attempts of the run recorded. What did not come whole is fetched once; when that
        fails, anew for the next who asks."""
        with self._lock:
            if self._recorded is None or _has_failed(self._recorded):
                self._recorded = self._whole() or self._reporter.fetch_steps(self._assignment.run)
            return self._recorded

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The function of a step runs."""
        token = _inside.set(self)
        try:
            yield
        finally:
            _inside.reset(token)

    def _whole(self) -> Recording | None:
        """What came with the assignment, unless there is more."""
        if len(self._assignment.steps) < self._assignment.step_count:
            return None
        recording = Recording()
        recording.set_result(by_key(Step.from_wire(step) for step in self._assignment.steps))
        return recording


def by_key(steps: Iterable[Step]) -> Recorded:
    """The results of steps, by what tells them apart."""
    return {StepKey(step.name, step.occurrence): step.payload for step in steps}


def read(key: StepKey, result: Payload) -> Any:
    """The value of a step's result. Raises ValueError, naming the step, when it can't be decoded."""
    try:
        return decode(result)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the result of {key} can't be decoded: {error}") from error


def record_of(key: StepKey, result: Any) -> wire.step.StepRecord:
    """What is to be recorded. Raises InvalidArgument, naming the step, when it can't be a payload."""
    payload = encode(result, f"the result of {key}")
    return wire.step.StepRecord(name=key.name, occurrence=key.occurrence, result=payload)


def _has_failed(recording: Recording) -> bool:
    return recording.done() and (recording.cancelled() or recording.exception() is not None)
