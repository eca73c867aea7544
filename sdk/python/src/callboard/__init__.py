"""Callboard's SDK: submit tasks with a `Client`, do them as an `Agent`."""

from callboard import aio
from callboard._version import __version__
from callboard.admin import LogFilterChange
from callboard.agent import Agent
from callboard.children import AsyncChild, Child
from callboard.claims import Claim, Lease, StepRecord
from callboard.client import Client
from callboard.context import AsyncContext, Context
from callboard.dependencies import Dependency, ResultCondition, WorkflowDependency
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
from callboard.explanations import (
    AssignmentCandidate,
    AssignmentChoice,
    AssignmentExplanation,
    AssignmentObstacle,
    AssignmentRunnerUp,
    LimitUse,
)
from callboard.interceptors import Interceptor, LoggingInterceptor
from callboard.limits import Limit
from callboard.message_context import AsyncMessageContext, MessageContext
from callboard.messages import Message, MessageReceipt
from callboard.models import (
    AgentInfo,
    ChildInfo,
    DependencyResult,
    Event,
    Failure,
    OutputChunk,
    ParentLink,
    Receipt,
    Step,
    Task,
    TaskState,
    WorkflowLink,
)
from callboard.payload import Payload, binary_payload, text_payload
from callboard.spec import (
    Fallback,
    Namespace,
    NamespaceSettings,
    RetryPolicy,
    TaskSpec,
    Timeouts,
    WorkflowTask,
)
from callboard.unset import UNSET
from callboard.watches import OutputWatch, Watch
from callboard.workflow_calls import (
    ForecastTask,
    Workflow,
    WorkflowForecast,
    WorkflowReceipt,
    WorkflowState,
)

__all__ = [
    "UNSET",
    "Agent",
    "AgentInfo",
    "AlreadyExists",
    "AssignmentCandidate",
    "AssignmentChoice",
    "AssignmentExplanation",
    "AssignmentObstacle",
    "AssignmentRunnerUp",
    "AsyncChild",
    "AsyncContext",
    "AsyncMessageContext",
    "CallboardError",
    "Cancelled",
    "Child",
    "ChildInfo",
    "Claim",
    "Client",
    "Context",
    "DeadlineExceeded",
    "Dependency",
    "DependencyResult",
    "Event",
    "FailedPrecondition",
    "Failure",
    "Fallback",
    "FieldViolation",
    "ForecastTask",
    "Interceptor",
    "InvalidArgument",
    "Lease",
    "Limit",
    "LimitUse",
    "LogFilterChange",
    "LoggingInterceptor",
    "Message",
    "MessageContext",
    "MessageReceipt",
    "Namespace",
    "NamespaceSettings",
    "NotFound",
    "OutputChunk",
    "OutputWatch",
    "ParentLink",
    "Payload",
    "PermissionDenied",
    "Receipt",
    "ResourceExhausted",
    "ResultCondition",
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
    "Workflow",
    "WorkflowDependency",
    "WorkflowForecast",
    "WorkflowLink",
    "WorkflowReceipt",
    "WorkflowState",
    "WorkflowTask",
    "__version__",
    "aio",
    "binary_payload",
    "text_payload",
]
