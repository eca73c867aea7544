// Output: how a session gathers and reports it, and what handlers get. Without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Output, type Outlet } from "../src/agent/output.js";
import { StatusCode, statusError } from "../src/errors.js";
import { decode, FailedPrecondition, InvalidArgument, ResourceExhausted, textPayload } from "../src/index.js";
import { type OutputBatch, type Payload, type Report } from "../src/v1.js";
import { attempt, FEATURES, key, kinds, Script, the } from "./support/script.js";

const WITHOUT_OUTPUT = FEATURES.filter((feature) => feature !== "output");

function batchOf({ kind }: Report): OutputBatch {
  assert.ok(kind.case === "output");
  return kind.value;
}

/** What a report of output says: its offset, and the values of its chunks. */
function said(report: Report): [offset: number, values: unknown[]] {
  const { offset, chunks } = batchOf(report);
  return [Number(offset), chunks.map(decode)];
}

/** The sizes of a report's chunks. */
function sizes(report: Report): number[] {
  return batchOf(report).chunks.map(({ content }) => Buffer.byteLength(content.value ?? ""));
}

// The session.

test("the first output goes at once, what comes meanwhile is joined, twenty times a second", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  const first = s.report();
  assert.deepEqual(said(first), [0, ["a"]]);
  s.output("t1", "é");
  s.later(50);
  s.output("t1", "c");
  assert.deepEqual(s.reports(), [], "while one is on its way");
  s.receipt(first);
  const second = s.report();
  assert.deepEqual(said(second), [1, ["éc"]]);
  s.receipt(second);
  s.output("t1", "d");
  s.later(40);
  assert.deepEqual(s.reports(), []);
  assert.equal(s.session.sendAt(), s.now + 10);
  s.later(10);
  assert.deepEqual(said(s.report()), [4, ["d"]]);
});

test("text joins text and bytes join bytes; what else there is stays apart", () => {
  const s = new Script();
  s.working("t1");
  const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);
  for (const value of ["a", "b", bytes(1), bytes(2), { a: 1 }, { b: 2 }, "c"]) {
    s.output("t1", value);
  }
  s.output("t1", textPayload("d", { contentType: "text/markdown" }));
  s.output("t1", "e");
  const [offset, values] = said(s.report());
  assert.deepEqual(
    [offset, values.map((value) => (value instanceof Uint8Array ? [...value] : value))],
    [0, ["ab", [1, 2], { a: 1 }, { b: 2 }, "c", "d", "e"]],
  );
});

test("long text is divided between characters, and long bytes anywhere", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "x");
  s.output("t1", "€".repeat(40_000));
  const text = s.report();
  // 1 + 3 * 21,845 are 65,536; 3 * 18,155 are left.
  assert.deepEqual(sizes(text), [65_536, 54_465]);
  s.receipt(text);
  s.output("t1", "xx");
  s.output("t1", "€".repeat(21_845));
  s.later(50);
  const cut = s.report();
  assert.deepEqual(sizes(cut), [65_534, 6 - 3]);
  s.receipt(cut);
  s.output("t1", new Uint8Array(100_000));
  s.later(50);
  assert.deepEqual(sizes(s.report()), [65_536, 34_464]);
});

test("a report has at most 64 chunks and 1 MiB, and the next one goes on behind it", () => {
  const s = new Script();
  s.working("t1");
  for (let index = 0; index < 100; index += 1) {
    s.output("t1", index);
  }
  const first = s.report();
  assert.equal(batchOf(first).chunks.length, 64);
  s.receipt(first);
  s.later(50);
  const second = s.report();
  assert.deepEqual([said(second)[0], said(second)[1].length], [10 + 2 * 54, 36]);
  s.receipt(second);
  s.output("t1", "x".repeat(1_048_576));
  s.output("t1", "y");
  s.later(50);
  const large = s.report();
  assert.deepEqual([sizes(large).length, sizes(large).reduce((sum, size) => sum + size, 0)], [16, 1_048_576]);
});

test("output keeps its place before what is reported behind it", () => {
  for (const [
    end,
    kind,
  ] of [
    [(s: Script) => { s.complete("t1"); }, "completed"],
    [(s: Script) => { s.fail("t1"); }, "failed"],
    [(s: Script) => { s.checkpoint("t1", 1, 1); }, "checkpoint"],
    [(s: Script) => { s.step("t1", "one", 1); }, "step"],
  ] as const /* prettier-ignore */) {
    const s = new Script();
    s.working("t1");
    s.output("t1", "a");
    const first = s.report();
    s.output("t1", "b");
    end(s);
    const [second, last, ...more] = s.reports();
    assert.deepEqual([said(the(second)), last?.kind.case, more], [[1, ["b"]], kind, []]);
    s.receipt(first);
  }
});

test("output is repeated on the next stream as it was, and gathered while there is none", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  const first = s.report();
  s.drop();
  s.output("t1", "b");
  s.later(1_000);
  s.output("t1", "c");
  s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(s.reports(), [first]);
  s.receipt(first);
  assert.deepEqual(said(s.report()), [1, ["bc"]]);
});

test("room is given back when output is in a report", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "abc");
  assert.deepEqual(s.only("outputTaken"), []);
  const first = s.report();
  assert.deepEqual(s.only("outputTaken"), [{ kind: "outputTaken", key: key("t1"), weight: 3 }]);
  s.output("t1", 7);
  s.receipt(first);
  s.later(50);
  s.report();
  assert.deepEqual(s.only("outputTaken"), [{ kind: "outputTaken", key: key("t1"), weight: 65 }]);
});

test("after the limit nothing more is sent, and the attempt goes on", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  const first = s.report();
  s.output("t1", "b");
  s.checkpoint("t1", 1, 1);
  const [second, checkpoint] = s.reports();
  s.output("t1", "c");
  s.receipt(first, "REFUSED", "LIMIT_REACHED", "full");
  const [refused] = s.only("outputRefused");
  assert.ok(refused?.error instanceof ResourceExhausted && refused.error.message === "full");
  // What was on its way stood behind a gap then.
  s.receipt(the(second), "REFUSED", "INVALID_FIELD");
  s.receipt(the(checkpoint));
  s.output("t1", "d");
  s.later(1_000);
  assert.deepEqual([s.reports(), s.only("stop")], [[], []]);
  s.complete("t1");
  assert.deepEqual(kinds(s.reports()), ["completed"]);
});

test("any other refusal of output stops the handler", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  s.receipt(s.report(), "REFUSED", "INVALID_FIELD");
  assert.equal(s.only("stop").length, 1);
  s.output("t1", "b");
  assert.equal(s.only("outputRefused").length, 1);
});

test("output behind output that has to be sent again is sent again behind it", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  const first = s.report();
  s.output("t1", "b");
  s.checkpoint("t1", 1, 1);
  const [second, checkpoint] = s.reports();
  s.receipt(first, "RETRY");
  s.receipt(the(second), "REFUSED", "INVALID_FIELD");
  s.receipt(the(checkpoint));
  assert.deepEqual(s.only("stop"), []);
  s.later(1_000);
  assert.deepEqual(s.reports(), [first, second]);
});

test("a server without output is sent none, and what waits is refused", () => {
  const s = new Script();
  s.working("t1");
  s.output("t1", "a");
  s.report();
  s.drop();
  s.output("t1", "b");
  s.attach({ held: [attempt("t1")], features: WITHOUT_OUTPUT, epoch: 2n });
  const [refused] = s.only("outputRefused");
  assert.ok(refused?.error instanceof FailedPrecondition && refused.error.message === "the server takes no output");
  s.output("t1", "c");
  s.later(1_000);
  assert.deepEqual([s.reports(), s.only("outputRefused").length], [[], 1]);
  s.complete("t1");
  assert.deepEqual(kinds(s.reports()), ["completed"]);
});

// What handlers get.

class Stage implements Outlet {
  lacksOutput = false;
  readonly given: [data: Payload, isWhole: boolean][] = [];
  readonly output = new Output(this);

  give(data: Payload, isWhole: boolean): void {
    this.given.push([data, isWhole]);
  }
}

test("text and bytes may be divided, and nothing else", async () => {
  const stage = new Stage();
  for (const value of [
    "a",
    new Uint8Array([1]),
    new ArrayBuffer(1),
    { a: 1 },
    null,
    textPayload("b"),
    "",
    new Uint8Array(),
  ]) {
    await stage.output.give(value);
  }
  assert.deepEqual(
    stage.given.map(([, isWhole]) => isWhole),
    [false, false, false, true, true, true],
  );
});

test("what has no room in a chunk, or in the buffer, is refused", async () => {
  const stage = new Stage();
  const tooLarge = (error: unknown): boolean =>
    error instanceof InvalidArgument && error.reason === "PAYLOAD_TOO_LARGE";
  await stage.output.give(textPayload("x".repeat(65_536)));
  await assert.rejects(stage.output.give(textPayload("x".repeat(65_537))), tooLarge);
  await assert.rejects(stage.output.give(["x".repeat(65_536)]), tooLarge);
  await assert.rejects(stage.output.give("x".repeat(1_048_577)), tooLarge);
  await assert.rejects(stage.output.give(NaN), InvalidArgument);
  assert.equal(stage.given.length, 1);
});

test("a handler that gives faster than is sent waits for room, in order", async () => {
  const stage = new Stage();
  await stage.output.give("x".repeat(1_048_576));
  const order: number[] = [];
  const waiting = ["1", "2", "3"].map(async (value) => {
    await stage.output.give(value);
    order.push(Number(value));
  });
  await new Promise(setImmediate);
  assert.deepEqual([order, stage.given.length], [[], 1]);
  stage.output.taken(65_536);
  await Promise.all(waiting);
  assert.deepEqual([order, stage.given.length], [[1, 2, 3], 4]);
});

test("who waits for room is told when there will be none", async () => {
  const stage = new Stage();
  await stage.output.give("x".repeat(1_048_576));
  const waiting = Promise.allSettled([stage.output.give("1"), stage.output.give("2")]);
  stage.output.refuse(statusError(StatusCode.RESOURCE_EXHAUSTED, "full"));
  for (const one of await waiting) {
    assert.ok(one.status === "rejected" && one.reason instanceof ResourceExhausted);
  }
  await assert.rejects(stage.output.give("3"), ResourceExhausted);
  assert.equal(stage.given.length, 1);
});

test("a server without output takes none", async () => {
  const stage = new Stage();
  stage.lacksOutput = true;
  await assert.rejects(
    stage.output.give("a"),
    (error) => error instanceof FailedPrecondition && error.message === "the server takes no output",
  );
});
