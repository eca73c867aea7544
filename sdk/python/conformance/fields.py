"""The fields of instructions and their parts. What is missing, of the wrong type or unknown is a Fault: a
scenario must never test less than it says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from conformance import values
from conformance.lines import Fault, Line

Read: TypeAlias = Callable[[Any], Any]
"""Reads what stands in a field; raises ValueError, which says what it should be."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a string")
    return value


def whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("is not a whole number")
    return value


def number(value: Any) -> float:
    return value if isinstance(value, float) else whole(value)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def item(value: Any) -> Line:
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    return value


def items(value: Any) -> list[Line]:
    return [item(one) for one in _list(value)]


def texts(value: Any) -> list[str]:
    return [text(one) for one in _list(value)]


def text_map(value: Any) -> dict[str, str]:
    return {name: text(one) for name, one in item(value).items()}


def number_map(value: Any) -> dict[str, float]:
    return {name: number(one) for name, one in item(value).items()}


def seconds(value: Any) -> float:
    """Milliseconds, as the SDK has lengths of time."""
    return whole(value) / 1000


def time(value: Any) -> dt.datetime:
    """Milliseconds since 1970, as the SDK has points in time."""
    try:
        return EPOCH + dt.timedelta(milliseconds=whole(value))
    except OverflowError:
        raise ValueError("is no time that Python knows") from None


def time_or_none(value: Any) -> dt.datetime | None:
    return None if value is None else time(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("is not a list")
    return value


class Option(NamedTuple):
    """A field that may be absent, and the argument of the SDK that it is for."""

    field: str
    read: Read
    argument: str = ""
    """Empty: its name is the field's."""


class Fields:
    """The fields of one object, which are taken one by one."""

    def __init__(self, line: Line, where: str) -> None:
        self._left = dict(line)
        self.where = where
        """What the object is, for Faults."""

    def take(self, field: str, read: Read) -> Any:
        """A field that must be there."""
        if field not in self._left:
            raise Fault(f"{self.where}: `{field}` is missing")
        try:
            return read(self._left.pop(field))
        except ValueError as error:
            raise Fault(f"{self.where}: `{field}` {error}") from None

    def get(self, field: str, read: Read, default: Any = None) -> Any:
        """A field that may be absent."""
        return self.take(field, read) if field in self._left else default

    def given(self, *options: Option) -> dict[str, Any]:
        """The arguments of those options that are there: the SDK's defaults hold for the others."""
        return {
            option.argument or option.field: self.take(option.field, option.read)
            for option in options
            if option.field in self._left
        }

    def all_taken(self) -> None:
        """A Fault when a field is left: the driver does not know it."""
        if self._left:
            names = ", ".join(f"`{name}`" for name in self._left)
            raise Fault(f"{self.where}: {names} is unknown")


value = values.read
"""Reads a value: see "Values" in DRIVER.md."""
