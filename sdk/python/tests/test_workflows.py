"""Every method of both clients on workflows, against a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest
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
    InvalidArgument,
    NotFound,
    ResultCondition,
    TaskError,
    TaskSpec,
    WorkflowDependency,
    WorkflowLink,
    WorkflowReceipt,
    WorkflowTask,
    aio,
)


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
