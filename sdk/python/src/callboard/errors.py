"""What the SDK raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from callboard.convert import Seconds, duration_seconds

if TYPE_CHECKING:
    from callboard.models import Task

ERROR_DOMAIN = "callboard.dev"
_DETAILS_KEY = "grpc-status-details-bin"


class CallboardError(Exception):
    """The base of all that the SDK raises."""


@dataclass(frozen=True)
class FieldViolation:
    """A field that has a value it may not have."""

    field: str
    description: str


class StatusError(CallboardError):
    """A call was refused or failed. Its kinds are subclasses; codes without one are this class itself."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """The gRPC status."""
        self.message = message
        """What the server said."""
        self.reason = reason
        """The name from `ErrorReason` without its prefix; empty if there is none."""
        self.violations = tuple(violations)
        """The fields that are wrong."""
        self.retry_delay = retry_delay
        """Seconds after which the server wants to be asked again, if it said so."""

    def __str__(self) -> str:
        reason = f" {self.reason}" if self.reason else ""
        return f"{self.code.name}{reason}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.reason, self.violations, self.retry_delay)


class InvalidArgument(StatusError):
    """A value may not be what it is."""


class NotFound(StatusError):
    """There is no such task, agent or namespace."""


class AlreadyExists(StatusError):
    """There is one of this key or name."""


class FailedPrecondition(StatusError):
    """The state of the task or agent does not allow it."""


class PermissionDenied(StatusError):
    """It belongs to someone else."""


class ResourceExhausted(StatusError):
    """A limit is reached."""


class Unavailable(StatusError):
    """No server could be reached, or none could decide now."""


class DeadlineExceeded(StatusError, TimeoutError):
    """The time was over before the answer came."""


class TaskFailed(CallboardError):
    """A task whose result was asked for did not complete."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.task = task
        """The task, with its state and failure."""

    def __str__(self) -> str:
        failure = self.task.failure
        how = f": {failure.type}: {failure.message}" if failure else ""
        return f"task {self.task.id} ended {self.task.state}{how}"


class Cancelled(CallboardError):
    """Raised in a sync handler, by `ctx.check_cancelled()` or `ctx.save_checkpoint()`, once it is to stop."""


class TaskError(CallboardError):
    """Raised by a handler to fail its attempt with just this."""

    def __init__(
        self,
        message: str,
        type: str = "TaskError",
        retryable: bool = True,
        retry_after: Seconds | None = None,
        details: Any = None,
    ) -> None:
        if type.startswith("callboard.") and type != "callboard.cancelled":
            raise ValueError(
                f"type {type!r} is the server's: choose one that doesn't begin with 'callboard.'"
            )
        super().__init__(message)
        self.message = message
        """What happened, for people."""
        self.type = type
        """A short name that programs can act on."""
        self.retryable = retryable
        """Whether another attempt may succeed."""
        self.retry_after = retry_after
        """The least delay before the next attempt."""
        self.details = details
        """Anything else; becomes a payload."""


_KINDS: dict[grpc.StatusCode, type[StatusError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def status_error(
    code: grpc.StatusCode,
    message: str,
    reason: str = "",
    violations: Sequence[FieldViolation] = (),
    retry_delay: float | None = None,
) -> StatusError:
    """The error of a status, of the class that is its kind."""
    return _KINDS.get(code, StatusError)(code, message, reason, violations, retry_delay)


def invalid_argument(field: str, message: str, reason: str = "INVALID_FIELD") -> InvalidArgument:
    """The error of a value that is refused here, before anything is sent."""
    return InvalidArgument(
        grpc.StatusCode.INVALID_ARGUMENT, message, reason, [FieldViolation(field, message)]
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> StatusError:
    """The error of a failed call, with what `google.rpc` details tell."""
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            details = value
    return from_status(error.code(), error.details() or "", details)


def from_status_bytes(details: bytes) -> StatusError:
    """The error of a serialized `google.rpc.Status` alone; a code that nobody knows is UNKNOWN."""
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return status_error(grpc.StatusCode.UNKNOWN, "the server's status can't be read")
    return _with_details(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def from_status(code: grpc.StatusCode, message: str, details: bytes = b"") -> StatusError:
    """The error of a status with its serialized `google.rpc.Status`; details that can't be read are left
    out."""
    try:
        return _with_details(code, message, status_pb2.Status.FromString(details))
    except DecodeError:
        return status_error(code, message)


def _with_details(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> StatusError:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    reason, retry_delay = "", None
    violations: list[FieldViolation] = []
    for detail in status.details:
        try:
            if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
                reason = info.reason.removeprefix("ERROR_REASON_")
            elif detail.Unpack(bad_request):
                violations += [FieldViolation(v.field, v.description) for v in bad_request.field_violations]
            elif detail.Unpack(retry):
                retry_delay = max(0.0, duration_seconds(retry.retry_delay))
        except DecodeError:
            continue
    return status_error(code, message, reason, violations, retry_delay)
