"""Claiming tasks by unary calls, for programs that are agents only now and then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from callboard import calls, convert, wire
from callboard._version import __version__
from callboard.calls import Call, TaskRef, read_receipt, request_id, task_id_of
from callboard.convert import Seconds
from callboard.errors import TaskError
from callboard.failure import cut, failure_of
from callboard.models import DependencyResult, Receipt, Step
from callboard.payload import decode, encode
from callboard.spec import TaskSpec
from callboard.unset import Unset

_agents = wire.agent_service


@dataclass(frozen=True)
class Claim:
    """A task that is leased to you."""

    proto: wire.agent.Assignment = field(repr=False, compare=False)
    task_id: str
    attempt: int
    run: int
    attempts_used: int
    type: str
    description: str
    dependencies: tuple[DependencyResult, ...]
    """How the dependencies ended. With `dependencies_truncated`, ask `Client.dependency_results` for all."""
    dependencies_truncated: bool
    steps: tuple[Step, ...]
    """What earlier attempts of this run recorded. When there are fewer than `step_count`, ask `Client.steps`
    for all."""
    step_count: int
    deadline: dt.datetime | None
    lease_expires_at: dt.datetime | None

    @cached_property
    def input(self) -> Any:
        """The input, decoded."""
        return decode(self.proto.spec.input)

    @cached_property
    def checkpoint(self) -> Any:
        """What the last attempt saved, decoded; None if it saved nothing."""
        return decode(self.proto.checkpoint) if self.proto.HasField("checkpoint") else None

    @staticmethod
    def from_wire(assignment: wire.agent.Assignment) -> Claim:
        return Claim(
            proto=assignment,
            task_id=assignment.attempt.task_id,
            attempt=assignment.attempt.attempt,
            run=assignment.run,
            attempts_used=assignment.attempts_used,
            type=assignment.spec.type,
            description=assignment.spec.description,
            dependencies=tuple(DependencyResult.from_wire(one) for one in assignment.dependencies),
            dependencies_truncated=assignment.dependencies_truncated,
            steps=tuple(Step.from_wire(step) for step in assignment.steps),
            step_count=assignment.step_count,
            deadline=convert.datetime(assignment, "deadline"),
            lease_expires_at=convert.datetime(assignment, "lease_expires_at"),
        )


@dataclass(frozen=True)
class StepRecord:
    """The result of a step, to be recorded: a part of the work that later attempts of the run need not do
    again."""

    name: str
    """What you call it: 1 to 128 bytes."""
    result: Any
    """What it gave: a value of at most 1 MiB."""
    occurrence: int = 0
    """How many steps of this name the attempt began before it."""

    def to_wire(self) -> wire.step.StepRecord:
        payload = encode(self.result, f"the result of step {self.name!r}")
        return wire.step.StepRecord(name=self.name, occurrence=self.occurrence, result=payload)


@dataclass(frozen=True)
class Lease:
    """A lease, extended."""

    expires_at: dt.datetime | None
    cancel_requested: bool
    """The task's cancellation was asked for: stop, and report within 30 s."""


Held: TypeAlias = "Claim | TaskRef"
"""A claim, or a task that nobody has: then it is claimed and ended in one commit."""


def claim(
    namespace: str,
    name: str,
    types: Sequence[str],
    *,
    agent_type: str,
    role: str,
    skills: Sequence[str],
    tools: Sequence[str],
    labels: Mapping[str, str] | None,
    resources: Mapping[str, float] | None,
    build_id: str,
    slots: int,
    max_tasks: int,
    lease: Seconds | None,
    wait: float,
    given_id: str | None,
) -> Call[list[Claim]]:
    """ClaimTasks."""
    if isinstance(types, str):
        types = [types]
    profile = wire.agent.AgentProfile(
        name=name,
        agent_type=agent_type,
        role=role,
        skills=skills,
        tools=tools,
        labels=labels,
        resources=resources,
        build_id=build_id,
        slots=slots,
        handles=[wire.agent.TaskHandler(type=type) for type in types],
        sdk="python",
        sdk_version=__version__,
    )
    request = _agents.ClaimTasksRequest(
        namespace=namespace,
        profile=profile,
        max_tasks=max_tasks,
        lease=convert.duration(lease),
        wait=convert.duration(wait),
        request_id=request_id(given_id),
    )
    return Call(
        "AgentService/ClaimTasks",
        request,
        _agents.ClaimTasksResponse,
        lambda answer: [Claim.from_wire(one) for one in answer.assignments],
    )


def heartbeat(
    namespace: str,
    claim: Claim,
    *,
    lease: Seconds | None,
    fraction: float | None,
    phase: str,
    message: str,
    checkpoint: Any,
    steps: Iterable[StepRecord],
) -> Call[Lease]:
    """HeartbeatTask."""
    request = _agents.HeartbeatTaskRequest(
        namespace=namespace, attempt=claim.proto.attempt, lease=convert.duration(lease)
    )
    if fraction is not None or phase or message:
        request.progress.CopyFrom(progress(fraction, phase, message))
    if not isinstance(checkpoint, Unset):
        request.checkpoint.CopyFrom(encode(checkpoint, "checkpoint"))
    request.steps.extend(step.to_wire() for step in steps)
    return Call(
        "AgentService/HeartbeatTask",
        request,
        _agents.HeartbeatTaskResponse,
        lambda answer: Lease(convert.datetime(answer, "lease_expires_at"), answer.cancel_requested),
    )


def create_child(
    namespace: str,
    claim: Claim,
    spec: TaskSpec,
    *,
    name: str,
    occurrence: int,
    on_parent_end: str,
    given_id: str | None,
) -> Call[Receipt]:
    """CreateChild, of a claimed task."""
    return calls.create_child(
        namespace,
        claim.proto.attempt,
        claim.run,
        spec,
        name=name,
        occurrence=occurrence,
        on_parent_end=on_parent_end,
        given_id=given_id,
    )


def complete(namespace: str, held: Held, result: Any, agent: str, given_id: str | None) -> Call[Receipt]:
    """CompleteTask."""
    request = _agents.CompleteTaskRequest(
        namespace=namespace,
        attempt=_attempt(held),
        result=encode(result, "result"),
        request_id=request_id(given_id),
        agent=agent,
    )
    return Call("AgentService/CompleteTask", request, _agents.CompleteTaskResponse, read_receipt)


def fail(
    namespace: str, held: Held, error: BaseException | str, agent: str, given_id: str | None
) -> Call[Receipt]:
    """FailTask."""
    if isinstance(error, str):
        error = TaskError(error)
    request = _agents.FailTaskRequest(
        namespace=namespace,
        attempt=_attempt(held),
        failure=failure_of(error),
        request_id=request_id(given_id),
        agent=agent,
    )
    return Call("AgentService/FailTask", request, _agents.FailTaskResponse, read_receipt)


def progress(fraction: float | None, phase: str, message: str) -> wire.agent.Progress:
    """A progress report. What the server would refuse is refused here, where it can be seen."""
    if fraction is not None and not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction {fraction!r} is not between 0 and 1")
    if len(phase.encode()) > 128:
        raise ValueError("phase is longer than 128 bytes: choose a short word, and use message for the rest")
    return wire.agent.Progress(fraction=fraction, phase=phase, message=cut(message, 1024))


def _attempt(held: Held) -> wire.agent.Attempt:
    if isinstance(held, Claim):
        return held.proto.attempt
    return wire.agent.Attempt(task_id=task_id_of(held))
