"""Lines: JSON objects that are read from standard input and written to standard output."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, NoReturn, TypeAlias

Line: TypeAlias = dict[str, Any]

MAX_LINE = 16 * 1024 * 1024
"""The most bytes of a line, without its end."""


class Fault(Exception):
    """The driver itself can't do what it is asked for; what the SDK raises is never one."""


def read(text: bytes) -> tuple[Line, list[str]]:
    """The object of a line, and the numbers in it that Python would change: what isn't whole is a float
    there. A scenario that wants more must hear so, lest it take the driver's rounding for the SDK's."""
    changed: list[str] = []

    def to_float(number: str) -> float:
        value = float(number)
        if not math.isfinite(value) or Decimal(repr(value)) != Decimal(number):
            changed.append(number)
        return value

    try:
        line = json.loads(text, parse_float=to_float, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Fault(f"the line is not JSON: {error}") from None
    if not isinstance(line, dict):
        raise Fault("the line is not a JSON object")
    return line, changed


def write(line: Line) -> bytes:
    """The line of an object; a Fault when it can't be one."""
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise Fault(f"the answer can't be written as JSON: {error}") from None
    if len(text) > MAX_LINE:
        raise Fault(f"the answer has {len(text)} bytes, more than {MAX_LINE}")
    return text + b"\n"


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def lines_of(source: BinaryIO) -> Iterator[bytes | Fault]:
    """The lines of a stream until its end; a Fault in place of one that is too long."""
    while text := source.readline(MAX_LINE + 1):
        if len(text) <= MAX_LINE or text.endswith(b"\n"):
            yield text
            continue
        while text and not text.endswith(b"\n"):
            text = source.readline(MAX_LINE)
        yield Fault(f"the line has more than {MAX_LINE} bytes")


class Output:
    """Standard output, for lines alone. Any thread may write."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    @staticmethod
    def take() -> Output:
        """Takes standard output over: what anybody else prints goes to standard error."""
        sys.stdout.flush()
        sink = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        return Output(sink)

    def say(self, line: Line) -> None:
        """Writes a line, at once."""
        text = write(line)
        with self._lock:
            self._sink.write(text)
            self._sink.flush()
