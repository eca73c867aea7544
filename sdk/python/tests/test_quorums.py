"""Waiting for some of several children as handlers do it, sync and async, over real gRPC against a server
that says what a test tells it to."""

from __future__ import annotations

import asyncio
import inspect
import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_server import PATIENCE, FakeServer, refuse
from parent import PARENT, Parent

from callboard import (
    AsyncContext,
    Cancelled,
    Context,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TaskFailed,
    wire,
)
from callboard.payload import encode


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    server.tasks.answers["CancelTask"] = lambda request, _: wire.task_service.CancelTaskResponse(
        receipt=wire.task.TaskReceipt(task_id=request.task_id)
    )
    yield server
    server.stop()


@pytest.fixture
def parent(server: FakeServer) -> Iterator[Parent]:
    parent = Parent(server)
    yield parent
    parent.stop()


Ask = Callable[[list[Any], Any], Any]
"""What a handler asks of three children and its context."""


@pytest.fixture(params=["sync", "async"])
def handled(request: pytest.FixtureRequest) -> Callable[[Ask], Callable[..., Any]]:
    """Makes a handler of that style: its result is what was asked gave, as ids, or the error's name."""

    def told(error: Exception) -> str:
        task = f" of {error.task.id}" if isinstance(error, TaskFailed) else ""
        return f"{type(error).__name__}{task}"

    def sync_handler(ask: Ask) -> Callable[..., Any]:
        def handle(input: Any, ctx: Context) -> Any:
            children = [ctx.start_child("work") for _ in range(3)]
            try:
                return [(task.id, task.result()) for task in ask(children, ctx)]
            except Exception as error:
                return told(error)

        return handle

    def async_handler(ask: Ask) -> Callable[..., Any]:
        async def handle(input: Any, ctx: AsyncContext) -> Any:
            children = [await ctx.start_child("work") for _ in range(3)]
            try:
                return [(task.id, task.result()) for task in await ask(children, ctx)]
            except Exception as error:
                return told(error)

        return handle

    return sync_handler if request.param == "sync" else async_handler


def cancelled(server: FakeServer) -> dict[str, str]:
    """The request ids of cancellations, by task."""
    return {request.task_id: request.request_id for request in server.tasks.requests}


Handled = Callable[[Ask], Callable[..., Any]]


def awaits(parent: Parent, server: FakeServer) -> None:
    """The handler waits for all three, paused."""
    assert [parent.awaited() for _ in range(3)] == ["work-0", "work-1", "work-2"]
    server.agents.report("pause")


def test_those_that_completed_are_given_and_the_rest_goes_on(
    parent: Parent, server: FakeServer, handled: Handled
) -> None:
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, 2)))
    awaits(parent, server)
    stream.task_end("work-2", result=encode(2, "result"))
    stream.task_end("work-0", result=encode(0, "result"))
    reports = server.agents.until("completed")
    assert reports["completed"].completed.result.text == '[["work-0",0],["work-2",2]]'
    assert "resume" in reports and "pause" not in reports
    assert server.tasks.requests == []


def test_the_rest_is_cancelled_before_the_handler_goes_on(
    parent: Parent, server: FakeServer, handled: Handled
) -> None:
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, 1, "CANCEL")))
    awaits(parent, server)
    stream.task_end("work-1", result=encode("ok", "result"))
    assert parent.result() == '[["work-1","ok"]]'
    assert cancelled(server) == {"work-0": "rest/work-0", "work-2": "rest/work-2"}


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_the_rest_is_cancelled_while_the_handler_waits_for_its_slot(
    parent: Parent, server: FakeServer, handled: Handled, state: str
) -> None:
    cancelled: queue.SimpleQueue[str] = queue.SimpleQueue()

    def cancel(request: Any, context: Any) -> Any:
        cancelled.put(request.task_id)
        receipt = wire.task.TaskReceipt(task_id=request.task_id)
        return wire.task_service.CancelTaskResponse(receipt=receipt)

    server.tasks.answers["CancelTask"] = cancel
    server.agents.has_slot = False
    count = 1 if state == "COMPLETED" else 3
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, count, "CANCEL")))
    awaits(parent, server)
    stream.task_end("work-1", state, result=encode("ok", "result"))
    # One of them may have the slot.
    rest = {cancelled.get(timeout=PATIENCE) for _ in range(2)}
    assert rest == {"work-0", "work-2"}
    server.agents.report("resume")
    stream.resumption(PARENT)
    assert parent.result() == ('[["work-1","ok"]]' if state == "COMPLETED" else "TaskFailed of work-1")
    assert cancelled.empty(), "each once"


def test_all_are_waited_for_unless_said(parent: Parent, server: FakeServer, handled: Handled) -> None:
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children[::-1], rest="CANCEL")))
    assert [parent.awaited() for _ in range(3)] == ["work-2", "work-1", "work-0"]
    for number in range(3):
        stream.task_end(f"work-{number}", result=encode(number, "result"))
    assert parent.result() == '[["work-2",2],["work-1",1],["work-0",0]]'
    assert server.tasks.requests == []


def test_the_first_that_ended_badly_is_raised_and_the_rest_cancelled(
    parent: Parent, server: FakeServer, handled: Handled
) -> None:
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, 2, rest="CANCEL")))
    awaits(parent, server)
    stream.task_end("work-0", "FAILED", failure=wire.payload.Failure(type="Broken"))
    stream.task_end("work-2", "CANCELLED")
    assert parent.result() == "TaskFailed of work-0"
    assert cancelled(server) == {"work-1": "rest/work-1"}


def test_a_child_that_was_forgotten_is_not_found(
    parent: Parent, server: FakeServer, handled: Handled
) -> None:
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children)))
    awaits(parent, server)
    stream.task_end("work-1", "UNSPECIFIED")
    assert parent.result() == NotFound.__name__


def test_large_results_are_fetched(parent: Parent, server: FakeServer, handled: Handled) -> None:
    task = wire.task.Task(id="work-1", state=wire.task.TASK_STATE_COMPLETED, result=encode("large", "result"))
    server.tasks.answers["GetTask"] = lambda request, _: wire.task_service.GetTaskResponse(task=task)
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, 1)))
    awaits(parent, server)
    stream.task_end("work-1", result_omitted=True)
    assert parent.result() == '[["work-1","large"]]'


@pytest.mark.parametrize(
    ("code", "state", "gives"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "COMPLETED", FailedPrecondition.__name__),
        # What the wait itself raises tells more.
        (grpc.StatusCode.FAILED_PRECONDITION, "FAILED", "TaskFailed of work-1"),
        # One that there is no more had ended.
        (grpc.StatusCode.NOT_FOUND, "COMPLETED", '[["work-0",1],["work-1",1]]'),
    ],
)
def test_a_rest_that_can_not_be_cancelled(
    parent: Parent, server: FakeServer, handled: Handled, code: grpc.StatusCode, state: str, gives: str
) -> None:
    server.tasks.answers["CancelTask"] = lambda _, context: refuse(context, code, "ANY", "not this one")
    stream = parent.does(handled(lambda children, ctx: ctx.wait_children(children, 2, "CANCEL")))
    awaits(parent, server)
    result = encode(1, "result")
    if state == "FAILED":
        stream.task_end("work-1", "FAILED")
        stream.task_end("work-2", "FAILED")
    else:
        stream.task_end("work-1", result=result)
        stream.task_end("work-0", result=result)
    assert parent.result() == gives
    assert len(server.tasks.requests) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda children: (children, 0), "count is 0: it is 1 to the number of children, which is 3"),
        (lambda children: (children, -1), "count is -1"),
        (lambda children: (children, 4, "CANCEL"), "count is 4"),
        (lambda children: ([], 1), "count is 1"),
        (lambda children: ([*children, children[0]], 1), "stands there twice"),
        (lambda children: (children, 1, "DETACH"), "rest 'DETACH' is unknown"),
    ],
)
def test_what_can_not_be_waited_for_is_refused_and_nothing_is_sent(
    parent: Parent, server: FakeServer, handled: Handled, asked: Callable[[Any], Any], message: str
) -> None:
    seen: list[str] = []

    def ask(children: list[Any], ctx: Any) -> Any:
        answer = None
        try:
            answer = ctx.wait_children(*asked(children))
            if inspect.isawaitable(answer):
                return noting(answer)
        except InvalidArgument as error:
            seen.append(error.message)
            raise
        return answer

    async def noting(answer: Any) -> Any:
        try:
            return await answer
        except InvalidArgument as error:
            seen.append(error.message)
            raise

    parent.does(handled(ask))
    reports = server.agents.until("completed")
    assert reports["completed"].completed.result.text == InvalidArgument.__name__
    assert "pause" not in reports and message in seen[0]
    assert server.agents.awaits.empty() and server.tasks.requests == []


def test_no_children_have_all_completed(parent: Parent, server: FakeServer, handled: Handled) -> None:
    parent.does(handled(lambda children, ctx: ctx.wait_children([])))
    reports = server.agents.until("completed")
    assert (reports["completed"].completed.result.text, "pause" in reports) == ("[]", False)


def test_a_sync_handler_that_is_told_to_stop_waits_no_longer(parent: Parent, server: FakeServer) -> None:
    outcome: list[type[BaseException]] = []

    def handle(input: Any, ctx: Context) -> Any:
        try:
            ctx.wait_children([ctx.start_child("work"), ctx.start_child("work")], 1, "CANCEL")
        except Cancelled as error:
            outcome.append(type(error))
            raise

    stream = parent.does(handle)
    parent.awaited()
    stream.cancel(PARENT)
    failed = server.agents.report("failed").failed.failure
    assert (failed.type, outcome) == ("callboard.cancelled", [Cancelled])
    assert server.tasks.requests == []


def test_an_async_wait_that_is_given_up_asks_for_the_slot(parent: Parent, server: FakeServer) -> None:
    async def handle(input: Any, ctx: AsyncContext) -> Any:
        children = [await ctx.start_child("work") for _ in range(2)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ctx.wait_children(children, 1, "CANCEL"), 0.1)
        return "gave up"

    parent.does(handle)
    assert parent.result() == "gave up"
    assert server.tasks.requests == []
