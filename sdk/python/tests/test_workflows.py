"""Workflows: what is asked for and answered, and every method of both clients against a real server."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fake_server import FakeServer
from real_server import Server
from waiting import LONG, attached, drained, unique, until

from callboard import (
    Agent,
    AsyncContext,
    Client,
    Context,
    DeadlineExceeded,
    Dependency,
    FailedPrecondition,
    Interceptor,
    InvalidArgument,
    NotFound,
    Receipt,
    ResultCondition,
    Task,
    TaskError,
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
    assert not workflow.ended
    proto.ended_at.seconds = 1
    # A state that is newer than this SDK.
    newer = wire.workflow.Workflow.FromString(b"\x28\x63")
    proto.ClearField("state")
    proto.MergeFrom(newer)
    ended = Workflow.from_wire(proto)
    assert (ended.ended, ended.state, workflow_id_of(ended)) == (True, "99", "w-1")


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


# Against a real server.


@pytest.fixture
def client(shared_server: Server) -> Iterator[Client]:
    with Client(shared_server.address) as client:
        yield client


@pytest.fixture
def worker(shared_server: Server) -> Iterator[str]:
    """The task type of an agent that does what its input says."""
    type = unique("work")
    agent = Agent("worker", name=unique("worker"), slots=8, address=shared_server.address)

    @agent.task(type)
    async def work(input: Any, ctx: AsyncContext) -> Any:
        if input == "fail":
            raise TaskError("no", type="No", retryable=False)
        if input == "fail in the first run" and ctx.run == 1:
            raise TaskError("not yet", retryable=False)
        if input == "sum":
            return sum(ctx.dependency(name).value["n"] for name in ("left", "right"))
        if input == "headers":
            return dict(ctx.headers)
        if input == "child":
            await ctx.run_child(type, {"n": 1})
        if input == "stuck":
            await asyncio.get_running_loop().create_future()
        return input

    attached(agent)
    yield type
    drained(agent)


def test_tasks_find_their_results_by_name_and_are_listed_as_a_graph(client: Client, worker: str) -> None:
    high = WorkflowDependency("left", result=ResultCondition("/n", "GREATER", 1))
    created = client.workflows.create(
        "report",
        [
            WorkflowTask("sum", TaskSpec(worker, "sum"), depends_on=[high, "right"], weight=2),
            WorkflowTask("left", TaskSpec(worker, {"n": 2})),
            WorkflowTask("right", TaskSpec(worker, {"n": 3})),
            WorkflowTask("headers", TaskSpec(worker, "headers", headers={"a": "own"})),
        ],
        description="about",
        tags=["nightly"],
        metadata={"team": "blue"},
        headers={"a": "all", "b": "all"},
    )
    workflow = client.workflows.wait(created, timeout=LONG)
    assert (workflow.id, workflow.name, workflow.state) == (created.workflow_id, "report", "COMPLETED")
    assert (workflow.description, workflow.tags, workflow.metadata) == (
        "about",
        ("nightly",),
        {"team": "blue"},
    )
    assert (workflow.tasks, workflow.completed_tasks, workflow.open_tasks) == (4, 4, 0)
    assert (workflow.progress, workflow.created_by, workflow.namespace) == (1.0, "anonymous", "default")
    assert workflow.created_at is not None and workflow.ended_at is not None
    assert client.workflows.get(workflow) == workflow
    assert client.result(created.receipts["sum"]) == 5
    assert client.result(created.receipts["headers"]) == {"a": "own", "b": "all"}
    tasks = list(client.workflows.tasks(created, page_size=2))
    named = {task.workflow.name: task for task in tasks if task.workflow}
    assert list(named) == ["left", "right", "sum", "headers"]
    assert {name: task.id for name, task in named.items()} == {
        name: receipt.task_id for name, receipt in created.receipts.items()
    }
    assert named["sum"].workflow == WorkflowLink(created.workflow_id, "sum", False, 2)
    left, right = named["sum"].dependencies
    assert left == Dependency(named["left"].id, result=high.result, name="left")
    assert right == Dependency(named["right"].id, name="right")
    assert client.get(named["sum"]).workflow == named["sum"].workflow
    assert client.get(client.create(worker)).workflow is None


def test_what_failed_is_retried_and_what_completed_is_kept(client: Client, worker: str) -> None:
    created = client.workflows.create(
        "moody",
        [
            WorkflowTask("first", TaskSpec(worker)),
            WorkflowTask("second", TaskSpec(worker, "fail in the first run"), depends_on=["first"]),
            WorkflowTask("third", TaskSpec(worker), depends_on=["second"]),
        ],
    )
    failed = client.workflows.wait(created, timeout=LONG)
    assert (failed.state, failed.failed_tasks, failed.skipped_tasks) == ("FAILED", 1, 1)
    once = unique("again") + str(time.time_ns())
    assert client.workflows.retry(failed, request_id=once).version > failed.version
    assert client.workflows.wait(created, timeout=LONG).state == "COMPLETED"
    assert client.workflows.retry(failed, request_id=once).state == "COMPLETED", "it is the same retry"
    runs = {task.workflow.name: task.run for task in client.workflows.tasks(created) if task.workflow}
    assert runs == {"first": 1, "second": 2, "third": 2}
    with pytest.raises(FailedPrecondition) as refused:
        client.workflows.retry(created)
    assert refused.value.reason == "WORKFLOW_STATE"


def test_a_fallback_lets_a_workflow_complete(client: Client, worker: str) -> None:
    created = client.workflows.create(
        "fallback",
        [
            WorkflowTask("primary", TaskSpec(worker, "fail"), allow_failure=True),
            WorkflowTask("next", TaskSpec(worker), depends_on=["primary"]),
            WorkflowTask(
                "fallback", TaskSpec(worker), depends_on=[WorkflowDependency("primary", condition="FAILED")]
            ),
        ],
    )
    workflow = client.workflows.wait(created, timeout=LONG)
    assert workflow.state == "COMPLETED"
    assert (workflow.completed_tasks, workflow.failed_tasks, workflow.skipped_tasks) == (1, 1, 1)


def test_a_workflow_is_cancelled(client: Client, worker: str) -> None:
    created = client.workflows.create(
        "long",
        [
            WorkflowTask("first", TaskSpec(worker, "stuck")),
            WorkflowTask("second", TaskSpec(worker), depends_on=["first"]),
        ],
    )
    until("the start", lambda: client.get(created.receipts["first"]).state == "RUNNING")
    with pytest.raises(DeadlineExceeded, match="RUNNING"):
        client.workflows.wait(created, timeout=0.05)
    assert client.workflows.cancel(created, "enough").cancel_requested
    workflow = client.workflows.wait(created, timeout=LONG)
    assert (workflow.state, workflow.cancelled_tasks) == ("CANCELLED", 2)
    assert client.workflows.cancel(workflow).state == "CANCELLED"


def test_children_are_the_workflows_too(client: Client, worker: str) -> None:
    created = client.workflows.create("family", [WorkflowTask("parent", TaskSpec(worker, "child"))])
    workflow = client.workflows.wait(created, timeout=LONG)
    assert (workflow.state, workflow.tasks) == ("COMPLETED", 2)
    parent, child = client.workflows.tasks(workflow)
    assert parent.workflow == WorkflowLink(workflow.id, "parent", False, 1)
    assert child.workflow == WorkflowLink(workflow.id, "", True, 0)
    assert child.parent is not None and child.parent.task_id == parent.id


def test_workflows_are_listed(client: Client) -> None:
    name, task = unique("listed"), WorkflowTask("a", TaskSpec(unique("nobody")))
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=5)
    one, two, three = (client.workflows.create(name, [task]) for _ in range(3))

    def listed(**filters: Any) -> list[str]:
        return [workflow.id for workflow in client.workflows.list(name=name, **filters)]

    assert listed(page_size=2) == [three.workflow_id, two.workflow_id, one.workflow_id]
    client.workflows.cancel(two)
    assert listed(states=["CANCELLED"]) == listed(states="cancelled") == [two.workflow_id]
    assert listed(states=["RUNNING"], created_after=before) == [three.workflow_id, one.workflow_id]
    assert listed(created_before=before) == []
    assert listed(id_suffix=one.workflow_id.replace("-", "")[-12:]) == [one.workflow_id]


def test_all_that_is_wrong_is_said_at_once(client: Client) -> None:
    task = TaskSpec("work")
    with pytest.raises(InvalidArgument) as refused:
        client.workflows.create(
            "wrong",
            [
                WorkflowTask("a", task, depends_on=["nobody", "a"]),
                WorkflowTask("b", TaskSpec("work", key="k"), weight=-1),
            ],
        )
    assert refused.value.reason == "INVALID_FIELD"
    fields = {violation.field for violation in refused.value.violations}
    assert {"workflow.tasks[1].task.key", "workflow.tasks[1].weight"} < fields and len(fields) == 4
    with pytest.raises(InvalidArgument, match="is a cycle"):
        client.workflows.create(
            "round", [WorkflowTask("a", task, depends_on=["b"]), WorkflowTask("b", task, depends_on=["a"])]
        )
    with pytest.raises(NotFound) as unknown:
        client.workflows.get("0198c0de-0000-7000-8000-000000000000")
    assert unknown.value.reason == "WORKFLOW_NOT_FOUND"


def test_a_request_id_makes_a_repetition_safe(client: Client) -> None:
    once, task = unique("once") + str(time.time_ns()), WorkflowTask("a", TaskSpec(unique("nobody")))
    first = client.workflows.create("w", [task], request_id=once)
    assert client.workflows.create("w", [task], request_id=once) == first
    with pytest.raises(InvalidArgument) as refused:
        client.workflows.create("v", [task], request_id=once)
    assert refused.value.reason == "REQUEST_ID_REUSED"


def test_the_async_client_does_the_same(shared_server: Server, worker: str) -> None:
    name = unique("async")

    async def main() -> None:
        async with aio.Client(shared_server.address) as client:
            workflows = client.workflows
            created = await workflows.create(
                name, [WorkflowTask("a", TaskSpec(worker, "fail in the first run"))]
            )
            failed = await workflows.wait(created, timeout=LONG)
            assert (failed.state, await workflows.get(created)) == ("FAILED", failed)
            await workflows.retry(created)
            assert (await workflows.wait(created, timeout=LONG)).state == "COMPLETED"
            (task,) = [task async for task in workflows.tasks(created, page_size=1)]
            assert (task.id, task.run) == (created.receipts["a"].task_id, 2)
            stuck = await workflows.create(name, [WorkflowTask("a", TaskSpec(unique("nobody")))])
            assert (await workflows.cancel(stuck, "enough")).cancel_requested
            listed = [workflow.id async for workflow in workflows.list(name=name, page_size=1)]
            assert listed == [stuck.workflow_id, created.workflow_id]

    asyncio.run(main())


def test_handlers_create_workflows(shared_server: Server, client: Client, worker: str) -> None:
    type = unique("starter")
    agent = Agent("starter", name=unique("starter"), address=shared_server.address)

    @agent.task(type)
    def begin(input: Any, ctx: Context) -> str:
        created: WorkflowReceipt = ctx.client.workflows.create(
            "w", [WorkflowTask("a", TaskSpec(worker, input))]
        )
        return created.workflow_id

    attached(agent)
    workflow_id = client.run(type, 1, timeout=LONG)
    assert client.workflows.wait(workflow_id, timeout=LONG).state == "COMPLETED"
    drained(agent)
