// Children: how a session waits for them, and what handlers get. Without a server.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { create } from "@bufbuild/protobuf";

import { type Child, Children } from "../src/agent/children.js";
import type { Decided, Family } from "../src/agent/ends.js";
import { Steps } from "../src/agent/steps.js";
import { uuid5 } from "../src/ids.js";
import {
  Cancelled,
  Claim,
  type Client,
  type CommandOptions,
  DeadlineExceeded,
  FailedPrecondition,
  InvalidArgument,
  NotFound,
  StatusCode,
  Task,
  TaskFailed,
  type WaitOptions,
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

/** What became of waits: their tickets, and the tasks that ended, the reason of the error, or that calls are to be made. */
function settled(s: Script): [ticket: number, outcome: string][] {
  return s.only("awaitSettled").map(({ ticket, outcome }) => {
    if (outcome === undefined) {
      return [ticket, "by calls"];
    }
    return [ticket, "reason" in outcome ? outcome.reason : outcome.map(({ taskId }) => taskId).join(" ")];
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

// Waits for some of several.

test("a wait for some is one wait: it is under way until so many have completed, and held back when it is the last", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2", "c3"], 2, 1);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c1", "c2", "c3"], ["pause"]]);
  s.paused(the(reports[0]));
  s.ends("c3");
  assert.deepEqual([s.actions(), sent(s)], [[], { ids: [], reports: [] }]);
  s.ends("c1");
  // What becomes of the rest must not wait for the slot: it may be the rest that has it.
  assert.deepEqual(s.actions(), [{ kind: "awaitDecided", ticket: 1, ended: ["c3", "c1"] }]);
  const resume = s.report();
  assert.equal(resume.kind.case, "resume");
  s.paused(resume);
  s.ends("c2");
  assert.deepEqual(s.actions(), []);
  s.resumption("t1");
  assert.deepEqual(settled(s), [[1, "c3 c1"]]);
});

test("a wait for some is over when so many can't complete any more", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2", "c3"], 2, 1);
  s.paused(s.report());
  s.fails("c1");
  assert.deepEqual(s.actions(), []);
  s.fails("c3");
  assert.deepEqual(s.actions(), [{ kind: "awaitDecided", ticket: 1, ended: ["c1", "c3"] }]);
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[1, "c1 c3"]]);
});

test("a wait for all has no rest, and one that fails ends it", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2"], 2, 1);
  s.paused(s.report());
  s.ends("c2");
  s.ends("c1");
  assert.deepEqual(s.actions(), []);
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[1, "c2 c1"]]);
  s.waitForSome("t1", ["c3", "c4"], 2, 2);
  s.paused(s.report());
  s.fails("c4");
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[2, "c4"]]);
});

test("a wait for some that is over while others are under way is told at once", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2"], 1, 1);
  s.wait("t1", "c2", 2);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c1", "c2"], ["pause"]]);
  s.paused(the(reports[0]));
  s.ends("c1");
  assert.deepEqual([settled(s), s.reports()], [[[1, "c1"]], []]);
  s.ends("c2");
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[2, "c2"]]);
});

test("one end may be the last of several waits: all are held back", () => {
  const s = new Script();
  s.working("t1");
  s.wait("t1", "c1", 1);
  s.waitForSome("t1", ["c1", "c2"], 1, 2);
  s.waitForSome("t1", ["c1", "c3"], 2, 3);
  assert.deepEqual(sent(s).ids, ["c1", "c2", "c3"]);
  s.ends("c3");
  assert.deepEqual(s.actions(), []);
  s.ends("c1");
  assert.deepEqual(s.actions(), [{ kind: "awaitDecided", ticket: 2, ended: ["c1"] }]);
  s.receipt(s.report());
  assert.deepEqual(settled(s), [
    [1, "c1"],
    [2, "c1"],
    [3, "c3 c1"],
  ]);
});

test("what is known counts: a wait for some of it is answered at once, without a pause", () => {
  const s = new Script();
  s.working("t1");
  waiting(s, "c1", "c2");
  s.ends("c2", "c1");
  s.receipt(s.report());
  assert.equal(settled(s).length, 2);
  s.waitForSome("t1", ["c1", "c2", "c3"], 1, 3);
  assert.deepEqual([settled(s), sent(s)], [[[3, "c2 c1"]], { ids: [], reports: [] }]);
  s.waitForSome("t1", ["c1", "c2", "c3"], 3, 4);
  assert.deepEqual([sent(s).ids, settled(s)], [["c3"], []]);
});

test("what is awaited by nobody any more is forgotten, and asked for again when it is wanted", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2", "c3"], 1, 1);
  s.paused(s.report());
  s.ends("c1");
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[1, "c1"]]);
  s.drop();
  s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(sent(s).ids, []);
  s.wait("t1", "c2", 2);
  const { ids, reports } = sent(s);
  assert.deepEqual([ids, kinds(reports)], [["c2"], ["pause"]]);
});

test("after a welcome the rest of what is awaited is sent again", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2", "c3"], 2, 1);
  s.paused(s.report());
  s.ends("c1");
  s.drop();
  s.attach({ held: [attempt("t1")], epoch: 2n });
  assert.deepEqual(sent(s), { ids: ["c2", "c3"], reports: [] });
});

test("a wait for some that is given up is no longer under way, nor awaits anything", () => {
  const s = new Script();
  s.working("t1");
  s.waitForSome("t1", ["c1", "c2"], 2, 1);
  s.wait("t1", "c2", 2);
  s.paused(s.report());
  s.waitNoMore("t1", 1);
  s.ends("c1");
  assert.deepEqual([settled(s), s.reports()], [[], []]);
  s.ends("c2");
  s.receipt(s.report());
  assert.deepEqual(settled(s), [[2, "c2"]]);
  s.waitForSome("t1", ["c3", "c4"], 1, 3);
  s.paused(s.report());
  s.waitNoMore("t1", 3);
  assert.deepEqual(kinds(s.reports()), ["resume"]);
  assert.deepEqual(settled(s), []);
});

test("a wait for some ends with its attempt, with its handler, and with a server that tells no ends", () => {
  const s = new Script();
  s.working("t1", "t2");
  s.waitForSome("t1", ["c1", "c2"], 1, 1);
  s.cancel("t1", "LEASE_LOST");
  assert.deepEqual(settled(s), [[1, "STALE_ATTEMPT"]]);
  s.waitForSome("t2", ["c1", "c2"], 2, 2);
  s.drop();
  s.attach({ held: [attempt("t2")], features: WITHOUT_CHILDREN, epoch: 2n });
  assert.deepEqual(settled(s), [[2, "by calls"]]);
  s.drop();
  s.attach({ held: [attempt("t2")], epoch: 3n });
  s.waitForSome("t2", ["c1", "c2"], 1, 3);
  s.complete("t2");
  assert.deepEqual(s.only("awaitDropped"), [{ kind: "awaitDropped", ticket: 3 }]);
});

// What handlers get.

/** Keeps the process awake, as an agent's thread does: the timer of an AbortSignal alone doesn't. */
function awake(t: TestContext): void {
  const timer = setInterval(() => undefined, 1_000);
  t.after(() => {
    clearInterval(timer);
  });
}

/** A server that creates what it is told, and tells ends. */
class Stage implements Family {
  readonly created: [type: string, options: Record<string, unknown>][] = [];
  readonly cancelled: [taskId: string, requestId: unknown][] = [];
  readonly stop = new AbortController();
  readonly children: Children;
  lacksChildren = false;
  ends: Promise<TaskEnd[] | undefined> = Promise.resolve(undefined);
  /** Which have ended, when that is told before the handler may go on. */
  decision: readonly string[] | undefined;
  /** What a server answers that is asked for the end of a task. */
  waited: (taskId: string, signal: AbortSignal | undefined) => Promise<Task>;
  readonly client: Client;

  constructor(attemptNumber = 1) {
    const taskId = "0193aaaa-0000-7000-8000-000000000001";
    const assignment = create(AssignmentSchema, { attempt: { taskId, attempt: attemptNumber }, run: 2 });
    const recorder = { lacksSteps: false, record: () => Promise.resolve(), fetchSteps: () => Promise.resolve([]) };
    const steps = new Steps(assignment, true, recorder);
    this.steps = steps;
    const fetched = new Task(create(TaskSchema, { id: "child", state: TaskState.COMPLETED, result: text("whole") }));
    this.waited = () => Promise.resolve(fetched);
    this.client = {
      namespace: "default",
      createChild: (_: Claim, type: string, input: unknown, options: Record<string, unknown>) => {
        this.created.push([type, options]);
        const named = typeof input === "string" && input !== "" ? input : "child";
        return Promise.resolve({ taskId: named, existing: attemptNumber > 1 });
      },
      get: () => Promise.resolve(fetched),
      wait: (child: string, { signal }: WaitOptions) => this.waited(child, signal ?? undefined),
      cancel: (child: string, _: string, { requestId }: CommandOptions) => {
        this.cancelled.push([child, requestId]);
        return Promise.resolve();
      },
    } as unknown as Client;
    this.children = new Children(new Claim(assignment), this, steps, this.stop);
  }

  readonly steps: Steps;

  awaitEnds = (_: unknown, __: unknown, ___: unknown, decided?: Decided): Promise<TaskEnd[] | undefined> => {
    if (this.decision !== undefined) {
      decided?.(this.decision);
    }
    return this.ends;
  };

  ended(...ends: readonly Parameters<typeof create<typeof TaskEndSchema>>[1][]): void {
    this.ends = Promise.resolve(ends.map((end) => create(TaskEndSchema, { taskId: "child", run: 1, ...end })));
  }

  /** Children of these ids. */
  start(...ids: readonly string[]): Promise<Child[]> {
    return Promise.all(ids.map((id) => this.children.start("count", id, {})));
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
  stage.ends = Promise.resolve(undefined);
  assert.equal(await child.result(), "whole", "of a server that tells no ends");
});

test("waiting ends with the caller's patience, its signal, and the handler", async (t) => {
  awake(t);
  const stage = new Stage();
  const child = await stage.children.start("count", 1, {});
  const { opened } = gate();
  stage.ends = opened.then(() => undefined);
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

test("those that completed come in the order in which they were given, of the children that were waited for", async () => {
  const stage = new Stage();
  const children = await stage.start("a", "b", "c");
  const { COMPLETED, FAILED } = TaskState;
  stage.ended(
    { taskId: "c", state: COMPLETED, result: text("3") },
    { taskId: "b", state: FAILED },
    { taskId: "a", state: COMPLETED, resultOmitted: true },
  );
  const tasks = await stage.children.ends.ofSome(children, { count: 2 });
  assert.deepEqual(
    tasks.map((task) => task.result()),
    ["whole", "3"],
  );
  assert.deepEqual([tasks[1]?.id, tasks[1]?.type, tasks[1]?.state], ["c", "count", "COMPLETED"]);
  assert.deepEqual(stage.cancelled, []);
});

test("too few throw what is wrong with the first that ended badly", async () => {
  const stage = new Stage();
  const children = await stage.start("a", "b", "c");
  const failed = { state: TaskState.FAILED, failure: { type: "Broken", message: "no" } };
  stage.ended({ taskId: "a", state: TaskState.COMPLETED }, { taskId: "c" }, { taskId: "b", ...failed });
  await assert.rejects(stage.children.ends.ofSome(children, { count: 2 }), (error) => {
    return error instanceof TaskFailed && error.task.id === "b" && error.task.failure?.type === "Broken";
  });
  stage.ended({ taskId: "c", ...failed }, { taskId: "b" });
  await assert.rejects(stage.children.ends.ofSome(children, { count: 2 }), NotFound);
});

test("the rest is cancelled when that is asked for: once, before the handler goes on, and before it has its slot", async () => {
  const stage = new Stage();
  const children = await stage.start("a", "b", "c");
  const slot = gate();
  stage.decision = ["b"];
  stage.ends = slot.opened.then(() => [create(TaskEndSchema, { taskId: "b", state: TaskState.COMPLETED })]);
  const waited = stage.children.ends.ofSome(children, { count: 1, rest: "CANCEL" });
  assert.deepEqual(stage.cancelled, [
    ["a", "rest/a"],
    ["c", "rest/c"],
  ]);
  slot.open();
  assert.deepEqual(
    (await waited).map(({ id }) => id),
    ["b"],
  );
  assert.equal(stage.cancelled.length, 2);
  stage.decision = undefined;
  stage.ended({ taskId: "a", state: TaskState.CANCELLED });
  await assert.rejects(stage.children.ends.ofSome(children, { rest: "CANCEL" }), TaskFailed);
  assert.deepEqual(stage.cancelled.slice(2), [
    ["b", "rest/b"],
    ["c", "rest/c"],
  ]);
});

test("a rest that can't be cancelled is told", async () => {
  const stage = new Stage();
  const children = await stage.start("a", "b");
  stage.client.cancel = () => Promise.reject(new RangeError("no"));
  const options = { count: 1, rest: "CANCEL" } as const;
  stage.ended({ taskId: "b", state: TaskState.COMPLETED });
  await assert.rejects(stage.children.ends.ofSome(children, options), RangeError);
  // What the wait throws goes before.
  stage.ended({ taskId: "b", state: TaskState.FAILED });
  await assert.rejects(stage.children.ends.ofSome(children, { rest: "CANCEL" }), TaskFailed);
  stage.client.cancel = () => Promise.reject(new NotFound(StatusCode.NOT_FOUND, "it was forgotten"));
  stage.ended({ taskId: "b", state: TaskState.COMPLETED });
  assert.equal((await stage.children.ends.ofSome(children, options)).length, 1);
});

test("a server that tells no ends is asked for each, until enough is known", async () => {
  const stage = new Stage();
  const children = await stage.start("a", "b", "c", "d");
  const left: string[] = [];
  stage.waited = (id, signal) => {
    if (id === "a") {
      return Promise.reject(new NotFound(StatusCode.NOT_FOUND, "no"));
    }
    if (id === "d") {
      return new Promise((_, reject) => {
        signal?.addEventListener("abort", () => {
          left.push(id);
          reject(new Error("nobody waits"));
        });
      });
    }
    return Promise.resolve(new Task(create(TaskSchema, { id, state: TaskState.COMPLETED, result: text(`of ${id}`) })));
  };
  const tasks = await stage.children.ends.ofSome(children, { count: 2, rest: "CANCEL" });
  assert.deepEqual(
    tasks.map((task) => task.result()),
    ["of b", "of c"],
  );
  assert.deepEqual([stage.cancelled, left], [[["d", "rest/d"]], ["d"]]);
  await assert.rejects(stage.children.ends.ofSome(children.slice(0, 2), { count: 2 }), NotFound);
  stage.waited = () => Promise.reject(new RangeError("no"));
  await assert.rejects(stage.children.ends.ofSome(children, {}), RangeError);
});

test("a count that can't be, and a child that stands there twice, are refused before anything is waited for", async () => {
  const stage = new Stage();
  const [a, b] = await stage.start("a", "b");
  stage.awaitEnds = () => assert.fail("nothing is to be waited for");
  const children = [the(a), the(b)];
  for (const count of [0, -1, 3, 1.5, NaN]) {
    await assert.rejects(stage.children.ends.ofSome(children, { count }), (error) => {
      return error instanceof InvalidArgument && error.violations[0]?.field === "count";
    });
  }
  await assert.rejects(stage.children.ends.ofSome([], { count: 1 }), InvalidArgument);
  await assert.rejects(stage.children.ends.ofSome([the(a), the(b), the(a)], { count: 1 }), (error) => {
    return error instanceof InvalidArgument && error.message === "child a stands there twice";
  });
  const rest = "DETACH" as "KEEP";
  await assert.rejects(stage.children.ends.ofSome(children, { rest }), {
    name: "TypeError",
    message: /^rest "DETACH"/,
  });
  assert.deepEqual(await stage.children.ends.ofSome([], {}), []);
});

test("waiting for some ends with the caller's patience and with the handler, and cancels nothing", async (t) => {
  awake(t);
  const stage = new Stage();
  const children = await stage.start("a", "b");
  const never = gate();
  stage.ends = never.opened.then(() => undefined);
  await assert.rejects(stage.children.ends.ofSome(children, { rest: "CANCEL", timeout: 1 }), DeadlineExceeded);
  const mine = new AbortController();
  const waited = stage.children.ends.ofSome(children, { rest: "CANCEL", signal: mine.signal });
  mine.abort(new RangeError("enough"));
  await assert.rejects(waited, RangeError);
  const stopped = stage.children.ends.ofSome(children, { rest: "CANCEL" });
  stage.stop.abort(new Cancelled("told to"));
  await assert.rejects(stopped, Cancelled);
  assert.deepEqual(stage.cancelled, []);
});
