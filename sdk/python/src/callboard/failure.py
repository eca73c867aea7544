"""How a handler's error becomes the failure of its attempt."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, TypeAlias

from callboard import wire
from callboard.convert import duration
from callboard.errors import Cancelled, InvalidArgument, TaskError
from callboard.payload import Payload, encode

WireFailure: TypeAlias = wire.payload.Failure

CANCELLED = "callboard.cancelled"
# The SDK's own. Another attempt would meet the same input and the same code.
INVALID_INPUT = "InvalidInput"
INVALID_RESULT = "InvalidResult"

# The server cuts longer ones; cutting here keeps a huge message from passing the limit of a frame.
_MAX_TYPE = 256
_MAX_MESSAGE = 16 * 1024
_MAX_CAUSES = 8


def is_cancellation(error: BaseException) -> bool:
    """Whether a handler stopped with it because it was told to."""
    return isinstance(error, (Cancelled, asyncio.CancelledError, concurrent.futures.CancelledError))


def cancelled_failure() -> WireFailure:
    """The failure of a handler that stopped because it was told to."""
    return WireFailure(type=CANCELLED, message="the handler stopped because it was told to", retryable=False)


def refused_result(why: str) -> WireFailure:
    """The failure of an attempt whose result the server would not take for what it holds."""
    return WireFailure(type=INVALID_RESULT, message=cut(why, _MAX_MESSAGE), retryable=False)


def failure_of(error: BaseException) -> WireFailure:
    """The failure that an error stands for, with its causes."""
    failure = _one(error)
    if isinstance(error, TaskError) and error.details is not None:
        failure.details.CopyFrom(_details(error.details))
    at, inner = failure, error
    seen = {id(error)}
    for _ in range(_MAX_CAUSES):
        cause = inner.__cause__ or (None if inner.__suppress_context__ else inner.__context__)
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        at.cause.CopyFrom(_one(cause))
        at, inner = at.cause, cause
    return failure


def _one(error: BaseException) -> WireFailure:
    if not isinstance(error, TaskError):
        return WireFailure(
            type=cut(type(error).__name__, _MAX_TYPE), message=cut(_text(error), _MAX_MESSAGE), retryable=True
        )
    return WireFailure(
        type=cut(error.type, _MAX_TYPE),
        message=cut(error.message, _MAX_MESSAGE),
        retryable=error.retryable,
        retry_after=duration(error.retry_after),
    )


def _details(value: Any) -> Payload:
    # Only the outermost error's: eight payloads would not fit into a frame.
    try:
        return encode(value, "details")
    except InvalidArgument as refused:
        # The failure itself is worth more than its details.
        return encode(refused.message, "details")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a broken __str__ must not hide that the handler failed
        return "the error has no readable text"


def cut(text: str, limit: int) -> str:
    """The text in at most so many bytes of UTF-8, never ending within a character."""
    content = text.encode(errors="replace")
    return content[:limit].decode(errors="ignore")
