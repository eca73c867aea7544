"""Every method of both clients on tasks, agents and namespaces, against a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest
from real_server import Server
from waiting import LONG, attached, drained, unique

from callboard import (
    Agent,
    AlreadyExists,
    Client,
    Context,
    DeadlineExceeded,
    Dependency,
    FailedPrecondition,
    InvalidArgument,
    NamespaceSettings,
    NotFound,
    RetryPolicy,
    TaskError,
    TaskFailed,
    TaskSpec,
    Timeouts,
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
    agent = Agent("worker", name=unique("worker"), slots=8, skills=["do"], address=shared_server.address)

    @agent.task(type)
    def work(input: Any, ctx: Context) -> Any:
        if input == "fail":
            raise TaskError("no", type="No", retryable=False, details={"why": "so"})
        if input == "checkpoint":
            if ctx.checkpoint is None:
                ctx.save_checkpoint({"step": ctx.attempt})
                raise RuntimeError("halfway")
            return ctx.checkpoint
        if input == "dependencies":
            return [[one.state, one.value] for one in ctx.dependencies]
        if input == "stuck":
            assert ctx.cancelled.wait(LONG)
            ctx.check_cancelled()
        return {"got": input, "tags": ctx.metadata, "headers": ctx.headers}

    attached(agent)
    yield type
    drained(agent)


def test_every_option_of_a_task_arrives(client: Client) -> None:
    type, soon = unique("t"), dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
    first = client.create(type)
    receipt = client.create(
        type,
        b"\x00",
        description="about",
        key=unique("key"),
        key_conflict="FAIL",
        skills=["s"],
        tools=["t"],
        role="lead",
        assignee="ann",
        preferred_agent="ann",
        affinity={"zone": "a"},
        priority="HIGH",
        depends_on=[Dependency(first.task_id, on_failure="FAIL")],
        retry=RetryPolicy(5, 2, 3.0, 30, ["Fatal"]),
        timeouts=Timeouts(1, 2, 3, 4),
        deadline=soon,
        start_at=soon,
        hold=True,
        tags=["x", "y"],
        metadata={"m": "1"},
        headers={"traceparent": "00"},
    )
    task = client.get(receipt)
    spec = task.proto.spec
    assert (task.input, task.description, task.priority, task.tags) == (b"\x00", "about", "HIGH", ("x", "y"))
    assert set(task.waiting_for) == {"DEPENDENCIES", "HOLD", "START_TIME"}, task.waiting_for
    assert (task.metadata, task.headers, task.created_by) == ({"m": "1"}, {"traceparent": "00"}, "anonymous")
    needs = spec.requirements
    assert (list(needs.skills), list(needs.tools), needs.role) == (["s"], ["t"], "lead")
    assert (needs.assignee, needs.preferred_agent, dict(needs.affinity)) == ("ann", "ann", {"zone": "a"})
    policy, limits = spec.retry_policy, spec.timeouts
    assert (policy.max_attempts, policy.multiplier) == (5, 3.0)
    assert (policy.initial_backoff.seconds, policy.max_backoff.seconds) == (2, 30)
    assert list(policy.non_retryable_types) == ["Fatal"]
    assert [limits.schedule_to_start.seconds, limits.start_to_close.seconds] == [1, 2]
    assert [limits.schedule_to_close.seconds, limits.heartbeat.seconds] == [3, 4]
    with pytest.raises(AlreadyExists) as taken:
        client.create(type, key=task.key, key_conflict="FAIL")
    assert taken.value.reason == "KEY_EXISTS"
    assert client.create(type, b"\x00", key=task.key).existing


def test_tasks_are_run_followed_and_retried(client: Client, worker: str) -> None:
    done = client.run(worker, {"a": [1]}, metadata={"m": "1"}, headers={"h": "2"}, timeout=LONG)
    assert done == {"got": {"a": [1]}, "tags": {"m": "1"}, "headers": {"h": "2"}}
    assert client.run(worker, "checkpoint", retry=RetryPolicy(initial_backoff=0.001), timeout=LONG) == {
        "step": 1
    }
    failing = client.create(worker, "fail")
    task = client.wait(failing, timeout=LONG)
    assert task.state == "FAILED" and task.failure is not None
    assert (task.failure.type, task.failure.details, task.failure.retryable) == ("No", {"why": "so"}, False)
    with pytest.raises(TaskFailed, match="No: no"):
        client.result(failing, timeout=LONG)
    assert client.retry(failing).run == 2
    assert client.wait(failing, timeout=LONG).run == 2
    parts = [TaskSpec(worker, 1), TaskSpec(worker, "fail")]
    one, two = client.create_all(parts)
    skipped = client.create(worker, "dependencies", depends_on=[two])
    assert client.wait(skipped, timeout=LONG).state == "SKIPPED"
    both = client.create(worker, "dependencies", depends_on=[one])
    (result,) = client.result(both, timeout=LONG)
    assert result[0] == "COMPLETED" and result[1]["got"] == 1
    (dependency,) = client.dependency_results(both)
    assert (dependency.task_id, dependency.value["got"]) == (one.task_id, 1)
    kinds = [event.type for event in client.history(one)]
    assert kinds[0] == "CREATED" and kinds[-1] == "COMPLETED"
    assert [event.type for event in client.watch(one, until_ended=True)] == kinds


def test_tasks_are_steered(client: Client, worker: str) -> None:
    held = client.create(worker, "x", hold=True)
    assert client.get(held).waiting_for == ("HOLD",)
    client.update(held, priority="URGENT", tags=["new"], assignee="nobody")
    task = client.get(held)
    assert (task.priority, task.tags, task.proto.spec.requirements.assignee) == ("URGENT", ("new",), "nobody")
    with pytest.raises(DeadlineExceeded):
        client.wait(held, timeout=0.01)
    client.update(held, assignee="", deadline=None)
    client.release(held)
    assert client.result(held, timeout=LONG)["got"] == "x"
    with pytest.raises(FailedPrecondition) as ended:
        client.hold(held)
    assert ended.value.reason == "TASK_STATE"
    stuck = client.create(worker, "stuck")
    next(event for event in client.watch(stuck) if event.type == "STARTED")
    client.cancel(stuck, "enough")
    assert client.wait(stuck, timeout=LONG).state == "CANCELLED"


def test_a_request_id_makes_a_repetition_safe(client: Client) -> None:
    type, once = unique("t"), unique("once") + str(time.time_ns())
    first = client.create(type, "x", request_id=once)
    assert client.create(type, "x", request_id=once) == first
    with pytest.raises(InvalidArgument) as refused:
        client.create(type, "y", request_id=once)
    assert refused.value.reason == "REQUEST_ID_REUSED"


def test_tasks_are_claimed_and_ended_by_calls(client: Client) -> None:
    type, name = unique("t"), unique("ann")
    tasks = [client.create(type, number) for number in range(3)]
    options: dict[str, Any] = {"resources": {"gpu": 2.0}, "build_id": "b1", "labels": {"zone": "a"}}
    claims = client.claim(name, [type], slots=5, max_tasks=5, lease=30, wait=1, **options)
    assert [claim.input for claim in claims] == [0, 1, 2]
    profile = client.agents.get(name).proto.profile
    assert (dict(profile.resources), profile.build_id) == ({"gpu": 2.0}, "b1")
    lease = client.heartbeat(claims[0], progress=0.5, phase="executing", message="half", checkpoint=[1])
    assert lease.expires_at is not None and not lease.cancel_requested
    task = client.get(tasks[0])
    assert (task.state, task.progress, task.phase, task.progress_message) == (
        "RUNNING",
        0.5,
        "executing",
        "half",
    )
    client.complete(claims[0], {"fine": True})
    assert client.result(tasks[0]) == {"fine": True}
    client.fail(claims[1], TaskError("broken", type="Broken", retryable=False))
    failure = client.get(tasks[1]).failure
    assert failure is not None and failure.type == "Broken"
    assert not client.heartbeat(claims[2]).cancel_requested
    client.cancel(tasks[2])
    assert client.heartbeat(claims[2]).cancel_requested
    client.complete(claims[2], "late")
    assert client.get(tasks[2]).state == "CANCELLED"
    with pytest.raises(FailedPrecondition) as stale:
        client.complete(claims[0], "again")
    assert stale.value.reason in ("STALE_ATTEMPT", "TASK_STATE")
    nobodys = client.create(unique("t"))
    client.complete(nobodys, "done", agent=name)
    assert client.result(nobodys) == "done"


def test_lists_agents_and_namespaces(shared_server: Server, client: Client, worker: str) -> None:
    tasks = [client.create(worker, number, tags=["listed", worker]) for number in range(5)]
    assert [task.id for task in client.list(tags=[worker], page_size=2)] == [
        task.task_id for task in reversed(tasks)
    ]
    assert list(client.list(type=worker, states=["FAILED"])) == []
    (agent,) = [agent for agent in client.agents.list(agent_type="worker") if worker in agent.handles]
    assert client.agents.cordon(agent.name).cordoned
    assert not client.agents.uncordon(agent.name).cordoned
    name = unique("ann")
    client.claim(name, [unique("t")])
    client.agents.remove(name)
    with pytest.raises(NotFound) as gone:
        client.agents.get(name)
    assert gone.value.reason == "AGENT_NOT_FOUND"
    space = unique("space")
    created = client.namespaces.create(space, NamespaceSettings(max_live_tasks=1))
    assert created.settings.max_live_tasks == 1
    assert space in [namespace.name for namespace in client.namespaces.list()]
    with pytest.raises(AlreadyExists):
        client.namespaces.create(space)
    client.namespaces.update(space, NamespaceSettings(max_live_tasks=2))
    assert client.namespaces.get(space).settings.max_live_tasks == 2
    with Client(shared_server.address, namespace=space) as elsewhere, pytest.raises(NotFound):
        elsewhere.get(tasks[0])


def test_the_async_client_does_the_same(shared_server: Server, worker: str) -> None:
    async def main() -> None:
        async with aio.Client(shared_server.address) as client:
            assert (await client.run(worker, 1, timeout=LONG))["got"] == 1
            one, _ = await client.create_all([TaskSpec(worker, 1, hold=True), TaskSpec(worker, 2)])
            await client.update(one, priority="LOW")
            await client.hold(one, "still")
            assert (await client.get(one)).priority == "LOW"
            await client.release(one)
            assert (await client.wait(one, timeout=LONG)).ended
            assert (await client.result(one))["got"] == 1
            kinds = [event.type async for event in client.history(one)]
            assert [event.type async for event in client.watch(one, until_ended=True)] == kinds
            held = await client.create(worker, hold=True, depends_on=[one])
            assert [result.task_id async for result in client.dependency_results(held)] == [one.task_id]
            await client.cancel(held)
            assert (await client.retry(held)).run == 2
            await client.cancel(held)
            assert held.task_id in [task.id async for task in client.list(type=worker)]
            type, name = unique("t"), unique("ann")
            await client.create_all([TaskSpec(type), TaskSpec(type)])
            first, second = await client.claim(name, [type], slots=2, max_tasks=2, build_id="b")
            await client.heartbeat(first)
            await client.complete(first)
            await client.fail(second, "no")
            assert (await client.agents.get(name)).proto.profile.build_id == "b"
            assert name in [agent.name async for agent in client.agents.list()]
            assert (await client.agents.cordon(name)).cordoned
            assert not (await client.agents.uncordon(name)).cordoned
            await client.agents.remove(name)
            space = unique("space")
            await client.namespaces.create(space)
            await client.namespaces.update(space, NamespaceSettings(max_lanes=7))
            assert (await client.namespaces.get(space)).settings.max_lanes == 7
            assert space in [namespace.name async for namespace in client.namespaces.list()]

    asyncio.run(main())
