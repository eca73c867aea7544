"""Plain Python values to and from protobuf's: times, durations, names of enum values."""

from __future__ import annotations

import datetime as dt
from typing import Any, overload

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

Seconds = float | dt.timedelta
"""A length of time: seconds, or a timedelta."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MICROSECOND = dt.timedelta(microseconds=1)


def seconds(value: Seconds) -> float:
    """A length of time in seconds."""
    return value.total_seconds() if isinstance(value, dt.timedelta) else float(value)


@overload
def duration(value: Seconds) -> Duration: ...
@overload
def duration(value: None) -> None: ...
@overload
def duration(value: Seconds | None) -> Duration | None: ...
def duration(value: Seconds | None) -> Duration | None:
    """A length of time for the wire, rounded to microseconds; None stays None."""
    if value is None:
        return None
    micros = round(seconds(value) * 1_000_000)
    whole, rest = divmod(abs(micros), 1_000_000)
    sign = -1 if micros < 0 else 1
    return Duration(seconds=sign * whole, nanos=sign * rest * 1_000)


def duration_seconds(value: Duration) -> float:
    """A length of time from the wire, in seconds."""
    return value.seconds + value.nanos / 1e9


@overload
def timestamp(value: dt.datetime) -> Timestamp: ...
@overload
def timestamp(value: None) -> None: ...
@overload
def timestamp(value: dt.datetime | None) -> Timestamp | None: ...
def timestamp(value: dt.datetime | None) -> Timestamp | None:
    """A time for the wire; one without a zone is refused, because guessing it would be wrong elsewhere."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: add one, like tzinfo=datetime.timezone.utc")
    micros = (value - _EPOCH) // _MICROSECOND
    whole, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=whole, nanos=rest * 1_000)


def datetime(message: Any, field: str) -> dt.datetime | None:
    """The time in a field of a message, in UTC; None when it is unset."""
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    return _EPOCH + dt.timedelta(seconds=value.seconds, microseconds=value.nanos // 1_000)


def enum_name(enum: Any, number: int, prefix: str) -> str:
    """The name of an enum value without its prefix; a value newer than this SDK is shown as its number."""
    value = enum.DESCRIPTOR.values_by_number.get(number)
    return str(number) if value is None else str(value.name).removeprefix(prefix)


def enum_number(enum: Any, name: str, prefix: str, field: str) -> int:
    """The number of an enum value from its name, in capitals or not."""
    value = enum.DESCRIPTOR.values_by_name.get(prefix + name.upper())
    if value is None:
        known = ", ".join(v.name.removeprefix(prefix) for v in enum.DESCRIPTOR.values if v.number != 0)
        raise ValueError(f"{field} {name!r} is unknown: it is one of {known}")
    return int(value.number)
