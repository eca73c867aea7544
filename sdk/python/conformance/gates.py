"""Gates: handlers wait at them until the runner opens them."""

from __future__ import annotations

import threading
from concurrent.futures import Future


class Gates:
    """All gates of the process. Any thread may come, and open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._waiting: dict[str, list[Future[None]]] = {}

    def open(self, gate: str) -> None:
        """Opens one, for good."""
        with self._lock:
            self._open.add(gate)
            waiting = self._waiting.pop(gate, [])
        for passing in waiting:
            # Whoever waited may have been cancelled meanwhile.
            if passing.set_running_or_notify_cancel():
                passing.set_result(None)

    def passing(self, gate: str) -> Future[None]:
        """Done when the gate is open."""
        passing: Future[None] = Future()
        with self._lock:
            if gate not in self._open:
                self._waiting.setdefault(gate, []).append(passing)
                return passing
        passing.set_result(None)
        return passing
