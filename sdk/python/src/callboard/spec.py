"""What callers ask for: tasks with their requirements, retries and timeouts, tasks of workflows, and
namespaces."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from callboard import convert, wire
from callboard.convert import Seconds
from callboard.dependencies import Dependency, WorkflowDependency
from callboard.limits import Limit
from callboard.models import Receipt, Task
from callboard.payload import encode

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

Priority: TypeAlias = Literal["LOW", "NORMAL", "HIGH", "URGENT", "CRITICAL"]
KeyConflict: TypeAlias = Literal["USE_EXISTING", "FAIL", "REPLACE"]


@dataclass(frozen=True)
class RetryPolicy:
    """When and how often a failed attempt is followed by another. What is None takes the namespace's
    default."""

    max_attempts: int | None = None
    initial_backoff: Seconds | None = None
    multiplier: float | None = None
    max_backoff: Seconds | None = None
    non_retryable_types: Sequence[str] = ()

    def to_wire(self) -> wire.task.RetryPolicy:
        return wire.task.RetryPolicy(
            max_attempts=self.max_attempts or 0,
            initial_backoff=convert.duration(self.initial_backoff),
            multiplier=self.multiplier or 0.0,
            max_backoff=convert.duration(self.max_backoff),
            non_retryable_types=self.non_retryable_types,
        )


@dataclass(frozen=True)
class Timeouts:
    """How long things may take. What is None takes the namespace's default."""

    schedule_to_start: Seconds | None = None
    """From READY to accepted by an agent."""
    start_to_close: Seconds | None = None
    """From assigned to ended, for each attempt."""
    schedule_to_close: Seconds | None = None
    """From creation to the end, over all attempts of the run."""
    heartbeat: Seconds | None = None
    """The longest silence of the handler itself."""

    def to_wire(self) -> wire.task.Timeouts:
        return wire.task.Timeouts(
            schedule_to_start=convert.duration(self.schedule_to_start),
            start_to_close=convert.duration(self.start_to_close),
            schedule_to_close=convert.duration(self.schedule_to_close),
            heartbeat=convert.duration(self.heartbeat),
        )


@dataclass(frozen=True)
class Fallback:
    """What is asked for instead when nobody has taken a task for some time: all of `skills`, `tools`, `role`
    and `assignee`, so that what is left out is not asked for any more. The rest of what the task asks
    stays."""

    after: Seconds
    """How long the task is READY before this counts, from when it became READY; each longer than the one
    before."""
    skills: Sequence[str] = ()
    tools: Sequence[str] = ()
    role: str = ""
    assignee: str = ""

    def to_wire(self, field: str) -> wire.task.RequirementsFallback:
        return wire.task.RequirementsFallback(
            after=convert.duration(self.after),
            skills=string_list(self.skills, f"{field}.skills"),
            tools=string_list(self.tools, f"{field}.tools"),
            role=self.role,
            assignee=self.assignee,
        )


DependsOn: TypeAlias = "str | Receipt | Task | Dependency"
"""A task to depend on: the id, or what `create` answered, of one that must complete; or a Dependency that
says how it must end, what happens otherwise, and its name."""


class TaskOptions(TypedDict, total=False):
    """The options of a task, as keyword arguments: see TaskSpec."""

    description: str
    key: str
    key_conflict: KeyConflict
    skills: Sequence[str]
    tools: Sequence[str]
    role: str
    assignee: str
    preferred_agent: str
    affinity: Mapping[str, str]
    anti_affinity: Mapping[str, str]
    resources: Mapping[str, float]
    near: Sequence[str]
    apart: Sequence[str]
    fallbacks: Sequence[Fallback]
    fairness_key: str
    limit_keys: Sequence[str]
    priority: Priority
    depends_on: Sequence[DependsOn]
    retry: RetryPolicy
    timeouts: Timeouts
    deadline: dt.datetime
    start_at: dt.datetime
    hold: bool
    tags: Sequence[str]
    metadata: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class TaskSpec:
    """What a task is asked to be."""

    type: str
    """The kind of work, which agents say they handle."""
    input: Any = ""
    """What the handler is given."""
    description: str = ""
    """What the task is about, for people."""
    key: str = ""
    """Your own id for the task, unique among the live tasks of the namespace."""
    key_conflict: KeyConflict = "USE_EXISTING"
    """What to do when a live task has this key."""
    skills: Sequence[str] = ()
    """Skills that the agent must all have."""
    tools: Sequence[str] = ()
    """Tools that the agent must all have."""
    role: str = ""
    """The role that the agent must have."""
    assignee: str = ""
    """The only agent that may have it, by name."""
    preferred_agent: str = ""
    """The agent that should have it, by name."""
    affinity: Mapping[str, str] = field(default_factory=dict)
    """Labels that the agent should have."""
    anti_affinity: Mapping[str, str] = field(default_factory=dict)
    """Labels that the agent should not have."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Amounts of resources (`gpu`) that it takes of its agent's while it has a slot there. An agent that says
    it has less never gets it, and none is given more at once than it says it has."""
    near: Sequence[str] = ()
    """Names of dependencies: it should go to the agent that had one of them."""
    apart: Sequence[str] = ()
    """Names of dependencies: it should go to another agent than had them."""
    fallbacks: Sequence[Fallback] = ()
    """What is asked for instead when nobody has taken it for some time, one after the other."""
    fairness_key: str = ""
    """Whose turn it is: READY tasks of different keys take turns, one task each, whatever their priorities
    and ages. All tasks without one share a turn."""
    limit_keys: Sequence[str] = ()
    """Keys whose limits (`limits` of NamespaceSettings) it is under, all of them, at most 4. A key without a
    limit holds nothing up."""
    priority: Priority = "NORMAL"
    """How urgent it is."""
    depends_on: Sequence[DependsOn] = ()
    """What must end first."""
    retry: RetryPolicy | None = None
    """How failures are retried."""
    timeouts: Timeouts | None = None
    """How long things may take."""
    deadline: dt.datetime | None = None
    """When the task fails if it has not ended."""
    start_at: dt.datetime | None = None
    """Not before this time."""
    hold: bool = False
    """Keep it WAITING until it is released."""
    tags: Sequence[str] = ()
    """To find it by."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What an application wants to keep with it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Carried to every attempt and child: trace context."""

    def to_wire(self, at: str = "") -> wire.task.TaskSpec:
        """`at` is where it stands, with a dot, for what is said of its fields."""
        return wire.task.TaskSpec(
            type=self.type,
            description=self.description,
            input=encode(self.input, f"{at}input"),
            key=self.key,
            key_conflict_policy=_number(
                wire.task.KeyConflictPolicy, self.key_conflict, "KEY_CONFLICT_POLICY_", f"{at}key_conflict"
            ),
            requirements=self._requirements(at),
            priority=_number(wire.task.Priority, self.priority, "PRIORITY_", f"{at}priority"),
            dependencies=dependency_list(self.depends_on, f"{at}depends_on"),
            retry_policy=self.retry.to_wire() if self.retry else None,
            timeouts=self.timeouts.to_wire() if self.timeouts else None,
            deadline=convert.timestamp(self.deadline),
            start_at=convert.timestamp(self.start_at),
            hold=self.hold,
            tags=string_list(self.tags, f"{at}tags"),
            # Setting a map costs something even when it is empty.
            metadata=self.metadata or None,
            headers=self.headers or None,
            fairness_key=self.fairness_key,
            limit_keys=string_list(self.limit_keys, f"{at}limit_keys"),
        )

    def _requirements(self, at: str) -> wire.task.Requirements | None:
        given = (
            *(self.skills, self.tools, self.role, self.assignee, self.preferred_agent, self.affinity),
            *(self.anti_affinity, self.resources, self.near, self.apart, self.fallbacks),
        )
        if not any(given):
            return None
        return wire.task.Requirements(
            skills=string_list(self.skills, f"{at}skills"),
            tools=string_list(self.tools, f"{at}tools"),
            role=self.role,
            assignee=self.assignee,
            preferred_agent=self.preferred_agent,
            affinity=self.affinity,
            anti_affinity=self.anti_affinity,
            resources=self.resources,
            near=string_list(self.near, f"{at}near"),
            apart=string_list(self.apart, f"{at}apart"),
            fallbacks=[one.to_wire(f"{at}fallbacks[{index}]") for index, one in enumerate(self.fallbacks)],
        )


@dataclass(frozen=True)
class WorkflowTask:
    """A task of a workflow that is to be created."""

    name: str
    """What it is called within the workflow, once: 1 to 128 letters, digits and `-_./:`. The handlers of
    those that depend on it find it by this name."""
    task: TaskSpec
    """What it is. It has no `key`. What its own `depends_on` names are tasks outside of the workflow."""
    depends_on: Sequence[str | WorkflowDependency] = ()
    """What must end first within the workflow, wherever it stands there: the names of tasks that must
    complete, or dependencies that say more."""
    allow_failure: bool = False
    """The workflow may complete although this task failed: it has a fallback, or matters little."""
    weight: int = 1
    """How much of the workflow's work it is, compared with the others: 1 to 1,000,000."""

    def to_wire(self, field: str) -> wire.workflow.WorkflowTask:
        if isinstance(self.depends_on, str):
            raise TypeError(f"{field}.depends_on is the string {self.depends_on!r}: give a list of names")
        return wire.workflow.WorkflowTask(
            name=self.name,
            task=self.task.to_wire(f"{field}.task."),
            depends_on=[
                (WorkflowDependency(one) if isinstance(one, str) else one).to_wire(
                    f"{field}.depends_on[{index}]"
                )
                for index, one in enumerate(self.depends_on)
            ],
            allow_failure=self.allow_failure,
            weight=self.weight,
        )


@dataclass(frozen=True)
class NamespaceSettings:
    """What applies to every task of a namespace. None means the default."""

    max_lanes: int | None = None
    max_live_tasks: int | None = None
    retry: RetryPolicy | None = None
    start_to_close: Seconds | None = None
    limits: Sequence[Limit] = ()
    """What tasks with a limit key may do at once, or in a time. At most 1,000, each key once."""

    def to_wire(self) -> wire.namespace_service.NamespaceSettings:
        return wire.namespace_service.NamespaceSettings(
            max_lanes=self.max_lanes or 0,
            max_live_tasks=self.max_live_tasks or 0,
            retry_policy=self.retry.to_wire() if self.retry else None,
            start_to_close=convert.duration(self.start_to_close),
            limits=[limit.to_wire() for limit in self.limits],
        )

    @staticmethod
    def from_wire(settings: wire.namespace_service.NamespaceSettings) -> NamespaceSettings:
        policy = settings.retry_policy
        retry = RetryPolicy(
            max_attempts=policy.max_attempts or None,
            initial_backoff=_seconds(policy.initial_backoff),
            multiplier=policy.multiplier or None,
            max_backoff=_seconds(policy.max_backoff),
            non_retryable_types=tuple(policy.non_retryable_types),
        )
        return NamespaceSettings(
            max_lanes=settings.max_lanes or None,
            max_live_tasks=settings.max_live_tasks or None,
            retry=retry if settings.HasField("retry_policy") else None,
            start_to_close=_seconds(settings.start_to_close),
            limits=tuple(map(Limit.from_wire, settings.limits)),
        )


@dataclass(frozen=True)
class Namespace:
    """The unit of isolation."""

    name: str
    settings: NamespaceSettings
    created_at: dt.datetime | None
    version: int

    @staticmethod
    def from_wire(namespace: wire.namespace_service.Namespace) -> Namespace:
        return Namespace(
            name=namespace.name,
            settings=NamespaceSettings.from_wire(namespace.settings),
            created_at=convert.datetime(namespace, "created_at"),
            version=namespace.version,
        )


def _number(enum: Any, name: str, prefix: str, field_name: str) -> Any:
    return convert.enum_number(enum, name, prefix, field_name)


def _seconds(value: Duration) -> float | None:
    # Zero and unset both mean the default here.
    return convert.duration_seconds(value) or None


def string_list(values: Sequence[str], field_name: str) -> list[str]:
    """The values as a list; a lone string is refused, because it would count as a list of its letters."""
    if isinstance(values, str):
        raise TypeError(f"{field_name} is the string {values!r}: give a list of strings")
    return list(values)


def dependency_list(depends_on: Sequence[DependsOn], field_name: str) -> list[wire.task.Dependency]:
    """What is depended on, for the wire; a lone id is refused, because it would count as a list of its
    letters."""
    if isinstance(depends_on, str):
        raise TypeError(f"{field_name} is the string {depends_on!r}: give a list of tasks")
    return [_dependency(one).to_wire(f"{field_name}[{index}]") for index, one in enumerate(depends_on)]


def _dependency(one: DependsOn) -> Dependency:
    if isinstance(one, Task):
        return Dependency(one.id)
    if isinstance(one, Receipt):
        return Dependency(one.task_id)
    if isinstance(one, str):
        return Dependency(one)
    return one
