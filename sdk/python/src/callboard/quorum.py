"""Waiting for some of several children, and what becomes of the rest. See section 9 of `sdk/SPEC.md`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from callboard import wire
from callboard.blocking import wait_for
from callboard.children import AsyncChild, Child, wait_blocking
from callboard.errors import NotFound, StatusError, TaskFailed, invalid_argument
from callboard.models import Receipt, Task, TaskState
from callboard.pausing import Ends

if TYPE_CHECKING:
    from callboard.context import Reporter

Rest: TypeAlias = Literal["KEEP", "CANCEL"]
"""What becomes of the children that have not ended when a wait for some is over."""

AnyChild = TypeVar("AnyChild", Child, AsyncChild)


class Quorum(Generic[AnyChild]):
    """So many of these children, all of them unless said."""

    def __init__(self, children: Sequence[AnyChild], count: int | None, rest: Rest) -> None:
        self._children: dict[str, AnyChild] = {child.id: child for child in children}
        self._count = len(children) if count is None else count
        self._cancels = rest == "CANCEL"
        if len(self._children) < len(children):
            raise invalid_argument("children", "a child stands there twice: give each once")
        if count is not None and not 1 <= count <= len(children):
            fault = f"count is {count}: it is 1 to the number of children, which is {len(children)}"
            raise invalid_argument("count", fault)
        if rest not in ("KEEP", "CANCEL"):
            raise invalid_argument("rest", f"rest {rest!r} is unknown: it is KEEP or CANCEL")

    def wait(self: Quorum[Child], reporter: Reporter, check_cancelled: Callable[[], None]) -> list[Task]:
        """Waits in a sync handler until they have completed, and gives those that have."""
        if not self._children:
            return []
        rest = Cancellations(reporter, self._children)
        decided = rest.begin if self._cancels else None
        children = list(self._children)
        ends = wait_blocking(reporter, children, self._count, check_cancelled, decided=decided)
        for cancellation in rest.begun:
            with contextlib.suppress(StatusError):
                wait_for(cancellation, check_cancelled)
        tasks = _completed([self._children[end.task_id]._ended(end) for end in self._telling(ends)])
        _raise_fault(cancellation.exception() for cancellation in rest.begun)
        return tasks

    async def wait_async(self: Quorum[AsyncChild], reporter: Reporter) -> list[Task]:
        """The same in an async handler."""
        if not self._children:
            return []
        rest = Cancellations(reporter, self._children)
        decided = rest.begin if self._cancels else None
        ends = await asyncio.wrap_future(reporter.wait_children(list(self._children), self._count, decided))
        outcomes = await asyncio.gather(*map(asyncio.wrap_future, rest.begun), return_exceptions=True)
        telling = (self._children[end.task_id]._ended(end) for end in self._telling(ends))
        tasks = _completed(await asyncio.gather(*telling))
        _raise_fault(outcomes)
        return tasks

    def _telling(self, ends: Ends) -> list[wire.agent.TaskEnd]:
        """The ends that tell how it came out: of those that completed, or, when they are too few, of the
        first that ended badly."""
        completed = [end for end in ends if end.state == wire.task.TASK_STATE_COMPLETED]
        if len(completed) >= self._count:
            return completed
        return [end for end in ends if end.state != wire.task.TASK_STATE_COMPLETED][:1]


class Cancellations:
    """Those of the children that have not ended when it is decided how a wait for some comes out. That may be
    long before the handler goes on: one of them may have the slot that it needs."""

    def __init__(self, reporter: Reporter, children: Iterable[str]) -> None:
        self._reporter = reporter
        self._children = children
        self.begun: list[concurrent.futures.Future[Receipt]] = []
        """Complete when the wait is over."""

    def begin(self, ends: Ends) -> None:
        """Cancels those without an end: all at once, for a run has at most 1,000 children. The requests are
        the same in every attempt."""
        ended = {end.task_id for end in ends}
        rest = (child for child in self._children if child not in ended)
        self.begun = [self._reporter.cancel_task(child, f"rest/{child}") for child in rest]


def _completed(tasks: list[Task]) -> list[Task]:
    """These tasks, which must all have completed."""
    for task in tasks:
        if task.state != TaskState.COMPLETED:
            raise TaskFailed(task)
    return tasks


def _raise_fault(cancellations: Iterable[object]) -> None:
    """Raises the first error among what cancellations gave. A child that there is no more had ended."""
    for outcome in cancellations:
        if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
            raise outcome
