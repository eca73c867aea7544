"""Every unary call as a value: which method, which request, and how the answer is read. Nothing is sent here,
so that the sync and the async client share it."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from callboard import convert, wire
from callboard.explanations import AssignmentExplanation
from callboard.models import (
    AgentInfo,
    ChildInfo,
    DependencyResult,
    Event,
    OutputChunk,
    Page,
    Receipt,
    Step,
    Task,
)
from callboard.spec import DependsOn, Namespace, NamespaceSettings, TaskSpec, dependency_list
from callboard.unset import Unset

TaskRef: TypeAlias = "str | Receipt | Task"
"""A task by its id, or by what a call answered."""

T = TypeVar("T")
Item = TypeVar("Item")

tasks = wire.task_service
agents = wire.agent_service
namespaces = wire.namespace_service


@dataclass(frozen=True)
class Call(Generic[T]):
    """A unary call, not yet made."""

    method: str
    """`Service/Method`."""
    request: Message
    response: type[Message]
    read: Callable[[Any], T]


def request_id(given: str | None) -> str:
    """The caller's, or one made up once and kept through all retries."""
    return given if given is not None else str(uuid7())


def uuid7() -> uuid.UUID:
    """A UUID that begins with the time (RFC 9562, 5.7): the server's index of ids grows at its end."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & ((1 << 48) - 1)) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def task_id_of(task: TaskRef) -> str:
    """The id of a task."""
    if isinstance(task, Task):
        return task.id
    return task.task_id if isinstance(task, Receipt) else task


def create(namespace: str, spec: TaskSpec, given_id: str | None) -> Call[Receipt]:
    """CreateTask."""
    request = tasks.CreateTaskRequest(
        namespace=namespace, task=spec.to_wire(), request_id=request_id(given_id)
    )
    return Call("TaskService/CreateTask", request, tasks.CreateTaskResponse, read_receipt)


def create_all(namespace: str, specs: Iterable[TaskSpec], given_id: str | None) -> Call[list[Receipt]]:
    """BatchCreateTasks."""
    request = tasks.BatchCreateTasksRequest(
        namespace=namespace, tasks=[spec.to_wire() for spec in specs], request_id=request_id(given_id)
    )
    return Call(
        "TaskService/BatchCreateTasks",
        request,
        tasks.BatchCreateTasksResponse,
        lambda answer: [Receipt.from_wire(receipt) for receipt in answer.receipts],
    )


def run(namespace: str, run: wire.task_service.TaskRun, wait: float) -> Call[wire.task.Task]:
    """RunTask, of which mostly the result alone is wanted."""
    request = tasks.RunTaskRequest(
        namespace=namespace, task=run.task, request_id=run.request_id, wait=convert.duration(wait)
    )
    return Call("TaskService/RunTask", request, tasks.RunTaskResponse, lambda answer: answer.task)


def get(namespace: str, task: TaskRef) -> Call[Task]:
    """GetTask."""
    request = tasks.GetTaskRequest(namespace=namespace, task_id=task_id_of(task))
    return Call("TaskService/GetTask", request, tasks.GetTaskResponse, _task)


def wait(namespace: str, task: TaskRef, wait: float) -> Call[Task]:
    """WaitTask."""
    request = tasks.WaitTaskRequest(
        namespace=namespace, task_id=task_id_of(task), wait=convert.duration(wait)
    )
    return Call("TaskService/WaitTask", request, tasks.WaitTaskResponse, _task)


def list_tasks(
    namespace: str,
    *,
    states: Sequence[str] = (),
    type: str = "",
    agent: str = "",
    key: str = "",
    tags: Sequence[str] = (),
    created_after: dt.datetime | None = None,
    created_before: dt.datetime | None = None,
    id_suffix: str = "",
    page_size: int = 0,
    page_token: str = "",
) -> Call[Page[Task]]:
    """ListTasks."""
    request = tasks.ListTasksRequest(
        namespace=namespace,
        states=state_numbers(wire.task.TaskState, states, "TASK_STATE_"),
        type=type,
        agent=agent,
        key=key,
        tags=tags,
        created_after=convert.timestamp(created_after),
        created_before=convert.timestamp(created_before),
        id_suffix=id_suffix,
        page_size=page_size,
        page_token=page_token,
    )
    return Call("TaskService/ListTasks", request, tasks.ListTasksResponse, read_page("tasks", Task.from_wire))


def cancel(namespace: str, task: TaskRef, reason: str, given_id: str | None) -> Call[Receipt]:
    """CancelTask."""
    request = tasks.CancelTaskRequest(
        namespace=namespace, task_id=task_id_of(task), reason=reason, request_id=request_id(given_id)
    )
    return Call("TaskService/CancelTask", request, tasks.CancelTaskResponse, read_receipt)


def retry(namespace: str, task: TaskRef, given_id: str | None) -> Call[Receipt]:
    """RetryTask."""
    request = tasks.RetryTaskRequest(
        namespace=namespace, task_id=task_id_of(task), request_id=request_id(given_id)
    )
    return Call("TaskService/RetryTask", request, tasks.RetryTaskResponse, read_receipt)


def hold(namespace: str, task: TaskRef, reason: str, given_id: str | None) -> Call[Receipt]:
    """HoldTask."""
    request = tasks.HoldTaskRequest(
        namespace=namespace, task_id=task_id_of(task), reason=reason, request_id=request_id(given_id)
    )
    return Call("TaskService/HoldTask", request, tasks.HoldTaskResponse, read_receipt)


def release(namespace: str, task: TaskRef, given_id: str | None) -> Call[Receipt]:
    """ReleaseTask."""
    request = tasks.ReleaseTaskRequest(
        namespace=namespace, task_id=task_id_of(task), request_id=request_id(given_id)
    )
    return Call("TaskService/ReleaseTask", request, tasks.ReleaseTaskResponse, read_receipt)


def explain(namespace: str, task: TaskRef) -> Call[AssignmentExplanation]:
    """ExplainAssignment."""
    request = tasks.ExplainAssignmentRequest(namespace=namespace, task_id=task_id_of(task))
    return Call(
        "TaskService/ExplainAssignment",
        request,
        tasks.ExplainAssignmentResponse,
        lambda answer: AssignmentExplanation.from_wire(answer.explanation),
    )


def update(
    namespace: str,
    task: TaskRef,
    *,
    priority: str | Unset,
    assignee: str | Unset,
    deadline: dt.datetime | Unset | None,
    tags: Sequence[str] | Unset,
    given_id: str | None,
) -> Call[Receipt]:
    """UpdateTask, of the fields that are set."""
    given = {"priority": priority, "assignee": assignee, "deadline": deadline, "tags": tags}
    mask = FieldMask(paths=[name for name, value in given.items() if not isinstance(value, Unset)])
    request = tasks.UpdateTaskRequest(
        namespace=namespace, task_id=task_id_of(task), update_mask=mask, request_id=request_id(given_id)
    )
    if not isinstance(priority, Unset):
        number: Any = convert.enum_number(wire.task.Priority, priority, "PRIORITY_", "priority")
        request.priority = number
    if not isinstance(assignee, Unset):
        request.assignee = assignee
    if not isinstance(deadline, Unset) and deadline is not None:
        request.deadline.CopyFrom(convert.timestamp(deadline))
    if not isinstance(tags, Unset):
        request.tags.extend(tags)
    return Call("TaskService/UpdateTask", request, tasks.UpdateTaskResponse, read_receipt)


def add_dependencies(
    namespace: str, task: TaskRef, dependencies: Sequence[DependsOn], given_id: str | None
) -> Call[Receipt]:
    """AddDependencies."""
    request = tasks.AddDependenciesRequest(
        namespace=namespace,
        task_id=task_id_of(task),
        dependencies=dependency_list(dependencies, "dependencies"),
        request_id=request_id(given_id),
    )
    return Call("TaskService/AddDependencies", request, tasks.AddDependenciesResponse, read_receipt)


def history(namespace: str, task: TaskRef, page_token: str = "", page_size: int = 0) -> Call[Page[Event]]:
    """ListTaskEvents."""
    request = tasks.ListTaskEventsRequest(
        namespace=namespace, task_id=task_id_of(task), page_token=page_token, page_size=page_size
    )
    return Call(
        "TaskService/ListTaskEvents",
        request,
        tasks.ListTaskEventsResponse,
        read_page("events", Event.from_wire),
    )


def dependency_results(namespace: str, task: TaskRef, page_token: str = "") -> Call[Page[DependencyResult]]:
    """ListDependencyResults."""
    request = tasks.ListDependencyResultsRequest(
        namespace=namespace, task_id=task_id_of(task), page_token=page_token
    )
    return Call(
        "TaskService/ListDependencyResults",
        request,
        tasks.ListDependencyResultsResponse,
        read_page("results", DependencyResult.from_wire),
    )


def steps(
    namespace: str, task: TaskRef, run: int, page_token: str = "", page_size: int = 0
) -> Call[Page[Step]]:
    """ListSteps."""
    request = tasks.ListStepsRequest(
        namespace=namespace,
        task_id=task_id_of(task),
        run=run,
        page_token=page_token,
        page_size=page_size,
    )
    return Call("TaskService/ListSteps", request, tasks.ListStepsResponse, read_page("steps", Step.from_wire))


def children(
    namespace: str, task: TaskRef, run: int, page_token: str = "", page_size: int = 0
) -> Call[Page[ChildInfo]]:
    """ListChildren."""
    request = tasks.ListChildrenRequest(
        namespace=namespace, task_id=task_id_of(task), run=run, page_token=page_token, page_size=page_size
    )
    read = read_page("children", ChildInfo.from_wire)
    return Call("TaskService/ListChildren", request, tasks.ListChildrenResponse, read)


def output(
    namespace: str, task: TaskRef, run: int, offset: int, page_token: str = "", page_size: int = 0
) -> Call[Page[OutputChunk]]:
    """ListOutput."""
    request = tasks.ListOutputRequest(
        namespace=namespace,
        task_id=task_id_of(task),
        run=run,
        offset=offset,
        page_token=page_token,
        page_size=page_size,
    )
    read = read_page("chunks", OutputChunk.from_wire)
    return Call("TaskService/ListOutput", request, tasks.ListOutputResponse, read)


def create_child(
    namespace: str,
    parent: wire.agent.Attempt,
    run: int,
    spec: TaskSpec,
    *,
    name: str,
    occurrence: int,
    on_parent_end: str,
    given_id: str | None,
) -> Call[Receipt]:
    """CreateChild. A request id that is made up is the same in every attempt of the run."""
    action: Any = convert.enum_number(
        wire.child.ParentEndAction, on_parent_end, "PARENT_END_ACTION_", "on_parent_end"
    )
    request = agents.CreateChildRequest(
        namespace=namespace,
        parent=parent,
        name=name,
        occurrence=occurrence,
        task=spec.to_wire(),
        on_parent_end=action,
        request_id=child_request_id(parent.task_id, run, name, occurrence) if given_id is None else given_id,
    )
    return Call("AgentService/CreateChild", request, agents.CreateChildResponse, read_receipt)


def child_request_id(task_id: str, run: int, name: str, occurrence: int) -> str:
    """The request id of a child: the same in every attempt of the parent's run."""
    return f"child/{uuid.uuid5(uuid.UUID(task_id), f'{run}/{occurrence}/{name}')}"


def get_agent(namespace: str, name: str) -> Call[AgentInfo]:
    """GetAgent."""
    request = agents.GetAgentRequest(namespace=namespace, name=name)
    return Call("AgentService/GetAgent", request, agents.GetAgentResponse, _agent)


def list_agents(
    namespace: str,
    *,
    states: Sequence[str] = (),
    agent_type: str = "",
    page_size: int = 0,
    page_token: str = "",
) -> Call[Page[AgentInfo]]:
    """ListAgents."""
    request = agents.ListAgentsRequest(
        namespace=namespace,
        states=state_numbers(wire.agent.AgentState, states, "AGENT_STATE_"),
        agent_type=agent_type,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(
        "AgentService/ListAgents",
        request,
        agents.ListAgentsResponse,
        read_page("agents", AgentInfo.from_wire),
    )


def cordon(namespace: str, name: str, given_id: str | None) -> Call[AgentInfo]:
    """CordonAgent."""
    request = agents.CordonAgentRequest(namespace=namespace, name=name, request_id=request_id(given_id))
    return Call("AgentService/CordonAgent", request, agents.CordonAgentResponse, _agent)


def uncordon(namespace: str, name: str, given_id: str | None) -> Call[AgentInfo]:
    """UncordonAgent."""
    request = agents.UncordonAgentRequest(namespace=namespace, name=name, request_id=request_id(given_id))
    return Call("AgentService/UncordonAgent", request, agents.UncordonAgentResponse, _agent)


def remove(namespace: str, name: str, given_id: str | None) -> Call[None]:
    """RemoveAgent."""
    request = agents.RemoveAgentRequest(namespace=namespace, name=name, request_id=request_id(given_id))
    return Call("AgentService/RemoveAgent", request, agents.RemoveAgentResponse, lambda _: None)


def create_namespace(name: str, settings: NamespaceSettings | None, given_id: str | None) -> Call[Namespace]:
    """CreateNamespace."""
    request = namespaces.CreateNamespaceRequest(
        name=name, settings=(settings or NamespaceSettings()).to_wire(), request_id=request_id(given_id)
    )
    return Call("NamespaceService/CreateNamespace", request, namespaces.CreateNamespaceResponse, _namespace)


def get_namespace(name: str) -> Call[Namespace]:
    """GetNamespace."""
    request = namespaces.GetNamespaceRequest(name=name)
    return Call("NamespaceService/GetNamespace", request, namespaces.GetNamespaceResponse, _namespace)


def list_namespaces(page_token: str = "", page_size: int = 0) -> Call[Page[Namespace]]:
    """ListNamespaces."""
    request = namespaces.ListNamespacesRequest(page_token=page_token, page_size=page_size)
    return Call(
        "NamespaceService/ListNamespaces",
        request,
        namespaces.ListNamespacesResponse,
        read_page("namespaces", Namespace.from_wire),
    )


def update_namespace(name: str, settings: NamespaceSettings, given_id: str | None) -> Call[Namespace]:
    """UpdateNamespace."""
    request = namespaces.UpdateNamespaceRequest(
        name=name, settings=settings.to_wire(), request_id=request_id(given_id)
    )
    return Call("NamespaceService/UpdateNamespace", request, namespaces.UpdateNamespaceResponse, _namespace)


def read_receipt(answer: Any) -> Receipt:
    return Receipt.from_wire(answer.receipt)


def _task(answer: Any) -> Task:
    return Task.from_wire(answer.task)


def _agent(answer: Any) -> AgentInfo:
    return AgentInfo.from_wire(answer.agent)


def _namespace(answer: Any) -> Namespace:
    return Namespace.from_wire(answer.namespace)


def read_page(field: str, read: Callable[[Any], Item]) -> Callable[[Any], Page[Item]]:
    """How a page of what stands in a field is read."""
    return lambda answer: Page(tuple(read(one) for one in getattr(answer, field)), answer.next_page_token)


def state_numbers(enum: Any, names: Sequence[str], prefix: str) -> list[Any]:
    """The states of a filter, for the wire. A lone one counts as a list of it."""
    if isinstance(names, str):
        names = [names]
    return [convert.enum_number(enum, name, prefix, "states") for name in names]
