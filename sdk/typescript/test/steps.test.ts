// Durable steps: what the session does with their records, and what handlers get. Without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { type StepRecorder, Steps } from "../src/agent/steps.js";
import {
  AlreadyExists,
  CallboardError,
  encode,
  FailedPrecondition,
  InvalidArgument,
  ResourceExhausted,
  Unavailable,
} from "../src/index.js";
import type { Step } from "../src/recorded.js";
import { statusError, StatusCode, type StatusError } from "../src/errors.js";
import { AssignmentSchema, StepSchema } from "../src/v1.js";
import { attempt, FEATURES, key, kinds, Script, the } from "./support/script.js";

const WITHOUT_STEPS = FEATURES.filter((feature) => feature !== "steps");

/** What became of checkpoints and steps: their tickets, and the reason or text of the error. */
function settled(s: Script): [ticket: number, outcome: string | undefined][] {
  return s.only("reportSettled").map(({ ticket, error }) => [ticket, error && (error.reason || error.message)]);
}

// Their records.

test("a step is recorded when its receipt says so, and sent again with each stream until then", () => {
  const s = new Script();
  assert.ok(s.attach().features.includes("steps"));
  s.assign(["t1"]);
  s.receipt(s.report());
  s.actions();
  s.step("t1", "fetch", 7);
  const report = s.report();
  assert.ok(report.kind.case === "step" && report.kind.value.name === "fetch");
  assert.deepEqual(settled(s), []);
  s.drop();
  s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(s.reports(), [report]);
  s.receipt(report);
  assert.deepEqual(settled(s), [[7, undefined]]);
});

test("a step keeps its place among the reports of its attempt", () => {
  const s = new Script();
  s.working("t1");
  s.step("t1", "one", 1);
  s.receipt(s.report(), "RETRY");
  s.checkpoint("t1", 1, 2);
  s.complete("t1");
  assert.deepEqual(s.reports(), []);
  s.later(100);
  assert.deepEqual(kinds(s.reports()), ["step", "checkpoint", "completed"]);
});

test("the receipt of a later report is not that of a step", () => {
  for (const isLate of [false, true]) {
    const s = new Script();
    s.working("t1");
    s.step("t1", "one", 1);
    s.step("t1", "two", 2);
    const [one, two] = s.reports();
    for (const next of isLate ? ["two", "one"] : ["one", "two"]) {
      if (next === "one") {
        s.receipt(the(one), "RETRY");
      } else {
        s.receipt(the(two));
      }
    }
    assert.deepEqual(settled(s), [[2, undefined]]);
    s.later(1_000);
    assert.deepEqual(s.reports(), [one]);
    s.receipt(the(one));
    assert.deepEqual(settled(s), [[1, undefined]]);
  }
});

for (const [reason, kind] of [
  ["LIMIT_REACHED", ResourceExhausted],
  ["STEP_EXISTS", AlreadyExists],
  ["INVALID_FIELD", InvalidArgument],
  ["PAYLOAD_TOO_LARGE", InvalidArgument],
] as const) {
  test(`a step that is refused as ${reason} leaves the attempt to its handler`, () => {
    const s = new Script();
    s.working("t1");
    s.step("t1", "fetch", 7);
    s.receipt(s.report(), "REFUSED", reason, "no");
    const [action, ...more] = s.actions();
    assert.ok(action?.kind === "reportSettled" && action.error instanceof kind && more.length === 0);
    assert.deepEqual([action.ticket, action.error.reason, action.error.message], [7, reason, "no"]);
    s.complete("t1");
    assert.deepEqual(kinds(s.reports()), ["completed"]);
  });
}

test("a step of an attempt that is lost stops its handler, and later ones are refused at once", () => {
  const s = new Script();
  s.working("t1");
  s.step("t1", "fetch", 7);
  s.receipt(s.report(), "REFUSED", "STALE_ATTEMPT");
  const [stop, refused] = s.actions();
  assert.ok(stop?.kind === "stop" && !stop.reported);
  assert.ok(refused?.kind === "reportSettled" && refused.error instanceof FailedPrecondition);
  assert.equal(refused.error.reason, "STALE_ATTEMPT");
  s.step("t1", "write", 8);
  assert.deepEqual([settled(s), s.reports()], [[[8, "STALE_ATTEMPT"]], []]);
});

test("steps wait with checkpoints while four reports a slot do, and end with the session", () => {
  const s = new Script({ slots: 1 });
  s.working("t1");
  for (const ticket of [0, 1, 2, 3, 4]) {
    s.step("t1", "one", ticket);
  }
  const waiting = s.reports();
  assert.equal(waiting.length, 4);
  s.receipt(the(waiting[0]));
  assert.deepEqual(kinds(s.reports()), ["step"]);
  s.session.stop();
  const ended = settled(s);
  assert.deepEqual(
    ended.map(([ticket]) => ticket),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(ended[4], [4, "STALE_ATTEMPT"]);
});

test("a server without steps is sent none: those that wait are refused, checkpoints are not", () => {
  const s = new Script({ slots: 1 });
  s.working("t1");
  s.drop();
  for (const ticket of [1, 2, 3, 4, 5]) {
    s.step("t1", "fetch", ticket);
  }
  s.checkpoint("t1", 1, 6);
  s.attach({ held: [attempt("t1")], features: WITHOUT_STEPS, epoch: 2n });
  const none = "the server takes no steps";
  assert.deepEqual(new Map(settled(s)), new Map([1, 2, 3, 4, 5].map((ticket) => [ticket, none])));
  assert.ok(s.session.lacks("steps"));
  s.step("t1", "write", 7);
  assert.deepEqual(settled(s), [[7, none]]);
  assert.deepEqual(kinds(s.reports()), ["checkpoint"]);
});

test("a handler is told whether the server that gave its assignment has steps", () => {
  for (const [features, hasSteps] of [
    [FEATURES, true],
    [WITHOUT_STEPS, false],
  ] as const) {
    const s = new Script();
    s.attach({ features: [...features] });
    s.assign(["t1"]);
    assert.deepEqual(
      s.only("start").map((start) => start.hasSteps),
      [hasSteps],
    );
  }
});

test("a step while the stream is away waits for it", () => {
  const s = new Script();
  s.working("t1");
  s.drop();
  assert.ok(!s.session.lacks("steps"));
  s.step("t1", "fetch", 1);
  assert.deepEqual(settled(s), []);
  s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(kinds(s.reports()), ["step"]);
  assert.deepEqual(s.session.running(), [key("t1")]);
});

test("a handler that was asked to stop may record steps until its lease is gone", () => {
  const s = new Script();
  s.working("t1");
  s.cancel("t1", "REQUESTED");
  s.step("t1", "clean up", 1);
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[1, undefined]]);
});

// What handlers get.

/** The steps of an attempt whose server records what it is told, unless it refuses. */
class Stage implements StepRecorder {
  readonly records: string[] = [];
  readonly steps: Steps;
  fetches = 0;
  lacksSteps = false;
  refusal: StatusError | undefined;
  readonly stored: readonly Step[] = [];

  constructor(recorded: Readonly<Record<string, unknown>> = {}, { stepCount = 0, hasSteps = true } = {}) {
    const steps = Object.entries(recorded).map(([id, value]) => {
      const [name = "", occurrence = "0"] = id.split("/");
      return create(StepSchema, { name, occurrence: Number(occurrence), result: encode(value, "result") });
    });
    const assignment = create(AssignmentSchema, { steps, stepCount: stepCount || steps.length });
    this.steps = new Steps(assignment, hasSteps, this);
  }

  record: StepRecorder["record"] = ({ name, occurrence }) => {
    this.records.push(`${name}/${String(occurrence)}`);
    return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
  };

  fetchSteps: StepRecorder["fetchSteps"] = () => {
    this.fetches += 1;
    const away = statusError(StatusCode.UNAVAILABLE, "away");
    return this.refusal === undefined ? Promise.resolve(this.stored) : Promise.reject(away);
  };

  run<T>(name: string, work: () => T | Promise<T>, parse?: (value: unknown) => T): Promise<T> {
    return this.steps.run(name, work, parse);
  }
}

const never = (): never => {
  throw new Error("it must not run");
};

test("a recorded step does not run, and a new one is recorded", async () => {
  const stage = new Stage({ fetch: "page" });
  assert.equal(await stage.run("fetch", never), "page");
  assert.equal(await stage.run("fetch", () => Promise.resolve("another")), "another");
  assert.deepEqual([stage.records, stage.fetches], [["fetch/1"], 0]);
});

test("the first attempt sees what later ones will", async () => {
  const stage = new Stage();
  const date = new Date(0);
  assert.deepEqual(await stage.run<unknown>("a", () => ({ date, none: undefined })), { date: date.toJSON() });
  assert.equal(await stage.run<unknown>("b", () => undefined), null);
  assert.deepEqual(await stage.run("c", () => new Uint8Array([1])), new Uint8Array([1]));
  assert.equal(await stage.run("d", () => 2n ** 70n), 2n ** 70n);
});

test("occurrences are counted by name when a step is begun, also when what follows fails", async () => {
  const stage = new Stage();
  let go: (value: number) => void = never;
  const slow = stage.run("one", () => new Promise<number>((resolve) => (go = resolve)));
  await assert.rejects(
    stage.run("one", () => Promise.reject(new RangeError("no"))),
    RangeError,
  );
  await stage.run("one", () => 2);
  await stage.run("two", () => 3);
  go(1);
  assert.equal(await slow, 1);
  assert.deepEqual(stage.records, ["one/2", "two/0", "one/0"]);
});

test("what can not be recorded is refused before anything is sent", async () => {
  const stage = new Stage();
  for (const name of ["", "x".repeat(129), "é".repeat(65), "\ud800", 7 as unknown as string]) {
    await assert.rejects(stage.run(name, never), InvalidArgument);
  }
  const large = stage.run("large", () => "x".repeat(1_048_577));
  await assert.rejects(large, (error) => error instanceof InvalidArgument && error.reason === "PAYLOAD_TOO_LARGE");
  await assert.rejects(
    stage.run("boundless", () => NaN),
    InvalidArgument,
  );
  assert.deepEqual(stage.records, []);
  await stage.run("x".repeat(128), () => 1);
  assert.equal(stage.records.length, 1);
});

test("a step within another is refused, and one beside it isn't", async () => {
  const stage = new Stage();
  const nested = stage.run("outer", async () => {
    await Promise.resolve();
    return stage.run("inner", never);
  });
  await assert.rejects(nested, (error) => error instanceof InvalidArgument && error.message.includes('"inner"'));
  const [one, two] = await Promise.all([stage.run("one", () => 1), stage.run("two", () => 2)]);
  assert.deepEqual([one, two, stage.records.sort()], [1, 2, ["one/0", "two/0"]]);
  // Nor is one of another attempt.
  await stage.run("outer", () => new Stage().run("inner", () => 1));
});

test("a result that is not what is asked for is an error that names the step", async () => {
  const parse = (value: unknown): number => {
    if (typeof value !== "number") throw new TypeError("not a number");
    return value;
  };
  const named = (error: unknown): boolean =>
    error instanceof CallboardError && error.message.includes('step "fetch" (occurrence 0)');
  await assert.rejects(new Stage({ fetch: "page" }).run("fetch", never, parse), named);
  const stage = new Stage();
  await assert.rejects(
    stage.run("fetch", () => "page" as unknown as number, parse),
    named,
  );
  assert.deepEqual(stage.records, [], "what later attempts could not read");
  assert.equal(await stage.run("fetch", () => 7, parse), 7);
});

test("what did not come whole is fetched once, and again when that failed", async () => {
  const stage = new Stage({ one: 1 }, { stepCount: 2 });
  stage.refusal = statusError(StatusCode.UNAVAILABLE, "away");
  const failed = await Promise.allSettled([stage.run("one", never), stage.run("two", never)]);
  assert.ok(failed.every((one) => one.status === "rejected" && one.reason instanceof Unavailable));
  assert.equal(stage.fetches, 1);
  stage.refusal = undefined;
  const step = { name: "two", occurrence: 1, payload: encode(2, "result") } as Step;
  Object.assign(stage, { stored: [step] });
  assert.equal(await stage.run("two", never), 2);
  assert.equal(await stage.run("three", () => 3), 3);
  assert.equal(stage.fetches, 2);
});

test("a server without steps runs none", async () => {
  const none = (error: unknown): boolean =>
    error instanceof FailedPrecondition && error.message === "the server takes no steps";
  await assert.rejects(new Stage({}, { hasSteps: false }).run("fetch", never), none);
  // One that is attached later refuses what is new; what is recorded stays.
  const stage = new Stage({ fetch: "page" });
  stage.lacksSteps = true;
  assert.equal(await stage.run("fetch", never), "page");
  await assert.rejects(stage.run("fetch", never), none);
});

test("a refusal is the handler's", async () => {
  const stage = new Stage();
  stage.refusal = statusError(StatusCode.ALREADY_EXISTS, "another", { reason: "STEP_EXISTS" });
  await assert.rejects(
    stage.run("fetch", () => 1),
    AlreadyExists,
  );
});
