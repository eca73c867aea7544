"""Durable steps against a real server: what is recorded outlives attempts, agents and the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from conftest import Serve
from real_server import Server
from waiting import LONG, Told, attached, drained, unique

from callboard import (
    Agent,
    AlreadyExists,
    AsyncContext,
    Client,
    Context,
    InvalidArgument,
    ResourceExhausted,
    RetryPolicy,
    StepRecord,
    TaskError,
    aio,
)

AT_ONCE = RetryPolicy(initial_backoff=0.001)
LARGE = "x" * 1_000_000


@pytest.fixture
def client(shared_server: Server) -> Iterator[Client]:
    with Client(shared_server.address) as client:
        yield client


def test_a_later_attempt_is_given_what_an_earlier_one_recorded(client: Client, shared_server: Server) -> None:
    type, ran = unique("t"), Told[str]()
    agent = Agent("worker", name=unique("worker"), address=shared_server.address)

    def fetch(page: int) -> dict[str, int]:
        ran.tell(f"fetch {page}")
        return {"page": page}

    @agent.task(type)
    def work(input: Any, ctx: Context) -> Any:
        pages = [ctx.step("fetch", partial(fetch, page)) for page in range(2)]
        if ctx.attempts_used == 0:
            raise RuntimeError("halfway")
        return [*pages, ctx.step("write", lambda: ran.tell("write"))]

    attached(agent)
    task = client.create(type, retry=AT_ONCE)
    assert client.result(task, timeout=LONG) == [{"page": 0}, {"page": 1}, None]
    assert ran.some(3) == ["fetch 0", "fetch 1", "write"] and ran.empty()
    steps = list(client.steps(task))
    assert [(step.name, step.occurrence, step.ordinal, step.value, step.attempt) for step in steps] == [
        ("fetch", 0, 1, {"page": 0}, 1),
        ("fetch", 1, 2, {"page": 1}, 1),
        ("write", 0, 3, None, 2),
    ]
    assert all(step.recorded_at is not None for step in steps)
    events = [event for event in client.history(task) if event.type == "STEP_RECORDED"]
    assert [(event.step, event.step_occurrence) for event in events] == [
        ("fetch", 0),
        ("fetch", 1),
        ("write", 0),
    ]
    drained(agent)


def test_the_next_run_begins_with_no_steps(client: Client, shared_server: Server) -> None:
    type = unique("t")
    agent = Agent("worker", name=unique("worker"), address=shared_server.address)

    @agent.task(type)
    async def work(input: Any, ctx: AsyncContext) -> Any:
        done = await ctx.step("run", lambda: ctx.run)
        if ctx.run == 1:
            raise TaskError("no", retryable=False)
        return done

    attached(agent)
    task = client.create(type)
    assert client.wait(task, timeout=LONG).state == "FAILED"
    assert client.result(client.retry(task), timeout=LONG) == 2
    assert [step.value for step in client.steps(task, 1)] == [1]
    assert [step.value for step in client.steps(task, 2)] == [2]
    assert list(client.steps(task)) == list(client.steps(task, 2))
    assert list(client.steps(task, 3)) == []
    drained(agent)


def test_steps_that_do_not_fit_into_the_assignment_are_fetched(client: Client, shared_server: Server) -> None:
    type, ran = unique("t"), Told[int]()
    agent = Agent("worker", name=unique("worker"), address=shared_server.address)

    @agent.task(type)
    async def work(input: Any, ctx: AsyncContext) -> Any:
        async def fetch(number: int) -> str:
            ran.tell(number)
            return f"{number}{LARGE}"

        # Beside each other.
        steps = [ctx.step("fetch", partial(fetch, number)) for number in range(4)]
        results = await asyncio.gather(*steps)
        if ctx.attempts_used == 0:
            raise RuntimeError("halfway")
        return [result[0] for result in results]

    attached(agent)
    assert client.run(type, retry=AT_ONCE, timeout=LONG) == ["0", "1", "2", "3"]
    assert sorted(ran.some(4)) == [0, 1, 2, 3] and ran.empty()
    drained(agent)


def test_a_run_records_no_more_than_its_limit_and_its_handler_goes_on(
    client: Client, shared_server: Server
) -> None:
    type = unique("t")
    agent = Agent("worker", name=unique("worker"), address=shared_server.address)

    @agent.task(type)
    def work(input: Any, ctx: Context) -> Any:
        for number in range(17):
            try:
                ctx.step("fill", lambda: LARGE)
            except ResourceExhausted as error:
                return [number, error.reason]
        return None

    attached(agent)
    assert client.run(type, timeout=LONG) == [16, "LIMIT_REACHED"]
    drained(agent)


def test_steps_are_recorded_by_heartbeats_and_given_by_claims(client: Client, shared_server: Server) -> None:
    type, name = unique("t"), unique("ann")
    task = client.create(type, retry=AT_ONCE)
    (claim,) = client.claim(name, [type], wait=1)
    assert (claim.steps, claim.step_count) == ((), 0)
    records = [StepRecord("fetch", {"page": 1}), StepRecord("fetch", None, 1)]
    assert not client.heartbeat(claim, checkpoint="half", steps=records).cancel_requested
    client.heartbeat(claim, steps=records[:1])
    with pytest.raises(AlreadyExists) as exists:
        client.heartbeat(claim, steps=[StepRecord("new", 1), StepRecord("fetch", "other")])
    assert exists.value.reason == "STEP_EXISTS"
    with pytest.raises(InvalidArgument):
        client.heartbeat(claim, steps=[StepRecord("", 1)])
    client.fail(claim, "halfway")
    (again,) = client.claim(name, [type], wait=LONG)
    assert [(step.name, step.occurrence, step.value) for step in again.steps] == [
        ("fetch", 0, {"page": 1}),
        ("fetch", 1, None),
    ]
    assert (again.step_count, again.checkpoint) == (2, "half")

    async def main() -> list[str]:
        async with aio.Client(shared_server.address) as client_:
            await client_.heartbeat(again, steps=[StepRecord("write", "done")])
            return [step.name async for step in client_.steps(task)]

    assert asyncio.run(main()) == ["fetch", "fetch", "write"]
    client.heartbeat(again, checkpoint=None)
    client.fail(again, "once more")
    (last,) = client.claim(name, [type], wait=LONG)
    assert last.proto.HasField("checkpoint") and last.checkpoint is None
    client.complete(last)


def test_a_step_waits_for_a_server_that_is_away(serve: Serve) -> None:
    server = serve()
    away, back = threading.Event(), threading.Event()
    agent = Agent("worker", address=server.address)

    @agent.task("work")
    def work(input: Any, ctx: Context) -> Any:
        ctx.step("before", lambda: 1)
        away.set()
        assert back.wait(LONG)
        return ctx.step("while away", lambda: "recorded")

    attached(agent)
    with Client(server.address) as client:
        task = client.create("work")
        assert away.wait(LONG)
        server.kill()
        back.set()
        server.start()
        assert client.result(task, timeout=2 * LONG) == "recorded"
        assert [step.name for step in client.steps(task)] == ["before", "while away"]
        assert client.get(task).attempt == 1
    drained(agent)
