"""What crosses from threads to event loops, and a timer whose time changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import LONG

from callboard.crossing import Doorway, cross, hand_over
from callboard.loop import LoopThread
from callboard.timer import Timer


@pytest.fixture
def there() -> Iterator[LoopThread]:
    thread = LoopThread("there")
    yield thread
    thread.stop()
    thread.get().close()


async def _give(value: Any) -> Any:
    await asyncio.sleep(0)
    if isinstance(value, BaseException):
        raise value
    return value, threading.current_thread().name


def test_what_is_awaited_runs_there_and_comes_back(there: LoopThread) -> None:
    async def main() -> None:
        given = await asyncio.gather(*(cross(_give(n), there.doorway()) for n in range(100)))
        assert given == [(number, "there") for number in range(100)]
        with pytest.raises(KeyError):
            await cross(_give(KeyError()), there.doorway())

    asyncio.run(main())


def test_cancelling_the_one_cancels_the_other_and_back(there: LoopThread) -> None:
    began, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def main() -> None:
        waiting = asyncio.create_task(cross(forever(), there.doorway()))
        await asyncio.get_running_loop().run_in_executor(None, began.wait, LONG)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await cross(_give(asyncio.CancelledError()), there.doorway())

    asyncio.run(main())
    assert ended.wait(LONG)


def test_a_loop_that_is_closed_is_an_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await cross(_give(1), Doorway(loop))

    asyncio.run(main())


def test_jobs_of_many_threads_are_all_run_and_one_that_fails_is_told(there: LoopThread) -> None:
    doorway, count, done = Doorway(there.get()), 0, threading.Event()
    failed: list[Any] = []
    there.get().set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def job() -> None:
        nonlocal count
        count += 1
        if count == 4000:
            done.set()
        if count == 7:
            raise KeyError

    def put() -> None:
        for _ in range(1000):
            doorway.put(job)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.wait(LONG)
    assert [type(error) for error in failed] == [KeyError]


def test_what_one_turn_hands_over_goes_together_and_in_order(there: LoopThread) -> None:
    turns: list[list[int]] = [[]]
    done = threading.Event()
    doorway = Doorway(there.get(), behind=lambda: turns.append([]))

    async def main() -> None:
        async def one(number: int) -> None:
            hand_over(doorway, lambda: turns[-1].append(number))

        await asyncio.gather(*(one(number) for number in range(100)))
        hand_over(Doorway(closed), lambda: pytest.fail("it ran"))
        hand_over(doorway, done.set)
        await asyncio.sleep(0)

    closed = asyncio.new_event_loop()
    closed.close()
    asyncio.run(main())
    assert done.wait(LONG)
    assert turns[0] == list(range(100))
    with pytest.raises(RuntimeError):
        hand_over(doorway, done.set)


def test_a_timer_goes_off_at_its_latest_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        went_off: asyncio.Future[float] = loop.create_future()
        timer = Timer(lambda: went_off.set_result(loop.time()))
        began = loop.time()
        timer.set(began + 100)
        timer.set(began + 0.01)
        timer.set(began + 0.05)  # later than it was set before
        assert await asyncio.wait_for(went_off, LONG) >= began + 0.05
        timer.set(loop.time() + 100)
        timer.cancel()

    asyncio.run(main())


def test_a_timer_without_a_time_does_not_go_off() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timer, behind = Timer(lambda: pytest.fail("it went off")), asyncio.Event()
        timer.set(loop.time() + 0.01)
        timer.set(None)
        loop.call_later(0.05, behind.set)
        await behind.wait()

    asyncio.run(main())
