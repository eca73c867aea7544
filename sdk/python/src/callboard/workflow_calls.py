"""Workflows as calls answer them, and the calls as values: nothing is sent here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from callboard import convert, wire
from callboard.calls import Call, read_page, request_id, state_numbers
from callboard.models import Page, Receipt, Task, WorkflowLink, task_state
from callboard.spec import WorkflowTask, string_list

service = wire.workflow_service

_STATE = "WORKFLOW_STATE_"


class WorkflowState:
    """Where a workflow is in its life."""

    RUNNING: Final = "RUNNING"
    """Some of its tasks have not ended."""
    COMPLETED: Final = "COMPLETED"
    """All have ended, and none FAILED or CANCELLED but those that may. SKIPPED counts neither way."""
    FAILED: Final = "FAILED"
    """All have ended, and one that may not FAILED or was CANCELLED by itself."""
    CANCELLED: Final = "CANCELLED"
    """All have ended, and its cancellation was asked for."""


@dataclass(frozen=True)
class Workflow:
    """A workflow as it is now. Its tasks count with the children that they created, but those that outlive
    their parents."""

    id: str
    namespace: str
    name: str
    description: str
    state: str
    """RUNNING, COMPLETED, FAILED or CANCELLED: see WorkflowState."""
    tasks: int
    """How many tasks it has."""
    open_tasks: int
    """How many of them have not ended."""
    completed_tasks: int
    failed_tasks: int
    """How many failed, those that may included."""
    cancelled_tasks: int
    skipped_tasks: int
    progress: float
    """How much of the work is done, 0 to 1: the weights of the tasks that have ended, of those of all."""
    cancel_requested: bool
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    created_at: dt.datetime | None
    ended_at: dt.datetime | None
    """When the last of its tasks ended; None while some have not."""
    created_by: str
    """The principal that created it."""
    version: int
    held: bool = False
    """Its tasks that are not assigned are not given out."""

    @property
    def ended(self) -> bool:
        """Whether all of its tasks have ended. A retry opens it again."""
        return self.ended_at is not None

    @staticmethod
    def from_wire(workflow: wire.workflow.Workflow) -> Workflow:
        return Workflow(
            id=workflow.id,
            namespace=workflow.namespace,
            name=workflow.name,
            description=workflow.description,
            state=convert.enum_name(wire.workflow.WorkflowState, workflow.state, _STATE),
            tasks=workflow.tasks,
            open_tasks=workflow.open_tasks,
            completed_tasks=workflow.completed_tasks,
            failed_tasks=workflow.failed_tasks,
            cancelled_tasks=workflow.cancelled_tasks,
            skipped_tasks=workflow.skipped_tasks,
            progress=workflow.progress,
            cancel_requested=workflow.cancel_requested,
            tags=tuple(workflow.tags),
            metadata=dict(workflow.metadata),
            created_at=convert.datetime(workflow, "created_at"),
            ended_at=convert.datetime(workflow, "ended_at"),
            created_by=workflow.created_by,
            version=workflow.version,
            held=workflow.held,
        )


@dataclass(frozen=True)
class WorkflowReceipt:
    """The workflow that was created."""

    workflow_id: str
    receipts: Mapping[str, Receipt]
    """Its tasks, by the names that they have in it."""


@dataclass(frozen=True)
class ForecastTask:
    """A task of a forecast."""

    task_id: str
    name: str
    """What it is called in the workflow; empty for a child."""
    type: str
    state: str
    """Where it is in its life."""
    expected_duration: float | None
    """How long it takes, in seconds: the mean of the latest tasks of its type that completed; None when there
    is none."""
    expected_start: dt.datetime | None
    """When it begins, or began."""
    expected_end: dt.datetime | None

    @staticmethod
    def from_wire(task: wire.workflow.ForecastTask) -> ForecastTask:
        known = task.HasField("expected_duration")
        return ForecastTask(
            task_id=task.task_id,
            name=task.name,
            type=task.type,
            state=task_state(task.state),
            expected_duration=convert.duration_seconds(task.expected_duration) if known else None,
            expected_start=convert.datetime(task, "expected_start"),
            expected_end=convert.datetime(task, "expected_end"),
        )


@dataclass(frozen=True)
class WorkflowForecast:
    """What is expected of a workflow that runs, from how long tasks of the same types took."""

    expected_end: dt.datetime | None
    """When it ends, if every task finds an agent as soon as it is eligible, and none fails; None when it has
    ended, or is held."""
    critical_path: tuple[ForecastTask, ...]
    """Of the tasks that have not ended, those behind each other that its end waits for, the first of them
    first."""
    unknown_types: tuple[str, ...]
    """Types of tasks that have not ended of which none has completed before: they count as if they took no
    time."""

    @staticmethod
    def from_wire(forecast: wire.workflow.WorkflowForecast) -> WorkflowForecast:
        return WorkflowForecast(
            expected_end=convert.datetime(forecast, "expected_end"),
            critical_path=tuple(map(ForecastTask.from_wire, forecast.critical_path)),
            unknown_types=tuple(forecast.unknown_types),
        )


WorkflowRef: TypeAlias = "str | Workflow | WorkflowReceipt | WorkflowLink"
"""A workflow by its id, by what a call answered, or by the link of one of its tasks."""


def workflow_id_of(workflow: WorkflowRef) -> str:
    """The id of a workflow."""
    if isinstance(workflow, Workflow):
        return workflow.id
    return workflow if isinstance(workflow, str) else workflow.workflow_id


def create(
    namespace: str,
    name: str,
    tasks: Sequence[WorkflowTask],
    *,
    description: str,
    tags: Sequence[str],
    metadata: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    given_id: str | None,
) -> Call[WorkflowReceipt]:
    """CreateWorkflow."""
    spec = wire.workflow.WorkflowSpec(
        name=name,
        description=description,
        tasks=_to_wire(tasks),
        tags=string_list(tags, "tags"),
        metadata=metadata,
        headers=headers,
    )
    request = service.CreateWorkflowRequest(
        namespace=namespace, workflow=spec, request_id=request_id(given_id)
    )
    return Call(
        "WorkflowService/CreateWorkflow",
        request,
        service.CreateWorkflowResponse,
        lambda answer: WorkflowReceipt(answer.workflow_id, _by_name(tasks, answer.receipts)),
    )


def add(
    namespace: str, workflow: WorkflowRef, tasks: Sequence[WorkflowTask], given_id: str | None
) -> Call[WorkflowReceipt]:
    """AddWorkflowTasks. The receipts are those of the tasks that were added."""
    workflow_id = workflow_id_of(workflow)
    request = service.AddWorkflowTasksRequest(
        namespace=namespace,
        workflow_id=workflow_id,
        tasks=_to_wire(tasks),
        request_id=request_id(given_id),
    )
    return Call(
        "WorkflowService/AddWorkflowTasks",
        request,
        service.AddWorkflowTasksResponse,
        lambda answer: WorkflowReceipt(workflow_id, _by_name(tasks, answer.receipts)),
    )


def get(namespace: str, workflow: WorkflowRef) -> Call[Workflow]:
    """GetWorkflow."""
    request = service.GetWorkflowRequest(namespace=namespace, workflow_id=workflow_id_of(workflow))
    return Call("WorkflowService/GetWorkflow", request, service.GetWorkflowResponse, _workflow)


def list_workflows(
    namespace: str,
    *,
    states: Sequence[str],
    name: str,
    created_after: dt.datetime | None,
    created_before: dt.datetime | None,
    id_suffix: str,
    page_size: int,
    page_token: str,
) -> Call[Page[Workflow]]:
    """ListWorkflows."""
    request = service.ListWorkflowsRequest(
        namespace=namespace,
        states=state_numbers(wire.workflow.WorkflowState, states, _STATE),
        name=name,
        created_after=convert.timestamp(created_after),
        created_before=convert.timestamp(created_before),
        id_suffix=id_suffix,
        page_size=page_size,
        page_token=page_token,
    )
    read = read_page("workflows", Workflow.from_wire)
    return Call("WorkflowService/ListWorkflows", request, service.ListWorkflowsResponse, read)


def list_tasks(namespace: str, workflow: WorkflowRef, page_size: int, page_token: str) -> Call[Page[Task]]:
    """ListWorkflowTasks."""
    request = service.ListWorkflowTasksRequest(
        namespace=namespace,
        workflow_id=workflow_id_of(workflow),
        page_size=page_size,
        page_token=page_token,
    )
    read = read_page("tasks", Task.from_wire)
    return Call("WorkflowService/ListWorkflowTasks", request, service.ListWorkflowTasksResponse, read)


def wait(namespace: str, workflow: WorkflowRef, wait: float) -> Call[Workflow]:
    """WaitWorkflow."""
    request = service.WaitWorkflowRequest(
        namespace=namespace, workflow_id=workflow_id_of(workflow), wait=convert.duration(wait)
    )
    return Call("WorkflowService/WaitWorkflow", request, service.WaitWorkflowResponse, _workflow)


def cancel(namespace: str, workflow: WorkflowRef, reason: str, given_id: str | None) -> Call[Workflow]:
    """CancelWorkflow."""
    request = service.CancelWorkflowRequest(
        namespace=namespace,
        workflow_id=workflow_id_of(workflow),
        reason=reason,
        request_id=request_id(given_id),
    )
    return Call("WorkflowService/CancelWorkflow", request, service.CancelWorkflowResponse, _workflow)


def retry(namespace: str, workflow: WorkflowRef, given_id: str | None) -> Call[Workflow]:
    """RetryWorkflow."""
    request = service.RetryWorkflowRequest(
        namespace=namespace, workflow_id=workflow_id_of(workflow), request_id=request_id(given_id)
    )
    return Call("WorkflowService/RetryWorkflow", request, service.RetryWorkflowResponse, _workflow)


def hold(namespace: str, workflow: WorkflowRef, reason: str, given_id: str | None) -> Call[Workflow]:
    """HoldWorkflow."""
    request = service.HoldWorkflowRequest(
        namespace=namespace,
        workflow_id=workflow_id_of(workflow),
        reason=reason,
        request_id=request_id(given_id),
    )
    return Call("WorkflowService/HoldWorkflow", request, service.HoldWorkflowResponse, _workflow)


def release(namespace: str, workflow: WorkflowRef, given_id: str | None) -> Call[Workflow]:
    """ReleaseWorkflow."""
    request = service.ReleaseWorkflowRequest(
        namespace=namespace, workflow_id=workflow_id_of(workflow), request_id=request_id(given_id)
    )
    return Call("WorkflowService/ReleaseWorkflow", request, service.ReleaseWorkflowResponse, _workflow)


def forecast(namespace: str, workflow: WorkflowRef) -> Call[WorkflowForecast]:
    """ForecastWorkflow."""
    request = service.ForecastWorkflowRequest(namespace=namespace, workflow_id=workflow_id_of(workflow))
    return Call(
        "WorkflowService/ForecastWorkflow",
        request,
        service.ForecastWorkflowResponse,
        lambda answer: WorkflowForecast.from_wire(answer.forecast),
    )


def _to_wire(tasks: Sequence[WorkflowTask]) -> list[wire.workflow.WorkflowTask]:
    return [task.to_wire(f"tasks[{index}]") for index, task in enumerate(tasks)]


def _by_name(tasks: Sequence[WorkflowTask], receipts: Iterable[wire.task.TaskReceipt]) -> dict[str, Receipt]:
    return dict(zip((task.name for task in tasks), map(Receipt.from_wire, receipts), strict=True))


def _workflow(answer: Any) -> Workflow:
    return Workflow.from_wire(answer.workflow)
