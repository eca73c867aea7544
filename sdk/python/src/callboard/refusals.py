"""What is told when a report or a message is refused, by the server or already here, and what follows."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from callboard import wire
from callboard.convert import enum_name
from callboard.errors import StatusError, status_error
from callboard.failure import refused_result
from callboard.states import Attempt

_UNFIT = frozenset({"INVALID_FIELD", "PAYLOAD_TOO_LARGE"})
"""Why a report is refused for what it holds."""

_CODES = {
    "LIMIT_REACHED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "STEP_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "INVALID_FIELD": grpc.StatusCode.INVALID_ARGUMENT,
    "PAYLOAD_TOO_LARGE": grpc.StatusCode.INVALID_ARGUMENT,
}
"""Why a step is refused for what it is: its attempt goes on. Output is, for the first alone."""


def lease_lost(why: str) -> StatusError:
    """What is told of an attempt that isn't ours any more."""
    return status_error(grpc.StatusCode.FAILED_PRECONDITION, why, "STALE_ATTEMPT")


def takes_no(what: str) -> StatusError:
    """What is told where the server takes no `steps`, `children` or `output`."""
    return status_error(grpc.StatusCode.FAILED_PRECONDITION, f"the server takes no {what}")


def no_messages() -> StatusError:
    """What is told where the server takes no messages."""
    return status_error(grpc.StatusCode.UNIMPLEMENTED, "the server takes no messages")


def untaken(kind: str, attempt: Attempt, lacks: Callable[[str], bool]) -> StatusError | None:
    """Why the server takes no such reports or calls, if so. A server without steps that gave the attempt
    can't have said what is recorded: then no other takes them of it, either. Of one with steps those that
    are `recorded` can be had whatever is attached now: nothing is sent."""
    if kind in ("step", "recorded"):
        taken = attempt.has_steps and not (kind == "step" and lacks("steps"))
        return None if taken else takes_no("steps")
    if kind in ("children", "output"):
        return takes_no(kind) if lacks(kind) else None
    if lacks("checkpoint"):
        return status_error(grpc.StatusCode.UNIMPLEMENTED, "the server takes no checkpoints")
    return None


def leaves_the_attempt(report: wire.agent.Report, receipt: wire.agent.Receipt) -> bool:
    """Whether only what was reported is refused, a step or output, and its handler decides how to go on."""
    if report.HasField("step"):
        return _reason(receipt) in _CODES
    return report.HasField("output") and _reason(receipt) == "LIMIT_REACHED"


def refused(report: wire.agent.Report, receipt: wire.agent.Receipt) -> StatusError:
    """What is told of a report that was refused."""
    reason = _reason(receipt)
    code = grpc.StatusCode.FAILED_PRECONDITION
    if report.HasField("step") or report.HasField("output"):
        code = _CODES.get(reason, code)
    return status_error(code, receipt.message, reason)


def follow_up(report: wire.agent.Report, receipt: wire.agent.Receipt) -> wire.agent.Report | None:
    """The failure that follows a result which is refused for what it holds: else the task would hang until
    its timeout."""
    if report.WhichOneof("kind") != "completed" or _reason(receipt) not in _UNFIT:
        return None
    failed = wire.agent.FailureReport(failure=refused_result(receipt.message))
    return wire.agent.Report(attempt=report.attempt, failed=failed)


def _reason(receipt: wire.agent.Receipt) -> str:
    return enum_name(wire.error.ErrorReason, receipt.reason, "ERROR_REASON_")
