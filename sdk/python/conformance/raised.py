"""Telling what the SDK raised from what is the driver's own fault."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from callboard import CallboardError
from conformance.lines import Fault

log = logging.getLogger("conformance")


class Raised(Exception):
    """The SDK raised this: an observation like any other."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def of_sdk() -> Iterator[None]:
    """Stands around whatever the SDK is asked for. Cancellation counts: a closed client may end calls so."""
    try:
        yield
    except (Fault, Raised):
        raise
    except BaseException as error:
        if not isinstance(error, CallboardError):
            log.info("the SDK raised what is not its own", exc_info=error)
        raise Raised(error) from error
