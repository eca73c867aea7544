"""Traces of tasks with OpenTelemetry: `pip install callboard[opentelemetry]`, then give a
`TracingInterceptor` to clients and agents. A trace goes on from who submits a task to its handler, and from
there to its children."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from callboard._version import __version__
from callboard.interceptors import Handle, Interceptor, Submit
from callboard.spec import TaskSpec

if TYPE_CHECKING:
    from callboard.context import AsyncContext, Context

__all__ = ["TracingInterceptor"]


class TracingInterceptor(Interceptor):
    """Begins a span for each task that is submitted and one for each attempt that is handled. The W3C trace
    context travels in the task's headers, `traceparent` and `tracestate`."""

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        """`tracer_provider`: the global one unless given."""
        self._tracer = trace.get_tracer("callboard", __version__, tracer_provider)
        self._propagator = TraceContextTextMapPropagator()

    async def submit(self, spec: TaskSpec, next: Submit) -> Any:
        """A span `submit <type>`, of kind PRODUCER."""
        name, kind = f"submit {spec.type}", trace.SpanKind.PRODUCER
        with self._tracer.start_as_current_span(name, kind=kind):
            headers = dict(spec.headers)
            self._propagator.inject(headers)
            return await next(dataclasses.replace(spec, headers=headers))

    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Handle) -> Any:
        """A span `run <type>`, of kind CONSUMER, below the one that the headers name."""
        attributes: dict[str, str | int] = {
            "callboard.task.id": ctx.task_id,
            "callboard.task.type": ctx.type,
            "callboard.task.attempt": ctx.attempt,
            "callboard.namespace": ctx.namespace,
            "callboard.agent": ctx.agent,
        }
        parent = self._propagator.extract(ctx.headers)
        name, kind = f"run {ctx.type}", trace.SpanKind.CONSUMER
        with self._tracer.start_as_current_span(name, parent, kind=kind, attributes=attributes) as span:
            try:
                return await next(input)
            except BaseException as error:
                if not isinstance(error, Exception):
                    # A cancellation, which the span itself doesn't count as an error.
                    span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
                raise
