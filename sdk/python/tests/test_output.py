"""Output as handlers and clients see it, over real gRPC against a server that says what a test tells it
to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_server import PATIENCE, FakeServer, refuse

from callboard import (
    Agent,
    AsyncContext,
    Client,
    Context,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    aio,
    wire,
)
from callboard.payload import Payload, encode

WatchOutputResponse = wire.task_service.WatchOutputResponse
LARGE = "é" * 400_000


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def given(server: FakeServer, handler: Callable[..., Any]) -> list[Payload]:
    """The chunks that a handler gave, whose attempt completed."""
    agent = Agent("worker", address=server.address, drain_timeout=0.1)
    agent.task("work")(handler)
    agent.start()
    server.agents.stream().assign("t1", "work")
    chunks: list[Payload] = []
    while True:
        report = server.agents.reports.get(timeout=PATIENCE)
        assert not report.HasField("failed"), report
        if report.HasField("completed"):
            agent.stop()
            return chunks
        offset = sum(len(chunk.text.encode() or chunk.binary) for chunk in chunks)
        if report.HasField("output"):
            assert report.output.offset == offset
            chunks += report.output.chunks


def sync_handler(input: Any, ctx: Context) -> None:
    ctx.output("tok")
    ctx.output("ens")
    ctx.output("")
    for _ in range(3):
        ctx.output(LARGE)
    ctx.output(b"\x00\x01")
    ctx.output({"page": 1})
    with pytest.raises(InvalidArgument):
        ctx.output(object())


async def async_handler(input: Any, ctx: AsyncContext) -> None:
    await ctx.output("tok")
    await ctx.output("ens")
    await ctx.output("")
    for _ in range(3):
        await ctx.output(LARGE)
    await ctx.output(b"\x00\x01")
    await ctx.output({"page": 1})
    with pytest.raises(InvalidArgument):
        await ctx.output(object())


@pytest.mark.parametrize("handler", [sync_handler, async_handler])
def test_everything_that_was_given_stands_before_the_completion(
    server: FakeServer, handler: Callable[..., Any]
) -> None:
    chunks = given(server, handler)
    assert "".join(chunk.text for chunk in chunks[:-2]) == "tokens" + 3 * LARGE
    assert (chunks[-2].binary, chunks[-1].text) == (b"\x00\x01", '{"page":1}')
    assert chunks[-1].content_type == "application/json"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_without_output_takes_none(server: FakeServer, kind: str) -> None:
    server.agents.features = ("checkpoint",)

    def sync_handler(input: Any, ctx: Context) -> None:
        with pytest.raises(FailedPrecondition, match="the server takes no output"):
            ctx.output("x")

    async def async_handler(input: Any, ctx: AsyncContext) -> None:
        with pytest.raises(FailedPrecondition, match="the server takes no output"):
            await ctx.output("x")

    assert given(server, sync_handler if kind == "sync" else async_handler) == []


# Clients.


def chunk(offset: int, value: Any, attempt: int = 1) -> wire.output.OutputChunk:
    return wire.output.OutputChunk(offset=offset, data=encode(value, "output"), attempt=attempt)


def test_both_clients_list_output_page_by_page(server: FakeServer) -> None:
    pages = {
        "": wire.task_service.ListOutputResponse(chunks=[chunk(0, "abc")], next_page_token="more"),
        "more": wire.task_service.ListOutputResponse(chunks=[chunk(3, {"n": 1}, 2)]),
    }
    server.tasks.answers["ListOutput"] = lambda request, _: pages[request.page_token]
    with Client(server.address) as client:
        chunks = list(client.output("t1", 2, 1, page_size=7))
    assert [(one.offset, one.value, one.attempt) for one in chunks] == [(0, "abc", 1), (3, {"n": 1}, 2)]
    assert [(r.run, r.offset, r.page_size) for r in server.tasks.requests] == [(2, 1, 7)] * 2

    async def main() -> list[Any]:
        async with aio.Client(server.address) as client:
            return [one async for one in client.output("t1")]

    assert asyncio.run(main()) == chunks


def watched(server: FakeServer, blocking: bool) -> tuple[list[tuple[int, Any]], int, int]:
    """What a watch gave, and its offset and run at the end."""
    if blocking:
        with Client(server.address) as client, client.watch_output("t1") as watch:
            return [(one.offset, one.value) for one in watch], watch.offset, watch.run

    async def main() -> tuple[list[tuple[int, Any]], int, int]:
        async with aio.Client(server.address) as client, client.watch_output("t1") as watch:
            return [(one.offset, one.value) async for one in watch], watch.offset, watch.run

    return asyncio.run(main())


@pytest.mark.parametrize("blocking", [True, False])
def test_a_watch_goes_on_where_it_broke_and_ends_with_the_run(server: FakeServer, blocking: bool) -> None:
    tries = itertools.count()

    def answer(request: Any, context: Any) -> Iterator[WatchOutputResponse]:
        number = next(tries)
        if number == 0:
            yield WatchOutputResponse(run=2)
            yield WatchOutputResponse(chunks=[chunk(0, "ab"), chunk(2, "c")], next_offset=3, run=2)
            refuse(context, grpc.StatusCode.ABORTED, "SLOW_READER", "too slow")
        elif number == 1:
            # The server goes away before it says anything.
            refuse(context, grpc.StatusCode.UNAVAILABLE, "", "gone")
        elif number == 2:
            yield WatchOutputResponse(chunks=[chunk(3, "d")], next_offset=4, run=2)
            # An end that nobody asked for.
        else:
            yield WatchOutputResponse(next_offset=4, run=2, ended=True)

    server.tasks.answers["WatchOutput"] = answer
    assert watched(server, blocking) == ([(0, "ab"), (2, "c"), (3, "d")], 4, 2)
    asked = [(request.run, request.offset) for request in server.tasks.requests]
    assert asked == [(0, 0), (2, 3), (2, 3), (2, 4)], "it keeps to the run that was named"


def test_what_watching_again_cannot_mend_is_raised(server: FakeServer) -> None:
    server.tasks.answers["WatchOutput"] = lambda _, context: refuse(
        context, grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND", "no such task"
    )
    with Client(server.address) as client, pytest.raises(NotFound):
        next(client.watch_output("t1"))
