"""From any thread to an event loop. Waking a loop is a system call, and its thread has to take its turn: what
is handed over meanwhile is carried along, so that a busy loop is woken seldom."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Job = Callable[[], None]


class Doorway:
    """The way to one loop. Jobs are run there in the order in which they are handed over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, behind: Job | None = None) -> None:
        """`behind` is run behind all jobs that came together."""
        self.loop = loop
        self._behind = behind
        self._jobs: deque[Job] = deque()
        self._woken = False

    def put(self, job: Job) -> None:
        """Hands a job over, from any thread. Raises RuntimeError when the loop is closed."""
        self._jobs.append(job)
        self._wake()

    def put_all(self, jobs: Iterable[Job]) -> None:
        """Hands several over, as `put` does."""
        self._jobs.extend(jobs)
        self._wake()

    def _wake(self) -> None:
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._run)
        except RuntimeError:
            self._woken = False
            raise

    def _run(self) -> None:
        # Before the jobs are counted: whoever sees it still set has put theirs in before.
        self._woken = False
        for _ in range(len(self._jobs)):
            self._run_one(self._jobs.popleft())
        if self._behind is not None:
            self._run_one(self._behind)

    def _run_one(self, job: Job) -> None:
        try:
            job()
        except Exception as error:  # the others are not to be lost with it
            self.loop.call_exception_handler({"message": "a job failed", "exception": error})


class _Leaving:
    """Jobs that leave a loop for others. Those of one turn are handed over together, behind it: with the
    first alone the other thread would be woken, and take its turn for that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._jobs: dict[Doorway, list[Job]] = {}

    def put(self, there: Doorway, job: Job) -> None:
        if not self._jobs:
            self.loop.call_soon(self._hand_over)
        jobs = self._jobs.get(there)
        if jobs is None:
            self._jobs[there] = [job]
        else:
            jobs.append(job)

    def _hand_over(self) -> None:
        leaving, self._jobs = self._jobs, {}
        for there, jobs in leaving.items():
            # That loop may be gone, with whoever waited there.
            with contextlib.suppress(RuntimeError):
                there.put_all(jobs)


_of_thread = threading.local()


def hand_over(there: Doorway, job: Job) -> None:
    """Hands a job over from the loop that runs here, together with the others of this turn. Where the other
    loop is closed the job is dropped."""
    loop = asyncio.get_running_loop()
    leaving: _Leaving | None = getattr(_of_thread, "leaving", None)
    if leaving is None or leaving.loop is not loop:
        leaving = _of_thread.leaving = _Leaving(loop)
    leaving.put(there, job)


def own_doorway() -> Doorway:
    """The way back to the loop that runs here."""
    loop = asyncio.get_running_loop()
    doorway: Doorway | None = getattr(_of_thread, "doorway", None)
    if doorway is None or doorway.loop is not loop:
        doorway = _of_thread.doorway = Doorway(loop)
    return doorway


class _Crossing(Generic[T]):
    """A coroutine that runs on another loop than that on which it is awaited."""

    def __init__(self, work: Coroutine[Any, Any, T], there: Doorway) -> None:
        self._work = work
        self._there = there
        self._back = own_doorway()
        self._done: asyncio.Future[T] = self._back.loop.create_future()
        self._task: asyncio.Task[T] | None = None
        self._given_up = False

    async def outcome(self) -> T:
        """What it gives. Cancelling this cancels it."""
        try:
            self._there.put(self._begin)
        except RuntimeError:
            self._work.close()
            raise
        try:
            return await self._done
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):
                self._there.put(self._give_up)
            raise

    def _begin(self) -> None:
        if self._given_up:
            self._work.close()
            return
        self._task = self._there.loop.create_task(self._work)
        self._task.add_done_callback(self._ended)

    def _give_up(self) -> None:
        self._given_up = True
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[T]) -> None:
        # The caller's loop may be gone, with whoever awaited.
        with contextlib.suppress(RuntimeError):
            self._back.put(self._tell)
        if not task.cancelled():
            task.exception()  # told to whoever awaits

    def _tell(self) -> None:
        if self._done.done() or self._task is None:
            return
        if self._task.cancelled():
            self._done.cancel()
        elif (error := self._task.exception()) is not None:
            self._done.set_exception(error)
        else:
            self._done.set_result(self._task.result())


async def cross(work: Coroutine[Any, Any, T], there: Doorway) -> T:
    """Awaits, on the caller's loop, a coroutine that runs on another. Cancelling one cancels the other."""
    return await _Crossing(work, there).outcome()
