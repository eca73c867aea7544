"""When a call is tried again, and after how long. Pure: time and randomness are passed in."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from callboard.errors import StatusError

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


def jittered(delay: float, random: Callable[[], float]) -> float:
    """A random part of a delay, between half and the whole, so that clients don't come in step."""
    return delay * (0.5 + 0.5 * random())


class Backoff:
    """Delays that double from 100 ms to 5 s, with jitter. `random` gives numbers from 0 to 1."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._next = FIRST_DELAY

    def reset(self) -> None:
        """Begins again at the first delay."""
        self._next = FIRST_DELAY

    def delay(self, asked: float | None = None) -> float:
        """The next delay in seconds. `asked` is the server's, and then counts instead."""
        doubling = self._next
        self._next = min(doubling * 2, LONGEST_DELAY)
        return jittered(doubling if asked is None else asked, self._random)


def retryable(error: StatusError) -> bool:
    """Whether the call may be tried again: UNAVAILABLE, and what the server says so of. Nothing else."""
    return error.code is grpc.StatusCode.UNAVAILABLE or error.retry_delay is not None


class Retries:
    """The retries of one call, which end at its deadline (on the caller's monotonic clock)."""

    def __init__(self, deadline: float, random: Callable[[], float]) -> None:
        self._deadline = deadline
        self._backoff = Backoff(random)

    def delay(self, error: StatusError, now: float) -> float | None:
        """Seconds until the next try; None when the error is to be raised."""
        if not retryable(error):
            return None
        delay = self._backoff.delay(error.retry_delay)
        return delay if now + delay < self._deadline else None
