"""Workflows: what is asked for and answered, waiting, and interceptors, without a real server."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fake_server import FakeServer
from waiting import LONG

from callboard import (
    Client,
    DeadlineExceeded,
    Dependency,
    Interceptor,
    InvalidArgument,
    Receipt,
    ResultCondition,
    Task,
    TaskSpec,
    Workflow,
    WorkflowDependency,
    WorkflowLink,
    WorkflowReceipt,
    WorkflowTask,
    aio,
    wire,
)
from callboard.workflow_calls import create, workflow_id_of
from callboard.workflows import AsyncWorkflows, Workflows

service = wire.workflow_service


def creating(*tasks: WorkflowTask, **options: Any) -> Any:
    """The call that creates a workflow of these."""
    nothing: dict[str, Any] = {"description": "", "tags": (), "metadata": None, "headers": None}
    return create("default", "w", tasks, given_id=None, **nothing | options)


# Requests and answers.


def test_a_workflow_goes_over_the_wire() -> None:
    condition = ResultCondition("/score", "GREATER_OR_EQUAL", 0.8)
    review = WorkflowTask("review", TaskSpec("review", {"a": 1}, depends_on=["outside"]))
    publish = WorkflowTask(
        "publish",
        TaskSpec("publish"),
        depends_on=["review", WorkflowDependency("draft", "FAIL", "COMPLETED", condition)],
        allow_failure=True,
        weight=5,
    )
    about = {"description": "about", "tags": ["t"], "metadata": {"m": "1"}, "headers": {"h": "2"}}
    request = creating(publish, review, **about).request
    assert (request.namespace, request.workflow.name, bool(request.request_id)) == ("default", "w", True)
    sent = request.workflow
    assert (sent.description, list(sent.tags)) == ("about", ["t"])
    assert (dict(sent.metadata), dict(sent.headers)) == ({"m": "1"}, {"h": "2"})
    first, second = sent.tasks
    assert first == wire.workflow.WorkflowTask(
        name="publish",
        task=TaskSpec("publish").to_wire(),
        depends_on=[
            wire.workflow.WorkflowDependency(
                task="review",
                on_failure="DEPENDENCY_FAILURE_ACTION_SKIP",
                condition="DEPENDENCY_CONDITION_COMPLETED",
            ),
            wire.workflow.WorkflowDependency(
                task="draft",
                on_failure="DEPENDENCY_FAILURE_ACTION_FAIL",
                condition="DEPENDENCY_CONDITION_COMPLETED",
                result=wire.task.ResultCondition(
                    pointer="/score", comparison="RESULT_COMPARISON_GREATER_OR_EQUAL", value="0.8"
                ),
            ),
        ],
        allow_failure=True,
        weight=5,
    )
    assert (second.name, second.weight, second.allow_failure) == ("review", 1, False)
    assert [one.task_id for one in second.task.dependencies] == ["outside"]


def test_wrong_options_are_named_with_their_place() -> None:
    good = WorkflowTask("a", TaskSpec("t"))
    unknown: Any = WorkflowDependency("a", condition="DONE")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tasks\[1\]\.depends_on\[1\]\.condition 'DONE' is unknown"):
        creating(good, WorkflowTask("b", TaskSpec("t"), depends_on=["a", unknown]))
    soon: Any = "SOON"
    with pytest.raises(ValueError, match=r"tasks\[1\]\.task\.priority 'SOON'"):
        creating(good, WorkflowTask("b", TaskSpec("t", priority=soon)))
    outside = Dependency("id", condition=soon)
    with pytest.raises(ValueError, match=r"tasks\[0\]\.task\.depends_on\[0\]\.condition 'SOON'"):
        creating(WorkflowTask("b", TaskSpec("t", depends_on=[outside])))
    with pytest.raises(TypeError, match=r"tasks\[0\]\.depends_on is the string 'abc'"):
        creating(WorkflowTask("b", TaskSpec("t"), depends_on="abc"))
    with pytest.raises(TypeError, match="tags"):
        creating(good, tags="nightly")
    bytes_are_none = WorkflowDependency("a", result=ResultCondition("", "EQUAL", b"bytes"))
    with pytest.raises(InvalidArgument, match="is not JSON") as raised:
        creating(good, WorkflowTask("b", TaskSpec("t"), depends_on=[bytes_are_none]))
    assert [one.field for one in raised.value.violations] == ["tasks[1].depends_on[0].result.value"]
    with pytest.raises(InvalidArgument) as raised:
        creating(WorkflowTask("b", TaskSpec("t", object())))
    assert [one.field for one in raised.value.violations] == ["tasks[0].task.input"]


def test_receipts_are_found_by_the_names_of_their_tasks() -> None:
    call = creating(WorkflowTask("a", TaskSpec("t")), WorkflowTask("b", TaskSpec("t")))
    receipts = [wire.task.TaskReceipt(task_id=id, state="TASK_STATE_READY", run=1) for id in ("id-a", "id-b")]
    created = call.read(service.CreateWorkflowResponse(workflow_id="w-1", receipts=receipts))
    assert created.workflow_id == workflow_id_of(created) == workflow_id_of("w-1") == "w-1"
    assert {name: one.task_id for name, one in created.receipts.items()} == {"a": "id-a", "b": "id-b"}
    with pytest.raises(ValueError, match="shorter"):
        call.read(service.CreateWorkflowResponse(workflow_id="w-1", receipts=receipts[:1]))


def test_a_workflow_is_read_whole() -> None:
    proto = wire.workflow.Workflow(
        id="w-1",
        namespace="n",
        name="nightly",
        description="about",
        state="WORKFLOW_STATE_RUNNING",
        tasks=15,
        open_tasks=5,
        completed_tasks=4,
        failed_tasks=3,
        cancelled_tasks=2,
        skipped_tasks=1,
        progress=0.25,
        cancel_requested=True,
        tags=["t"],
        metadata={"m": "1"},
        created_by="ann",
        version=7,
    )
    proto.created_at.seconds = 1
    at = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.timezone.utc)
    workflow = Workflow.from_wire(proto)
    about = ("w-1", "n", "nightly", "about", "RUNNING")
    progress = (0.25, True, ("t",), {"m": "1"})
    assert workflow == Workflow(*about, 15, 5, 4, 3, 2, 1, *progress, at, None, "ann", 7)
    assert not workflow.ended and not workflow.held
    proto.held = True
    proto.ended_at.seconds = 1
    # A state that is newer than this SDK.
    newer = wire.workflow.Workflow.FromString(b"\x28\x63")
    proto.ClearField("state")
    proto.MergeFrom(newer)
    ended = Workflow.from_wire(proto)
    assert (ended.ended, ended.held, ended.state, workflow_id_of(ended)) == (True, True, "99", "w-1")


@pytest.mark.parametrize(
    "dependency",
    [
        Dependency("t"),
        Dependency("t", "FAIL", "NOT_COMPLETED", name="n"),
        Dependency("t", result=ResultCondition("/a", "EQUAL", None)),
        Dependency("t", result=ResultCondition("", "LESS", 12345678901234567890)),
        Dependency("t", result=ResultCondition("/ä", "NOT_EXISTS")),
    ],
)
def test_what_a_task_waits_for_is_read_as_it_was_written(dependency: Dependency) -> None:
    task = wire.task.Task(id="id-1")
    assert Task.from_wire(task).dependencies == ()
    task.spec.dependencies.append(dependency.to_wire("dependency"))
    assert Task.from_wire(task).dependencies == (dependency,)


def test_a_task_says_what_workflow_it_is_of() -> None:
    task = wire.task.Task(id="id-1")
    assert Task.from_wire(task).workflow is None
    task.workflow.workflow_id, task.workflow.name, task.workflow.weight = "w-1", "a", 2
    link = Task.from_wire(task).workflow
    assert link == WorkflowLink("w-1", "a", False, 2)
    assert link is not None and workflow_id_of(link) == "w-1"
    # Of a server whose dependencies have no conditions yet.
    task.spec.dependencies.add(task_id="id-0")
    assert Task.from_wire(task).dependencies == (Dependency("id-0"),)


def test_both_clients_have_the_same_methods_of_workflows() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Workflows) == names(AsyncWorkflows)


# Waiting, against a server that says what a test tells it to.


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def answer_of(state: str) -> wire.workflow_service.WaitWorkflowResponse:
    answer = service.WaitWorkflowResponse(
        workflow=wire.workflow.Workflow(id="w-1", state=f"WORKFLOW_STATE_{state}"), ended=state != "RUNNING"
    )
    if answer.ended:
        answer.workflow.ended_at.seconds = 1
    return answer


def test_waiting_goes_on_until_the_end_and_raises_nothing_when_it_was_bad(fake: FakeServer) -> None:
    answers = iter([answer_of("RUNNING"), answer_of("RUNNING"), answer_of("FAILED")] * 2)
    fake.workflows.answers["WaitWorkflow"] = lambda *_: next(answers)
    with Client(fake.address) as client:
        assert client.workflows.wait("w-1").state == "FAILED"

    async def main() -> None:
        async with aio.Client(fake.address) as client:
            assert (await client.workflows.wait("w-1", timeout=LONG)).state == "FAILED"

    asyncio.run(main())
    assert [request.workflow_id for request in fake.workflows.requests] == ["w-1"] * 6


def test_waiting_ends_with_its_timeout(fake: FakeServer) -> None:
    def answer(request: Any, _: Any) -> Any:
        time.sleep(request.wait.ToMilliseconds() / 1000)
        return answer_of("RUNNING")

    fake.workflows.answers["WaitWorkflow"] = answer
    with Client(fake.address) as client:
        with pytest.raises(DeadlineExceeded, match=r"workflow w-1 had not ended in time: it is RUNNING"):
            client.workflows.wait("w-1", timeout=0.3)
        with pytest.raises(TimeoutError):
            client.workflows.wait("w-1", timeout=0)


# Interceptors.


class Tenant(Interceptor):
    """Puts a header into what is submitted, answers for some tasks itself, and asks for others twice."""

    async def submit(self, spec: TaskSpec, next: Any) -> Any:
        if spec.type == "known":
            return Receipt("mine", "COMPLETED", 1, 1, True)
        receipt = await next(dataclasses.replace(spec, headers={"tenant": "blue"}))
        return await next(spec) if spec.type == "twice" else receipt


@pytest.fixture(params=["blocking", "asyncio"])
def create_through(
    request: pytest.FixtureRequest, fake: FakeServer
) -> Callable[[Sequence[WorkflowTask]], WorkflowReceipt]:
    """Creates a workflow by a client with that interceptor."""

    def answer(request: Any, _: Any) -> Any:
        receipts = [wire.task.TaskReceipt(task_id=f"id of {task.name}") for task in request.workflow.tasks]
        return service.CreateWorkflowResponse(workflow_id="w-1", receipts=receipts)

    fake.workflows.answers["CreateWorkflow"] = answer

    def blocking(tasks: Sequence[WorkflowTask]) -> WorkflowReceipt:
        with Client(fake.address, interceptors=[Tenant()]) as client:
            return client.workflows.create("w", tasks, request_id="once")

    async def awaited(tasks: Sequence[WorkflowTask]) -> WorkflowReceipt:
        async with aio.Client(fake.address, interceptors=[Tenant()]) as client:
            return await client.workflows.create("w", tasks, request_id="once")

    return blocking if request.param == "blocking" else lambda tasks: asyncio.run(awaited(tasks))


def typed(*types: str) -> list[WorkflowTask]:
    """Tasks of these types, each named as its type with a dash behind."""
    return [WorkflowTask(f"{type}-", TaskSpec(type, type), weight=2) for type in types]


def test_interceptors_are_around_each_task_of_a_workflow(fake: FakeServer, create_through: Any) -> None:
    created = create_through(typed("a", "b"))
    assert created.workflow_id == "w-1"
    assert {name: receipt.task_id for name, receipt in created.receipts.items()} == {
        "a-": "id of a-",
        "b-": "id of b-",
    }
    (request,) = fake.workflows.requests
    assert request.request_id == "once"
    sent = [
        (one.name, one.task.input.text, one.task.headers["tenant"], one.weight)
        for one in request.workflow.tasks
    ]
    assert sent == [("a-", "a", "blue", 2), ("b-", "b", "blue", 2)]


@pytest.mark.parametrize(
    ("types", "requests"), [(["a", "known"], 0), (["known"], 0), (["known", "known"], 0), (["twice"], 1)]
)
def test_interceptors_can_not_take_tasks_out_of_a_workflow(
    fake: FakeServer, create_through: Any, types: list[str], requests: int
) -> None:
    with pytest.raises(InvalidArgument, match="created together") as refused:
        create_through(typed(*types))
    assert [violation.field for violation in refused.value.violations] == ["interceptors"]
    assert len(fake.workflows.requests) == requests


def test_a_workflow_without_tasks_is_left_to_the_server(fake: FakeServer, create_through: Any) -> None:
    assert create_through([]) == WorkflowReceipt("w-1", {})
    assert len(fake.workflows.requests) == 1
