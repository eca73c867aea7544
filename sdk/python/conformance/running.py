"""The two ways in which an agent is started: in the background, and by `Agent.run`, which handles signals."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from callboard import Agent

T = TypeVar("T")


class Running(Protocol):
    """An agent that was started."""

    agent: Agent

    async def wait(self, timeout: float) -> bool:
        """Whether it has ended, when that or the time is over; raises the error that ended it."""


class Background:
    """An agent that was started in the background."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        agent.start()

    async def wait(self, timeout: float) -> bool:
        return await in_thread(lambda: self.agent.wait(timeout))


class MainThread:
    """What is to run on the process's main thread: `Agent.run` handles signals there alone."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def do(self, job: Callable[[], None]) -> None:
        """Has it run, after the one before."""
        self._jobs.put(job)

    def serve(self) -> None:
        """Runs what comes, until the process ends."""
        while True:
            self._jobs.get()()


class SignalledAgent(Agent):
    """An agent that says when its `run` has started it, or could not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begun = False
        self.tried = threading.Event()

    def start(self) -> None:
        super().start()
        self.begun = True
        self.tried.set()


class Foreground:
    """An agent in its `run`, on the main thread. It has ended when `run` has."""

    def __init__(self, agent: Agent, over: asyncio.Future[None]) -> None:
        self.agent = agent
        self._over = over

    @staticmethod
    async def start(agent: SignalledAgent, main: MainThread) -> Foreground:
        """Runs it; returns when it was started, raises why it could not be."""
        over = asyncio.get_running_loop().create_future()

        def run() -> None:
            _settle(over, agent.run)
            agent.tried.set()

        main.do(run)
        await in_thread(agent.tried.wait)
        if not agent.begun:
            await over
        return Foreground(agent, over)

    async def wait(self, timeout: float) -> bool:
        await asyncio.wait([self._over], timeout=timeout)
        if not self._over.done():
            return False
        self._over.result()
        return True


async def in_thread(work: Callable[[], T]) -> T:
    """Does what blocks on a thread of its own: a pool's would make some wait for others, and would keep the
    process from ending."""
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    threading.Thread(target=_settle, args=(done, work), name="conformance-call", daemon=True).start()
    return await done


def _settle(done: asyncio.Future[T], work: Callable[[], T]) -> None:
    """Does it here, and tells whoever awaits it on another thread."""
    loop = done.get_loop()
    try:
        outcome = work()
    except BaseException as error:
        loop.call_soon_threadsafe(_unless_given_up, done, done.set_exception, error)
    else:
        loop.call_soon_threadsafe(_unless_given_up, done, done.set_result, outcome)


def _unless_given_up(done: asyncio.Future[T], settle: Callable[[Any], None], outcome: object) -> None:
    if not done.done():
        settle(outcome)
