"""Interceptors around tasks that are submitted and handled, by clients and handlers of both kinds."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_server import PATIENCE, FakeServer
from waiting import LONG

from callboard import (
    Agent,
    AsyncContext,
    Client,
    Context,
    Interceptor,
    LoggingInterceptor,
    TaskError,
    TaskSpec,
    aio,
    wire,
)
from callboard.payload import encode

ambient: contextvars.ContextVar[str] = contextvars.ContextVar("ambient", default="")


class Named(Interceptor):
    """Adds its name to a header of what is submitted, and to a list that is handled; notes in which order."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order

    async def submit(self, spec: TaskSpec, next: Any) -> Any:
        self.order.append(f"{self.name} sees {ambient.get()}")
        path = ",".join(filter(None, [spec.headers.get("x-path", ""), self.name]))
        answer = await next(dataclasses.replace(spec, headers={**spec.headers, "x-path": path}))
        self.order.append(f"{self.name} is answered")
        return answer

    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
        token = ambient.set(f"{ambient.get()}{self.name}")
        try:
            # Real waiting, on the loop that it runs on.
            await asyncio.sleep(0)
            return [*await next({"input": input, "by": self.name}), self.name]
        finally:
            ambient.reset(token)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    ids = itertools.count(1)

    def receipt() -> wire.task.TaskReceipt:
        return wire.task.TaskReceipt(task_id=f"t{next(ids)}", state=wire.task.TASK_STATE_READY)

    task = wire.task.Task(id="t", state=wire.task.TASK_STATE_COMPLETED, result=encode("done", "result"))
    server.tasks.answers |= {
        "CreateTask": lambda *_: wire.task_service.CreateTaskResponse(receipt=receipt()),
        "BatchCreateTasks": lambda request, _: wire.task_service.BatchCreateTasksResponse(
            receipts=[receipt() for _ in request.tasks]
        ),
        "RunTask": lambda *_: wire.task_service.RunTaskResponse(task=task),
    }
    yield server
    server.stop()


def paths(server: FakeServer) -> list[str]:
    """The headers of all tasks that were submitted, each call's joined."""
    return [
        "+".join(task.headers["x-path"] for task in getattr(request, "tasks", None) or [request.task])
        for request in server.tasks.requests
    ]


@pytest.mark.parametrize("blocking", [True, False])
def test_everything_that_is_submitted_goes_through_all_of_them(server: FakeServer, blocking: bool) -> None:
    order: list[str] = []
    interceptors = [Named("a", order), Named("b", order)]
    specs = [TaskSpec("work", number) for number in range(3)]
    before = ambient.set("the caller")

    async def main() -> list[Any]:
        async with aio.Client(server.address, interceptors=interceptors) as client:
            return [
                await client.create("work"),
                await client.run("work"),
                await client.create_all(specs),
                await client.create_all([]),
            ]

    if blocking:
        with Client(server.address, interceptors=interceptors) as client:
            answers: list[Any] = [
                client.create("work"),
                client.run("work"),
                client.create_all(specs),
                client.create_all([]),
            ]
    else:
        answers = asyncio.run(main())
    ambient.reset(before)
    created, result, all_created, none = answers
    assert (created.task_id, result) == ("t1", "done")
    assert ([receipt.task_id for receipt in all_created], none) == (["t2", "t3", "t4"], [])
    assert paths(server) == ["a,b", "a,b", "a,b+a,b+a,b"]
    assert [one.input.text for one in server.tasks.requests[2].tasks] == ["0", "1", "2"]
    sees = ["a sees the caller", "b sees the caller", "b is answered", "a is answered"]
    assert order[:4] == sees


class Refusing(Interceptor):
    """Raises for some tasks, and answers for others itself."""

    async def submit(self, spec: TaskSpec, next: Any) -> Any:
        if spec.input == "no":
            raise PermissionError("not this one")
        return "mine" if spec.input == "mine" else await next(spec)


@pytest.mark.parametrize("blocking", [True, False])
def test_what_one_raises_is_raised_and_nothing_is_sent(server: FakeServer, blocking: bool) -> None:
    specs = [TaskSpec("work", "yes"), TaskSpec("work", "no"), TaskSpec("work", "yes")]

    async def main() -> None:
        async with aio.Client(server.address, interceptors=[Refusing()]) as client:
            with pytest.raises(PermissionError):
                await client.create("work", "no")
            with pytest.raises(PermissionError):
                await client.create_all(specs)

    if blocking:
        with Client(server.address, interceptors=[Refusing()]) as client:
            with pytest.raises(PermissionError):
                client.create("work", "no")
            with pytest.raises(PermissionError):
                client.create_all(specs)
    else:
        asyncio.run(main())
    assert server.tasks.requests == []


def test_one_may_answer_in_the_calls_place(server: FakeServer) -> None:
    with Client(server.address, interceptors=[Refusing()]) as client:
        specs = [TaskSpec("work", value) for value in ("mine", "yes", "mine")]
        first, second, third = client.create_all(specs)
    assert [first, third] == ["mine", "mine"]  # type: ignore[comparison-overlap]
    assert second.task_id == "t1"
    assert [len(request.tasks) for request in server.tasks.requests] == [1]


def test_a_batch_that_is_refused_is_raised_once(server: FakeServer) -> None:
    with Client(server.address, interceptors=[Named("a", [])]) as client, pytest.raises(ValueError):
        client.create_all([TaskSpec("work", priority="NONSENSE")] * 2)  # type: ignore[arg-type]
    assert server.tasks.requests == []


# Handlers.


class Handled:
    """An agent with one handler, and what became of the task that it is given."""

    def __init__(self, server: FakeServer, handler: Callable[..., Any], *interceptors: Interceptor) -> None:
        self._server = server
        self.agent = Agent("worker", name="ann", address=server.address, interceptors=interceptors)
        self.agent.task("work")(handler)
        self.agent.start()
        self.stream = server.agents.stream()
        self.stream.assign("t1", "work", input=encode("in", "input"))

    def ended(self, kind: str) -> wire.agent.Report:
        report = self._server.agents.report(kind)
        self.agent.drain()
        assert self.agent.wait(PATIENCE)
        return report


def sync_handler(input: Any, ctx: Context) -> list[str]:
    return [input["input"]["input"], input["by"], ambient.get()]


async def async_handler(input: Any, ctx: AsyncContext) -> list[str]:
    return [input["input"]["input"], input["by"], ambient.get()]


def without_context(input: Any) -> list[str]:
    return [input["input"]["input"], input["by"], ambient.get()]


@pytest.mark.parametrize("handler", [sync_handler, async_handler, without_context])
def test_handlers_of_both_kinds_are_called_through_all_of_them(
    server: FakeServer, handler: Callable[..., Any]
) -> None:
    handled = Handled(server, handler, Named("a", []), Named("b", []))
    result = handled.ended("completed").completed.result.text
    assert result == '["in","b","ab","b","a"]', "the handler sees their context variables"


class Failing(Interceptor):
    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
        try:
            return await next(input)
        except ValueError as error:
            raise TaskError("not today", type="Closed", retryable=False) from error


def broken_sync(input: Any) -> None:
    raise ValueError("no")


async def broken_async(input: Any) -> None:
    raise ValueError("no")


@pytest.mark.parametrize("handler", [broken_sync, broken_async])
def test_one_may_fail_the_attempt_by_an_error_of_its_own(
    server: FakeServer, handler: Callable[..., Any]
) -> None:
    failure = Handled(server, handler, Failing()).ended("failed").failed.failure
    assert (failure.type, failure.cause.type) == ("Closed", "ValueError")


def test_around_an_async_handler_it_is_cancelled_as_that_is(server: FakeServer) -> None:
    seen = threading.Event()

    class Watching(Interceptor):
        async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
            try:
                return await next(input)
            except asyncio.CancelledError:
                seen.set()
                raise

    async def handler(input: Any) -> None:
        handled.stream.cancel("t1")
        await asyncio.get_running_loop().create_future()

    handled = Handled(server, handler, Watching())
    assert handled.ended("failed").failed.failure.type == "callboard.cancelled"
    assert seen.is_set()


def test_a_sync_handler_is_not_interrupted_nor_what_is_around_it(server: FakeServer) -> None:
    def handler(input: Any, ctx: Context) -> Any:
        handled.stream.cancel("t1")
        assert ctx.cancelled.wait(LONG)
        return ["ended"]

    handled = Handled(server, handler, Named("a", []))
    assert handled.ended("completed").completed.result.text == '["ended","a"]'


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_handlers_submit_goes_through_the_agents(server: FakeServer, kind: str) -> None:
    def answer(request: Any, context: Any) -> Any:
        receipt = wire.task.TaskReceipt(task_id="child")
        return wire.agent_service.CreateChildResponse(receipt=receipt)

    server.agents.answer = answer

    def sync_handler(input: Any, ctx: Context) -> list[Any]:
        return [ctx.client.run("other"), ctx.start_child("child", headers={"x-path": "0"}).id]

    async def async_handler(input: Any, ctx: AsyncContext) -> list[Any]:
        child = await ctx.start_child("child", headers={"x-path": "0"})
        return [await ctx.client.run("other"), child.id]

    # A child's parent is a UUID.
    class Renaming(Named):
        async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
            ctx._children._assignment.attempt.task_id = "01989b0e-3c1a-7000-8000-0000dddddddd"
            return await next(input)

    handler = sync_handler if kind == "sync" else async_handler
    handled = Handled(server, handler, Renaming("a", []), Renaming("b", []))
    assert handled.ended("completed").completed.result.text == '["done","child"]'
    assert paths(server) == ["a,b"]
    assert server.agents.requests[0].task.headers["x-path"] == "0,a,b"


# Logging.


@pytest.mark.parametrize(
    ("handler", "how"), [(sync_handler, "failed with TypeError"), (lambda _: "secret", "completed")]
)
def test_the_logging_one_logs_a_line_at_the_begin_and_one_at_the_end(
    server: FakeServer, caplog: pytest.LogCaptureFixture, handler: Callable[..., Any], how: str
) -> None:
    caplog.set_level(logging.INFO, "callboard.tasks")
    Handled(server, handler, LoggingInterceptor()).ended("completed" if how == "completed" else "failed")
    began, ended = [one.getMessage() for one in caplog.records if one.name == "callboard.tasks"]
    assert began == "task t1 (work), attempt 1 began"
    assert ended.startswith(f"task t1 (work), attempt 1 {how} after ") and ended.endswith(" ms")
    assert "secret" not in ended
