"""A timer whose time changes all the while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """Calls a function at a time that changes all the while. One that becomes later is left to go off early,
    and is set anew then: that costs less than to set it anew each time."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._handle: asyncio.TimerHandle | None = None
        self._due: float | None = None

    def set(self, due: float | None) -> None:
        """It goes off then, and not before; never, if None."""
        self._due = due
        if due is None or (self._handle is not None and self._handle.when() <= due):
            return
        self.cancel()
        self._due = due
        self._handle = asyncio.get_running_loop().call_at(due, self._went_off)

    def cancel(self) -> None:
        """It doesn't go off."""
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _went_off(self) -> None:
        self._handle = None
        due = self._due
        if due is None:
            return
        if due > asyncio.get_running_loop().time():
            self.set(due)
        else:
            self._function()
