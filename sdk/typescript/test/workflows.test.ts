// Workflows: what is asked for and told, without a server; and every method on them, against a real one.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import {
  Client,
  DeadlineExceeded,
  FailedPrecondition,
  InvalidArgument,
  type Interceptor,
  NotFound,
  StatusError,
  TaskError,
  type Workflow,
  type WorkflowDependency,
  type WorkflowTask,
} from "../src/index.js";
import { Task } from "../src/models.js";
import {
  DependencyCondition,
  DependencyFailureAction,
  DependencySchema,
  ResultComparison,
  TaskSchema,
  type WorkflowDependency as WireDependency,
  type WorkflowSpec,
} from "../src/v1.js";
import { workflowToWire } from "../src/workflows.js";
import { serve, type Server } from "./support/server.js";
import { agentOf, all, attached, drained, LONG, unique, until } from "./support/waiting.js";

// What is asked for.

/** How what a task waits for goes over the wire. */
function sent(...dependsOn: (string | WorkflowDependency)[]): WireDependency[] {
  const tasks = [
    { name: "a", task: { type: "t" } },
    { name: "b", task: { type: "t" }, dependsOn },
  ];
  return workflowToWire("w", tasks, {}).tasks[1]?.dependsOn ?? [];
}

test("a workflow goes over the wire with all that it says", () => {
  const tasks: WorkflowTask[] = [
    { name: "whole", task: { type: "join", input: 1 }, dependsOn: ["part"], allowFailure: true, weight: 3 },
    { name: "part", task: { type: "part", dependsOn: ["id-0"], priority: "HIGH" } },
  ];
  const wire = workflowToWire("report", tasks, {
    description: "about",
    tags: ["nightly"],
    metadata: { team: "blue" },
    headers: { traceparent: "00" },
  });
  assert.deepEqual([wire.name, wire.description, wire.tags], ["report", "about", ["nightly"]]);
  assert.deepEqual([wire.metadata, wire.headers], [{ team: "blue" }, { traceparent: "00" }]);
  const [whole, part] = wire.tasks;
  assert.deepEqual([whole?.name, whole?.task?.type, whole?.allowFailure, whole?.weight], ["whole", "join", true, 3]);
  assert.deepEqual([whole?.task?.key, whole?.task?.dependencies], ["", []]);
  assert.deepEqual([part?.name, part?.task?.dependencies.map(({ taskId }) => taskId)], ["part", ["id-0"]]);
  assert.deepEqual([part?.dependsOn, part?.allowFailure, part?.weight], [[], false, 0]);
});

test("a workflow that says no more than it must is empty otherwise", () => {
  const { description, tags, metadata, headers }: WorkflowSpec = workflowToWire("w", [], {});
  assert.deepEqual([description, tags, metadata, headers], ["", [], {}, {}]);
});

test("a task waits for another by its name, or by what says more", () => {
  const [named, full] = sent("a", {
    task: "a",
    condition: "COMPLETED",
    result: { pointer: "/score", comparison: "LESS", value: 0.5 },
    onFailure: "FAIL",
  });
  assert.deepEqual([named?.task, named?.condition], ["a", DependencyCondition.COMPLETED]);
  assert.deepEqual([named?.onFailure, named?.result], [DependencyFailureAction.SKIP, undefined]);
  assert.deepEqual([full?.task, full?.onFailure], ["a", DependencyFailureAction.FAIL]);
  const { pointer, comparison, value } = full?.result ?? {};
  assert.deepEqual([pointer, comparison, value], ["/score", ResultComparison.LESS, "0.5"]);
  assert.equal(sent({ task: "a", condition: "ENDED" })[0]?.condition, DependencyCondition.ENDED);
});

test("what is wrong with an option is told with its place", () => {
  assert.throws(() => sent("a", { task: "a", condition: "DONE" as never }), {
    name: "TypeError",
    message: /^tasks\[1\]\.dependsOn\[1\]\.condition "DONE" is unknown: .* NOT_COMPLETED/,
  });
  assert.throws(
    () => sent({ task: "a", result: { comparison: "EQUAL", value: NaN } }),
    (error) => {
      assert.ok(error instanceof InvalidArgument);
      assert.deepEqual(
        error.violations.map(({ field }) => field),
        ["tasks[1].dependsOn[0].result.value"],
      );
      return true;
    },
  );
  const large: WorkflowTask = { name: "a", task: { type: "t", input: "x".repeat(1_048_577) } };
  assert.throws(() => workflowToWire("w", [large], {}), /tasks\[0\]\.task\.input has 1048577 bytes/);
  const late: WorkflowTask = { name: "a", task: { type: "t", timeouts: { heartbeat: NaN } } };
  assert.throws(() => workflowToWire("w", [late], {}), /tasks\[0\]\.task\.timeouts\.heartbeat is NaN/);
  assert.throws(() => workflowToWire("w", [], { tags: "nightly" as never }), { name: "TypeError", message: /^tags / });
});

test("a task tells its place in a workflow, and what it waits for", () => {
  const proto = create(TaskSchema, {
    workflow: { workflowId: "w", name: "n", allowFailure: true, weight: 2, tasksBehind: 3 },
    spec: {
      dependencies: [
        create(DependencySchema, { taskId: "t", name: "a" }),
        create(DependencySchema, {
          taskId: "u",
          condition: DependencyCondition.COMPLETED,
          result: { pointer: "/n", comparison: ResultComparison.EQUAL, value: "12345678901234567890" },
          onFailure: DependencyFailureAction.FAIL,
        }),
        create(DependencySchema, { taskId: "v", condition: 99 as never }),
      ],
    },
  });
  const task = new Task(proto);
  assert.deepEqual(task.workflow, { workflowId: "w", name: "n", allowFailure: true, weight: 2, tasksBehind: 3 });
  const [plain, full, newer] = task.dependencies;
  const terms = { name: "", condition: "COMPLETED", result: undefined, onFailure: "SKIP" };
  assert.deepEqual(plain, { ...terms, taskId: "t", name: "a" });
  assert.deepEqual([full?.condition, full?.onFailure], ["COMPLETED", "FAIL"]);
  const { pointer, comparison, value } = full?.result ?? {};
  assert.deepEqual([pointer, comparison, value], ["/n", "EQUAL", 12345678901234567890n]);
  assert.deepEqual(newer, { ...terms, taskId: "v", condition: "99" });
  const alone = new Task(create(TaskSchema, {}));
  assert.deepEqual([alone.workflow, alone.dependencies], [undefined, []]);
});

// What a server makes of it.

const cleaning: (() => unknown)[] = [];
let server: Server;
let client: Client;

before(async () => {
  server = await serve({ after: (work) => cleaning.push(() => (work as () => unknown)()) });
  client = new Client({ address: server.address });
});
after(async () => {
  client.close();
  for (const clean of cleaning.reverse()) {
    await clean();
  }
});

function refused(kind: typeof StatusError, reason: string): (error: unknown) => boolean {
  return (error) => error instanceof kind && error.reason === reason;
}

/** How many tasks a workflow has that are open, completed, failed, cancelled and skipped. */
function tally({ openTasks, completedTasks, failedTasks, cancelledTasks, skippedTasks }: Workflow): number[] {
  return [openTasks, completedTasks, failedTasks, cancelledTasks, skippedTasks];
}

test("tasks run in the order of what they wait for, and find the results by their names", async (t) => {
  const agent = agentOf(t, server.address, { slots: 4 });
  const [part, whole, name] = [unique("part"), unique("whole"), unique("report")];
  agent.task(part, (input) => input);
  agent.task(whole, (_, context) => [context.dependency("left").value, context.dependency("right").value]);
  await attached(agent);
  const outside = await client.create(part, "outside");
  const created = await client.workflows.create(
    name,
    [
      {
        name: "whole",
        task: { type: whole, headers: { a: "own" } },
        dependsOn: ["left", { task: "right", condition: "ENDED", onFailure: "FAIL" }],
        weight: 3,
      },
      { name: "left", task: { type: part, input: { n: 1 }, dependsOn: [outside] } },
      { name: "right", task: { type: part, input: "ä" }, allowFailure: true },
    ],
    { description: "about", tags: ["nightly"], metadata: { team: "blue" }, headers: { a: "given", b: "given" } },
  );
  const { receipts } = created;
  assert.deepEqual([receipts.whole.state, receipts.right.run, receipts.left.existing], ["WAITING", 1, false]);
  const ended = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([ended.id, ended.name, ended.namespace], [created.workflowId, name, "default"]);
  assert.deepEqual([ended.description, ended.tags, ended.metadata], ["about", ["nightly"], { team: "blue" }]);
  assert.deepEqual([ended.state, ended.tasks, tally(ended)], ["COMPLETED", 3, [0, 3, 0, 0, 0]]);
  assert.deepEqual([ended.progress, ended.cancelRequested, ended.createdBy], [1, false, "anonymous"]);
  assert.ok(ended.createdAt instanceof Date && ended.endedAt instanceof Date && ended.endedAt >= ended.createdAt);
  assert.deepEqual(await client.result(receipts.whole), [{ n: 1 }, "ä"]);
  assert.deepEqual(await client.workflows.get(ended), ended);
  const tasks = await all(client.workflows.tasks(created, { pageSize: 2 }));
  assert.deepEqual(
    tasks.map((task) => [task.workflow?.name, task.workflow?.weight, task.workflow?.allowFailure, task.id]),
    [
      ["left", 1, false, receipts.left.taskId],
      ["right", 1, true, receipts.right.taskId],
      ["whole", 3, false, receipts.whole.taskId],
    ],
  );
  assert.deepEqual(
    tasks.map((task) =>
      task.dependencies.map(({ taskId, name: of, condition, onFailure }) => [taskId, of, condition, onFailure]),
    ),
    [
      [[outside.taskId, "", "COMPLETED", "SKIP"]],
      [],
      [
        [receipts.left.taskId, "left", "COMPLETED", "SKIP"],
        [receipts.right.taskId, "right", "ENDED", "FAIL"],
      ],
    ],
  );
  assert.deepEqual(
    tasks.map((task) => task.headers),
    [
      { a: "given", b: "given" },
      { a: "given", b: "given" },
      { a: "own", b: "given" },
    ],
  );
  const task = await client.get(receipts.whole);
  assert.ok(task.workflow !== undefined);
  assert.equal((await client.workflows.get(task.workflow)).id, created.workflowId);
  await drained(agent);
});

test("a fallback runs when what may fail has failed, and the workflow completes", async (t) => {
  const agent = agentOf(t, server.address, { slots: 4 });
  const [broken, good] = [unique("broken"), unique("good")];
  agent.task(broken, () => {
    throw new TaskError("broken", { retryable: false });
  });
  agent.task(good, () => "fine");
  await attached(agent);
  const created = await client.workflows.create("fallback", [
    { name: "primary", task: { type: broken }, allowFailure: true },
    { name: "next", task: { type: good }, dependsOn: ["primary"] },
    { name: "fallback", task: { type: good }, dependsOn: [{ task: "primary", condition: "FAILED" }] },
  ]);
  const ended = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([ended.state, tally(ended), ended.progress], ["COMPLETED", [0, 1, 1, 0, 1], 1]);
  assert.equal(await client.result(created.receipts.fallback), "fine");
  await drained(agent);
});

test("a retry runs what failed and what was skipped because of it, and nothing that completed", async (t) => {
  const agent = agentOf(t, server.address, { slots: 4 });
  const [good, moody] = [unique("good"), unique("moody")];
  agent.task(good, () => "fine");
  agent.task(moody, (_, context) => {
    if (context.run === 1) throw new TaskError("not today", { retryable: false });
    return "fine";
  });
  await attached(agent);
  const created = await client.workflows.create("moody", [
    { name: "first", task: { type: good } },
    { name: "second", task: { type: moody }, dependsOn: ["first"] },
    { name: "third", task: { type: good }, dependsOn: ["second"] },
  ]);
  const failed = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([failed.state, tally(failed)], ["FAILED", [0, 1, 1, 0, 1]]);
  const retried = await client.workflows.retry(created, { requestId: unique("again") });
  assert.deepEqual([retried.id, retried.state, retried.endedAt], [created.workflowId, "RUNNING", undefined]);
  const ended = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([ended.state, tally(ended)], ["COMPLETED", [0, 3, 0, 0, 0]]);
  const tasks = await all(client.workflows.tasks(created));
  assert.deepEqual(
    tasks.map((task) => task.run),
    [1, 2, 2],
  );
  await assert.rejects(client.workflows.retry(created), FailedPrecondition);
  await drained(agent);
});

test("a cancellation reaches what runs and what waits", async (t) => {
  const agent = agentOf(t, server.address);
  const work = unique("work");
  agent.task(work, (_, context) => {
    return new Promise((_resolve, reject) => {
      context.signal.addEventListener("abort", () => {
        reject(context.signal.reason as Error);
      });
    });
  });
  await attached(agent);
  const created = await client.workflows.create("long", [
    { name: "first", task: { type: work } },
    { name: "second", task: { type: work }, dependsOn: ["first"] },
  ]);
  const { first } = created.receipts;
  await until("the first to run", async () => (await client.get(first)).state === "RUNNING");
  assert.ok((await client.workflows.cancel(created, "enough")).cancelRequested);
  const ended = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([ended.state, tally(ended)], ["CANCELLED", [0, 0, 0, 2, 0]]);
  assert.equal((await client.workflows.cancel(created.workflowId)).state, "CANCELLED");
  const reasons = (await all(client.history(first))).map((event) => event.reason);
  assert.ok(reasons.includes("enough"), reasons.join());
  await drained(agent);
});

test("children of its tasks are the workflow's", async (t) => {
  const agent = agentOf(t, server.address);
  const [parent, child] = [unique("parent"), unique("child")];
  agent.task(parent, (_, context) => context.runChild(child, 1));
  agent.task(child, (input) => input);
  await attached(agent);
  const created = await client.workflows.create("family", [{ name: "parent", task: { type: parent } }]);
  const ended = await client.workflows.wait(created, { timeout: LONG });
  assert.deepEqual([ended.state, ended.tasks, tally(ended)], ["COMPLETED", 2, [0, 2, 0, 0, 0]]);
  const [, born] = await all(client.workflows.tasks(created));
  const { workflowId } = created;
  assert.deepEqual(born?.workflow, { workflowId, name: "", allowFailure: true, weight: 0, tasksBehind: 0 });
  await drained(agent);
});

test("workflows are listed newest first, by all filters, over pages", async () => {
  const [name, other] = [unique("listed"), unique("other")];
  const tasks = [{ name: "a", task: { type: unique("nobody") } }];
  const first = await client.workflows.create(name, tasks);
  const second = await client.workflows.create(other, tasks);
  const third = await client.workflows.create(name, tasks);
  await client.workflows.cancel(third);
  const listed = async (options: Parameters<typeof client.workflows.list>[0]): Promise<string[]> =>
    (await all(client.workflows.list(options))).map(({ id }) => id);
  const ours = [third, second, first].map(({ workflowId }) => workflowId);
  assert.deepEqual((await listed({ pageSize: 1 })).slice(0, 3), ours);
  assert.deepEqual(await listed({ name, pageSize: 1 }), [third.workflowId, first.workflowId]);
  assert.deepEqual(await listed({ name, states: ["RUNNING"] }), [first.workflowId]);
  assert.deepEqual(await listed({ name, states: ["CANCELLED", "FAILED"] }), [third.workflowId]);
  const idSuffix = second.workflowId.replaceAll("-", "").slice(-12);
  assert.deepEqual(await listed({ idSuffix }), [second.workflowId]);
  const { createdAt } = await client.workflows.get(third);
  assert.ok(createdAt !== undefined);
  assert.deepEqual(await listed({ name, createdAfter: new Date(createdAt.getTime() + 60_000) }), []);
  assert.equal((await listed({ name, createdBefore: new Date(createdAt.getTime() + 60_000) })).length, 2);
  assert.throws(() => client.workflows.list({ states: ["DONE"] }), { name: "TypeError", message: /^states "DONE"/ });
});

test("all that is wrong is told at once, and nothing is created", async () => {
  const [type, name] = [unique("t"), unique("wrong")];
  const tasks: WorkflowTask[] = [
    { name: "a", task: { type }, dependsOn: ["nobody", "a"] },
    { name: "a", task: { type }, weight: -1 },
  ];
  await assert.rejects(client.workflows.create(name, tasks), (error) => {
    return error instanceof InvalidArgument && error.violations.length === 4;
  });
  assert.deepEqual(await all(client.workflows.list({ name })), []);
  assert.deepEqual(await all(client.list({ type })), []);
  const nobody = "0198c0de-0000-7000-8000-000000000000";
  await assert.rejects(client.workflows.get(nobody), refused(NotFound, "WORKFLOW_NOT_FOUND"));
  await assert.rejects(client.workflows.wait(nobody), refused(NotFound, "WORKFLOW_NOT_FOUND"));
  await assert.rejects(all(client.workflows.tasks(nobody)), refused(NotFound, "WORKFLOW_NOT_FOUND"));
});

test("a request id makes creating a workflow safe to repeat", async () => {
  const [type, requestId] = [unique("t"), unique(`once-${String(Date.now())}`)];
  const first = await client.workflows.create("w", [{ name: "a", task: { type } }], { requestId });
  assert.deepEqual(await client.workflows.create("w", [{ name: "a", task: { type } }], { requestId }), first);
  await assert.rejects(
    client.workflows.create("w", [{ name: "b", task: { type } }], { requestId }),
    refused(InvalidArgument, "REQUEST_ID_REUSED"),
  );
});

test("a wait ends with its time or its signal, and outlives the server", async (t) => {
  const own = await serve(t);
  const waiting = new Client({ address: own.address });
  t.after(() => {
    waiting.close();
  });
  const created = await waiting.workflows.create("w", [
    { name: "a", task: { type: "nobody" } },
    { name: "b", task: { type: "nobody" } },
  ]);
  await assert.rejects(waiting.workflows.wait(created, { timeout: 10 }), (error) => {
    return error instanceof DeadlineExceeded && error.message.endsWith("of its 2 tasks 2 are open");
  });
  const abort = new AbortController();
  const given = new Error("enough");
  const aborted = waiting.workflows.wait(created, { signal: abort.signal });
  abort.abort(given);
  await assert.rejects(aborted, given);
  const ended = waiting.workflows.wait(created, { timeout: LONG });
  await own.stop();
  await own.start();
  await waiting.workflows.cancel(created);
  assert.equal((await ended).state, "CANCELLED");
});

test("interceptors stand around each task of a workflow", async (t) => {
  const marking: Interceptor = {
    submit: (spec, next) => next({ ...spec, headers: { mark: spec.type } }),
  };
  const marked = new Client({ address: server.address, interceptors: [marking] });
  t.after(() => {
    marked.close();
  });
  const types = [unique("t"), unique("t")] as const;
  const created = await marked.workflows.create(
    "w",
    [
      { name: "b", task: { type: types[1] }, dependsOn: [{ task: "a", condition: "FAILED" }], allowFailure: true },
      { name: "a", task: { type: types[0] }, weight: 2 },
    ],
    { headers: { mark: "the workflow's" } },
  );
  const tasks = await all(client.workflows.tasks(created));
  assert.deepEqual(
    tasks.map(({ id, headers }) => [id, headers]),
    [
      [created.receipts.a.taskId, { mark: types[0] }],
      [created.receipts.b.taskId, { mark: types[1] }],
    ],
  );
  assert.deepEqual([tasks[0]?.workflow?.weight, tasks[1]?.workflow?.allowFailure], [2, true]);
  assert.equal(tasks[1]?.dependencies[0]?.condition, "FAILED");
});

test("a workflow whose interceptors don't let all tasks through is not created", async (t) => {
  const throwing: Interceptor = { submit: () => Promise.reject(new RangeError("no")) };
  const answer = { taskId: "made up", state: "READY", run: 1, version: 1, existing: false };
  const answering = (...types: readonly string[]): Interceptor => ({
    submit: async (spec, next) => (types.includes(spec.type) ? (answer as never) : next(spec)),
  });
  const [name, one, two] = [unique("refused"), unique("t"), unique("t")];
  for (const [interceptor, kind] of [
    [throwing, RangeError],
    [answering(one), InvalidArgument],
    [answering(one, two), InvalidArgument],
  ] as const) {
    const stopped = new Client({ address: server.address, interceptors: [interceptor] });
    t.after(() => {
      stopped.close();
    });
    const tasks = [one, two].map((type) => ({ name: type, task: { type } }));
    await assert.rejects(stopped.workflows.create(name, tasks), kind);
    await assert.rejects(stopped.workflows.create(name, []), kind === RangeError ? InvalidArgument : kind);
  }
  assert.deepEqual(await all(client.workflows.list({ name })), []);
});
