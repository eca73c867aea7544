"""Traces: who submits, and who handles, are in one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fake_server import PATIENCE, FakeServer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from callboard import Agent, AsyncContext, Client, Context, aio, wire
from callboard.opentelemetry import TracingInterceptor


class Tracing:
    """Spans in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    receipt = wire.task.TaskReceipt(task_id="t1")
    server.tasks.answers["CreateTask"] = lambda *_: wire.task_service.CreateTaskResponse(receipt=receipt)
    yield server
    server.stop()


@pytest.fixture
def tracing() -> Tracing:
    return Tracing()


@pytest.mark.parametrize("blocking", [True, False])
def test_what_is_submitted_carries_the_trace_of_its_caller(
    server: FakeServer, tracing: Tracing, blocking: bool
) -> None:
    interceptors = [TracingInterceptor(tracing.provider)]
    with tracing.provider.get_tracer("test").start_as_current_span("outer") as outer:
        if blocking:
            with Client(server.address, interceptors=interceptors) as client:
                client.create("work", headers={"mine": "1"})
        else:

            async def main() -> None:
                async with aio.Client(server.address, interceptors=interceptors) as client:
                    await client.create("work", headers={"mine": "1"})

            asyncio.run(main())
    span = tracing.spans()["submit work"]
    assert (span.kind, span.status.status_code) == (SpanKind.PRODUCER, StatusCode.UNSET)
    assert span.parent is not None and span.parent.span_id == outer.get_span_context().span_id
    headers = server.tasks.requests[0].task.headers
    assert headers["mine"] == "1"
    ids = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert headers["traceparent"].startswith(ids)


def test_a_refused_submission_is_an_error(server: FakeServer, tracing: Tracing) -> None:
    with (
        Client(server.address, interceptors=[TracingInterceptor(tracing.provider)]) as client,
        pytest.raises(ValueError),
    ):
        client.create("work", priority="NONSENSE")  # type: ignore[arg-type]
    assert tracing.spans()["submit work"].status.status_code is StatusCode.ERROR


def handle(server: FakeServer, tracing: Tracing, handler: Any, ends: str) -> ReadableSpan:
    """The span of an attempt, below the one that its headers name."""
    agent = Agent(
        "worker", name="ann", address=server.address, interceptors=[TracingInterceptor(tracing.provider)]
    )
    agent.task("work")(handler)
    agent.start()
    stream = server.agents.stream()
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    stream.assign("t1", "work", headers=headers)
    server.agents.report(ends)
    agent.drain()
    assert agent.wait(PATIENCE)
    span = tracing.spans()["run work"]
    assert span.kind is SpanKind.CONSUMER
    assert span.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert span.parent is not None and span.parent.span_id == 0xB7AD6B7169203331
    assert span.context.trace_state.get("a") == "b"
    assert dict(span.attributes or {}) == {
        "callboard.task.id": "t1",
        "callboard.task.type": "work",
        "callboard.task.attempt": 1,
        "callboard.namespace": "",
        "callboard.agent": "ann",
    }
    return span


def sync_handler(input: Any, ctx: Context) -> None:
    ctx.client.create("next")


async def async_handler(input: Any, ctx: AsyncContext) -> None:
    await ctx.client.create("next")


@pytest.mark.parametrize("handler", [sync_handler, async_handler])
def test_a_handlers_span_is_below_the_submission_and_above_what_it_submits(
    server: FakeServer, tracing: Tracing, handler: Any
) -> None:
    span = handle(server, tracing, handler, "completed")
    assert span.status.status_code is StatusCode.UNSET
    submitted = tracing.spans()["submit next"]
    assert submitted.parent is not None and submitted.parent.span_id == span.context.span_id


def test_a_handlers_error_is_the_spans(server: FakeServer, tracing: Tracing) -> None:
    def broken(input: Any) -> None:
        raise ValueError("no")

    span = handle(server, tracing, broken, "failed")
    assert (span.status.status_code, [event.name for event in span.events]) == (
        StatusCode.ERROR,
        ["exception"],
    )


def test_a_cancellation_is_an_error_too(server: FakeServer, tracing: Tracing) -> None:
    async def waiting(input: Any) -> None:
        raise asyncio.CancelledError

    span = handle(server, tracing, waiting, "failed")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "CancelledError")


def test_without_a_provider_the_global_one_is_taken() -> None:
    assert isinstance(TracingInterceptor()._tracer, trace.Tracer)
