/**
 * An interceptor that traces tasks with OpenTelemetry. It needs `@opentelemetry/api`, which this package doesn't bring.
 *
 * @packageDocumentation
 */
import {
  type Context as TraceContext,
  context as traceContext,
  createTraceState,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from "@opentelemetry/api";

import type { Context } from "./agent/context.js";
import type { HandleNext, Interceptor, SubmitNext } from "./interceptors/interceptor.js";
import type { TaskSpec } from "./spec.js";
import { VERSION } from "./version.js";

/** How tasks are traced. */
export interface OpenTelemetryOptions {
  /** What begins the spans. Default one of the global provider's. */
  readonly tracer?: Tracer | undefined;
}

/** The headers of W3C Trace Context. */
const TRACEPARENT = "traceparent";
const TRACESTATE = "tracestate";

/**
 * An interceptor that gives each task that is submitted a span `submit TYPE` and carries its trace context in the task's
 * headers, and gives each attempt a span `run TYPE` whose parent that is, whoever does it and in whatever language.
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Interceptor {
  const tracer = (): Tracer => options.tracer ?? trace.getTracer("callboard", VERSION);
  return {
    submit<T>(spec: TaskSpec, next: SubmitNext<T>): Promise<T> {
      const attributes = { "callboard.task.type": spec.type };
      const span = tracer().startSpan(`submit ${spec.type}`, { kind: SpanKind.PRODUCER, attributes });
      const headers = { ...spec.headers, ...headersOf(span.spanContext()) };
      return within(span, traceContext.active(), () => next({ ...spec, headers }));
    },
    handle(context: Context, input: unknown, next: HandleNext): Promise<unknown> {
      const attributes = {
        "callboard.task.id": context.taskId,
        "callboard.task.type": context.type,
        "callboard.task.attempt": context.attempt,
        "callboard.namespace": context.namespace,
        "callboard.agent": context.agent,
      };
      const parent = parentIn(context.headers);
      const span = tracer().startSpan(`run ${context.type}`, { kind: SpanKind.CONSUMER, attributes }, parent);
      return within(span, parent, () => next(input));
    },
  };
}

/** Does something with the span active, and ends the span as that ends. */
async function within<T>(span: Span, parent: TraceContext, work: () => Promise<T>): Promise<T> {
  try {
    return await traceContext.with(trace.setSpan(parent, span), work);
  } catch (error) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    span.end();
  }
}

/** The headers that say which span it is; none of a span that nobody records. */
function headersOf(span: SpanContext): Record<string, string> {
  if (!isSpanContextValid(span)) {
    return {};
  }
  const flags = (span.traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, "0");
  const state = span.traceState?.serialize() ?? "";
  const parent = { [TRACEPARENT]: `00-${span.traceId}-${span.spanId}-${flags}` };
  return state === "" ? parent : { ...parent, [TRACESTATE]: state };
}

/** The context of the span that the headers name; one without a span when they name none. */
function parentIn(headers: Readonly<Record<string, string>>): TraceContext {
  const match = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(
    headers[TRACEPARENT] ?? "",
  );
  const [, traceId = "", spanId = "", flags = "0"] = match ?? [];
  const state = headers[TRACESTATE];
  const span: SpanContext = {
    traceId,
    spanId,
    traceFlags: parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(state === undefined ? {} : { traceState: createTraceState(state) }),
  };
  const active = traceContext.active();
  return isSpanContextValid(span) ? trace.setSpanContext(active, span) : trace.deleteSpan(active);
}
