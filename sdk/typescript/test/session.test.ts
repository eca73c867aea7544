// The agent's state machine, as scripts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { toBinary } from "@bufbuild/protobuf";

import { StatusCode, statusError } from "../src/errors.js";
import { ReportBatchSchema } from "../src/v1.js";
import { attempt, key, kinds, LEASE, Script, the } from "./support/script.js";

const UNAVAILABLE = statusError(StatusCode.UNAVAILABLE, "gone");
const urls = (s: Script): string[] => s.only("connect").map((connect) => connect.address.url);
const ended = (s: Script): boolean => s.only("end").some((end) => end.error === undefined);

test("says hello and nothing else before the welcome", () => {
  const s = new Script();
  s.session.start(s.now);
  assert.deepEqual(urls(s), ["http://a:1"]);
  const [frame, ...more] = s.frames();
  assert.ok(frame?.case === "hello" && more.length === 0);
  assert.equal(frame.value.profile?.name, "agent-1");
  assert.deepEqual(frame.value.features, ["cancellation", "drain", "message_receipts", "steps", "children"]);
  assert.equal(frame.value.previousEpoch, 0n);
  s.assign(["t1"]);
  s.later(5_000);
  assert.deepEqual([s.said(), s.only("start")], [[], []]);
});

test("tries the next address when no welcome comes", () => {
  const s = new Script({ addresses: "http://a:1,http://b:2" });
  s.session.start(s.now);
  s.frames();
  s.later(9_900);
  assert.deepEqual(urls(s), ["http://a:1"]);
  s.later(100);
  assert.equal(s.only("cut").length, 1);
  assert.equal(s.session.state, "detached");
  s.later(100);
  assert.deepEqual(urls(s), ["http://b:2"]);
});

test("backs off doubling, and a welcome resets it", () => {
  const s = new Script();
  s.session.start(s.now);
  const delays: number[] = [];
  for (let i = 0; i < 8; i += 1) {
    s.drop(UNAVAILABLE);
    const delay = the(s.session.tickAt()) - s.now;
    delays.push(delay);
    s.later(delay);
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  s.attach();
  s.drop(UNAVAILABLE);
  assert.equal(s.session.tickAt(), s.now + 100);
});

test("an assignment is accepted and started at once", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1", "t2"]);
  assert.deepEqual(
    s.only("start").map((start) => start.key),
    [key("t1"), key("t2")],
  );
  const reports = s.reports();
  assert.deepEqual(kinds(reports), ["accepted", "accepted"]);
  assert.deepEqual(reports[0]?.attempt, attempt("t1"));
});

test("an acceptance waits a moment for the end that implies it", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1", "t2"]);
  s.now -= 1;
  assert.deepEqual(s.said(), []);
  assert.equal(s.session.sendAt(), s.now + 1);
  s.complete("t1");
  assert.deepEqual(kinds(s.reports()), ["completed"]);
  s.later(1);
  const report = s.report();
  assert.deepEqual([report.kind.case, report.attempt?.taskId], ["accepted", "t2"]);
});

test("the same attempt coming twice runs once", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1"]);
  s.assign(["t1"]);
  assert.equal(s.only("start").length, 1);
  assert.deepEqual(kinds(s.reports()), ["accepted"]);
});

test("a type without a handler is rejected", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1"], "sing");
  assert.deepEqual(s.only("start"), []);
  const report = s.report();
  assert.ok(report.kind.case === "rejected" && report.kind.value.reason.includes("sing"));
  s.receipt(report);
  assert.deepEqual(s.session.running(), []);
});

test("a star takes any type", () => {
  const s = new Script({ types: ["*"] });
  s.attach();
  s.assign(["t1"], "sing");
  assert.equal(s.only("start").length, 1);
});

test("a heartbeat when nothing was sent for a third of the lease", () => {
  const s = new Script();
  s.attach();
  assert.equal(s.session.sendAt(), s.now + LEASE / 3);
  s.later(LEASE / 3 - 10);
  assert.deepEqual(s.said(), []);
  s.later(10);
  assert.deepEqual(s.said(), ["heartbeat"]);
  s.later(2_000);
  s.assign(["t1"]);
  s.reports();
  s.later(2_000);
  assert.deepEqual(s.said(), []);
});

test("a silent server is cut after a lease", () => {
  const s = new Script();
  s.attach();
  s.later(5_000);
  s.heartbeat();
  s.later(LEASE - 10);
  assert.deepEqual(s.only("cut"), []);
  s.later(10);
  assert.equal(s.only("cut").length, 1);
  assert.equal(s.session.state, "detached");
});

test("comes back with its running attempts and epoch", () => {
  const s = new Script();
  s.working("t1", "t2");
  s.drop(UNAVAILABLE);
  const hello = s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(hello.held, [attempt("t1"), attempt("t2")]);
  assert.deepEqual([hello.previousEpoch, hello.instanceId], [1n, "i"]);
  assert.deepEqual(
    s.only("stop").map((stop) => [stop.key, stop.reported]),
    [[key("t2"), false]],
  );
  s.complete("t2");
  assert.deepEqual(s.reports(), []);
  s.complete("t1");
  assert.deepEqual(kinds(s.reports()), ["completed"]);
});

test("reports without a receipt are sent again, in order, with their ids", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1", "t2"]);
  const accepted = s.reports();
  s.complete("t1");
  s.checkpoint("t2", { step: 1 }, 7);
  const first = [...accepted, ...s.reports()];
  assert.deepEqual(kinds(first), ["accepted", "accepted", "completed", "checkpoint"]);
  s.receipt(the(first[0]));
  s.drop();
  s.fail("t2");
  // Also those of attempts that are not held any more.
  assert.deepEqual(s.attach({ epoch: 2n }).held, [attempt("t1"), attempt("t2")]);
  const again = s.reports();
  assert.deepEqual(kinds(again), ["accepted", "completed", "checkpoint", "failed"]);
  assert.deepEqual(
    again.slice(0, 3).map((report) => report.reportId),
    first.slice(1).map((report) => report.reportId),
  );
  again.forEach((report) => {
    s.receipt(report);
  });
  assert.deepEqual(s.only("reportSettled"), [{ kind: "reportSettled", ticket: 7, error: undefined }]);
  s.drop();
  assert.deepEqual(s.attach({ epoch: 3n }).held, []);
  assert.deepEqual(s.reports(), []);
});

test("a RETRY receipt repeats the report with backoff", () => {
  const s = new Script();
  s.working("t1");
  s.complete("t1");
  for (const delay of [100, 200, 400]) {
    s.receipt(s.report(), "RETRY");
    assert.deepEqual(s.reports(), []);
    assert.equal(s.session.sendAt(), s.now + delay);
    s.later(delay);
  }
  assert.deepEqual(kinds(s.reports()), ["completed"]);
});

test("behind a report that is repeated the later ones wait", () => {
  const s = new Script();
  s.working("t1");
  s.checkpoint("t1", 1, 1);
  const first = s.report();
  s.receipt(first, "RETRY");
  s.checkpoint("t1", 2, 2);
  s.complete("t1");
  assert.deepEqual(s.reports(), []);
  s.later(100);
  const again = s.reports();
  assert.deepEqual(kinds(again), ["checkpoint", "checkpoint", "completed"]);
  assert.equal(again[0]?.reportId, first.reportId);
});

test("a newer checkpoint is never replaced by a repeated older one", () => {
  const s = new Script();
  s.working("t1");
  s.checkpoint("t1", 1, 1);
  s.checkpoint("t1", 2, 2);
  const [first, second] = s.reports();
  s.receipt(the(first), "RETRY");
  s.later(1_000);
  assert.deepEqual(s.reports(), []);
  s.receipt(the(second));
  assert.deepEqual(
    s.only("reportSettled").map((settled) => [settled.ticket, settled.error]),
    [
      [2, undefined],
      [1, undefined],
    ],
  );
  assert.deepEqual(s.reports(), []);
});

test("a refused report cancels its handler, and nothing more is reported", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1"]);
  const accepted = s.report();
  s.actions();
  s.receipt(accepted, "REFUSED");
  assert.deepEqual(
    s.only("stop").map((stop) => [stop.key, stop.reported]),
    [[key("t1"), false]],
  );
  s.fail("t1");
  assert.deepEqual([s.reports(), s.session.running()], [[], []]);
});

test("refused progress cancels its handler", () => {
  const s = new Script();
  s.working("t1");
  s.progress("t1", 0.5);
  s.receipt(s.report(), "REFUSED");
  assert.equal(s.only("stop").length, 1);
});

test("a refused checkpoint fails for whoever saved it", () => {
  const s = new Script();
  s.working("t1");
  s.checkpoint("t1", 1, 1);
  s.receipt(s.report(), "REFUSED");
  const [stop, settled] = s.actions();
  assert.equal(stop?.kind, "stop");
  assert.ok(settled?.kind === "reportSettled" && settled.error !== undefined);
});

test("a failure in place of a result waits behind what is repeated", () => {
  const s = new Script();
  s.working("t1");
  s.checkpoint("t1", 1, 1);
  s.complete("t1");
  const [checkpoint, completed] = s.reports();
  s.receipt(the(checkpoint), "RETRY");
  s.receipt(the(completed), "REFUSED", "INVALID_FIELD");
  assert.deepEqual(s.reports(), []);
  s.later(100);
  assert.deepEqual(kinds(s.reports()), ["checkpoint", "failed"]);
});

for (const reason of ["INVALID_FIELD", "PAYLOAD_TOO_LARGE"] as const) {
  test(`a result that is refused as ${reason} fails its attempt`, () => {
    const s = new Script();
    s.working("t1");
    s.complete("t1");
    const completed = s.report();
    s.receipt(completed, "REFUSED", reason, "result is wrong");
    // Once, also when the receipt comes twice.
    s.receipt(completed, "REFUSED", reason, "result is wrong");
    const report = s.report();
    const failure = report.kind.case === "failed" ? report.kind.value.failure : undefined;
    assert.deepEqual(
      [failure?.type, failure?.message, failure?.retryable],
      ["InvalidResult", "result is wrong", false],
    );
    assert.ok(report.reportId > completed.reportId);
    // It is kept like any other, and nothing follows it when it is refused, too.
    s.drop();
    assert.deepEqual(s.attach({ held: [attempt("t1")], epoch: 2n }).held, [attempt("t1")]);
    assert.deepEqual(s.reports(), [report]);
    s.receipt(report, "REFUSED", reason);
    assert.deepEqual([s.reports(), s.session.running()], [[], []]);
  });
}

test("a stale result is just refused", () => {
  const s = new Script();
  s.working("t1");
  s.complete("t1");
  s.receipt(s.report(), "REFUSED", "STALE_ATTEMPT");
  assert.deepEqual(s.reports(), []);
});

test("a requested cancellation reports whatever the handler makes of it", () => {
  const s = new Script();
  s.working("t1", "t2");
  s.cancel("t1", "REQUESTED");
  s.cancel("t2", "REQUESTED");
  s.cancel("t1", "REQUESTED");
  assert.deepEqual(
    s.only("stop").map((stop) => stop.reported),
    [true, true],
  );
  s.complete("t1");
  s.fail("t2", "callboard.cancelled");
  assert.deepEqual(kinds(s.reports()), ["completed", "failed"]);
});

for (const reason of ["LEASE_LOST", "TIMED_OUT"] as const) {
  test(`after ${reason} nothing is reported`, () => {
    const s = new Script();
    s.working("t1");
    s.progress("t1", 0.5);
    s.cancel("t1", reason);
    assert.deepEqual(
      s.only("stop").map((stop) => stop.reported),
      [false],
    );
    s.checkpoint("t1", 1, 3);
    assert.ok(s.only("reportSettled")[0]?.error !== undefined);
    s.fail("t1");
    assert.deepEqual(s.reports(), []);
  });
}

test("unknown cancellations and frames are ignored", () => {
  const s = new Script();
  s.working("t1");
  s.cancel("t1", "UNSPECIFIED");
  s.cancel("t2", "REQUESTED");
  s.receive(undefined);
  assert.deepEqual(s.actions(), []);
});

test("progress is sent ten times a second, and the latest wins", () => {
  const s = new Script();
  s.working("t1");
  const fractions = (): unknown[] =>
    s.reports().map((report) => (report.kind.case === "progress" ? report.kind.value.fraction : undefined));
  for (const fraction of [0, 0.1, 0.2, 0.3, 0.4]) {
    s.progress("t1", fraction);
  }
  assert.deepEqual(fractions(), [0.4]);
  s.progress("t1", 0.5);
  s.progress("t1", 0.6);
  assert.deepEqual(fractions(), []);
  assert.equal(s.session.sendAt(), s.now + 100);
  s.later(100);
  assert.deepEqual(fractions(), [0.6]);
});

test("progress is not kept across streams", () => {
  const s = new Script();
  s.working("t1");
  s.progress("t1", 0.5);
  s.drop();
  s.attach({ held: [attempt("t1")] });
  assert.deepEqual(s.reports(), []);
});

test("frames that the server did not list are not sent", () => {
  const s = new Script();
  s.attach({ features: [] });
  s.assign(["t1"]);
  s.reports();
  s.actions();
  s.progress("t1", 0.5);
  s.checkpoint("t1", 1, 1);
  assert.deepEqual(s.reports(), []);
  assert.equal(s.only("reportSettled")[0]?.error?.code, StatusCode.UNIMPLEMENTED);
  s.session.drain(s.now);
  assert.deepEqual(s.said(), []);
});

test("checkpoints wait while four reports a slot do", () => {
  const s = new Script({ slots: 1 });
  s.working("t1");
  for (const ticket of [0, 1, 2, 3, 4, 5]) {
    s.checkpoint("t1", ticket, ticket);
  }
  const waiting = s.reports();
  assert.equal(waiting.length, 4);
  s.receipt(the(waiting[0]));
  assert.equal(s.reports().length, 1);
  s.complete("t1");
  assert.deepEqual(
    s.only("reportSettled").map((one) => [one.ticket, one.error === undefined]),
    [
      [0, true],
      [5, false],
    ],
  );
});

test("a batch stays below the limit of a frame", () => {
  const s = new Script({ slots: 8 });
  const tasks = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];
  s.working(...tasks);
  for (const task of tasks) {
    s.complete(task, "x".repeat(1_000_000));
  }
  const batches = s.frames().map((frame) => (frame.case === "reports" ? frame.value : undefined));
  assert.deepEqual(
    batches.map((batch) => batch?.reports.length),
    [3, 3, 2],
  );
  assert.ok(batches.every((batch) => toBinary(ReportBatchSchema, the(batch)).length <= 3 * 1024 * 1024));
});

test("a drain waits for handlers and receipts", () => {
  const s = new Script();
  s.working("t1");
  s.session.drain(s.now);
  assert.deepEqual(s.said(), ["drain"]);
  s.assign(["t2"]);
  const rejected = s.report();
  assert.ok(rejected.kind.case === "rejected" && rejected.kind.value.reason === "drain");
  s.receipt(rejected);
  s.complete("t1");
  const report = s.report();
  assert.ok(!ended(s));
  s.receipt(report);
  assert.ok(ended(s));
  assert.equal(s.session.tickAt(), undefined);
});

test("a drain is told before the reports that wait", () => {
  const s = new Script();
  s.working("t1");
  s.complete("t1");
  s.session.drain(s.now);
  assert.deepEqual(s.said(), ["drain", "reports"], "else the slot that is free then would be given another task");
});

test("heartbeats go on while a drain waits for handlers", () => {
  const s = new Script();
  s.working("t1");
  s.session.drain(s.now);
  assert.deepEqual(s.said(), ["drain"]);
  for (let i = 0; i < 6; i += 1) {
    s.later(LEASE / 3 + 10);
    assert.deepEqual(s.said(), ["heartbeat"]);
    s.heartbeat();
  }
});

test("a drain with nothing running tells the server first", () => {
  const s = new Script();
  s.attach();
  s.session.drain(s.now);
  assert.ok(!ended(s));
  assert.deepEqual(s.said(), ["drain"]);
  assert.ok(ended(s));
});

test("a drain hands back what runs too long", () => {
  const s = new Script();
  s.working("t1");
  s.session.drain(s.now);
  s.frames();
  for (let i = 0; i < 5; i += 1) {
    s.later(5_980);
    s.heartbeat();
  }
  s.frames();
  assert.deepEqual(s.session.running(), [key("t1")]);
  s.later(100);
  assert.deepEqual(
    s.only("stop").map((stop) => stop.reported),
    [false],
  );
  const report = s.report();
  assert.ok(report.kind.case === "rejected" && report.kind.value.reason === "drain");
  s.complete("t1");
  assert.deepEqual(s.reports(), []);
  s.receipt(report);
  assert.ok(ended(s));
});

test("a drain waits five seconds for receipts", () => {
  const s = new Script();
  s.working("t1");
  s.session.drain(s.now);
  s.complete("t1");
  s.reports();
  s.later(4_900);
  assert.ok(!ended(s));
  s.later(100);
  assert.ok(ended(s));
});

test("an agent that drains attaches again to deliver its reports", () => {
  const s = new Script();
  s.working("t1");
  s.drop(UNAVAILABLE);
  s.session.drain(s.now);
  s.complete("t1");
  assert.deepEqual(s.attach({ held: [attempt("t1")], epoch: 2n }).held, [attempt("t1")]);
  const frames = s.frames();
  assert.deepEqual(
    frames.map((frame) => frame.case),
    ["drain", "reports"],
  );
  const reports = frames[1]?.case === "reports" ? frames[1].value.reports : [];
  s.receipt(the(reports[0]));
  assert.ok(ended(s));
});

test("a drain while detached with nothing left ends at once", () => {
  const s = new Script();
  s.working();
  s.drop(UNAVAILABLE);
  s.session.drain(s.now);
  assert.ok(ended(s));
});

test("a stop ends at once", () => {
  const s = new Script();
  s.working("t1");
  s.checkpoint("t1", 1, 1);
  s.session.stop();
  const [stop, end, settled] = s.actions();
  assert.deepEqual([stop?.kind, end], ["stop", { kind: "end", error: undefined }]);
  assert.ok(settled?.kind === "reportSettled" && settled.error !== undefined);
  s.fail("t1");
  assert.deepEqual(s.said(), []);
  s.session.stop();
  assert.deepEqual(s.actions(), []);
});

test("a draining server is left at once for the endpoint that it names", () => {
  const s = new Script({ addresses: "http://a:1,http://b:2" });
  s.working("t1");
  s.later(1_000);
  s.receive({ case: "drain", value: { endpoints: ["nonsense", "http://c:3"] } });
  const [cut, connect] = s.actions();
  assert.equal(cut?.kind, "cut");
  assert.ok(connect?.kind === "connect" && connect.address.url === "http://c:3");
  assert.deepEqual(s.attach({ held: [attempt("t1")] }).held, [attempt("t1")]);
  s.later(1_000);
  s.receive({ case: "drain", value: {} });
  assert.deepEqual(urls(s), ["http://b:2"]);
});

for (const [code, reason] of [
  ["ABORTED", "SESSION_SUPERSEDED"],
  ["PERMISSION_DENIED", "NOT_YOUR_AGENT"],
  ["INVALID_ARGUMENT", "INVALID_FIELD"],
  ["NOT_FOUND", "NAMESPACE_NOT_FOUND"],
  ["UNAUTHENTICATED", ""],
] as const) {
  test(`${code} ${reason} ends it: trying again cannot help`, () => {
    const s = new Script();
    s.working("t1");
    const error = statusError(StatusCode[code], "no", { reason });
    s.drop(error);
    const [stop, end] = s.actions();
    assert.deepEqual([stop?.kind, end], ["stop", { kind: "end", error }]);
    assert.equal(s.session.state, "stopped");
  });
}

test("an expired session attaches again, and a removed agent ends", () => {
  const s = new Script();
  s.working("t1");
  s.drop(statusError(StatusCode.ABORTED, "silent", { reason: "SESSION_EXPIRED" }));
  assert.equal(s.session.state, "detached");
  s.later(100);
  s.frames();
  const error = statusError(StatusCode.FAILED_PRECONDITION, "removed", { reason: "AGENT_STATE" });
  s.drop(error);
  assert.deepEqual(s.only("end"), [{ kind: "end", error }]);
});

test("an acceptance that has not left when the attempt ends is not sent", () => {
  const s = new Script();
  s.attach();
  s.assign(["t1", "t2"]);
  s.complete("t1");
  s.fail("t2");
  assert.deepEqual(kinds(s.reports()), ["completed", "failed"]);
});
