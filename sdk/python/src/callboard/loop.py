"""The SDK's own thread with its event loop, on which all connections live.

There is one in a process: grpc.aio polls badly when several loops use it at once, and a handler or caller
that blocks its own thread must never stop a heartbeat."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_owner = 0


def get() -> asyncio.AbstractEventLoop:
    """The running loop; the thread is started by the first who asks, and anew in a forked child."""
    global _loop, _thread, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop = asyncio.new_event_loop()
            _owner = os.getpid()
            _thread = threading.Thread(target=_run, args=(_loop,), name="callboard-io", daemon=True)
            _thread.start()
        return _loop


def submit(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Runs a coroutine on the loop."""
    return asyncio.run_coroutine_threadsafe(work, get())


def block_on(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the loop and waits for it. An interrupted wait cancels it."""
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def bridge(work: Coroutine[Any, Any, T]) -> T:
    """Awaits, on the caller's loop, a coroutine that runs on the SDK's. Cancelling one cancels the other."""
    return await asyncio.wrap_future(submit(work))


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
    if _loop is not None and _thread is not None and _owner == os.getpid():
        _loop.call_soon_threadsafe(_loop.stop)
        _thread.join(timeout=2.0)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
