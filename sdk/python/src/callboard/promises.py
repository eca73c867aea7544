"""What handlers wait for: futures, by the tickets under which the session knows them."""

from __future__ import annotations

import concurrent.futures
import itertools
from typing import Generic, TypeVar

from callboard.errors import StatusError

T = TypeVar("T")

_tickets = itertools.count(1)


class Promises(Generic[T]):
    """Futures that are not done yet. Any thread may make one."""

    def __init__(self) -> None:
        self._futures: dict[int, concurrent.futures.Future[T]] = {}

    def make(self) -> tuple[int, concurrent.futures.Future[T]]:
        """A future, with its ticket."""
        ticket = next(_tickets)
        future = self._futures[ticket] = concurrent.futures.Future[T]()
        return ticket, future

    def keep(self, ticket: int, outcome: T | StatusError) -> None:
        """It is done: with this, or by failing with this error."""
        future = self._futures.pop(ticket, None)
        if future is not None:
            answer(future, outcome)

    def drop(self, ticket: int) -> None:
        """Nobody waits for it any longer."""
        self._futures.pop(ticket, None)


def answer(future: concurrent.futures.Future[T], outcome: T | Exception) -> None:
    """Has a future done, unless whoever waited has given up meanwhile."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
