"""Waiting for what a test expects, with a limit."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from callboard import Agent

LONG = 20.0
"""Seconds that anything may take, on a slow machine that does much else."""

T = TypeVar("T")

_numbers = itertools.count(1)


def unique(name: str) -> str:
    """A name that no other test uses."""
    return f"{name}-{next(_numbers)}"


def until(what: str, look: Callable[[], T | None]) -> T:
    """Looks again and again until there is something."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {LONG:g} s in vain for {what}")


class Told(Generic[T]):
    """What a handler tells its test."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()

    def tell(self, item: T) -> None:
        self._items.put(item)

    def next(self) -> T:
        return self._items.get(timeout=LONG)

    def some(self, count: int) -> list[T]:
        return [self.next() for _ in range(count)]

    def empty(self) -> bool:
        return self._items.empty()


def attached(agent: Agent) -> Agent:
    """Starts an agent and waits until it is attached."""
    agent.start()
    assert agent.wait_attached(LONG)
    return agent


def drained(*agents: Agent) -> None:
    """Drains agents and waits for their ends."""
    for agent in agents:
        agent.drain()
    for agent in agents:
        assert agent.wait(LONG)
