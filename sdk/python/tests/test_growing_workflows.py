"""Workflows that grow, are held and forecast: what is asked for and answered, against a server that says what
a test tells it to."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from fake_server import FakeServer
from parent import Parent

from callboard import (
    AsyncContext,
    Client,
    ForecastTask,
    Interceptor,
    InvalidArgument,
    Receipt,
    TaskSpec,
    WorkflowForecast,
    WorkflowLink,
    WorkflowTask,
    aio,
    wire,
)
from callboard.workflow_calls import WorkflowRef

service = wire.workflow_service


class Tenant(Interceptor):
    """Puts a header into what is submitted, and answers for some tasks itself."""

    async def submit(self, spec: TaskSpec, next: Any) -> Any:
        if spec.type == "known":
            return Receipt("mine", "COMPLETED", 1, 1, True)
        return await next(dataclasses.replace(spec, headers={"tenant": "blue"}))


Do = Callable[[Any], Any]
"""What is asked of a client, of either kind."""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()

    def added(request: Any, _: Any) -> Any:
        receipts = [wire.task.TaskReceipt(task_id=f"id of {task.name}") for task in request.tasks]
        return service.AddWorkflowTasksResponse(receipts=receipts)

    server.workflows.answers["AddWorkflowTasks"] = added
    yield server
    server.stop()


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, server: FakeServer) -> Callable[..., Any]:
    """Asks a client of that kind."""

    def blocking(do: Do, *interceptors: Interceptor) -> Any:
        with Client(server.address, interceptors=interceptors) as client:
            return do(client)

    async def awaited(do: Do, *interceptors: Interceptor) -> Any:
        async with aio.Client(server.address, interceptors=interceptors) as client:
            answer: Awaitable[Any] = do(client)
            return await answer

    if request.param == "blocking":
        return blocking
    return lambda do, *interceptors: asyncio.run(awaited(do, *interceptors))


def tasks(*types: str) -> list[WorkflowTask]:
    """Tasks of these types, each named as its type with a dash behind."""
    return [WorkflowTask(f"{type}-", TaskSpec(type), depends_on=["there"]) for type in types]


@pytest.mark.parametrize("workflow", ["w-1", WorkflowLink("w-1", "plan", False, 1)])
def test_tasks_are_added_and_found_by_their_names(
    server: FakeServer, ask: Callable[..., Mapping[str, Receipt]], workflow: WorkflowRef
) -> None:
    added = ask(lambda client: client.workflows.add(workflow, tasks("a", "b"), request_id="once"))
    assert {name: one.task_id for name, one in added.items()} == {"a-": "id of a-", "b-": "id of b-"}
    (request,) = server.workflows.requests
    assert (request.workflow_id, request.request_id) == ("w-1", "once")
    assert [(task.name, task.depends_on[0].task) for task in request.tasks] == [
        ("a-", "there"),
        ("b-", "there"),
    ]


def test_interceptors_are_around_each_task_that_is_added(
    server: FakeServer, ask: Callable[..., Mapping[str, Receipt]]
) -> None:
    added = ask(lambda client: client.workflows.add("w-1", tasks("a", "b")), Tenant())
    assert {name: one.task_id for name, one in added.items()} == {"a-": "id of a-", "b-": "id of b-"}
    (request,) = server.workflows.requests
    assert [task.task.headers["tenant"] for task in request.tasks] == ["blue", "blue"]
    with pytest.raises(InvalidArgument, match="created together"):
        ask(lambda client: client.workflows.add("w-1", tasks("a", "known")), Tenant())
    assert len(server.workflows.requests) == 1, "nothing is sent"


def test_no_tasks_are_left_to_the_server(server: FakeServer, ask: Callable[..., Any]) -> None:
    assert ask(lambda client: client.workflows.add("w-1", []), Tenant()) == {}
    assert len(server.workflows.requests) == 1


def test_a_workflow_is_held_and_released(server: FakeServer, ask: Callable[..., Any]) -> None:
    held = service.HoldWorkflowResponse(workflow=wire.workflow.Workflow(id="w-1", held=True))
    released = service.ReleaseWorkflowResponse(workflow=wire.workflow.Workflow(id="w-1"))
    server.workflows.answers["HoldWorkflow"] = lambda *_: held
    server.workflows.answers["ReleaseWorkflow"] = lambda *_: released
    assert ask(lambda client: client.workflows.hold("w-1", "to look", request_id="h")).held
    assert not ask(lambda client: client.workflows.release("w-1", request_id="r")).held
    hold, release = server.workflows.requests
    assert (hold.workflow_id, hold.reason, hold.request_id) == ("w-1", "to look", "h")
    assert (release.workflow_id, release.request_id) == ("w-1", "r")


def test_a_forecast_is_read_whole(server: FakeServer, ask: Callable[..., Any]) -> None:
    answer = service.ForecastWorkflowResponse()
    known = answer.forecast.critical_path.add(task_id="t", name="a", type="work", state="TASK_STATE_RUNNING")
    known.expected_duration.FromMilliseconds(1500)
    known.expected_start.seconds, known.expected_end.seconds = 1, 2
    answer.forecast.critical_path.add(task_id="u", type="odd", state="TASK_STATE_WAITING")
    answer.forecast.unknown_types.append("odd")
    server.workflows.answers["ForecastWorkflow"] = lambda *_: answer
    first, second = (dt.datetime(1970, 1, 1, 0, 0, at, tzinfo=dt.timezone.utc) for at in (1, 2))
    path = (
        ForecastTask("t", "a", "work", "RUNNING", 1.5, first, second),
        ForecastTask("u", "", "odd", "WAITING", None, None, None),
    )
    assert ask(lambda client: client.workflows.forecast("w-1")) == WorkflowForecast(None, path, ("odd",))
    answer.forecast.expected_end.seconds = 2
    assert ask(lambda client: client.workflows.forecast("w-1")).expected_end == second
    assert server.workflows.requests[0].workflow_id == "w-1"


def test_a_handler_adds_to_its_own_workflow(server: FakeServer) -> None:
    async def handle(input: Any, ctx: AsyncContext) -> Any:
        assert ctx.workflow is not None
        added = await ctx.client.workflows.add(ctx.workflow, tasks("more"))
        return [ctx.workflow.name, added["more-"].task_id]

    parent = Parent(server)
    link = wire.task.WorkflowLink(workflow_id="w-1", name="plan", weight=1)
    parent.does(handle, workflow=link)
    assert parent.result() == '["plan","id of more-"]'
    parent.stop()
    assert server.workflows.requests[0].workflow_id == "w-1"


def test_a_task_may_be_of_no_workflow(server: FakeServer) -> None:
    parent = Parent(server)
    parent.does(lambda input, ctx: ctx.workflow)
    assert parent.result() == "null"
    parent.stop()
