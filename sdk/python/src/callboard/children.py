"""Children: tasks that a handler creates, once for all attempts of its run, and waits for without holding its
slot. See section 9 of `sdk/SPEC.md`."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import grpc

from callboard import wire
from callboard.blocking import wait_for
from callboard.calls import Call, create_child
from callboard.errors import DeadlineExceeded, NotFound, StatusError
from callboard.models import Receipt, Task
from callboard.occurrences import Occurrences
from callboard.pausing import Ends
from callboard.spec import TaskSpec

if TYPE_CHECKING:
    from callboard.context import Decided, Reporter

OnParentEnd: TypeAlias = Literal["CANCEL", "DETACH"]
"""What becomes of a child that has not ended when its parent's run ends."""


class ChildKey(NamedTuple):
    """What tells the children of a run apart."""

    name: str
    occurrence: int
    """How many children of this name the attempt began before it."""


class Children:
    """The children of one attempt. The threads and tasks of its handler share them."""

    def __init__(self, assignment: wire.agent.Assignment) -> None:
        self._assignment = assignment
        self._begun = Occurrences("child")

    def begin(self, name: str) -> ChildKey:
        """The key of the child that begins now. Raises InvalidArgument for a name that no child may have."""
        self._begun.check(name)
        return ChildKey(name, self._begun.next(name))

    def create(self, key: ChildKey, spec: TaskSpec, on_parent_end: OnParentEnd) -> Call[Receipt]:
        """The call that creates it."""
        return create_child(
            self._assignment.namespace,
            self._assignment.attempt,
            self._assignment.run,
            spec,
            name=key.name,
            occurrence=key.occurrence,
            on_parent_end=on_parent_end,
            given_id=None,
        )


class _Child:
    """What is the same for sync and async handlers."""

    def __init__(self, receipt: Receipt, spec: TaskSpec, reporter: Reporter) -> None:
        self.id: str = receipt.task_id
        """Its task id."""
        self.existing: bool = receipt.existing
        """An earlier attempt created it."""
        self._type = spec.type
        self._reporter = reporter

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, existing={self.existing})"

    def _task(self, end: wire.agent.TaskEnd) -> Task | None:
        """The child as its end tells it; None when the result must be fetched. Raises NotFound when there is
        none of its id."""
        if end.state == wire.task.TASK_STATE_UNSPECIFIED:
            raise NotFound(grpc.StatusCode.NOT_FOUND, f"there is no task {self.id}", "TASK_NOT_FOUND")
        if end.result_omitted:
            return None
        task = wire.task.Task(id=self.id, namespace=self._reporter.namespace, state=end.state, run=end.run)
        task.spec.type = self._type
        if end.HasField("result"):
            task.result.CopyFrom(end.result)
        if end.HasField("failure"):
            task.failure.CopyFrom(end.failure)
        return Task.from_wire(task)

    def _late(self, timeout: float | None) -> DeadlineExceeded:
        message = f"task {self.id} had not ended within {timeout:g} s"
        return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, message)


class Child(_Child):
    """A child of a sync handler's task."""

    def __init__(
        self, receipt: Receipt, spec: TaskSpec, reporter: Reporter, check_cancelled: Callable[[], None]
    ) -> None:
        super().__init__(receipt, spec, reporter)
        self._check_cancelled = check_cancelled

    def wait(self, timeout: float | None = None) -> Task:
        """Waits until it has ended, however, and gives it as it ended: `id`, `state`, `run`, `type`,
        `failure` and `result()`; `client.get` knows the rest. The handler's slot is free meanwhile.

        Raises DeadlineExceeded when the time is over before; NotFound when it was forgotten; Cancelled when
        the handler is to stop; FailedPrecondition (`STALE_ATTEMPT`) when the attempt is lost."""
        try:
            (end,) = wait_blocking(self._reporter, [self.id], 1, self._check_cancelled, timeout)
        except concurrent.futures.TimeoutError:
            raise self._late(timeout) from None
        return self._ended(end)

    def _ended(self, end: wire.agent.TaskEnd) -> Task:
        """The child, which ended so."""
        return self._task(end) or self._reporter.get_task(self.id).result()

    def result(self, timeout: float | None = None) -> Any:
        """Waits until it has ended, and gives its result. Raises TaskFailed when it did not complete, and
        what `wait` raises."""
        return self.wait(timeout).result()


class AsyncChild(_Child):
    """A child of an async handler's task."""

    async def wait(self, timeout: float | None = None) -> Task:
        """Waits until it has ended, however, as `Child.wait` does. Cancelling gives the wait up."""
        waited = self._reporter.wait_children([self.id], 1)
        try:
            (end,) = await asyncio.wait_for(asyncio.wrap_future(waited), timeout)
        except asyncio.TimeoutError:
            raise self._late(timeout) from None
        return await self._ended(end)

    async def _ended(self, end: wire.agent.TaskEnd) -> Task:
        """The child, which ended so."""
        task = self._task(end)
        if task is None:
            task = await asyncio.wrap_future(self._reporter.get_task(self.id))
        return task

    async def result(self, timeout: float | None = None) -> Any:
        """Waits until it has ended, and gives its result. Raises TaskFailed when it did not complete, and
        what `wait` raises."""
        return (await self.wait(timeout)).result()


def wait_blocking(
    reporter: Reporter,
    children: Sequence[str],
    count: int,
    check_cancelled: Callable[[], None],
    timeout: float | None = None,
    decided: Decided | None = None,
) -> Ends:
    """Waits in a sync handler until so many of these children have completed, or can't any more; `decided` is
    as in `Reporter.wait_children`. Raises what `check_cancelled` raises when the handler is to stop, and
    concurrent.futures.TimeoutError when the time is over before."""
    check_cancelled()
    waited = reporter.wait_children(children, count, decided)
    try:
        return wait_for(waited, check_cancelled, timeout)
    except StatusError:
        check_cancelled()
        raise
    finally:
        # Unless it is done: then this does nothing.
        waited.cancel()
