"""How sync handlers wait: they look now and then whether they are to stop, for nobody can interrupt them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TICK = 0.1
"""Seconds between two looks."""


def wait_for(
    future: concurrent.futures.Future[T],
    check_cancelled: Callable[[], None],
    timeout: float | None = None,
) -> T:
    """What a future gives or raises. Raises what `check_cancelled` raises as soon as the handler is to stop,
    and concurrent.futures.TimeoutError when the time is over before."""
    left = timeout
    while not future.done():
        tick = TICK if left is None else min(TICK, left)
        if not concurrent.futures.wait([future], tick).done:
            check_cancelled()
            if left is not None:
                left -= tick
                if left <= 0:
                    raise concurrent.futures.TimeoutError
    return future.result()
