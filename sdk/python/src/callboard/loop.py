"""The SDK's own threads with their event loops: one on which all connections live, and one for the
interceptors of blocking clients.

There is one of the first in a process: grpc.aio polls badly when several loops use it at once, and a handler
or caller that blocks its own thread must never stop a heartbeat. Nothing of a user's runs on it."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from callboard.crossing import Doorway, cross

T = TypeVar("T")


class LoopThread:
    """A thread that runs an event loop; it is started by the first who asks, and anew in a forked child."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._doorway: Doorway | None = None
        self._thread: threading.Thread | None = None
        self._owner = 0

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        return self.doorway().loop

    def doorway(self) -> Doorway:
        """The way to it."""
        doorway = self._doorway
        if doorway is not None and self._owner == os.getpid():
            return doorway
        with self._lock:
            if self._doorway is None or self._owner != os.getpid():
                loop = asyncio.new_event_loop()
                self._doorway = Doorway(loop)
                self._owner = os.getpid()
                self._thread = threading.Thread(target=_run, args=(loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._doorway

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs a coroutine on the loop, in the caller's context (of `contextvars`)."""
        return asyncio.run_coroutine_threadsafe(work, self.get())

    def block_on(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the loop and waits for it. An interrupted wait cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the loop, and what still runs on it."""
        if self._doorway is not None and self._thread is not None and self._owner == os.getpid():
            loop = self._doorway.loop
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(timeout=2.0)

    def after_fork(self) -> None:
        """In a forked child: a thread that is no more can't hold the lock."""
        self._lock = threading.Lock()


io = LoopThread("callboard-io")
"""Where all connections live."""
interceptors = LoopThread("callboard-interceptors")
"""Where interceptors of blocking clients run."""


def get() -> asyncio.AbstractEventLoop:
    """The loop of all connections."""
    return io.get()


def submit(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Runs a coroutine on the loop of all connections."""
    return io.submit(work)


def block_on(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the loop of all connections and waits for it. An interrupted wait cancels it."""
    return io.block_on(work)


async def bridge(work: Coroutine[Any, Any, T]) -> T:
    """Awaits, on the caller's loop, a coroutine that runs on the loop of all connections. Cancelling one
    cancels the other."""
    return await cross(work, io.doorway())


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


@atexit.register
def _stop() -> None:
    # Streams are ended while the interpreter is still whole; a daemon thread in the midst of gRPC at exit can
    # crash it.
    interceptors.stop()
    io.stop()


def _after_fork() -> None:
    interceptors.after_fork()
    io.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
