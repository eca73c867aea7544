// Children: how a session waits for them, and what handlers get. Without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { Children, type Family } from "../src/agent/children.js";
import { Steps } from "../src/agent/steps.js";
import { uuid5 } from "../src/ids.js";
import {
  Cancelled,
  Claim,
  type Client,
  DeadlineExceeded,
  FailedPrecondition,
  InvalidArgument,
  NotFound,
  Task,
  TaskFailed,
} from "../src/index.js";
import { MOST_AWAITED } from "../src/session/waits.js";
import {
  AssignmentSchema,
  PayloadSchema,
  type Report,
  type TaskEnd,
  TaskEndSchema,
  TaskSchema,
  TaskState,
} from "../src/v1.js";
import { attempt, FEATURES, key, kinds, Script, the } from "./support/script.js";
import { gate } from "./support/waiting.js";

const WITHOUT_CHILDREN = FEATURES.filter((feature) => feature !== "children");

/** What became of waits: their tickets, and the task that ended, the reason of the error, or that calls are to be made. */
function settled(s: Script): [ticket: number, outcome: string][] {
  return s.only("awaitSettled").map(({ ticket, outcome }) => {
    return [ticket, outcome === undefined ? "by calls" : "reason" in outcome ? outcome.reason : outcome.taskId];
  });
}

/** What the session wants to send now: the ids that it awaits, and the kinds of its reports. */
function sent(s: Script): { ids: string[]; reports: Report[] } {
  const frames = s.frames();
  const ids = frames.flatMap((frame) => (frame.case === "awaits" ? frame.value.taskIds : []));
  return { ids, reports: frames.flatMap((frame) => (frame.case === "reports" ? frame.value.reports : [])) };
}

/** `t1` waits for these, and is paused. */
function waiting(s: Script, ...children: readonly string[]): void {
  children.forEach((child, index) => {
    s.wait("t1", child, index + 1);
  });
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [children, ["pause"]]);
  s.paused(the(reports[0]));
  assert.deepEqual(s.actions(), []);
}

// The session.

test("the first wait pauses the attempt, and the last end resumes it before it is told", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1", "c2");
  s.ends("c1");
  assert.deepEqual(settled(s), [[1, "c1"]]);
  assert.deepEqual(sent(s), { ids: [], reports: [] });
  s.ends("c2");
  assert.deepEqual(settled(s), []);
  const resume = s.report();
  assert.equal(resume.kind.case, "resume");
  s.receipt(resume);
  assert.deepEqual(settled(s), [[2, "c2"]]);
  // What is known is told at once, and without a pause.
  s.wait("t1", "c1", 3);
  assert.deepEqual([settled(s), s.reports()], [[[3, "c1"]], []]);
  s.later(5_000);
  assert.deepEqual(s.reports(), []);
});

test("ends that come together are told but the last", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1", "c2", "c3");
  s.ends("c3", "c1", "c2");
  assert.deepEqual(settled(s), [
    [3, "c3"],
    [1, "c1"],
  ]);
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[2, "c2"]]);
});

test("an attempt without a slot asks for one each second, until it is told that it has one", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1");
  s.ends("c1");
  s.paused(s.report());
  for (let second = 0; second < 3; second += 1) {
    s.later(990);
    assert.deepEqual(s.reports(), []);
    s.later(10);
    s.paused(s.report());
  }
  assert.deepEqual(settled(s), []);
  const deadline = new Date(1_700_000_000_000);
  s.resumption("t1", deadline);
  const actions = s.actions();
  assert.deepEqual(
    actions.map((action) => action.kind),
    ["deadline", "awaitSettled"],
  );
  assert.deepEqual(actions[0], { kind: "deadline", key: key("t1"), deadline });
  s.later(5_000);
  assert.deepEqual(s.reports(), []);
});

test("a resume that has no receipt is not repeated beside itself", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1");
  s.ends("c1");
  const resume = s.report();
  s.later(1_000);
  assert.deepEqual(s.reports(), []);
  s.paused(resume);
  s.later(1_000);
  assert.deepEqual(kinds(s.reports()), ["resume"]);
});

test("a wait that begins while another's end is held back pauses anew, and that end is told", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1");
  s.ends("c1");
  const first = s.report();
  s.wait("t1", "c2", 2);
  assert.deepEqual(settled(s), [[1, "c1"]]);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c2"], ["pause"]]);
  s.ends("c2");
  const second = s.report();
  // Neither the receipt of the first nor a slot that was given for it counts for the second.
  s.receipt(first);
  s.resumption("t1");
  assert.deepEqual(settled(s), []);
  s.paused(the(reports[0]));
  s.receipt(second);
  assert.deepEqual(settled(s), [[2, "c2"]]);
});

test("two waits for one child are told together", () => {
  const s = new Script();
  s.working("t1");
  s.wait("t1", "c1", 1);
  s.wait("t1", "c1", 2);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c1"], ["pause"]]);
  s.ends("c1");
  s.receipt(s.report());
  assert.deepEqual(settled(s), [
    [1, "c1"],
    [2, "c1"],
  ]);
});

test("two attempts may wait for one task", () => {
  const s = new Script();
  s.working("t1", "t2");
  s.wait("t1", "c1", 1);
  s.wait("t2", "c1", 2);
  assert.deepEqual(sent(s).ids, ["c1"]);
  s.ends("c1");
  for (const resume of s.reports()) {
    s.receipt(resume);
  }
  assert.deepEqual(settled(s), [
    [1, "c1"],
    [2, "c1"],
  ]);
});

test("a wait that is given up is no longer under way: the last one resumes, and nobody waits for that", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1", "c2");
  s.waitNoMore("t1", 1);
  assert.deepEqual(s.reports(), []);
  s.waitNoMore("t1", 2);
  s.receipt(s.report());
  s.ends("c1", "c2");
  assert.deepEqual([settled(s), s.reports()], [[], []]);
  // Its end came while nobody waited: the server is asked again.
  s.wait("t1", "c1", 3);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c1"], ["pause"]]);
});

test("a wait that is given up while its end is held back is not told", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1");
  s.ends("c1");
  s.waitNoMore("t1", 1);
  s.receipt(s.report());
  assert.deepEqual(settled(s), []);
});

test("after a welcome what is awaited is sent again, and so is a resume that was not answered", () => {
  const s = new Script();
  s.working("t1", "t2");
  waiting(s, "c1", "c2");
  s.ends("c1");
  assert.equal(settled(s).length, 1);
  s.wait("t2", "c3", 3);
  s.paused(s.report());
  s.ends("c3");
  s.paused(s.report());
  s.drop();
  s.later(5_000);
  s.attach({ held: [attempt("t1"), attempt("t2")], epoch: 2n });
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c2"], ["resume"]]);
  assert.equal(reports[0]?.attempt?.taskId, "t2");
  s.receipt(the(reports[0]));
  s.ends("c2");
  assert.deepEqual(settled(s), [[3, "c3"]]);
});

test("a handler that is paused may end", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1");
  s.fail("t1");
  assert.deepEqual(kinds(s.reports()), ["failed"]);
  // An error that nobody takes would end the program.
  assert.deepEqual(s.actions(), [{ kind: "awaitDropped", ticket: 1 }]);
  s.ends("c1");
  s.later(5_000);
  assert.deepEqual([settled(s), s.reports()], [[], []]);
});

test("a pause that is refused stops the handler, and its waits are told", () => {
  const s = new Script();
  s.working("t1");
  s.wait("t1", "c1", 1);
  s.receipt(s.report(), "REFUSED", "STALE_ATTEMPT");
  const [stop, told] = s.actions();
  assert.ok(stop?.kind === "stop" && told?.kind === "awaitSettled" && told.outcome instanceof FailedPrecondition);
  s.wait("t1", "c1", 2);
  assert.deepEqual(settled(s), [[2, "STALE_ATTEMPT"]]);
});

test("waits end with their attempt and with the session", () => {
  const s = new Script();
  s.working("t1", "t2");
  waiting(s, "c1");
  s.cancel("t1", "LEASE_LOST");
  assert.deepEqual(settled(s), [[1, "STALE_ATTEMPT"]]);
  s.wait("t2", "c2", 2);
  s.session.stop();
  assert.deepEqual(settled(s), [[2, "STALE_ATTEMPT"]]);
});

test("pauses and resumptions keep their order when one has to be sent again", () => {
  const s = new Script();
  s.working("t1");
  s.wait("t1", "c1", 1);
  const pause = s.report();
  s.ends("c1");
  const resume = s.report();
  s.receipt(pause, "RETRY");
  s.receipt(resume);
  s.later(1_000);
  assert.deepEqual(s.reports(), [], "the older must not undo the newer");
  assert.deepEqual(settled(s), [[1, "c1"]]);
});

test("a committed checkpoint says nothing of a pause", () => {
  const s = new Script();
  s.working("t1");
  s.wait("t1", "c1", 1);
  s.checkpoint("t1", "half", 2);
  const [pause, checkpoint] = s.reports();
  s.receipt(the(pause), "RETRY");
  s.receipt(the(checkpoint));
  s.later(1_000);
  assert.deepEqual(s.reports(), [pause]);
});

test("a server without children is awaited nothing of: calls take the place of waits that are under way", () => {
  const s = new Script();
  s.working("t1", "t2");
  waiting(s, "c1", "c2");
  s.wait("t2", "c3", 3);
  s.ends("c3");
  s.drop();
  s.attach({ held: [attempt("t1"), attempt("t2")], features: WITHOUT_CHILDREN, epoch: 2n });
  assert.deepEqual(new Map(settled(s)), new Map([[1, "by calls"], [2, "by calls"], [3, "c3"]])); // prettier-ignore
  assert.deepEqual(s.said(), []);
  s.wait("t1", "c4", 4);
  assert.deepEqual([settled(s), s.said()], [[[4, "by calls"]], []]);
  s.complete("t1");
  assert.deepEqual(kinds(s.reports()), ["completed"]);
});

test("as many are awaited as a stream takes", () => {
  const s = new Script();
  s.working("t1");
  const children = Array.from({ length: MOST_AWAITED + 1 }, (_, index) => `c${String(index)}`);
  children.forEach((child, index) => {
    s.wait("t1", child, index);
  });
  const frames = s.frames().flatMap((frame) => (frame.case === "awaits" ? [frame.value.taskIds.length] : []));
  assert.deepEqual(frames, Array(10).fill(1_000));
  s.ends("c7");
  assert.deepEqual(sent(s).ids, children.slice(-1));
});

// What handlers get.

/** A server that creates what it is told, and tells ends. */
class Stage implements Family {
  readonly created: [type: string, options: Record<string, unknown>][] = [];
  readonly stop = new AbortController();
  readonly children: Children;
  lacksChildren = false;
  end: Promise<TaskEnd | undefined> = Promise.resolve(undefined);
  readonly client: Client;

  constructor(attemptNumber = 1) {
    const taskId = "0193aaaa-0000-7000-8000-000000000001";
    const assignment = create(AssignmentSchema, { attempt: { taskId, attempt: attemptNumber }, run: 2 });
    const recorder = { lacksSteps: false, record: () => Promise.resolve(), fetchSteps: () => Promise.resolve([]) };
    const steps = new Steps(assignment, true, recorder);
    this.steps = steps;
    const fetched = create(TaskSchema, { id: "child", state: TaskState.COMPLETED, result: text("whole") });
    this.client = {
      namespace: "default",
      createChild: (_: Claim, type: string, __: unknown, options: Record<string, unknown>) => {
        this.created.push([type, options]);
        return Promise.resolve({ taskId: "child", existing: attemptNumber > 1 });
      },
      get: () => Promise.resolve(new Task(fetched)),
      wait: () => Promise.resolve(new Task(fetched)),
    } as unknown as Client;
    this.children = new Children(new Claim(assignment), this, steps, this.stop);
  }

  readonly steps: Steps;

  awaitEnd = (): Promise<TaskEnd | undefined> => this.end;

  ended(end: Parameters<typeof create<typeof TaskEndSchema>>[1]): void {
    this.end = Promise.resolve(create(TaskEndSchema, { taskId: "child", run: 1, ...end }));
  }
}

const text = (value: string): ReturnType<typeof create<typeof PayloadSchema>> =>
  create(PayloadSchema, { contentType: "text/plain", content: { case: "text", value } });

test("a UUID of a name is that of RFC 9562", () => {
  const dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  assert.equal(uuid5(dns, "www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
});

test("a child is known by its name and occurrence, and asked for in the same way by every attempt", async () => {
  const made: unknown[] = [];
  for (const number of [1, 2]) {
    const stage = new Stage(number);
    const first = await stage.children.start("count", 1, {});
    await stage.children.start("count", 2, { onParentEnd: "DETACH" });
    await stage.children.start("count", 3, { name: "other" });
    assert.deepEqual([first.id, first.type, first.existing], ["child", "count", number === 2]);
    made.push(stage.created);
    assert.deepEqual(
      stage.created.map(([type, { name, occurrence, onParentEnd }]) => [type, name, occurrence, onParentEnd]),
      [
        ["count", "count", 0, undefined],
        ["count", "count", 1, "DETACH"],
        ["count", "other", 0, undefined],
      ],
    );
    const space = "0193aaaa-0000-7000-8000-000000000001";
    assert.equal(stage.created[1]?.[1]["requestId"], `child/${uuid5(space, "2/1/count")}`);
  }
  assert.deepEqual(made[0], made[1]);
});

test("what is no child is refused before anything is sent", async () => {
  const stage = new Stage();
  for (const name of ["", "x".repeat(129), "\ud800"]) {
    await assert.rejects(stage.children.start("count", 1, { name }), InvalidArgument);
  }
  const within = stage.steps.run("step", () => stage.children.start("count", 1, {}), undefined);
  await assert.rejects(within, (error) => error instanceof InvalidArgument && error.message.includes("within a step"));
  stage.lacksChildren = true;
  await assert.rejects(
    stage.children.start("count", 1, {}),
    (error) => error instanceof FailedPrecondition && error.message === "the server takes no children",
  );
  assert.deepEqual(stage.created, []);
});

test("a child's end is the task as it ended", async () => {
  const stage = new Stage();
  const child = await stage.children.start("count", 1, {});
  stage.ended({ state: TaskState.COMPLETED, result: text("3") });
  assert.equal(await child.result({ parse: Number }), 3);
  const task = await child.wait();
  assert.deepEqual([task.id, task.type, task.state, task.run], ["child", "count", "COMPLETED", 1]);
  stage.ended({ state: TaskState.FAILED, failure: { type: "Broken", message: "no" } });
  await assert.rejects(child.result(), (error) => error instanceof TaskFailed && error.task.failure?.type === "Broken");
  assert.equal((await child.wait()).state, "FAILED");
  stage.ended({ state: TaskState.COMPLETED, resultOmitted: true });
  assert.equal(await child.result(), "whole");
  stage.ended({});
  await assert.rejects(child.wait(), NotFound);
  stage.end = Promise.resolve(undefined);
  assert.equal(await child.result(), "whole", "of a server that tells no ends");
});

test("waiting ends with the caller's patience, its signal, and the handler", async () => {
  const stage = new Stage();
  const child = await stage.children.start("count", 1, {});
  const { opened } = gate();
  stage.end = opened.then(() => undefined);
  await assert.rejects(child.wait({ timeout: 1 }), DeadlineExceeded);
  const mine = new AbortController();
  const waited = child.wait({ signal: mine.signal });
  mine.abort(new RangeError("enough"));
  await assert.rejects(waited, RangeError);
  const stopped = child.result();
  stage.stop.abort(new Cancelled("told to"));
  await assert.rejects(stopped, Cancelled);
  await assert.rejects(child.wait(), Cancelled);
});
