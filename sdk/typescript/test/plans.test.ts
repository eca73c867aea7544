// Workflows that grow, are held and forecast, and placement: what is asked of a server, and what is made of its answers. The
// server is the test's own.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { create } from "@bufbuild/protobuf";

import { Context, type Voice } from "../src/agent/context.js";
import { Stop } from "../src/agent/stop.js";
import { duration, timestamp } from "../src/convert.js";
import { Claim, Client, InvalidArgument, type Interceptor, Task } from "../src/index.js";
import { specToWire } from "../src/spec.js";
import {
  AssignmentObstacleType,
  AssignmentSchema,
  DependencyCondition,
  EventSchema,
  EventType,
  TaskSchema,
  TaskService,
  TaskState,
  WaitReason,
  WorkflowService,
} from "../src/v1.js";
import { eventFrom } from "../src/models.js";
import { type CallServer, callServer } from "./support/call-server.js";
import { the } from "./support/script.js";

async function start(
  t: TestContext,
  interceptors: readonly Interceptor[] = [],
): Promise<{ readonly server: CallServer; readonly client: Client }> {
  const server = await callServer(t);
  const client = new Client({ address: server.address, namespace: "n", interceptors });
  t.after(() => {
    client.close();
  });
  return { server, client };
}

test("tasks are added under their names, and may depend on those that the workflow has", async (t) => {
  const { server, client } = await start(t);
  const receipts = [{ taskId: "t1", state: TaskState.READY, run: 1 }, { taskId: "t2" }];
  const asked = server.on(WorkflowService.method.addWorkflowTasks, { receipts });
  const added = await client.workflows.add(
    { workflowId: "w", name: "a", allowFailure: false, weight: 1, tasksBehind: 0 },
    [
      { name: "b", task: { type: "work", input: 1 }, dependsOn: ["a"], weight: 2 },
      { name: "c", task: { type: "work" }, dependsOn: [{ task: "b", condition: "ENDED" }], allowFailure: true },
    ],
    { requestId: "r" },
  );
  assert.deepEqual([added.b.taskId, added.b.state, added.c.taskId], ["t1", "READY", "t2"]);
  const request = the(asked[0]);
  assert.deepEqual([asked.length, request.namespace, request.workflowId, request.requestId], [1, "n", "w", "r"]);
  assert.deepEqual(
    request.tasks.map(({ name, task, dependsOn, allowFailure, weight }) => {
      return [name, task?.type, dependsOn.map(({ task: of, condition }) => [of, condition]), allowFailure, weight];
    }),
    [
      ["b", "work", [["a", DependencyCondition.COMPLETED]], false, 2],
      ["c", "work", [["b", DependencyCondition.ENDED]], true, 0],
    ],
  );
});

test("what is wrong with an added task is named with its place", async (t) => {
  const { client } = await start(t);
  const task = { type: "work", fallbacks: [{ after: NaN }] };
  await assert.rejects(client.workflows.add("w", [{ name: "a", task }]), {
    name: "RangeError",
    message: /^tasks\[0\].task.fallbacks\[0\].after is NaN/,
  });
});

test("interceptors stand around each task that is added, and all are added or none", async (t) => {
  const marking: Interceptor = { submit: (spec, next) => next({ ...spec, headers: { mark: spec.type } }) };
  const { server, client } = await start(t, [marking]);
  const asked = server.on(WorkflowService.method.addWorkflowTasks, { receipts: [{ taskId: "t1" }, { taskId: "t2" }] });
  const tasks = ["a", "b"].map((name) => ({ name, task: { type: name } }));
  const added = await client.workflows.add("w", tasks);
  assert.deepEqual([added["a"]?.taskId, added["b"]?.taskId], ["t1", "t2"]);
  assert.deepEqual(
    asked[0]?.tasks.map(({ task }) => task?.headers),
    [{ mark: "a" }, { mark: "b" }],
  );
  const answering: Interceptor = { submit: async (spec, next) => (spec.type === "a" ? (null as never) : next(spec)) };
  const picky = new Client({ address: server.address, interceptors: [answering] });
  t.after(() => {
    picky.close();
  });
  await assert.rejects(picky.workflows.add("w", tasks), InvalidArgument);
  await assert.rejects(picky.workflows.add("w", tasks.slice(0, 1)), InvalidArgument);
  assert.equal(asked.length, 1);
});

test("a workflow is held and released, and says so", async (t) => {
  const { server, client } = await start(t);
  const held = server.on(WorkflowService.method.holdWorkflow, { workflow: { id: "w", held: true } });
  const released = server.on(WorkflowService.method.releaseWorkflow, { workflow: { id: "w" } });
  assert.equal((await client.workflows.hold("w", "enough for today", { requestId: "h" })).held, true);
  assert.equal((await client.workflows.release("w", { requestId: "r" })).held, false);
  const about = held.map(({ namespace, workflowId, reason, requestId }) => [namespace, workflowId, reason, requestId]);
  assert.deepEqual(about, [["n", "w", "enough for today", "h"]]);
  const rest = released.map(({ namespace, workflowId, requestId }) => [namespace, workflowId, requestId]);
  assert.deepEqual(rest, [["n", "w", "r"]]);
});

test("a forecast says what is expected, and leaves out what nobody knows", async (t) => {
  const { server, client } = await start(t);
  const [begin, end] = [new Date(1_700_000_000_000), new Date(1_700_000_002_500)];
  const expected = {
    expectedDuration: duration(2_500, "d"),
    expectedStart: timestamp(begin, "s"),
    expectedEnd: timestamp(end, "e"),
  };
  const criticalPath = [
    { taskId: "t", name: "a", type: "work", state: TaskState.RUNNING, ...expected },
    { taskId: "u", type: "play", state: TaskState.WAITING },
  ];
  const forecast = { expectedEnd: expected.expectedEnd, criticalPath, unknownTypes: ["play"] };
  const asked = server.on(WorkflowService.method.forecastWorkflow, { forecast });
  const unknown = { expectedDuration: undefined, expectedStart: undefined, expectedEnd: undefined };
  assert.deepEqual(await client.workflows.forecast("w"), {
    expectedEnd: end,
    criticalPath: [
      ...[{ taskId: "t", name: "a", type: "work", state: "RUNNING", ...{ expectedDuration: 2_500 } }].map((task) => {
        return { ...task, expectedStart: begin, expectedEnd: end };
      }),
      { taskId: "u", name: "", type: "play", state: "WAITING", ...unknown },
    ],
    unknownTypes: ["play"],
  });
  assert.deepEqual([asked[0]?.namespace, asked[0]?.workflowId], ["n", "w"]);
  server.on(WorkflowService.method.forecastWorkflow, {});
  const nothing = { expectedEnd: undefined, criticalPath: [], unknownTypes: [] };
  assert.deepEqual(await client.workflows.forecast("w"), nothing);
});

test("an explanation says who could have a task, and why the others could not", async (t) => {
  const { server, client } = await start(t);
  const scores = { score: 0.5, success: 0.4, idle: 0.3, affinity: 0.2, role: 1 };
  const none = { score: 0, success: 0, idle: 0, affinity: 0, role: 0 };
  const counts = { agent: "ann", ahead: 3, agents: 2, fitting: 1 };
  const asked = server.on(TaskService.method.explainAssignment, {
    explanation: {
      ...{ taskId: "t", state: TaskState.WAITING, waitingFor: [WaitReason.HOLD], ...counts },
      candidates: [
        { agent: "ann", fits: true, ...scores },
        {
          agent: "bob",
          obstacles: [
            { type: AssignmentObstacleType.SKILL, detail: "go" },
            { type: 99 as never, detail: "of tomorrow" },
          ],
        },
      ],
    },
  });
  const obstacles = [
    { type: "SKILL", detail: "go" },
    { type: "99", detail: "of tomorrow" },
  ];
  assert.deepEqual(await client.explain("t"), {
    ...{ taskId: "t", state: "WAITING", waitingFor: ["HOLD"], ...counts },
    candidates: [
      { agent: "ann", fits: true, obstacles: [], ...scores },
      { agent: "bob", fits: false, obstacles, ...none },
    ],
    ...{ limits: [], past: [] },
  });
  assert.deepEqual([asked[0]?.namespace, asked[0]?.taskId], ["n", "t"]);
});

test("a task's options say where it may and should go", () => {
  const wire = specToWire({
    ...{ type: "work", skills: ["s"], antiAffinity: { zone: "a" }, resources: { gpu: 0.5 }, near: ["a"], apart: ["b"] },
    fallbacks: [
      { after: 1_500, skills: ["less"] },
      { after: 60_000, tools: ["t"], role: "lead", assignee: "ann" },
    ],
  });
  const { skills, antiAffinity, resources, near, apart, fallbacks } = the(wire.requirements);
  assert.deepEqual({ skills, antiAffinity, resources, near, apart }, {
    ...{ skills: ["s"], antiAffinity: { zone: "a" }, resources: { gpu: 0.5 }, near: ["a"], apart: ["b"] },
  }); // prettier-ignore
  assert.deepEqual(
    fallbacks.map(({ after, ...demands }) => {
      return [after?.seconds, after?.nanos, demands.skills, demands.tools, demands.role, demands.assignee];
    }),
    [
      [1n, 500_000_000, ["less"], [], "", ""],
      [60n, 0, [], ["t"], "lead", "ann"],
    ],
  );
  const wrong = { type: "work", fallbacks: [{ after: 1, skills: "go" as unknown as string[] }] };
  assert.throws(() => specToWire(wrong), { name: "TypeError", message: /^fallbacks\[0\].skills is the string "go"/ });
  assert.throws(() => specToWire({ type: "work", near: "a" as unknown as string[] }), {
    message: /^near is the string/,
  });
});

test("a task says which fallback it has come to, and its history that it did", () => {
  assert.equal(new Task(create(TaskSchema, { fallback: 2 })).fallback, 2);
  assert.equal(eventFrom(create(EventSchema, { type: EventType.FELL_BACK })).type, "FELL_BACK");
});

test("a handler, and who claims, are told what workflow the task is of", () => {
  const link = { workflowId: "w", name: "a", allowFailure: true, weight: 2, tasksBehind: 3 };
  const assignment = create(AssignmentSchema, { attempt: { taskId: "t", attempt: 1 }, workflow: link });
  const voice = {} as Voice;
  const context = new Context(assignment, "ann", [], voice, new Stop());
  assert.deepEqual([context.workflow, new Claim(assignment).workflow], [link, link]);
  const alone = create(AssignmentSchema, { attempt: { taskId: "t", attempt: 1 } });
  assert.equal(new Claim(alone).workflow, undefined);
});
