"""What tells the steps of a run apart, and its children: their name, and how many of that name began
before."""

from __future__ import annotations

import threading
from collections import Counter

from callboard.errors import invalid_argument

MAX_NAME = 128
"""The most bytes of a name."""


class Occurrences:
    """Counts what begins, by its name. The threads and tasks of a handler share it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._begun: Counter[str] = Counter()

    def next(self, name: str) -> int:
        """How many of this name began before this one, which begins now."""
        with self._lock:
            occurrence = self._begun[name]
            self._begun[name] += 1
        return occurrence

    def check(self, name: str) -> None:
        """Raises InvalidArgument for a name that nothing may have."""
        try:
            size = len(name.encode())
        except UnicodeEncodeError as error:
            raise invalid_argument("name", f"name is not valid Unicode at index {error.start}") from None
        if not 1 <= size <= MAX_NAME:
            raise invalid_argument(
                "name", f"name has {size} bytes; the name of a {self._what} has 1 to {MAX_NAME}"
            )
