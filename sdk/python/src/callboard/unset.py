"""What was not given, where None is a value like any other."""

from __future__ import annotations


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()
"""Nothing was given: a field is left as it is, or empty."""
