"""Durable steps as handlers see them, sync and async, over real gRPC against a server that says what a test
tells it to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_server import PATIENCE, RUN, FakeServer, Stream, refuse
from step_work import AgentOf, Work, give, never, recorded
from waiting import LONG

from callboard import (
    Agent,
    AlreadyExists,
    AsyncContext,
    Client,
    Context,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    StatusError,
    aio,
    wire,
)

ListStepsResponse = wire.task_service.ListStepsResponse


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture(params=["sync", "async"])
def agent(request: pytest.FixtureRequest, server: FakeServer) -> Iterator[AgentOf]:
    agent = AgentOf(request.param, server)
    yield agent
    agent.end()


@pytest.fixture
def agent_sync(server: FakeServer) -> Iterator[AgentOf]:
    agent = AgentOf("sync", server)
    yield agent
    agent.end()


def test_a_recorded_step_does_not_run_and_a_new_one_is_recorded(agent: AgentOf) -> None:
    def work() -> Work:
        first = yield "fetch", never
        second = yield "fetch", lambda: "new"
        other = yield "write", lambda: None
        return first, second, other

    agent.does(work, recorded("fetch", {"page": 1}), recorded("unused", 1, ordinal=2))
    assert agent.outcome() == ({"page": 1}, "new", None)
    assert agent.recorded() == [("fetch", 1, "new"), ("write", 0, "null")]


@dataclasses.dataclass
class Page:
    number: int
    words: tuple[str, ...]


def test_the_first_attempt_sees_what_later_ones_will(agent: AgentOf) -> None:
    def work() -> Work:
        page = yield "page", lambda: Page(7, ("a", "b"))
        content = yield "content", lambda: b"\x00"
        keys = yield "keys", lambda: {1: 2}
        return page, content, keys

    agent.does(work)
    assert agent.outcome() == ({"number": 7, "words": ["a", "b"]}, b"\x00", {"1": 2})


def test_an_error_of_the_function_is_raised_unchanged_and_not_recorded(agent: AgentOf) -> None:
    error = ConnectionError("away")

    def fail() -> Any:
        raise error

    def work() -> Work:
        with pytest.raises(ConnectionError) as raised:
            yield "fetch", fail
        assert raised.value is error
        return (yield "fetch", lambda: "there")

    agent.does(work)
    assert agent.outcome() == "there"
    assert agent.recorded() == [("fetch", 1, "there")], "the failed one counts"


def test_names_and_results_that_cannot_be_are_refused_before_anything_is_sent(agent: AgentOf) -> None:
    def work() -> Work:
        for name in ("", "é" * 65, "\ud800"):
            with pytest.raises(InvalidArgument) as refused:
                yield name, never
            assert refused.value.violations[0].field == "name"
        for result, reason in ((float("nan"), "INVALID_FIELD"), ("x" * 1_048_577, "PAYLOAD_TOO_LARGE")):
            with pytest.raises(InvalidArgument) as refused:
                yield "fetch", functools.partial(give, result)
            assert refused.value.reason == reason
            assert "step 'fetch' (occurrence " in refused.value.message
        with pytest.raises(ValueError, match=r"step 'json' \(occurrence 0\)"):
            yield "json", lambda: wire.payload.Payload(content_type="application/json", text="{")
        return (yield "é" * 64, lambda: "x" * 1_048_576)

    agent.does(work)
    assert len(agent.outcome()) == 1_048_576
    assert [name for name, _, _ in agent.recorded()] == ["é" * 64]


def test_what_cannot_be_read_is_an_error_that_names_the_step(agent: AgentOf) -> None:
    broken = recorded("fetch", 1, occurrence=1)
    broken.result.text = "{"

    def work() -> Work:
        yield "fetch", never
        with pytest.raises(ValueError, match=r"step 'fetch' \(occurrence 1\)"):
            yield "fetch", never

    agent.does(work, recorded("fetch", 1), broken)
    agent.outcome()
    assert agent.recorded() == []


def test_a_refused_step_is_raised_and_its_handler_goes_on(agent: AgentOf, server: FakeServer) -> None:
    server.agents.refused_steps["taken"] = "STEP_EXISTS"

    def work() -> Work:
        with pytest.raises(AlreadyExists) as refused:
            yield "taken", lambda: 1
        assert refused.value.reason == "STEP_EXISTS"
        return (yield "free", lambda: 2)

    agent.does(work)
    assert agent.outcome() == 2
    assert agent.recorded() == [("taken", 0, "1"), ("free", 0, "2")]


def test_on_a_server_without_steps_nothing_runs(agent: AgentOf, server: FakeServer) -> None:
    server.agents.features = ("checkpoint",)

    def work() -> Work:
        with pytest.raises(FailedPrecondition, match="the server takes no steps"):
            yield "fetch", never

    agent.does(work)
    agent.outcome()


def test_what_did_not_come_whole_is_fetched_once(agent: AgentOf, server: FakeServer) -> None:
    def answer(request: Any, context: Any) -> ListStepsResponse:
        assert (request.task_id, request.run) == ("t1", RUN)
        if not request.page_token:
            return ListStepsResponse(steps=[recorded("a", 1)], next_page_token="more")
        assert request.page_token == "more"
        return ListStepsResponse(steps=[recorded("b", 2, ordinal=2)])

    server.tasks.answers["ListSteps"] = answer

    def work() -> Work:
        first = yield "a", never
        second = yield "b", never
        third = yield "c", lambda: 3
        return first, second, third

    agent.does(work, recorded("a", 1), step_count=2)
    assert agent.outcome() == (1, 2, 3)
    assert len(server.tasks.requests) == 2, "two pages"


def test_what_came_whole_is_not_fetched(agent: AgentOf, server: FakeServer) -> None:
    def work() -> Work:
        return (yield "a", never)

    agent.does(work, recorded("a", 1), step_count=1)
    assert agent.outcome() == 1
    assert server.tasks.requests == []


def test_a_fetch_that_failed_is_raised_and_made_again_by_the_next_step(
    agent: AgentOf, server: FakeServer
) -> None:
    def answer(request: Any, context: Any) -> ListStepsResponse:
        if len(server.tasks.requests) == 1:
            refuse(context, grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND", "gone")
        return ListStepsResponse(steps=[recorded("a", 1, occurrence=1)])

    server.tasks.answers["ListSteps"] = answer

    def work() -> Work:
        with pytest.raises(NotFound) as failed:
            yield "a", never
        assert failed.value.reason == "TASK_NOT_FOUND"
        return (yield "a", never)

    agent.does(work, step_count=1)
    assert agent.outcome() == 1


# What only the one or the other can do.


def run_async(
    server: FakeServer, handler: Callable[[AsyncContext], Any], step_count: int = 0
) -> tuple[Agent, Stream]:
    agent = Agent("worker", address=server.address, drain_timeout=5)

    @agent.task("work")
    async def work(input: Any, ctx: AsyncContext) -> Any:
        return await handler(ctx)

    agent.start()
    stream = server.agents.stream()
    stream.assign("t1", "work", step_count=step_count)
    return agent, stream


def ended(agent: Agent) -> None:
    agent.drain()
    assert agent.wait(PATIENCE)


def test_async_steps_beside_each_other_are_counted_when_they_are_called(server: FakeServer) -> None:
    async def handler(ctx: AsyncContext) -> Any:
        first, second = ctx.step("ask", lambda: "first"), ctx.step("ask", lambda: "second")
        # Awaited the other way round.
        return [await second, await first]

    agent, _ = run_async(server, handler)
    reports = [server.agents.report("step").step for _ in range(2)]
    assert [(step.occurrence, step.result.text) for step in reports] == [(1, "second"), (0, "first")]
    assert server.agents.report("completed").completed.result.text == '["second","first"]'
    ended(agent)


def test_others_wait_for_the_fetch_of_the_first_step_whoever_gives_up(server: FakeServer) -> None:
    asked, go = threading.Event(), threading.Event()

    def answer(request: Any, context: Any) -> ListStepsResponse:
        asked.set()
        assert go.wait(LONG)
        return ListStepsResponse(steps=[recorded("a", 1), recorded("b", 2)])

    server.tasks.answers["ListSteps"] = answer

    async def handler(ctx: AsyncContext) -> Any:
        first = asyncio.create_task(ctx.step("a", never))
        second = asyncio.create_task(ctx.step("b", never))
        await asyncio.get_running_loop().run_in_executor(None, asked.wait, LONG)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        return await second

    agent, _ = run_async(server, handler, step_count=2)
    assert server.agents.report("completed").completed.result.text == "2"
    assert len(server.tasks.requests) == 1
    ended(agent)


def test_sync_steps_of_several_threads_wait_for_one_fetch(server: FakeServer) -> None:
    def answer(request: Any, context: Any) -> ListStepsResponse:
        return ListStepsResponse(steps=[recorded("a", number, occurrence=number) for number in range(8)])

    server.tasks.answers["ListSteps"] = answer
    agent = Agent("worker", address=server.address, drain_timeout=5)

    @agent.task("work")
    def work(input: Any, ctx: Context) -> Any:
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return sorted(threads.map(lambda _: ctx.step("a", never), range(8)))

    agent.start()
    server.agents.stream().assign("t1", "work", step_count=8)
    assert server.agents.report("completed").completed.result.text == "[0,1,2,3,4,5,6,7]"
    assert len(server.tasks.requests) == 1
    ended(agent)


def test_a_step_within_a_step_is_refused(server: FakeServer) -> None:
    async def handler(ctx: AsyncContext) -> Any:
        async def outer() -> Any:
            with pytest.raises(InvalidArgument):
                await ctx.step("inner", never)

            async def beside() -> Any:
                return await ctx.step("inner", never)

            with pytest.raises(InvalidArgument):
                await asyncio.create_task(beside())
            return "outer"

        return [await ctx.step("outer", outer), await ctx.step("inner", lambda: "inner")]

    agent, _ = run_async(server, handler)
    steps = [server.agents.report("step").step for _ in range(2)]
    assert [(step.name, step.occurrence) for step in steps] == [("outer", 0), ("inner", 0)]
    ended(agent)


def test_a_sync_step_within_a_step_is_refused(agent_sync: AgentOf) -> None:
    def work() -> Work:
        ctx = agent_sync.context
        with pytest.raises(InvalidArgument, match="within another"):
            yield "outer", lambda: ctx.step("inner", never)
        return (yield "inner", lambda: 1)

    agent_sync.does(work)
    assert agent_sync.outcome() == 1
    assert agent_sync.recorded() == [("inner", 0, "1")]


def test_a_step_whose_caller_gave_up_is_recorded_all_the_same(server: FakeServer) -> None:
    server.agents.receipts = False
    gave_up = threading.Event()

    async def handler(ctx: AsyncContext) -> Any:
        step = asyncio.create_task(ctx.step("fetch", lambda: 1))
        await asyncio.get_running_loop().run_in_executor(None, reported.wait, LONG)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        gave_up.set()
        return "done"

    reported = threading.Event()
    agent, _ = run_async(server, handler)
    assert server.agents.report("step").step.name == "fetch"
    reported.set()
    assert gave_up.wait(LONG)
    server.agents.receipts = True
    assert server.agents.report("completed").completed.result.text == "done"
    agent.stop()


@pytest.mark.parametrize("how", ["LEASE_LOST", "TIMED_OUT", "the agent stops"])
def test_a_sync_step_that_waits_is_told_that_its_attempt_is_lost(
    agent_sync: AgentOf, server: FakeServer, how: str
) -> None:
    server.agents.receipts = False

    def work() -> Work:
        try:
            yield "fetch", lambda: 1
        except StatusError as error:
            with pytest.raises(FailedPrecondition):
                yield "write", never
            return error

    agent_sync.does(work)
    server.agents.report("step")
    if how == "the agent stops":
        agent_sync.end()
    else:
        agent_sync.stream.cancel("t1", how)
    with pytest.raises(FailedPrecondition) as lost:
        agent_sync.outcome()
    assert lost.value.reason == "STALE_ATTEMPT"


def test_an_async_step_that_waits_is_cancelled_with_its_handler(server: FakeServer) -> None:
    server.agents.receipts = False
    cancelled = threading.Event()

    async def handler(ctx: AsyncContext) -> Any:
        beside = asyncio.create_task(ctx.step("beside", lambda: 1))
        try:
            await ctx.step("fetch", lambda: 2)
        finally:
            with pytest.raises(FailedPrecondition) as lost:
                await beside
            assert lost.value.reason == "STALE_ATTEMPT"
            cancelled.set()

    agent, stream = run_async(server, handler)
    for _ in range(2):
        server.agents.report("step")
    stream.cancel("t1", "LEASE_LOST")
    assert cancelled.wait(LONG)
    agent.stop()


def test_a_handler_that_is_told_to_stop_may_still_record(agent_sync: AgentOf) -> None:
    def work() -> Work:
        agent_sync.stream.cancel("t1")
        assert agent_sync.context.cancelled.wait(LONG)
        return (yield "undo", lambda: "undone")

    agent_sync.does(work)
    assert agent_sync.outcome() == "undone"
    assert agent_sync.recorded() == [("undo", 0, "undone")]


# The client.


def test_both_clients_list_steps_page_by_page(server: FakeServer) -> None:
    pages = {
        "": ListStepsResponse(steps=[recorded("a", 1), recorded("b", "2", 3, 2)], next_page_token="more"),
        "more": ListStepsResponse(steps=[recorded("c", None, 0, 3)]),
    }
    server.tasks.answers["ListSteps"] = lambda request, _: pages[request.page_token]
    with Client(server.address) as client:
        steps = list(client.steps("t1"))
    assert [(step.name, step.occurrence, step.ordinal, step.value) for step in steps] == [
        ("a", 0, 1, 1),
        ("b", 3, 2, "2"),
        ("c", 0, 3, None),
    ]

    async def main() -> list[Any]:
        async with aio.Client(server.address) as client:
            return [step async for step in client.steps("t1", 7)]

    assert asyncio.run(main()) == steps
    assert [request.run for request in server.tasks.requests] == [0, 0, 7, 7]
