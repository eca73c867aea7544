"""Callboard's SDK: submit tasks with a `Client`, do them as an `Agent`."""

from callboard import aio
from callboard._version import __version__
from callboard.admin import LogFilterChange
from callboard.agent import Agent
from callboard.calls import UNSET
from callboard.claims import Claim, Lease, StepRecord
from callboard.client import Client, Watch
from callboard.context import AsyncContext, AsyncMessageContext, Context, MessageContext
from callboard.errors import (
    AlreadyExists,
    CallboardError,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    StatusError,
    TaskError,
    TaskFailed,
    Unavailable,
)
from callboard.messages import Message, MessageReceipt
from callboard.models import AgentInfo, DependencyResult, Event, Failure, Receipt, Step, Task, TaskState
from callboard.payload import Payload, binary_payload, text_payload
from callboard.spec import Dependency, Namespace, NamespaceSettings, RetryPolicy, TaskSpec, Timeouts

__all__ = [
    "UNSET",
    "Agent",
    "AgentInfo",
    "AlreadyExists",
    "AsyncContext",
    "AsyncMessageContext",
    "CallboardError",
    "Cancelled",
    "Claim",
    "Client",
    "Context",
    "DeadlineExceeded",
    "Dependency",
    "DependencyResult",
    "Event",
    "FailedPrecondition",
    "Failure",
    "FieldViolation",
    "InvalidArgument",
    "Lease",
    "LogFilterChange",
    "Message",
    "MessageContext",
    "MessageReceipt",
    "Namespace",
    "NamespaceSettings",
    "NotFound",
    "Payload",
    "PermissionDenied",
    "Receipt",
    "ResourceExhausted",
    "RetryPolicy",
    "StatusError",
    "Step",
    "StepRecord",
    "Task",
    "TaskError",
    "TaskFailed",
    "TaskSpec",
    "TaskState",
    "Timeouts",
    "Unavailable",
    "Watch",
    "__version__",
    "aio",
    "binary_payload",
    "text_payload",
]
