"""Threads for sync handlers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]


class Workers:
    """Runs every job at once, on an idle thread or a new one, and keeps as many idle ones as there are slots.

    A plain thread pool would queue a task behind a handler that ignores its cancellation, though the server
    has given the slot anew; and its threads would keep the process from ending."""

    def __init__(self, keep: int, name: str) -> None:
        self._keep = keep
        self._name = name
        self._lock = threading.Lock()
        self._idle = 0
        self._closed = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def run(self, job: Job) -> None:
        """Runs a job; it must not raise."""
        with self._lock:
            reuse = self._idle > 0
            if reuse:
                self._idle -= 1
        if reuse:
            self._jobs.put(job)
        else:
            threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()

    def close(self) -> None:
        """Ends the idle threads; the others end after their job."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _work(self, first: Job) -> None:
        job: Job | None = first
        while job is not None:
            job()
            with self._lock:
                if self._closed or self._idle >= self._keep:
                    return
                self._idle += 1
            job = self._jobs.get()
