"""What calls answer, as plain dataclasses. Times are datetimes in UTC, lengths of time are seconds, states
and types are names without their prefix: a value that is newer than this SDK shows as its number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from callboard import convert, wire
from callboard.dependencies import Dependency
from callboard.errors import TaskFailed
from callboard.payload import Payload, decode

T = TypeVar("T")


class TaskState:
    """Where a task is in its life."""

    WAITING: Final = "WAITING"
    READY: Final = "READY"
    ASSIGNED: Final = "ASSIGNED"
    RUNNING: Final = "RUNNING"
    PAUSED: Final = "PAUSED"
    COMPLETED: Final = "COMPLETED"
    FAILED: Final = "FAILED"
    CANCELLED: Final = "CANCELLED"
    SKIPPED: Final = "SKIPPED"


ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED})


def task_state(number: int) -> str:
    """The name of a task state."""
    return convert.enum_name(wire.task.TaskState, number, "TASK_STATE_")


@dataclass(frozen=True)
class Failure:
    """How a task, or one attempt of it, failed."""

    type: str
    message: str
    retryable: bool = True
    retry_after: float | None = None
    details_payload: Payload | None = None
    cause: Failure | None = None

    @property
    def details(self) -> Any:
        """Anything else about the failure, decoded; None when there is nothing."""
        return None if self.details_payload is None else decode(self.details_payload)

    @staticmethod
    def from_wire(failure: wire.payload.Failure) -> Failure:
        return Failure(
            type=failure.type,
            message=failure.message,
            retryable=failure.retryable if failure.HasField("retryable") else True,
            retry_after=convert.duration_seconds(failure.retry_after)
            if failure.HasField("retry_after")
            else None,
            details_payload=failure.details if failure.HasField("details") else None,
            cause=Failure.from_wire(failure.cause) if failure.HasField("cause") else None,
        )


@dataclass(frozen=True)
class Receipt:
    """What a command did to a task."""

    task_id: str
    state: str
    run: int
    version: int
    existing: bool
    """The task existed: its key was taken, and the policy is USE_EXISTING."""

    @staticmethod
    def from_wire(receipt: wire.task.TaskReceipt) -> Receipt:
        state = task_state(receipt.state)
        return Receipt(receipt.task_id, state, receipt.run, receipt.version, receipt.existing)


@dataclass(frozen=True)
class Task:
    """A task as it is now. `proto` has what is not listed here."""

    proto: wire.task.Task = field(repr=False, compare=False)
    id: str
    namespace: str
    type: str
    description: str
    key: str
    state: str
    waiting_for: tuple[str, ...]
    run: int
    attempt: int
    attempts_used: int
    agent: str
    priority: str
    tags: tuple[str, ...]
    phase: str
    progress: float
    progress_message: str
    cancel_requested: bool
    failure: Failure | None
    created_at: dt.datetime | None
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    created_by: str
    """The principal that created it."""
    version: int
    parent: ParentLink | None = None
    """Whose child it is, if it is one."""
    paused_for: str = ""
    """Why it is PAUSED: CHILDREN or SLOT; empty when it isn't."""
    workflow: WorkflowLink | None = None
    """What workflow it is of, if it is of one."""
    fallback: int = 0
    """Which of its `fallbacks` this run has come to: 1 is the first; 0: its own requirements count."""

    @property
    def ended(self) -> bool:
        """Whether it is in its final state for this run."""
        return self.state in ENDED

    @property
    def metadata(self) -> Mapping[str, str]:
        """What an application keeps with it."""
        return dict(self.proto.spec.metadata)

    @property
    def headers(self) -> Mapping[str, str]:
        """What is carried to every attempt and child."""
        return dict(self.proto.spec.headers)

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        """What it waits for, in order. Only `get` and `workflows.tasks` answer with it."""
        return tuple(Dependency.from_wire(one) for one in self.proto.spec.dependencies)

    @cached_property
    def input(self) -> Any:
        """Its input, decoded. Only `get` answers with it."""
        return decode(self.proto.spec.input)

    def result(self) -> Any:
        """What it gave, decoded. Raises TaskFailed unless it completed. Not answered by `list`."""
        if self.state != TaskState.COMPLETED:
            raise TaskFailed(self)
        return decode(self.proto.result)

    @staticmethod
    def from_wire(task: wire.task.Task) -> Task:
        reasons = (convert.enum_name(wire.task.WaitReason, r, "WAIT_REASON_") for r in task.waiting_for)
        priority = task.spec.priority or wire.task.PRIORITY_NORMAL
        return Task(
            proto=task,
            id=task.id,
            namespace=task.namespace,
            type=task.spec.type,
            description=task.spec.description,
            key=task.spec.key,
            state=task_state(task.state),
            waiting_for=tuple(reasons),
            run=task.run,
            attempt=task.attempt,
            attempts_used=task.attempts_used,
            agent=task.agent,
            priority=convert.enum_name(wire.task.Priority, priority, "PRIORITY_"),
            tags=tuple(task.spec.tags),
            phase=task.phase,
            progress=task.progress,
            progress_message=task.progress_message,
            cancel_requested=task.cancel_requested,
            failure=Failure.from_wire(task.failure) if task.HasField("failure") else None,
            created_at=convert.datetime(task, "created_at"),
            started_at=convert.datetime(task, "started_at"),
            ended_at=convert.datetime(task, "ended_at"),
            created_by=task.created_by,
            version=task.version,
            parent=ParentLink.from_wire(task.parent) if task.HasField("parent") else None,
            paused_for=_pause_reason(task.paused_for),
            workflow=WorkflowLink.from_wire(task.workflow) if task.HasField("workflow") else None,
            fallback=task.fallback,
        )


def _pause_reason(number: int) -> str:
    return convert.enum_name(wire.task.PauseReason, number, "PAUSE_REASON_") if number else ""


@dataclass(frozen=True)
class Event:
    """An immutable fact about a task."""

    task_id: str
    sequence: int
    """1, 2, 3, ... within the task."""
    type: str
    state: str
    """The task's state after it."""
    at: dt.datetime | None
    principal: str
    run: int
    attempt: int
    agent: str
    reason: str
    failure: Failure | None
    scheduled_at: dt.datetime | None
    step: str
    """The name of the step that was recorded."""
    step_occurrence: int
    child: str = ""
    """The id of the child that was created."""

    @staticmethod
    def from_wire(event: wire.event.Event) -> Event:
        return Event(
            task_id=event.task_id,
            sequence=event.sequence,
            type=convert.enum_name(wire.event.EventType, event.type, "EVENT_TYPE_"),
            state=task_state(event.state),
            at=convert.datetime(event, "at"),
            principal=event.principal,
            run=event.run,
            attempt=event.attempt,
            agent=event.agent,
            reason=event.reason,
            failure=Failure.from_wire(event.failure) if event.HasField("failure") else None,
            scheduled_at=convert.datetime(event, "scheduled_at"),
            step=event.step,
            step_occurrence=event.step_occurrence,
            child=event.child,
        )


@dataclass(frozen=True)
class DependencyResult:
    """How a task that another depends on ended."""

    task_id: str
    type: str
    key: str
    name: str
    """What the dependent calls it; empty if it has no name."""
    state: str
    payload: Payload = field(repr=False)
    failure: Failure | None

    @cached_property
    def value(self) -> Any:
        """What it gave, decoded; None unless it completed."""
        return decode(self.payload) if self.state == TaskState.COMPLETED else None

    @staticmethod
    def from_wire(result: wire.task_service.DependencyResult) -> DependencyResult:
        return DependencyResult(
            task_id=result.task_id,
            type=result.type,
            key=result.key,
            name=result.name,
            state=task_state(result.state),
            payload=result.result,
            failure=Failure.from_wire(result.failure) if result.HasField("failure") else None,
        )


@dataclass(frozen=True)
class Step:
    """A step that a run of a task recorded."""

    name: str
    occurrence: int
    """How many steps of this name its attempt had begun before it."""
    ordinal: int
    """1, 2, 3, ... within the run, in the order in which they were recorded."""
    payload: Payload = field(repr=False)
    attempt: int
    """The attempt that recorded it."""
    recorded_at: dt.datetime | None

    @cached_property
    def value(self) -> Any:
        """What it gave, decoded."""
        return decode(self.payload)

    @staticmethod
    def from_wire(step: wire.step.Step) -> Step:
        return Step(
            name=step.name,
            occurrence=step.occurrence,
            ordinal=step.ordinal,
            payload=step.result,
            attempt=step.attempt,
            recorded_at=convert.datetime(step, "recorded_at"),
        )


@dataclass(frozen=True)
class ParentLink:
    """Whose child a task is."""

    task_id: str
    """The parent."""
    run: int
    """The run of the parent that created it."""
    name: str
    """What the parent's handler calls it."""
    occurrence: int
    """How many children of this name the parent's attempt began before it."""
    depth: int
    """How deep it stands: 1 for the child of a task that has no parent."""

    @staticmethod
    def from_wire(parent: wire.task.ParentLink) -> ParentLink:
        return ParentLink(parent.task_id, parent.run, parent.name, parent.occurrence, parent.depth)


@dataclass(frozen=True)
class WorkflowLink:
    """What workflow a task is of."""

    workflow_id: str
    """The workflow."""
    name: str
    """What the task is called there; empty for a child of one of its tasks."""
    allow_failure: bool
    """The workflow may complete although this task failed."""
    weight: int
    """How much of the workflow's work it is, compared with the others; 0 for a child."""
    tasks_behind: int = 0
    """How many tasks of the workflow stand behind it, one after the other, on the longest path, as it was
    created; at most 60 are counted. Of two that are READY at a time, the one with more goes first."""

    @staticmethod
    def from_wire(link: wire.task.WorkflowLink) -> WorkflowLink:
        return WorkflowLink(link.workflow_id, link.name, link.allow_failure, link.weight, link.tasks_behind)


@dataclass(frozen=True)
class ChildInfo:
    """A child that a run of a task created."""

    task_id: str
    name: str
    """What the parent's handler calls it."""
    occurrence: int
    """How many children of this name the parent's attempt began before it."""
    ordinal: int
    """1, 2, 3, ... within the run, in the order in which they were created."""
    on_parent_end: str
    """What becomes of it when the parent's run ends: CANCEL or DETACH."""
    task: Task | None
    """The child as it is now, without its input and result; None when it was forgotten."""

    @staticmethod
    def from_wire(child: wire.child.Child) -> ChildInfo:
        return ChildInfo(
            task_id=child.task_id,
            name=child.name,
            occurrence=child.occurrence,
            ordinal=child.ordinal,
            on_parent_end=convert.enum_name(
                wire.child.ParentEndAction, child.on_parent_end, "PARENT_END_ACTION_"
            ),
            task=Task.from_wire(child.task) if child.HasField("task") else None,
        )


@dataclass(frozen=True)
class OutputChunk:
    """A piece of what a run of a task gave while it worked. Chunks are joined as they come: text has no
    boundaries."""

    offset: int
    """How many bytes of the run's output come before it."""
    payload: Payload = field(repr=False)
    attempt: int
    """The attempt that gave it. When this rises, an attempt began anew: what came before may come again."""
    given_at: dt.datetime | None

    @cached_property
    def value(self) -> Any:
        """What was given, decoded."""
        return decode(self.payload)

    @staticmethod
    def from_wire(chunk: wire.output.OutputChunk) -> OutputChunk:
        return OutputChunk(
            offset=chunk.offset,
            payload=chunk.data,
            attempt=chunk.attempt,
            given_at=convert.datetime(chunk, "given_at"),
        )


@dataclass(frozen=True)
class AgentInfo:
    """An agent as it is now. `proto` has what is not listed here."""

    proto: wire.agent.Agent = field(repr=False, compare=False)
    id: str
    namespace: str
    name: str
    agent_type: str
    role: str
    skills: tuple[str, ...]
    tools: tuple[str, ...]
    labels: Mapping[str, str]
    slots: int
    handles: tuple[str, ...]
    """The task types that it handles."""
    state: str
    cordoned: bool
    leased_tasks: int
    completed_attempts: int
    failed_attempts: int
    attached_at: dt.datetime | None
    session_epoch: int
    """The epoch of its latest session; rises with each."""
    principal: str
    """Whom it belongs to."""
    version: int

    @staticmethod
    def from_wire(agent: wire.agent.Agent) -> AgentInfo:
        profile = agent.profile
        return AgentInfo(
            proto=agent,
            id=agent.id,
            namespace=agent.namespace,
            name=profile.name,
            agent_type=profile.agent_type,
            role=profile.role,
            skills=tuple(profile.skills),
            tools=tuple(profile.tools),
            labels=dict(profile.labels),
            slots=profile.slots,
            handles=tuple(handler.type for handler in profile.handles),
            state=convert.enum_name(wire.agent.AgentState, agent.state, "AGENT_STATE_"),
            cordoned=agent.cordoned,
            leased_tasks=agent.leased_tasks,
            completed_attempts=agent.completed_attempts,
            failed_attempts=agent.failed_attempts,
            attached_at=convert.datetime(agent, "attached_at"),
            session_epoch=agent.session_epoch,
            principal=agent.principal,
            version=agent.version,
        )


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list."""

    items: tuple[T, ...]
    next_page_token: str
    """Gives the next page; empty on the last."""
