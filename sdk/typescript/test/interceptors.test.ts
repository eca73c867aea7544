// Interceptors: their order and what they may do, and the two that come with the SDK. Without a server.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { context as traceContext, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

import { type Context, type Interceptor, logging, TaskError, type TaskSpec } from "../src/index.js";
import { handling, submitting, submittingAll } from "../src/interceptors/interceptor.js";
import { openTelemetry } from "../src/opentelemetry.js";
import { Log } from "./support/waiting.js";

/** What a handler is called with, as far as interceptors look at it. */
function contextWith(headers: Readonly<Record<string, string>>): Context {
  const about = { taskId: "task-1", type: "greet", attempt: 2, namespace: "default", agent: "ann", cancelled: false };
  return { ...about, headers } as unknown as Context;
}

const context = contextWith({});

/** A task, as it is asked for among many. */
interface Asked {
  readonly task: TaskSpec;
}

function asked(...types: readonly string[]): Asked[] {
  return types.map((type) => ({ task: { type } }));
}

/** Adds its name to a header, and to the value. */
function named(name: string): Interceptor {
  return {
    submit: (spec, next) => next({ ...spec, headers: { path: `${spec.headers?.["path"] ?? ""}${name}` } }),
    async handle(_, input, next) {
      return `${String(await next(`${String(input)}${name}`))}${name}`;
    },
  };
}

test("the first is the outermost, and one may have one method alone", async () => {
  const both = [named("a"), {}, named("b")];
  const sent: TaskSpec[] = [];
  const submit = submitting(both, (spec) => {
    sent.push(spec);
    return Promise.resolve(null);
  });
  assert.equal(await submit({ type: "t" }), null);
  assert.deepEqual(sent, [{ type: "t", headers: { path: "ab" } }]);
  const handle = handling(both, context, (input) => `<${String(input)}>`);
  assert.equal(await handle("-"), "<-ab>ba");
});

test("what an interceptor throws is the call's error, and nothing is sent", async () => {
  const refuses: Interceptor = { submit: () => Promise.reject(new RangeError("no")) };
  const never = (): never => {
    throw new Error("it must not be sent");
  };
  await assert.rejects(submitting([named("a"), refuses], never)({ type: "t" }), RangeError);
  const picky: Interceptor = {
    submit: async (spec, next) => {
      if (spec.type === "bad") throw new RangeError("no");
      return next(spec);
    },
  };
  await assert.rejects(submittingAll([picky], asked("t", "bad", "u"), never), RangeError);
});

test("a handler's error, thrown at once or later, goes through all that handle", async () => {
  const seen: unknown[] = [];
  const watching: Interceptor = {
    async handle(_, input, next) {
      return next(input).catch((error: unknown) => {
        seen.push(error);
        throw error;
      });
    },
  };
  const error = new RangeError("no");
  const throws = (): never => {
    throw error;
  };
  for (const handler of [throws, () => Promise.reject(error)]) {
    await assert.rejects(handling([watching], context, handler)(""), error);
  }
  assert.deepEqual(seen, [error, error]);
  const broken: Interceptor = { handle: throws };
  await assert.rejects(handling([broken], context, () => 1)(""), error);
});

test("many tasks go through one by one and are sent together, each with its own answer", async () => {
  const answers: string[] = [];
  const slow: Interceptor = {
    async submit(spec, next) {
      if (spec.type === "t1") await new Promise(setImmediate);
      const answer = await next({ ...spec, key: `key of ${spec.type}` });
      answers.push(String(answer));
      return answer;
    },
  };
  const calls: (readonly Asked[])[] = [];
  const send = (sent: readonly Asked[]): Promise<string[]> => {
    calls.push(sent);
    return Promise.resolve(sent.map(({ task }) => task.key ?? ""));
  };
  const types = ["t1", "t2", "t3"];
  const expected = types.map((type) => `key of ${type}`);
  assert.deepEqual(await submittingAll([slow], asked(...types), send), expected);
  assert.deepEqual([calls.length, answers], [1, expected]);
  const failing = (): Promise<never> => Promise.reject(new RangeError("no"));
  await assert.rejects(submittingAll([slow], asked("t1"), failing), RangeError);
  await assert.rejects(submittingAll([slow], asked(), failing), RangeError, "what is wrong with none is told, too");
});

test("logging says what begins and how it ends, and never what it holds", async () => {
  const log = new Log();
  const secret = "secret";
  const run = (handler: () => unknown): Promise<unknown> => handling([logging(log)], context, handler)(secret);
  assert.equal(await run(() => secret), secret);
  await assert.rejects(run(() => Promise.reject(new RangeError(secret))));
  await assert.rejects(run(() => Promise.reject(new TaskError(secret, { type: "NoAccess" }))));
  const attempt = 'callboard: attempt 2 of task task-1 ("greet")';
  assert.deepEqual(
    log.lines.map((line) => line.replace(/\d+ ms/, "7 ms")),
    ["completed", 'failed as "RangeError"', 'failed as "NoAccess"'].flatMap((how) => [
      `${attempt} begins`,
      `${attempt} ${how} after 7 ms`,
    ]),
  );
});

// OpenTelemetry.

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
traceContext.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
after(() => {
  traceContext.disable();
  return provider.shutdown();
});

const tracing = openTelemetry({ tracer: provider.getTracer("test") });

/** What submitting a task in the present trace context sends. */
async function submitted(spec: TaskSpec): Promise<TaskSpec> {
  return submitting([tracing], (sent) => Promise.resolve(sent))(spec);
}

test("a task's span is the parent of its attempts', in whatever process they are", async () => {
  exporter.reset();
  const sent = await submitted({ type: "greet", headers: { mine: "1" } });
  assert.equal(sent.headers?.["mine"], "1");
  const headers = { ...sent.headers };
  let child: TaskSpec | undefined;
  await handling([tracing], contextWith(headers), async () => {
    child = await submitted({ type: "child" });
  })("");
  const [submit, submitChild, run, ...more] = exporter.getFinishedSpans();
  assert.ok(submit !== undefined && submitChild !== undefined && run !== undefined && more.length === 0);
  assert.deepEqual(
    [submit, run, submitChild].map((span) => [span.name, span.kind]),
    [
      ["submit greet", SpanKind.PRODUCER],
      ["run greet", SpanKind.CONSUMER],
      ["submit child", SpanKind.PRODUCER],
    ],
  );
  const { traceId, spanId } = submit.spanContext();
  assert.equal(headers["traceparent"], `00-${traceId}-${spanId}-01`);
  assert.deepEqual([run.parentSpanContext?.spanId, run.spanContext().traceId], [spanId, traceId]);
  assert.equal(submitChild.parentSpanContext?.spanId, run.spanContext().spanId, "what a handler submits is its own");
  assert.equal(child?.headers?.["traceparent"], `00-${traceId}-${submitChild.spanContext().spanId}-01`);
  assert.deepEqual(run.attributes, {
    "callboard.task.id": "task-1",
    "callboard.task.type": "greet",
    "callboard.task.attempt": 2,
    "callboard.namespace": "default",
    "callboard.agent": "ann",
  });
  assert.equal(run.status.code, SpanStatusCode.UNSET);
});

test("an error sets the span's status", async () => {
  exporter.reset();
  const fails = handling([tracing], context, () => Promise.reject(new RangeError("no")));
  await assert.rejects(fails(""), RangeError);
  const [run] = exporter.getFinishedSpans();
  assert.deepEqual(run?.status, { code: SpanStatusCode.ERROR, message: "no" });
  assert.equal(run.events[0]?.name, "exception");
});

test("the state of a trace is carried on, and what is no trace context is no parent", async () => {
  exporter.reset();
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
  const run = async (headers: Record<string, string>): Promise<TaskSpec> => {
    const handle = handling([tracing], contextWith(headers), () => submitted({ type: "child" }));
    return (await handle("")) as TaskSpec;
  };
  const child = await run({ traceparent, tracestate: "vendor=1" });
  assert.equal(child.headers?.["tracestate"], "vendor=1");
  assert.ok(child.headers["traceparent"]?.startsWith(`00-${traceId}-`));
  for (const wrong of ["", "nonsense", traceparent.toUpperCase(), `ff${traceparent.slice(2)}`, "00-0-0-01"]) {
    exporter.reset();
    await run({ traceparent: wrong });
    assert.equal(exporter.getFinishedSpans().at(-1)?.parentSpanContext, undefined);
  }
});

test("without a tracer's SDK nothing is written", async () => {
  const sent = await submitting([openTelemetry()], (spec) => Promise.resolve(spec))({ type: "greet" });
  assert.deepEqual(sent, { type: "greet", headers: {} });
});
