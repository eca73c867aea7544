// The runs that go over a stream, as scripts: no stream, no clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBinary } from "@bufbuild/protobuf";

import { IDLE, MOST_BYTES, MOST_IN_FRAME, MOST_ON_STREAM, type Outcome, Runs, SILENCE } from "../src/client/runs.js";
import { encodeRun } from "../src/client/run-frames.js";
import { StatusCode, type StatusDetails, type StatusError, statusError } from "../src/errors.js";
import { specToWire } from "../src/spec.js";
import { type RunTasksRequest, RunTasksRequestSchema } from "../src/v1.js";
import { the } from "./support/script.js";

const TIMEOUT = 5_000;
const GONE = statusError(StatusCode.UNAVAILABLE, "gone");

function refusal(code: keyof typeof StatusCode, details: StatusDetails = {}): StatusError {
  return statusError(StatusCode[code], code, details);
}

/** One side of a stream. A task that has ended is a string. `random` is always 1: jitter leaves the whole delay. */
class Script {
  now = 100_000;
  readonly runs = new Runs<string>({ namespace: "plays", timeout: TIMEOUT, random: () => 1 });
  readonly outcomes = new Map<string, Outcome<string>>();

  ask(requestId: string, { timeout = Infinity, input = "" } = {}): void {
    const bytes = encodeRun(requestId, specToWire({ type: "greet", input }));
    const settle = (outcome: Outcome<string>): void => {
      assert.ok(!this.outcomes.has(requestId), "it is settled once");
      this.outcomes.set(requestId, outcome);
    };
    this.runs.ask({ requestId, bytes, deadline: this.now + timeout, settle });
  }

  askMany(count: number, from = 0): void {
    for (let number = from; number < from + count; number += 1) {
      this.ask(String(number));
    }
  }

  /** All frames that there are to send. */
  frames(): RunTasksRequest[] {
    const frames: RunTasksRequest[] = [];
    for (let bytes = this.runs.nextFrame(); bytes !== undefined; bytes = this.runs.nextFrame()) {
      frames.push(fromBinary(RunTasksRequestSchema, bytes));
    }
    return frames;
  }

  /** The ids that they ask for. */
  sent(): string[] {
    return this.frames().flatMap(({ runs }) => runs.map((run) => run.requestId));
  }

  later(milliseconds: number): ReturnType<Runs<string>["tick"]> {
    this.now += milliseconds;
    return this.runs.tick(this.now);
  }

  /** Waits for what is due next; gives how long that took. */
  next(): number {
    const waited = Math.max(0, the(this.runs.dueAt()) - this.now);
    this.later(waited);
    return waited;
  }

  /** A stream that is open, with these asked for on it. */
  open(...ids: readonly string[]): void {
    for (const id of ids) {
      this.ask(id);
    }
    assert.equal(this.later(0), "open");
    this.runs.opened(this.now);
    assert.deepEqual(this.sent(), ids);
  }

  ended(...ids: readonly string[]): void {
    const told = ids.map((requestId) => ({ requestId, outcome: { kind: "ended", task: `of ${requestId}` } as const }));
    this.runs.received(this.now, told);
  }

  refused(requestId: string, error: StatusError): void {
    this.runs.received(this.now, [{ requestId, outcome: { kind: "failed", error } }]);
  }

  /** The error of a run. */
  error(requestId: string): StatusError {
    const outcome = this.outcomes.get(requestId);
    assert.ok(outcome?.kind === "failed");
    return outcome.error;
  }
}

test("what is asked goes out together, the namespace in the first frame alone", () => {
  const s = new Script();
  s.ask("a");
  s.ask("b");
  assert.equal(s.later(0), "open");
  assert.equal(s.later(0), undefined);
  const [first, ...more] = s.frames();
  assert.equal(more.length, 0);
  assert.deepEqual([first?.namespace, first?.runs.map((run) => run.requestId)], ["plays", ["a", "b"]]);
  assert.equal(first?.runs[0]?.task?.type, "greet");
  s.ask("c");
  assert.deepEqual(s.frames().map((frame) => frame.namespace), [""]); // prettier-ignore
  s.ended("b");
  s.ended("a", "c");
  assert.deepEqual(s.outcomes.get("c"), { kind: "ended", task: "of c" });
  assert.equal(s.outcomes.size, 3);
  assert.equal(s.runs.isBusy, false);
});

test("a frame has at most 1,000 tasks and 1 MiB, or one task", () => {
  const s = new Script();
  s.askMany(2 * MOST_IN_FRAME + 1);
  s.later(0);
  assert.deepEqual(s.frames().map((frame) => frame.runs.length), [MOST_IN_FRAME, MOST_IN_FRAME, 1]); // prettier-ignore
  const half = "x".repeat(MOST_BYTES / 2 - 1_000);
  for (const [id, input] of [
    ["a", half],
    ["b", half],
    ["c", half],
    ["d", "x".repeat(MOST_BYTES)],
    ["e", ""],
  ] as const) {
    // prettier-ignore
    s.ask(id, { input });
  }
  assert.deepEqual(
    s.frames().map((frame) => frame.runs.map((run) => run.requestId)),
    [["a", "b"], ["c"], ["d"], ["e"]],
  );
});

test("a stream has at most 4,096 runs without an outcome", () => {
  const s = new Script();
  s.askMany(MOST_ON_STREAM + 10);
  s.later(0);
  assert.equal(s.sent().length, MOST_ON_STREAM);
  s.ended("0", "1");
  s.runs.giveUp(s.now, "2");
  assert.deepEqual(s.sent(), ["4096", "4097", "4098"]);
});

test("a break asks for all without an outcome again, in their order, on another stream", () => {
  const s = new Script();
  s.open("a", "b", "c");
  s.ended("b");
  s.runs.broken(s.now, GONE);
  s.ask("d");
  assert.deepEqual(s.frames(), []);
  assert.equal(s.later(99), undefined);
  assert.equal(s.later(1), "open");
  const [frame] = s.frames();
  assert.deepEqual([frame?.namespace, frame?.runs.map((run) => run.requestId)], ["plays", ["a", "c", "d"]]);
  s.ended("a", "c", "d");
  assert.equal(s.outcomes.size, 4);
});

test("streams are opened with delays that double, until a server speaks", () => {
  const s = new Script();
  s.ask("a");
  s.later(0);
  const delays: number[] = [];
  for (let tries = 0; tries < 5; tries += 1) {
    s.runs.broken(s.now, GONE);
    delays.push(s.next());
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1_600]);
  s.runs.opened(s.now);
  s.runs.received(s.now, []);
  s.runs.broken(s.now, GONE);
  assert.equal(s.next(), 100);
});

test("when none can be opened for the client's timeout, what waits ends with the last status", () => {
  const s = new Script();
  s.ask("a");
  s.later(0);
  s.runs.broken(s.now, GONE);
  while (s.outcomes.size === 0) {
    s.next();
    s.runs.broken(s.now, GONE);
  }
  assert.equal(s.error("a"), GONE);
  assert.ok(s.now >= 100_000 + TIMEOUT / 2 && s.now <= 100_000 + TIMEOUT);
  s.ask("b");
  assert.equal(s.later(0), "open", "the next begins anew");
});

test("a server that doesn't answer for the client's timeout is left", () => {
  const s = new Script();
  s.ask("a");
  s.later(0);
  assert.equal(s.later(TIMEOUT - 1), undefined);
  assert.equal(s.later(1), "cut");
  assert.equal(s.error("a").code, StatusCode.DEADLINE_EXCEEDED);
});

test("a server that is silent for 30 s has broken the stream", () => {
  const s = new Script();
  s.open("a");
  s.later(SILENCE - 1);
  s.runs.received(s.now, []);
  assert.equal(s.later(SILENCE - 1), undefined);
  assert.equal(s.later(1), "cut");
  assert.equal(s.outcomes.size, 0);
  assert.equal(s.later(100), "open");
  assert.deepEqual(s.sent(), ["a"]);
});

test("a refusal is the run's own, with its violations", () => {
  const s = new Script();
  s.open("a", "b");
  s.refused("a", refusal("INVALID_ARGUMENT", { violations: [{ field: "task.type", description: "is empty" }] }));
  assert.equal(s.error("a").violations[0]?.field, "task.type");
  s.ended("b");
  assert.equal(s.outcomes.get("b")?.kind, "ended");
});

test("a refusal with RetryInfo is asked again after its delay, until the client's timeout", () => {
  const s = new Script();
  const busy = refusal("RESOURCE_EXHAUSTED", { retryDelay: 1_000 });
  s.open("a", "b");
  s.refused("a", busy);
  assert.equal(s.later(999), undefined);
  assert.deepEqual(s.sent(), []);
  s.later(1);
  assert.deepEqual(s.sent(), ["a"]);
  s.refused("a", busy);
  s.runs.broken(s.now, GONE);
  assert.equal(s.later(100), "open");
  assert.deepEqual(s.sent(), ["b"], "its delay counts on another stream, too");
  while (!s.outcomes.has("a")) {
    s.later(1_000);
    if (s.sent().includes("a")) {
      s.refused("a", busy);
    } else {
      s.runs.received(s.now, []);
    }
  }
  assert.equal(s.error("a"), busy);
  assert.ok(s.now <= 100_000 + TIMEOUT);
});

test("a run whose time is over is forgotten, and the server is told", () => {
  const s = new Script();
  s.ask("long");
  s.ask("short", { timeout: 500 });
  s.later(0);
  s.runs.opened(s.now);
  s.sent();
  assert.equal(s.next(), 500);
  assert.equal(s.error("short").code, StatusCode.DEADLINE_EXCEEDED);
  const [frame] = s.frames();
  assert.deepEqual([frame?.runs, frame?.forgottenIds], [[], ["short"]]);
  s.ended("short");
  s.runs.giveUp(s.now, "long");
  assert.deepEqual(s.frames()[0]?.forgottenIds, ["long"]);
  assert.ok(!s.outcomes.has("long"), "who gave up isn't told");
});

test("a run whose time is over before it could be sent says why", () => {
  const s = new Script();
  s.ask("a", { timeout: 150 });
  s.later(0);
  s.runs.broken(s.now, GONE);
  s.later(150);
  assert.equal(s.error("a"), GONE);
  assert.deepEqual(s.frames(), [], "nobody is to be told");
});

test("a status that trying again can't help ends all", () => {
  const s = new Script();
  s.open("a", "b");
  s.runs.broken(s.now, refusal("PERMISSION_DENIED"));
  assert.equal(s.error("a").code, StatusCode.PERMISSION_DENIED);
  assert.equal(s.error("b").code, StatusCode.PERMISSION_DENIED);
  s.open("c");
  s.runs.broken(s.now, refusal("RESOURCE_EXHAUSTED", { reason: "SLOW_READER" }));
  assert.ok(!s.outcomes.has("c"), "who read too slowly may try again");
});

test("with another token the stream is opened again at once", () => {
  const s = new Script();
  s.open("a");
  s.runs.broken(s.now, refusal("UNAUTHENTICATED"), true);
  assert.equal(s.later(0), "open");
  assert.deepEqual(s.sent(), ["a"]);
});

test("a server without the stream leaves all to calls", () => {
  const s = new Script();
  s.open("a", "b");
  s.runs.unsupported(s.now);
  assert.deepEqual([...s.outcomes.values()], [{ kind: "toCalls" }, { kind: "toCalls" }]);
  assert.equal(s.runs.dueAt(), undefined);
});

test("a stream with nothing to run for is ended after 10 s, and opened again when there is", () => {
  const s = new Script();
  s.open("a");
  s.later(20_000);
  s.ended("a");
  assert.equal(s.later(IDLE - 1), undefined);
  assert.equal(s.later(1), "end");
  assert.equal(s.runs.dueAt(), undefined);
  s.open("b");
});

test("one that breaks with nothing to run for is not opened again for nothing", () => {
  const s = new Script();
  s.open("a");
  s.ended("a");
  s.runs.broken(s.now, GONE);
  assert.equal(s.later(60_000), undefined);
  assert.equal(s.runs.dueAt(), undefined);
  s.open("b");
});

test("closing ends all", () => {
  const s = new Script();
  s.open("a");
  s.ask("b");
  s.runs.closed(s.now, refusal("CANCELLED"));
  assert.deepEqual([s.error("a").code, s.error("b").code], [StatusCode.CANCELLED, StatusCode.CANCELLED]);
  assert.equal(s.runs.dueAt(), undefined);
});
