"""What the tasks with a limit key may do, all agents and servers together."""

from __future__ import annotations

from dataclasses import dataclass

from callboard import convert, wire
from callboard.convert import Seconds


@dataclass(frozen=True)
class Limit:
    """What the tasks with a limit key (`limit_keys` of TaskSpec) may do, as in
    `Limit("model/large", max_concurrent=4, rate=60, rate_period=60)`. It counts from when it is set: what
    runs beyond it goes on."""

    key: str
    """The key. One that ends with `*` is the limit of each key that begins with what stands before it and has
    none of its own; of several the longest: `tenant/*` lets each tenant have so much."""
    max_concurrent: int | None = None
    """How many tasks with the key may hold a slot at once; None means any number."""
    rate: int | None = None
    """How many attempts may be given out in each `rate_period`, those that are handed back, too; None means
    any number. As many may be given out at once behind a time without any."""
    rate_period: Seconds | None = None
    """The time that `rate` is for, 1 ms to 24 h; None means a second. Only with `rate`."""

    def to_wire(self) -> wire.namespace_service.Limit:
        return wire.namespace_service.Limit(
            key=self.key,
            max_concurrent=self.max_concurrent,
            rate=self.rate,
            rate_period=convert.duration(self.rate_period),
        )

    @staticmethod
    def from_wire(limit: wire.namespace_service.Limit) -> Limit:
        has_period = limit.HasField("rate_period")
        return Limit(
            key=limit.key,
            max_concurrent=limit.max_concurrent if limit.HasField("max_concurrent") else None,
            rate=limit.rate if limit.HasField("rate") else None,
            rate_period=convert.duration_seconds(limit.rate_period) if has_period else None,
        )
