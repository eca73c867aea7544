"""`run` over a stream of `RunTasks`, against a server that says what a test tells it to, and a real one."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import Serve
from fake_server import PATIENCE, FakeServer, refuse
from google.rpc import error_details_pb2
from test_runs import retry_in, status
from waiting import LONG, attached, drained

from callboard import (
    Agent,
    Client,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    StatusError,
    TaskFailed,
    TaskSpec,
    Unavailable,
    aio,
    following,
    loop,
    wire,
)
from callboard.payload import encode

service = wire.task_service


class Streams:
    """Streams of runs. Each run that comes is answered by what a test gave for its input, if it gave
    something, and is otherwise left without an outcome."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.opened: queue.Queue[int] = queue.Queue()
        self.authorizations: list[str] = []
        self.ended: queue.Queue[int] = queue.Queue()
        self.frames: queue.Queue[service.RunTasksRequest] = queue.Queue()
        self.runs: queue.Queue[tuple[int, service.TaskRun]] = queue.Queue()
        self.answers: dict[str, Callable[[int], service.TaskOutcome | None]] = {}
        self._count = 0
        self._outgoing: queue.Queue[Any] = queue.Queue()
        server.tasks.answers["RunTasks"] = self._serve

    def end(self) -> None:
        """Ends the stream."""
        self._outgoing.put(None)

    def next_run(self) -> tuple[int, service.TaskRun]:
        """The next run that came, with the number of its stream."""
        return self.runs.get(timeout=PATIENCE)

    def forgotten(self) -> list[str]:
        """The ids of the next frame that forgets some."""
        while not (frame := self.frames.get(timeout=PATIENCE)).forgotten_ids:
            pass
        return list(frame.forgotten_ids)

    def _serve(self, requests: Any, context: Any) -> Iterator[service.RunTasksResponse]:
        self._count += 1
        number, outgoing = self._count, queue.Queue[Any]()
        self._outgoing = outgoing
        self.authorizations += [str(v) for k, v in context.invocation_metadata() if k == "authorization"]
        context.send_initial_metadata([])
        self.opened.put(number)

        def read() -> None:
            try:
                for frame in requests:
                    outgoing.put(self._answer(number, frame))
            except grpc.RpcError:
                pass
            self.ended.put(number)
            outgoing.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (response := outgoing.get()) is not None:
            yield response

    def _answer(self, number: int, frame: service.RunTasksRequest) -> service.RunTasksResponse:
        outcomes = []
        for run in frame.runs:
            answer = self.answers.get(run.task.input.text)
            outcome = None if answer is None else answer(number)
            if outcome is not None:
                outcome.request_id = run.request_id
                outcomes.append(outcome)
        self.frames.put(frame)
        for run in frame.runs:
            self.runs.put((number, run))
        return service.RunTasksResponse(outcomes=outcomes)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def streams(server: FakeServer) -> Streams:
    return Streams(server)


def completed(result: Any) -> service.TaskOutcome:
    task = wire.task.Task(id="id", state="TASK_STATE_COMPLETED", result=encode(result, "result"))
    return service.TaskOutcome(task=task)


def failed() -> service.TaskOutcome:
    task = wire.task.Task(id="id", state="TASK_STATE_FAILED")
    task.failure.type, task.failure.message = "Broken", "it broke"
    return service.TaskOutcome(task=task)


def refused() -> service.TaskOutcome:
    violation = error_details_pb2.BadRequest.FieldViolation(field="task.type", description="is empty")
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="callboard.dev")
    return service.TaskOutcome(
        status=status(grpc.StatusCode.INVALID_ARGUMENT, bad, info, message="task.type is empty")
    )


@pytest.mark.parametrize("blocking", [True, False])
def test_many_runs_go_over_one_stream_and_each_has_its_outcome(streams: Streams, blocking: bool) -> None:
    inputs = [f"input-{number}" for number in range(100)]
    streams.answers = {input: lambda _, input=input: completed([input]) for input in inputs}  # type: ignore[misc]
    streams.answers |= {"fail": lambda _: failed(), "refuse": lambda _: refused()}

    async def main() -> list[Any]:
        async with aio.Client(streams.server.address, namespace="space") as client:
            asked = [client.run("work", input) for input in [*inputs, "fail", "refuse"]]
            return await asyncio.gather(*asked, return_exceptions=True)

    if blocking:
        with Client(streams.server.address, namespace="space") as client, ThreadPoolExecutor(32) as pool:
            asked = [pool.submit(client.run, "work", input) for input in [*inputs, "fail", "refuse"]]
            outcomes = [one.exception() or one.result() for one in asked]
    else:
        outcomes = asyncio.run(main())
    assert outcomes[:-2] == [[input] for input in inputs]
    failure, refusal = outcomes[-2:]
    assert isinstance(failure, TaskFailed) and str(failure) == "task id ended FAILED: Broken: it broke"
    assert isinstance(refusal, InvalidArgument) and refusal.reason == "INVALID_FIELD"
    assert [one.field for one in refusal.violations] == ["task.type"]
    assert streams.ended.get(timeout=PATIENCE) == 1 and streams.opened.qsize() == 1, "it ends with the client"
    assert streams.frames.get().namespace == "space"
    assert streams.server.tasks.requests == []


def test_what_has_no_outcome_is_asked_again_when_the_stream_breaks(streams: Streams) -> None:
    streams.answers["x"] = lambda number: completed("done") if number == 3 else None
    with Client(streams.server.address) as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.run, "work", "x", request_id=name) for name in "ab"]
        for number in (1, 2):
            came = [streams.next_run() for _ in range(2)]
            assert {(stream, run.request_id) for stream, run in came} == {(number, "a"), (number, "b")}
            streams.end()
        assert [one.result(LONG) for one in asked] == ["done", "done"]


def test_a_refusal_that_says_so_is_asked_again(streams: Streams) -> None:
    busy = service.TaskOutcome(status=status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_in(0)))
    answers = [busy, completed("done")]
    streams.answers["x"] = lambda _: answers.pop(0)
    with Client(streams.server.address) as client:
        assert client.run("work", "x") == "done"
    runs = [streams.next_run() for _ in range(2)]
    assert [stream for stream, _ in runs] == [1, 1] and runs[0] == runs[1]


def test_a_stream_that_is_refused_refuses_its_runs(server: FakeServer) -> None:
    server.tasks.answers["RunTasks"] = lambda _, context: refuse(
        context, grpc.StatusCode.NOT_FOUND, "NAMESPACE_NOT_FOUND", "there is no such namespace"
    )
    with Client(server.address) as client:
        for _ in range(2):
            with pytest.raises(NotFound, match="there is no such namespace"):
                client.run("work")


def test_a_run_that_is_refused_for_a_token_that_was_changed_goes_again_with_the_new_one(
    streams: Streams, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old")

    def refuse_the_old(number: int) -> service.TaskOutcome:
        token_file.write_text("new")
        if number == 1:
            return service.TaskOutcome(status=status(grpc.StatusCode.UNAUTHENTICATED))
        return completed("known by now")

    streams.answers |= {
        "x": refuse_the_old,
        "never": lambda _: service.TaskOutcome(status=status(grpc.StatusCode.UNAUTHENTICATED)),
    }
    with Client(streams.server.address, token_file=str(token_file)) as client:
        assert client.run("work", "x") == "known by now"
        assert streams.authorizations == ["Bearer old", "Bearer new"]
        with pytest.raises(StatusError) as raised:
            client.run("work", "never")
        assert raised.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert len(streams.authorizations) == 2


def test_runs_end_with_the_last_status_when_nobody_is_there() -> None:
    with Client("http://127.0.0.1:1", timeout=0.3) as client, pytest.raises(Unavailable):
        client.run("work")


def test_the_next_stream_goes_to_the_next_address(streams: Streams) -> None:
    streams.answers["x"] = lambda _: completed("done")
    with Client(f"http://127.0.0.1:1,{streams.server.address}") as client:
        assert client.run("work", "x") == "done"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_timeout_is_the_runs_own_and_its_outcome_is_forgotten(streams: Streams, blocking: bool) -> None:
    streams.answers["x"] = lambda _: completed("done")

    async def main() -> None:
        async with aio.Client(streams.server.address) as client:
            with pytest.raises(DeadlineExceeded):
                await client.run("work", request_id="late", timeout=0.1)
            assert streams.forgotten() == ["late"]
            assert await client.run("work", "x", timeout=LONG) == "done"

    if blocking:
        with Client(streams.server.address) as client:
            with pytest.raises(TimeoutError):
                client.run("work", request_id="late", timeout=0.1)
            assert streams.forgotten() == ["late"]
            assert client.run("work", "x", timeout=LONG) == "done"
    else:
        asyncio.run(main())
    assert streams.opened.qsize() == 1


def test_who_gives_up_has_the_outcome_forgotten(streams: Streams) -> None:
    async def main() -> None:
        async with aio.Client(streams.server.address) as client:
            running = asyncio.create_task(client.run("work", request_id="gone"))
            await asyncio.get_running_loop().run_in_executor(None, streams.next_run)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await asyncio.get_running_loop().run_in_executor(None, streams.forgotten) == ["gone"]

    asyncio.run(main())


@pytest.mark.parametrize("blocking", [True, False])
def test_closing_the_client_ends_what_is_under_way(streams: Streams, blocking: bool) -> None:
    async def main() -> StatusError:
        client = aio.Client(streams.server.address)
        running = asyncio.create_task(client.run("work"))
        await asyncio.get_running_loop().run_in_executor(None, streams.next_run)
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.run("work")
        with pytest.raises(StatusError) as ended:
            await running
        return ended.value

    if blocking:
        client = Client(streams.server.address)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.run, "work")
            streams.next_run()
            client.close()
            error = running.exception(LONG)
        with pytest.raises(RuntimeError, match="closed"):
            client.run("work")
    else:
        error = asyncio.run(main())
    assert isinstance(error, StatusError) and error.code is grpc.StatusCode.CANCELLED
    assert streams.ended.get(timeout=PATIENCE) == 1


def test_a_server_without_the_method_is_called_until_it_is_another(server: FakeServer) -> None:
    running = wire.task.Task(id="id", state="TASK_STATE_RUNNING")
    server.tasks.answers |= {
        "RunTask": lambda *_: service.RunTaskResponse(task=running),
        "WaitTask": lambda *_: service.WaitTaskResponse(task=completed("by calls").task, ended=True),
    }
    with Client(server.address) as client:
        for number in range(2):
            assert client.run("work", request_id=f"r{number}") == "by calls"
        assert [type(request).__name__ for request in server.tasks.requests] == [
            "RunTaskRequest",
            "WaitTaskRequest",
        ] * 2
        assert server.tasks.requests[2].request_id == "r1"
        server.stop()
        newer = FakeServer(port=server.port)
        try:
            streams = Streams(newer)
            streams.answers["x"] = lambda _: completed("over a stream")
            # The first may still be called: nobody has noticed yet that the old one is gone.
            newer.tasks.answers = server.tasks.answers | newer.tasks.answers
            answers = [client.run("work", "x") for _ in range(20)]
        finally:
            newer.stop()
    assert answers[-1] == "over a stream"


PROGRAM = """
import sys
from callboard import Client
print(Client(sys.argv[1]).run("work", "x"))
"""


def test_an_idle_stream_does_not_keep_a_process_alive(streams: Streams) -> None:
    streams.answers["x"] = lambda _: completed("done")
    program = [sys.executable, "-W", "error", "-c", PROGRAM, streams.server.address]
    done = subprocess.run(program, capture_output=True, text=True, timeout=LONG)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_runs_of_a_handlers_client_end_with_the_agent(streams: Streams) -> None:
    streams.answers["x"] = lambda _: completed("done")
    agent = Agent("caller", address=streams.server.address, slots=2)

    @agent.task("call")
    def call(input: Any, ctx: Any) -> Any:
        return ctx.client.run("work", "x")

    agent.start()
    streams.server.agents.stream().assign("t1", "call")
    assert streams.server.agents.report("completed").completed.result.text == "done"
    agent.stop()
    assert streams.ended.get(timeout=PATIENCE) == 1


# A real server.


def test_each_run_is_answered_once_and_has_one_task_when_the_server_is_killed(serve: Serve) -> None:
    server = serve()
    count = 64
    go, began = threading.Event(), threading.Semaphore(0)
    agent = Agent("worker", slots=count, address=server.address)

    @agent.task("work")
    def work(input: Any) -> Any:
        began.release()
        assert go.wait(LONG)
        return input * 2

    attached(agent)

    async def main() -> list[Any]:
        async with aio.Client(server.address) as client:
            running = [asyncio.create_task(client.run("work", number)) for number in range(count)]
            in_thread = asyncio.get_running_loop().run_in_executor
            for _ in range(count):
                assert await in_thread(None, began.acquire, True, LONG)
            server.kill()
            server.start()
            go.set()
            results = await asyncio.wait_for(asyncio.gather(*running), 3 * LONG)
            tasks = [task async for task in client.list(type="work")]
            assert len(tasks) == count and all(task.state == "COMPLETED" for task in tasks)
            return results

    assert asyncio.run(main()) == [number * 2 for number in range(count)]
    drained(agent)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_runs_whose_server_ends_again_and_again_are_each_one_task(serve: Serve, how: str) -> None:
    server = serve()
    end = server.kill if how == "kill" else server.stop
    agent = Agent("worker", slots=16, address=server.address)
    agent.task("work")(lambda input: input)
    attached(agent)
    rounds, per_round = 3, 64

    async def main() -> None:
        async with aio.Client(server.address) as client:
            for round in range(rounds):
                inputs = [round * per_round + number for number in range(per_round)]
                running = [asyncio.create_task(client.run("work", number)) for number in inputs]
                # Some are done, some are on their way, some have not left.
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                end()
                server.start()
                assert await asyncio.wait_for(asyncio.gather(*running), 3 * LONG) == inputs
            assert len([task async for task in client.list(type="work")]) == rounds * per_round

    asyncio.run(main())
    drained(agent)


def test_a_refusal_names_the_fields_as_the_call_does(serve: Serve) -> None:
    with Client(serve().address) as client:
        with pytest.raises(InvalidArgument) as created:
            client.create("", priority="HIGH", key="k" * 1000)
        with pytest.raises(InvalidArgument) as run:
            client.run("", priority="HIGH", key="k" * 1000)
        assert run.value.violations == created.value.violations
        assert (run.value.reason, run.value.message) == (created.value.reason, created.value.message)
    with Client(serve().address, namespace="nowhere") as client, pytest.raises(NotFound) as nowhere:
        client.run("work")
    assert nowhere.value.reason == "NAMESPACE_NOT_FOUND"


def test_a_request_id_is_answered_the_same_by_stream_and_by_call(serve: Serve) -> None:
    server = serve()
    agent = Agent("worker", address=server.address)
    agent.task("work")(lambda input: input)
    attached(agent)
    with Client(server.address) as client:
        assert [client.run("work", "x", request_id="once") for _ in range(2)] == ["x", "x"]
        with pytest.raises(InvalidArgument) as reused:
            client.run("work", "y", request_id="once")
        assert reused.value.reason == "REQUEST_ID_REUSED"
        asked = service.TaskRun(request_id="once", task=TaskSpec("work", "x").to_wire())
        by_call = loop.block_on(following.run(client._transport, "default", asked, None))
        (task,) = client.list(type="work")
        assert by_call.id == task.id
    drained(agent)
