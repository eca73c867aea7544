"""Children as handlers see them, sync and async, over real gRPC against a server that says what a test tells
it to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_server import RUN, FakeServer, refuse
from parent import PARENT, Parent
from waiting import LONG

from callboard import (
    AlreadyExists,
    AsyncContext,
    Cancelled,
    Client,
    Context,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TaskFailed,
    aio,
    wire,
)
from callboard.calls import child_request_id
from callboard.payload import encode


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def parent(server: FakeServer) -> Iterator[Parent]:
    parent = Parent(server)
    yield parent
    parent.stop()


def sync_parent(input: Any, ctx: Context) -> Any:
    first = ctx.start_child("work", {"n": 1}, tags=["x"])
    second = ctx.start_child("work", on_parent_end="DETACH")
    named = ctx.start_child("work", name="other")
    return [first.id, second.id, named.id, first.existing]


async def async_parent(input: Any, ctx: AsyncContext) -> Any:
    first = ctx.start_child("work", {"n": 1}, tags=["x"])
    second = ctx.start_child("work", on_parent_end="DETACH")
    # Awaited the other way round: they were counted when they were called.
    later = await second
    child = await first
    named = await ctx.start_child("work", name="other")
    return [child.id, later.id, named.id, child.existing]


@pytest.mark.parametrize("handler", [sync_parent, async_parent])
def test_children_are_told_apart_by_name_and_occurrence(
    parent: Parent, server: FakeServer, handler: Callable[..., Any]
) -> None:
    parent.does(handler)
    assert parent.result() == '["work-0","work-1","other-0",false]'
    asked = {(request.name, request.occurrence): request for request in server.agents.requests}
    first = asked["work", 0]
    assert (first.parent.task_id, first.parent.attempt, first.parent.lease_token) == (PARENT, 1, "t")
    assert (first.task.type, first.task.input.text, list(first.task.tags)) == ("work", '{"n":1}', ["x"])
    actions = {key: request.on_parent_end for key, request in asked.items()}
    assert actions == {("work", 0): 1, ("work", 1): 2, ("other", 0): 1}
    assert {key: request.request_id for key, request in asked.items()} == {
        key: child_request_id(PARENT, RUN, *key) for key in asked
    }


def test_the_request_id_of_a_child_is_the_same_in_every_sdk() -> None:
    parent = "01989b0e-3c1a-7000-8000-0000dddddddd"
    expected = uuid.uuid5(uuid.UUID(parent), "2/0/research")
    assert child_request_id(parent, 2, "research", 0) == f"child/{expected}"


def run_sync(input: Any, ctx: Context) -> Any:
    return ctx.run_child("work")


async def run_async(input: Any, ctx: AsyncContext) -> Any:
    return await ctx.run_child("work")


@pytest.mark.parametrize("handler", [run_sync, run_async])
def test_a_handler_waits_without_its_slot(
    parent: Parent, server: FakeServer, handler: Callable[..., Any]
) -> None:
    stream = parent.does(handler)
    assert parent.awaited() == "work-0"
    server.agents.report("pause")
    stream.task_end("work-0", result=encode({"done": True}, "result"))
    server.agents.report("resume")
    assert parent.result() == '{"done":true}'


@pytest.mark.parametrize("handler", [run_sync, run_async])
def test_a_large_result_is_fetched(parent: Parent, server: FakeServer, handler: Callable[..., Any]) -> None:
    task = wire.task.Task(id="work-0", state=wire.task.TASK_STATE_COMPLETED, result=encode("large", "result"))
    server.tasks.answers["GetTask"] = lambda request, _: wire.task_service.GetTaskResponse(task=task)
    stream = parent.does(handler)
    parent.awaited()
    stream.task_end("work-0", result_omitted=True)
    assert parent.result() == "large"
    assert server.tasks.requests[0].task_id == "work-0"


def failing_sync(input: Any, ctx: Context) -> Any:
    child = ctx.start_child("work")
    with pytest.raises(TaskFailed) as failed:
        child.result()
    task = child.wait()
    assert (task.id, task.state, task.run, task.type) == ("work-0", "FAILED", 1, "work")
    assert failed.value.task == task and task.failure is not None
    return task.failure.type


async def failing_async(input: Any, ctx: AsyncContext) -> Any:
    child = await ctx.start_child("work")
    with pytest.raises(TaskFailed) as failed:
        await child.result()
    task = await child.wait()
    assert failed.value.task == task and task.failure is not None
    return task.failure.type


@pytest.mark.parametrize("handler", [failing_sync, failing_async])
def test_a_child_that_ended_badly_is_a_task_that_failed(parent: Parent, handler: Callable[..., Any]) -> None:
    stream = parent.does(handler)
    parent.awaited()
    stream.task_end("work-0", "FAILED", failure=wire.payload.Failure(type="Broken"))
    assert parent.result() == "Broken"


def forgotten_sync(input: Any, ctx: Context) -> Any:
    with pytest.raises(NotFound):
        ctx.run_child("work")
    return "gone"


async def forgotten_async(input: Any, ctx: AsyncContext) -> Any:
    with pytest.raises(NotFound):
        await ctx.run_child("work")
    return "gone"


@pytest.mark.parametrize("handler", [forgotten_sync, forgotten_async])
def test_a_child_that_was_forgotten_is_not_found(parent: Parent, handler: Callable[..., Any]) -> None:
    stream = parent.does(handler)
    parent.awaited()
    stream.task_end("work-0", "UNSPECIFIED")
    assert parent.result() == "gone"


def together_sync(input: Any, ctx: Context) -> Any:
    children = [ctx.start_child("work") for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor() as threads:
        return list(threads.map(lambda child: child.result(), children))


async def together_async(input: Any, ctx: AsyncContext) -> Any:
    return await asyncio.gather(ctx.run_child("work"), ctx.run_child("work"))


@pytest.mark.parametrize("handler", [together_sync, together_async])
def test_several_are_waited_for_beside_each_other_with_one_pause(
    parent: Parent, server: FakeServer, handler: Callable[..., Any]
) -> None:
    stream = parent.does(handler)
    assert sorted(parent.awaited() for _ in range(2)) == ["work-0", "work-1"]
    for number in (1, 0):
        stream.task_end(f"work-{number}", result=encode(number, "result"))
    reports = server.agents.until("completed")
    assert reports["completed"].completed.result.text == "[0,1]"
    assert {"pause", "resume"} < reports.keys()


def test_what_cannot_be_created_is_raised_and_the_handler_goes_on(parent: Parent, server: FakeServer) -> None:
    def exists(request: Any, context: Any) -> Any:
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "CHILD_EXISTS", "another type")

    async def handler(input: Any, ctx: AsyncContext) -> Any:
        for name in ("", "x" * 129):
            with pytest.raises(InvalidArgument):
                await ctx.start_child("work", name=name)
        with pytest.raises(AlreadyExists) as refused:
            await ctx.run_child("work")
        return refused.value.reason

    server.agents.answer = exists
    parent.does(handler)
    assert parent.result() == "CHILD_EXISTS"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_without_children_is_not_called(parent: Parent, server: FakeServer, kind: str) -> None:
    server.agents.features = ("checkpoint",)

    def sync_handler(input: Any, ctx: Context) -> Any:
        with pytest.raises(FailedPrecondition, match="the server takes no children"):
            ctx.start_child("work")

    async def async_handler(input: Any, ctx: AsyncContext) -> Any:
        with pytest.raises(FailedPrecondition, match="the server takes no children"):
            await ctx.start_child("work")

    parent.does(sync_handler if kind == "sync" else async_handler)
    assert parent.result() == "null"
    assert server.agents.requests == []


# Giving up, and being lost.


def impatient_sync(input: Any, ctx: Context) -> Any:
    with pytest.raises(DeadlineExceeded):
        ctx.start_child("work").wait(timeout=0.01)
    return "late"


async def impatient_async(input: Any, ctx: AsyncContext) -> Any:
    child = await ctx.start_child("work")
    with pytest.raises(DeadlineExceeded):
        await child.result(timeout=0.01)
    return "late"


@pytest.mark.parametrize("handler", [impatient_sync, impatient_async])
def test_a_wait_may_have_a_timeout(parent: Parent, handler: Callable[..., Any]) -> None:
    parent.does(handler)
    assert parent.result() == "late"


def test_a_wait_that_is_cancelled_asks_for_the_slot(parent: Parent, server: FakeServer) -> None:
    paused, go = threading.Event(), threading.Event()

    async def handler(input: Any, ctx: AsyncContext) -> Any:
        child = await ctx.start_child("work")
        waiting = asyncio.create_task(child.wait())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, paused.wait, LONG)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await loop.run_in_executor(None, go.wait, LONG)
        return "gave up"

    parent.does(handler)
    server.agents.report("pause")
    paused.set()
    server.agents.report("resume")
    go.set()
    assert parent.result() == "gave up"


def test_a_sync_handler_that_is_told_to_stop_waits_no_longer(parent: Parent, server: FakeServer) -> None:
    outcome: list[type[BaseException]] = []

    def handler(input: Any, ctx: Context) -> Any:
        try:
            ctx.run_child("work")
        except Cancelled as error:
            outcome.append(type(error))
            raise

    stream = parent.does(handler)
    parent.awaited()
    stream.cancel(PARENT)
    failed = server.agents.report("failed").failed.failure
    assert (failed.type, outcome) == ("callboard.cancelled", [Cancelled])


def test_who_waits_on_another_thread_is_told_that_the_attempt_is_lost(parent: Parent) -> None:
    told = threading.Event()

    async def handler(input: Any, ctx: AsyncContext) -> Any:
        child = await ctx.start_child("work")
        beside = asyncio.create_task(child.wait())
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            with pytest.raises(FailedPrecondition) as lost:
                await beside
            assert lost.value.reason == "STALE_ATTEMPT"
            told.set()

    stream = parent.does(handler)
    parent.awaited()
    stream.cancel(PARENT, "LEASE_LOST")
    assert told.wait(LONG)


def test_a_later_server_without_children_is_asked_by_calls(parent: Parent, server: FakeServer) -> None:
    task = wire.task.Task(id="work-0", state=wire.task.TASK_STATE_COMPLETED, result=encode("done", "result"))
    server.tasks.answers["WaitTask"] = lambda request, _: wire.task_service.WaitTaskResponse(task=task)
    stream = parent.does(run_async)
    parent.awaited()
    server.agents.features = ("checkpoint",)
    stream.end()
    assert parent.result() == "done"


def test_a_resumption_gives_a_new_deadline(parent: Parent, server: FakeServer) -> None:
    async def handler(input: Any, ctx: AsyncContext) -> Any:
        await ctx.run_child("work")
        assert ctx.deadline is not None
        return ctx.deadline.timestamp()

    stream = parent.does(handler)
    parent.awaited()
    server.agents.report("pause")
    server.agents.receipts = False
    stream.task_end("work-0")
    attempt = server.agents.report("resume").attempt
    resumption = wire.agent.Resumption(attempt=attempt)
    resumption.deadline.seconds = 77
    stream.send(resumptions=wire.agent.ResumptionBatch(resumptions=[resumption]))
    assert parent.result() == "77.0"


# Clients.


def test_both_clients_list_children_page_by_page(server: FakeServer) -> None:
    child = wire.child.Child(
        task_id="c", name="work", occurrence=1, ordinal=2, on_parent_end="PARENT_END_ACTION_DETACH"
    )
    whole = wire.child.Child(task_id="d", name="work", ordinal=1, on_parent_end="PARENT_END_ACTION_CANCEL")
    whole.task.id = "d"
    whole.task.parent.task_id = "p"
    whole.task.paused_for = wire.task.PAUSE_REASON_SLOT
    pages = {
        "": wire.task_service.ListChildrenResponse(children=[whole], next_page_token="more"),
        "more": wire.task_service.ListChildrenResponse(children=[child]),
    }
    server.tasks.answers["ListChildren"] = lambda request, _: pages[request.page_token]
    with Client(server.address) as client:
        first, second = client.children("p", 3)
    assert (first.name, first.occurrence, first.ordinal, first.on_parent_end) == ("work", 0, 1, "CANCEL")
    assert first.task is not None and first.task.parent is not None
    assert (first.task.parent.task_id, first.task.paused_for) == ("p", "SLOT")
    assert (second.task_id, second.on_parent_end, second.task) == ("c", "DETACH", None)

    async def main() -> list[Any]:
        async with aio.Client(server.address) as client:
            return [child async for child in client.children("p")]

    assert asyncio.run(main()) == [first, second]
    assert [request.run for request in server.tasks.requests] == [3, 3, 0, 0]
