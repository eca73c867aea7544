"""Whose turn it is, and what limits hold back: what is asked for, and how it is answered."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fake_server import FakeServer, refuse

from callboard import (
    AssignmentChoice,
    AssignmentExplanation,
    AssignmentRunnerUp,
    Claim,
    Client,
    Dependency,
    FailedPrecondition,
    InvalidArgument,
    Limit,
    LimitUse,
    Namespace,
    NamespaceSettings,
    Receipt,
    ResultCondition,
    Task,
    TaskSpec,
    WorkflowLink,
    WorkflowTask,
    aio,
    wire,
)

LIMITS = [
    Limit("model", max_concurrent=2),
    Limit("tenant/*", rate=5, rate_period=0.25),
    Limit("crawl", 1, 60, dt.timedelta(minutes=1)),
]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def test_keys_of_turns_and_limits_go_over_the_wire() -> None:
    asked = TaskSpec("work", fairness_key="ann", limit_keys=["model", "tenant/a"])
    sent = asked.to_wire()
    assert (sent.fairness_key, list(sent.limit_keys)) == ("ann", ["model", "tenant/a"])
    assert not sent.HasField("requirements")
    in_workflow = WorkflowTask("a", asked).to_wire("tasks[0]")
    assert in_workflow.task == sent
    plain = {field.name for field, _ in TaskSpec("work").to_wire().ListFields()}
    assert plain.isdisjoint({"fairness_key", "limit_keys"})
    with pytest.raises(TypeError, match=r"limit_keys is the string 'model'"):
        TaskSpec("work", limit_keys="model").to_wire()


def test_a_child_has_the_keys_that_it_is_given(server: FakeServer) -> None:
    def created(*_: Any) -> Any:
        return wire.agent_service.CreateChildResponse(receipt={"task_id": "c", "state": "TASK_STATE_READY"})

    server.agents.answer = created
    with Client(server.address) as client:
        client.create_child(claim(), "work", fairness_key="ann", limit_keys=["model"])
    (request,) = server.agents.requests
    assert (request.task.fairness_key, list(request.task.limit_keys)) == ("ann", ["model"])


def claim() -> Claim:
    attempt = {"task_id": "0198c0de-0000-7000-8000-000000000000", "attempt": 1, "lease_token": "t"}
    return Claim.from_wire(wire.agent.Assignment(attempt=attempt, run=1))


def test_limits_go_over_the_wire_and_back() -> None:
    settings = NamespaceSettings(limits=LIMITS).to_wire()
    model, tenant, crawl = settings.limits
    assert (model.key, model.max_concurrent) == ("model", 2)
    assert not model.HasField("rate") and not model.HasField("rate_period")
    assert (tenant.rate, tenant.rate_period.ToMilliseconds()) == (5, 250)
    assert not tenant.HasField("max_concurrent")
    assert (crawl.max_concurrent, crawl.rate, crawl.rate_period.ToSeconds()) == (1, 60, 60)
    assert NamespaceSettings.from_wire(settings).limits == (*LIMITS[:2], Limit("crawl", 1, 60, 60.0))
    assert NamespaceSettings.from_wire(NamespaceSettings().to_wire()) == NamespaceSettings()


def test_a_limit_of_nothing_is_sent_and_not_taken_for_none() -> None:
    sent = Limit("model", max_concurrent=0, rate=0).to_wire()
    assert sent.HasField("max_concurrent") and sent.HasField("rate")
    assert Limit.from_wire(sent) == Limit("model", max_concurrent=0, rate=0)


def test_both_clients_set_and_get_limits(server: FakeServer) -> None:
    space = wire.namespace_service.Namespace(name="n", settings=NamespaceSettings(limits=LIMITS).to_wire())
    services = wire.namespace_service
    server.namespaces.answers = {
        "CreateNamespace": lambda *_: services.CreateNamespaceResponse(namespace=space),
        "UpdateNamespace": lambda *_: services.UpdateNamespaceResponse(namespace=space),
        "GetNamespace": lambda *_: services.GetNamespaceResponse(namespace=space),
    }
    settings = NamespaceSettings(limits=LIMITS)
    with Client(server.address) as client:
        given = [
            client.namespaces.create("n", settings),
            client.namespaces.update("n", settings),
            client.namespaces.get("n"),
        ]

    async def main() -> list[Namespace]:
        async with aio.Client(server.address) as client:
            return [
                await client.namespaces.create("n", settings),
                await client.namespaces.update("n", settings),
                await client.namespaces.get("n"),
            ]

    given += asyncio.run(main())
    assert [len(one.settings.limits) for one in given] == [3] * 6
    assert given[0].settings.limits[0] == LIMITS[0]
    create, update, _ = server.namespaces.requests[:3]
    assert create.settings == update.settings == settings.to_wire()


def test_both_clients_add_dependencies(server: FakeServer) -> None:
    receipt = {"task_id": "t", "state": "TASK_STATE_WAITING", "run": 1, "version": 2}
    server.tasks.answers["AddDependencies"] = lambda *_: wire.task_service.AddDependenciesResponse(
        receipt=receipt
    )
    before = Receipt("r", "READY", 1, 1, False)
    task = Task.from_wire(wire.task.Task(id="k"))
    more = Dependency("d", "FAIL", "COMPLETED", ResultCondition("/a", "EQUAL", 1), "n")
    with Client(server.address, namespace="n") as client:
        added = client.add_dependencies("t", ["i", before, task, more], request_id="x")

    async def main() -> Receipt:
        async with aio.Client(server.address, namespace="n") as client:
            return await client.add_dependencies("t", ["i", before, task, more], request_id="x")

    assert added == asyncio.run(main()) == Receipt("t", "WAITING", 1, 2, False)
    first, second = server.tasks.requests
    assert first == second
    assert (first.namespace, first.task_id, first.request_id) == ("n", "t", "x")
    assert [Dependency.from_wire(one) for one in first.dependencies] == [
        Dependency("i"),
        Dependency("r"),
        Dependency("k"),
        more,
    ]


def test_what_cannot_be_a_dependency_is_named_with_its_place(server: FakeServer) -> None:
    with Client(server.address) as client:
        with pytest.raises(TypeError, match="dependencies is the string 'other'"):
            client.add_dependencies("t", "other")
        with pytest.raises(ValueError, match=r"dependencies\[1\]\.condition 'LATE' is unknown"):
            client.add_dependencies("t", ["a", Dependency("b", condition="LATE")])  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=r"dependencies\[0\]\.result\.value"):
            result = ResultCondition("", "EQUAL", object())
            client.add_dependencies("t", [Dependency("b", result=result)])
        with pytest.raises(TypeError, match="depends_on is the string 'other'"):
            client.create("work", depends_on="other")
    assert server.tasks.requests == []


def test_a_task_that_waits_no_more_takes_no_dependencies(server: FakeServer) -> None:
    def refused(_: Any, context: Any) -> None:
        refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE", "the task is READY")

    server.tasks.answers["AddDependencies"] = refused
    with Client(server.address) as client, pytest.raises(FailedPrecondition) as raised:
        client.add_dependencies("t", ["a"])
    assert raised.value.reason == "TASK_STATE"


def test_a_link_tells_how_many_tasks_stand_behind() -> None:
    link = wire.task.WorkflowLink(workflow_id="w", name="a", weight=1, tasks_behind=3)
    assert WorkflowLink.from_wire(link) == WorkflowLink("w", "a", False, 1, 3)
    # A server of before the field.
    assert WorkflowLink.from_wire(wire.task.WorkflowLink(workflow_id="w")).tasks_behind == 0


def test_an_explanation_tells_of_limits_and_of_who_was_chosen() -> None:
    explanation = wire.assignment.AssignmentExplanation(task_id="t", state="TASK_STATE_READY")
    held = explanation.limits.add(key="tenant/a", in_use=2, reached=True)
    held.limit.CopyFrom(Limit("tenant/*", max_concurrent=2, rate=1, rate_period=1).to_wire())
    held.next_at.FromMilliseconds(1_500)
    explanation.limits.add(key="model").limit.CopyFrom(Limit("model", max_concurrent=1).to_wire())
    chosen = explanation.past.add(attempt=1, agent="ann", score=0.5, compared=3)
    chosen.at.FromMilliseconds(1_000)
    chosen.runners_up.add(agent="bob", score=0.75)
    chosen.runners_up.add(agent="cid", score=0.25)
    explanation.past.add(attempt=2, agent="poller", claimed=True)
    told = AssignmentExplanation.from_wire(explanation)
    assert told.limits == (
        LimitUse("tenant/a", Limit("tenant/*", 2, 1, 1.0), 2, True, at(1_500)),
        LimitUse("model", Limit("model", 1), 0, False, None),
    )
    others = (AssignmentRunnerUp("bob", 0.75), AssignmentRunnerUp("cid", 0.25))
    assert told.past == (
        AssignmentChoice(1, at(1_000), "ann", False, 0.5, 3, others),
        AssignmentChoice(2, None, "poller", True, 0, 0, ()),
    )


def at(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
