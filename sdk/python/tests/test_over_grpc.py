"""The client and the agent over real gRPC, against a server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fake_server import PATIENCE, FakeServer, refuse

from callboard import (
    Agent,
    AsyncContext,
    Client,
    Context,
    DeadlineExceeded,
    InvalidArgument,
    StatusError,
    TaskFailed,
    Unavailable,
    aio,
    wire,
)

tasks = wire.task_service


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


def text(value: str) -> wire.payload.Payload:
    return wire.payload.Payload(content_type="text/plain", text=value)


def ended(result: str) -> wire.task.Task:
    return wire.task.Task(id="id-1", state="TASK_STATE_COMPLETED", result=text(result))


# The client.


def test_a_call_is_retried_with_its_request_id_and_a_deadline(server: FakeServer, client: Client) -> None:
    remaining = []

    def answer(request: Any, context: Any) -> Any:
        remaining.append(context.time_remaining())
        if len(remaining) < 3:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "OVERLOADED", "busy")
        return tasks.CreateTaskResponse(receipt=wire.task.TaskReceipt(task_id="id-1", run=1))

    server.tasks.answers["CreateTask"] = answer
    assert client.create("greet", {"name": "Ada"}, tags=["t"]).task_id == "id-1"
    first, second, third = server.tasks.requests
    assert first == second == third and first.request_id
    assert first.task.input.text == '{"name":"Ada"}'
    # gRPC rounds the time up on its way; without a deadline it is for ever.
    assert all(0 < seconds < 31 for seconds in remaining)


def test_other_errors_are_raised_at_once(server: FakeServer, client: Client) -> None:
    server.tasks.answers["CreateTask"] = lambda _, context: refuse(
        context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "task.type is empty"
    )
    with pytest.raises(InvalidArgument) as caught:
        client.create("")
    assert (caught.value.reason, caught.value.message) == ("INVALID_FIELD", "task.type is empty")
    assert len(server.tasks.requests) == 1


def test_what_is_raised_in_the_end_is_the_last_status() -> None:
    began = time.monotonic()
    with Client("http://127.0.0.1:1", timeout=0.5) as client, pytest.raises(Unavailable):
        client.create("greet")
    assert time.monotonic() - began < 3


def test_a_retry_uses_the_next_address(server: FakeServer) -> None:
    server.tasks.answers["CreateTask"] = lambda *_: tasks.CreateTaskResponse()
    with Client(f"http://127.0.0.1:1,{server.address}") as client:
        client.create("greet")


def test_a_call_that_nobody_answered_in_time_leaves_the_address(server: FakeServer) -> None:
    server.tasks.answers["CreateTask"] = lambda *_: tasks.CreateTaskResponse()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addresses = f"http://127.0.0.1:{silent.getsockname()[1]},{server.address}"
        with Client(addresses) as client:
            with pytest.raises(DeadlineExceeded):
                client.get("id-1", timeout=0.3)
            # Less than gRPC takes to give the connection up.
            client.create("greet", timeout=5)


def test_run_goes_on_waiting_until_the_end(server: FakeServer, client: Client) -> None:
    running = wire.task.Task(id="id-1", state="TASK_STATE_RUNNING")
    server.tasks.answers["RunTask"] = lambda *_: tasks.RunTaskResponse(task=running)
    server.tasks.answers["WaitTask"] = lambda *_: tasks.WaitTaskResponse(task=ended("hi"), ended=True)
    assert client.run("greet") == "hi"
    assert [type(request).__name__ for request in server.tasks.requests] == [
        "RunTaskRequest",
        "WaitTaskRequest",
    ]


def test_waiting_ends_with_its_timeout(server: FakeServer, client: Client) -> None:
    running = wire.task.Task(id="id-1", state="TASK_STATE_RUNNING")

    def answer(request: Any, _: Any) -> Any:
        time.sleep(request.wait.ToMilliseconds() / 1000)
        return tasks.WaitTaskResponse(task=running)

    server.tasks.answers["WaitTask"] = answer
    with pytest.raises(DeadlineExceeded, match="RUNNING"):
        client.wait("id-1", timeout=0.3)
    with pytest.raises(TimeoutError):
        client.result("id-1", timeout=0)


def test_a_task_that_failed_raises(server: FakeServer, client: Client) -> None:
    task = wire.task.Task(id="id-1", state="TASK_STATE_CANCELLED")
    server.tasks.answers["WaitTask"] = lambda *_: tasks.WaitTaskResponse(task=task, ended=True)
    assert client.wait("id-1").state == "CANCELLED"
    with pytest.raises(TaskFailed, match="CANCELLED"):
        client.result("id-1")


def test_lists_fetch_their_pages(server: FakeServer, client: Client) -> None:
    def answer(request: Any, _: Any) -> Any:
        number = int(request.page_token or 0)
        following = str(number + 1) if number < 2 else ""
        return tasks.ListTasksResponse(tasks=[wire.task.Task(id=f"id-{number}")], next_page_token=following)

    server.tasks.answers["ListTasks"] = answer
    assert [task.id for task in client.list(states=["RUNNING"])] == ["id-0", "id-1", "id-2"]
    assert list(server.tasks.requests[0].states) == [wire.task.TASK_STATE_RUNNING]


def watch_answers(server: FakeServer) -> None:
    def event(sequence: int) -> wire.event.Event:
        return wire.event.Event(task_id="id-1", sequence=sequence)

    def answer(request: Any, context: Any) -> Any:
        if not request.cursor:
            yield tasks.WatchEventsResponse(cursor="c0")
            yield tasks.WatchEventsResponse(events=[event(1), event(2)], cursor="c2")
            yield tasks.WatchEventsResponse()
            refuse(context, grpc.StatusCode.UNAVAILABLE, "DRAINING", "draining")
        elif request.cursor == "c2" and len(server.tasks.requests) == 2:
            refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_READER", "slow")
        else:
            yield tasks.WatchEventsResponse(events=[event(3)], cursor="c3")

    server.tasks.answers["WatchEvents"] = answer


def test_a_watch_resumes_and_gives_each_event_once(server: FakeServer, client: Client) -> None:
    watch_answers(server)
    watch = client.watch("id-1", until_ended=True)
    assert next(watch).sequence == 1 and watch.cursor == "c0"
    assert [event.sequence for event in watch] == [2, 3]
    assert watch.cursor == "c3"
    assert [request.cursor for request in server.tasks.requests] == ["", "c2", "c2"]


def test_a_watch_ends_when_the_server_stays_away(server: FakeServer) -> None:
    watch_answers(server)
    with Client(server.address, timeout=0.5) as client:
        watch = client.watch("id-1")
        assert next(watch).sequence == 1
        server.stop()
        with pytest.raises(Unavailable):
            list(watch)


def test_the_async_client_does_the_same(server: FakeServer) -> None:
    server.tasks.answers["RunTask"] = lambda *_: tasks.RunTaskResponse(task=ended("hi"), ended=True)
    server.tasks.answers["ListTasks"] = lambda *_: tasks.ListTasksResponse(tasks=[wire.task.Task(id="id-1")])
    watch_answers(server)

    async def main() -> None:
        async with aio.Client(server.address) as client:
            assert list(await asyncio.gather(client.run("a"), client.run("b"))) == ["hi", "hi"]
            server.tasks.requests.clear()
            async with client.watch("id-1", until_ended=True) as watch:
                assert [event.sequence async for event in watch] == [1, 2, 3]
            assert [task.id async for task in client.list()] == ["id-1"]

    asyncio.run(main())
    asyncio.run(main())


# The agent.


def test_sync_and_async_handlers(server: FakeServer) -> None:
    agent = Agent("greeter", slots=4, address=server.address, drain_timeout=5)

    @agent.task("sync")
    def sync(input: Any, ctx: Context) -> Any:
        ctx.progress(0.5, phase="executing")
        ctx.save_checkpoint({"step": 1})
        return {"hello": input, "attempt": ctx.attempt}

    @agent.task("async")
    async def async_(input: Any, ctx: AsyncContext) -> Any:
        await ctx.save_checkpoint("half")
        return input

    @agent.task("broken")
    def broken(input: Any) -> Any:
        raise SystemExit(3)

    agent.start()
    stream = server.agents.stream()
    assert stream.hello.profile.sdk == "python"
    assert [handler.type for handler in stream.hello.profile.handles] == ["sync", "async", "broken"]
    stream.assign("t1", "sync", input=text("Ada"))
    reports = server.agents.until("completed")
    assert reports["checkpoint"].checkpoint.data.text == '{"step":1}'
    assert reports["completed"].completed.result.text == '{"hello":"Ada","attempt":1}'
    assert reports["progress"].progress.phase == "executing"
    stream.assign("t2", "async", input=text("Bob"))
    assert server.agents.report("completed").completed.result.text == "Bob"
    stream.assign("t3", "broken")
    assert server.agents.report("failed").failed.failure.type == "SystemExit"
    stream.assign("t4", "unknown")
    assert server.agents.report("rejected").attempt.task_id == "t4"
    agent.drain()
    assert agent.wait(PATIENCE)


def test_inputs_and_results_that_cannot_be_converted_fail_for_good(server: FakeServer) -> None:
    agent = Agent("converter", slots=4, address=server.address, drain_timeout=5)

    @agent.task("sync")
    def sync(input: Any) -> Any:
        return object()

    @agent.task("async")
    async def async_(input: Any) -> Any:
        return "x" * 1_048_577

    agent.start()
    stream = server.agents.stream()
    nonsense = wire.payload.Payload(content_type="application/json", text="{")
    cases = [("InvalidInput", nonsense), ("InvalidResult", text("fine"))]
    for number, (kind, (expected, input)) in enumerate(itertools.product(["sync", "async"], cases)):
        stream.assign(f"t{number}", kind, input=input)
        failure = server.agents.report("failed").failed.failure
        assert (failure.type, failure.retryable) == (expected, False)
    agent.drain()
    assert agent.wait(PATIENCE)


@pytest.mark.parametrize("kind", ["burning", "blocking the handlers' loop"])
def test_a_handler_that_blocks_keeps_its_lease(kind: str) -> None:
    server = FakeServer(lease=0.9)
    agent = Agent("burner", address=server.address)

    def burn() -> None:
        until = time.monotonic() + 3 * server.agents.lease
        while time.monotonic() < until:
            sum(range(1000))

    if kind == "burning":

        @agent.task("burn")
        def sync(input: Any) -> None:
            burn()
    else:

        @agent.task("burn")
        async def async_(input: Any) -> None:
            burn()

    agent.start()
    stream = server.agents.stream()
    stream.assign("t1", "burn")
    server.agents.report("completed")
    times = stream.received_at
    assert max(b - a for a, b in itertools.pairwise(times)) < server.agents.lease
    assert server.agents.streams.empty()
    agent.stop()
    server.stop()


def test_cancellation_reaches_handlers(server: FakeServer) -> None:
    agent = Agent("waiter", slots=2, address=server.address)
    began = threading.Barrier(3)

    @agent.task("sync")
    def sync(input: Any, ctx: Context) -> None:
        began.wait()
        assert ctx.cancelled.wait(PATIENCE)
        ctx.check_cancelled()

    @agent.task("async")
    async def async_(input: Any) -> None:
        began.wait()
        await asyncio.sleep(PATIENCE)

    agent.start()
    stream = server.agents.stream()
    stream.assign("t1", "sync")
    stream.assign("t2", "async")
    began.wait(PATIENCE)
    stream.cancel("t1")
    stream.cancel("t2")
    failures = [server.agents.report("failed") for _ in range(2)]
    assert {report.attempt.task_id for report in failures} == {"t1", "t2"}
    assert {report.failed.failure.type for report in failures} == {"callboard.cancelled"}
    agent.stop()


def test_a_broken_stream_loses_neither_attempts_nor_reports(server: FakeServer) -> None:
    agent = Agent("greeter", address=server.address)
    go = threading.Event()

    @agent.task("greet")
    def greet(input: Any) -> str:
        go.wait(PATIENCE)
        return "hi"

    agent.start()
    server.agents.receipts = False
    stream = server.agents.stream()
    stream.assign("t1", "greet")
    accepted = server.agents.report("accepted")
    stream.end()
    stream = server.agents.stream()
    assert [held.task_id for held in stream.hello.held] == ["t1"]
    assert server.agents.report("accepted").report_id == accepted.report_id
    go.set()
    completed = server.agents.report("completed")
    stream.end()
    stream = server.agents.stream()
    assert [held.task_id for held in stream.hello.held] == ["t1"]
    server.agents.receipts = True
    assert server.agents.report("completed").report_id == completed.report_id
    agent.drain()
    assert agent.wait(PATIENCE)


def test_truncated_dependencies_are_fetched(server: FakeServer) -> None:
    def answer(request: Any, _: Any) -> Any:
        page = request.page_token or "0"
        result = tasks.DependencyResult(name=f"part-{page}", state="TASK_STATE_COMPLETED", result=text(page))
        return tasks.ListDependencyResultsResponse(
            results=[result], next_page_token="" if request.page_token else "1"
        )

    server.tasks.answers["ListDependencyResults"] = answer
    agent = Agent("reviewer", slots=2, address=server.address)

    @agent.task("sync")
    def sync(input: Any, ctx: Context) -> Any:
        return [ctx.dependency("part-1").value, *(one.value for one in ctx.dependencies)]

    @agent.task("async")
    async def async_(input: Any, ctx: AsyncContext) -> Any:
        return [ctx.dependency("part-1").value, *(one.value for one in ctx.dependencies)]

    agent.start()
    stream = server.agents.stream()
    for type in ("sync", "async"):
        assignment = wire.agent.Assignment(
            attempt=wire.agent.Attempt(task_id=type, attempt=1),
            spec=wire.task.TaskSpec(type=type),
            dependencies_truncated=True,
        )
        stream.send(assignments=wire.agent.AssignmentBatch(assignments=[assignment]))
        assert server.agents.report("completed").completed.result.text == '["1","0","1"]'
    agent.stop()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["review", "", "test"], "no dependency is called 'build': there are 'review', 'test'"),
        ([""], "no dependency is called 'build': none has a name"),
        ([], "no dependency is called 'build': none has a name"),
    ],
)
def test_a_dependency_that_is_not_there_is_an_error_that_names_those_that_are(
    server: FakeServer, names: list[str], message: str
) -> None:
    agent = Agent("publisher", address=server.address)

    @agent.task("publish")
    def publish(input: Any, ctx: Context) -> Any:
        with pytest.raises(LookupError, match="no dependency is called ''"):
            ctx.dependency("")
        assert [ctx.dependency(name).task_id for name in names if name] == [name for name in names if name]
        ctx.dependency("build")

    agent.start()
    assignment = wire.agent.Assignment(
        attempt=wire.agent.Attempt(task_id="t1", attempt=1),
        spec=wire.task.TaskSpec(type="publish"),
        dependencies=[tasks.DependencyResult(task_id=name, name=name) for name in names],
    )
    server.agents.stream().send(assignments=wire.agent.AssignmentBatch(assignments=[assignment]))
    failure = server.agents.report("failed").failed.failure
    assert (failure.type, failure.message) == ("LookupError", message)
    agent.stop()


def test_an_agent_that_is_not_wanted_ends_with_the_error(server: FakeServer) -> None:
    server.agents.refusal = (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_AGENT", "the name is taken")
    agent = Agent("greeter", name="taken", address=server.address)
    agent.task("greet")(lambda input: None)
    with pytest.raises(StatusError, match="the name is taken"):
        agent.run()


PROGRAM = """
import sys, time
from callboard import Agent
agent = Agent("greeter", address=sys.argv[1])

@agent.task("greet")
def greet(input):
    time.sleep(float(input))
    return "done"

agent.run()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_sigterm_drains_and_a_second_one_ends_at_once(server: FakeServer) -> None:
    def program() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-W", "error", "-c", PROGRAM, server.address], stderr=-1)

    with program() as process:
        stream = server.agents.stream()
        stream.assign("t1", "greet", input=text("1"))
        server.agents.report("accepted")
        process.send_signal(signal.SIGTERM)
        assert server.agents.report("completed").completed.result.text == "done"
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None and process.stderr.read() == b""
    with program() as process:
        stream = server.agents.stream()
        stream.assign("t2", "greet", input=text("60"))
        server.agents.report("accepted")
        process.send_signal(signal.SIGTERM)
        while server.agents.frames.get(timeout=PATIENCE) != "drain":
            pass
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 5
