// Whose turn it is, what limits hold back, and dependencies that are added: what is asked of a server, and what is made of its
// answers. The server is the test's own.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { create } from "@bufbuild/protobuf";

import { duration, timestamp } from "../src/convert.js";
import { Claim, Client, type DependsOn, type Limit, type Receipt, Task } from "../src/index.js";
import { specToWire } from "../src/spec.js";
import {
  AgentService,
  AssignmentObstacleType,
  AssignmentSchema,
  DependencyCondition,
  NamespaceService,
  type NamespaceSettings,
  TaskSchema,
  TaskService,
  TaskState,
  WorkflowService,
} from "../src/v1.js";
import { type CallServer, callServer } from "./support/call-server.js";
import { the } from "./support/script.js";

async function start(t: TestContext): Promise<{ readonly server: CallServer; readonly client: Client }> {
  const server = await callServer(t);
  const client = new Client({ address: server.address, namespace: "n" });
  t.after(() => {
    client.close();
  });
  return { server, client };
}

test("tasks, those of workflows and children have the keys that they are given", async (t) => {
  const keys = { fairnessKey: "ann", limitKeys: ["model", "tenant/a"] };
  const wire = specToWire({ type: "work", ...keys });
  assert.deepEqual([wire.fairnessKey, wire.limitKeys], [keys.fairnessKey, keys.limitKeys]);
  const plain = specToWire({ type: "work" });
  assert.deepEqual([plain.fairnessKey, plain.limitKeys], ["", []]);
  const lone = { type: "work", limitKeys: "model" as unknown as string[] };
  assert.throws(() => specToWire(lone, "tasks[1].task."), {
    name: "TypeError",
    message: /^tasks\[1\].task.limitKeys is the string "model"/,
  });
  const { server, client } = await start(t);
  const workflows = server.on(WorkflowService.method.createWorkflow, { receipts: [{ taskId: "t" }] });
  await client.workflows.create("w", [{ name: "a", task: { type: "work", ...keys } }]);
  const task = the(workflows[0]?.workflow?.tasks[0]?.task);
  assert.deepEqual([task.fairnessKey, task.limitKeys], [keys.fairnessKey, keys.limitKeys]);
  const children = server.on(AgentService.method.createChild, { receipt: { taskId: "c" } });
  const attempt = { taskId: "0198c0de-0000-7000-8000-000000000000", attempt: 1 };
  await client.createChild(new Claim(create(AssignmentSchema, { attempt, run: 1 })), "work", "", keys);
  const child = the(children[0]?.task);
  assert.deepEqual([child.fairnessKey, child.limitKeys], [keys.fairnessKey, keys.limitKeys]);
});

test("limits of a namespace are set, and told as they are", async (t) => {
  const { server, client } = await start(t);
  const limits: readonly Limit[] = [
    { key: "model", maxConcurrent: 2 },
    { key: "tenant/*", rate: 5, ratePeriod: 250 },
  ];
  const told = { settings: { limits: [{ key: "model", maxConcurrent: 2 }, { key: "tenant/*", rate: 5, ratePeriod: duration(250, "p") }] } }; // prettier-ignore
  const asked = {
    created: server.on(NamespaceService.method.createNamespace, { namespace: told }),
    updated: server.on(NamespaceService.method.updateNamespace, { namespace: told }),
  };
  server.on(NamespaceService.method.getNamespace, { namespace: told });
  const unset = { maxConcurrent: undefined, rate: undefined, ratePeriod: undefined };
  for (const { settings } of [
    await client.namespaces.create("n", { limits }),
    await client.namespaces.update("n", { limits }),
    await client.namespaces.get("n"),
  ]) {
    assert.deepEqual(
      settings.limits,
      limits.map((limit) => ({ ...unset, ...limit })),
    );
  }
  for (const [request] of [asked.created, asked.updated]) {
    const { limits: sent } = the(request?.settings);
    assert.deepEqual(
      sent.map(({ key, maxConcurrent, rate, ratePeriod }) => [key, maxConcurrent, rate, ratePeriod?.nanos]),
      [
        ["model", 2, undefined, undefined],
        ["tenant/*", undefined, 5, 250_000_000],
      ],
    );
  }
});

test("a limit of nothing is sent, and not taken for none; a namespace of an older server has none", async (t) => {
  const { server, client } = await start(t);
  const asked = server.on(NamespaceService.method.updateNamespace, { namespace: { settings: {} } });
  const { settings } = await client.namespaces.update("n", { limits: [{ key: "m", maxConcurrent: 0, rate: 0 }] });
  assert.deepEqual(settings.limits, []);
  const { limits }: NamespaceSettings = the(asked[0]?.settings);
  assert.deepEqual([limits[0]?.maxConcurrent, limits[0]?.rate], [0, 0]);
  const wrong = { limits: [{ key: "m" }, { key: "n", rate: 1, ratePeriod: NaN }] };
  assert.throws(() => void client.namespaces.update("n", wrong), { message: /^limits\[1\].ratePeriod is NaN/ });
});

test("dependencies are added: tasks that must complete, or what says more", async (t) => {
  const { server, client } = await start(t);
  const receipt = { taskId: "t", state: TaskState.WAITING, run: 1, version: 2n };
  const asked = server.on(TaskService.method.addDependencies, { receipt });
  const known: Receipt = { taskId: "r", state: "READY", run: 1, version: 1, existing: false };
  const dependencies: DependsOn[] = [
    ...["i", known, new Task(create(TaskSchema, { id: "k" }))],
    { taskId: "d", condition: "ENDED", name: "x" },
  ];
  const added = await client.addDependencies("t", dependencies, { requestId: "more" });
  assert.deepEqual([added.taskId, added.state, added.version], ["t", "WAITING", 2]);
  const request = the(asked[0]);
  assert.deepEqual([request.namespace, request.taskId, request.requestId], ["n", "t", "more"]);
  const { COMPLETED, ENDED } = DependencyCondition;
  assert.deepEqual(
    request.dependencies.map(({ taskId, condition, name }) => [taskId, condition, name]),
    [["i", COMPLETED, ""], ["r", COMPLETED, ""], ["k", COMPLETED, ""], ["d", ENDED, "x"]], // prettier-ignore
  );
  const wrong = [{ taskId: "a" }, { taskId: "b", condition: "LATE" as "ENDED" }];
  await assert.rejects(client.addDependencies("t", wrong), {
    name: "TypeError",
    message: /^dependencies\[1\].condition "LATE" is unknown/,
  });
  assert.equal(asked.length, 1);
});

test("an explanation tells of limits, and of who was chosen", async (t) => {
  const { server, client } = await start(t);
  const [at, nextAt] = [new Date(1_000), new Date(1_500)];
  const obstacles = [{ type: AssignmentObstacleType.LIMIT, detail: "tenant/a" }];
  const limit = { key: "tenant/*", maxConcurrent: 2, rate: 1, ratePeriod: duration(1_000, "p") };
  server.on(TaskService.method.explainAssignment, {
    explanation: {
      candidates: [{ agent: "ann", fits: true, obstacles }],
      limits: [
        { key: "tenant/a", limit, inUse: 2, reached: true, nextAt: timestamp(nextAt, "a") },
        { key: "model", limit: { key: "model", maxConcurrent: 1 } },
      ],
      past: [
        {
          ...{ attempt: 1, at: timestamp(at, "a"), agent: "ann", score: 0.5, compared: 3 },
          runnersUp: [{ agent: "bob", score: 0.75 }, { agent: "cid", score: 0.25 }], // prettier-ignore
        },
        { attempt: 2, agent: "poller", claimed: true },
      ],
    },
  });
  const { candidates, limits, past } = await client.explain("t");
  assert.equal(candidates[0]?.obstacles[0]?.type, "LIMIT");
  const unset = { rate: undefined, ratePeriod: undefined };
  assert.deepEqual(limits, [
    { key: "tenant/a", limit: { ...limit, ratePeriod: 1_000 }, inUse: 2, reached: true, nextAt },
    { key: "model", limit: { key: "model", maxConcurrent: 1, ...unset }, inUse: 0, reached: false, nextAt: undefined },
  ]);
  const others = [{ agent: "bob", score: 0.75 }, { agent: "cid", score: 0.25 }]; // prettier-ignore
  assert.deepEqual(past, [
    { attempt: 1, at, agent: "ann", claimed: false, score: 0.5, compared: 3, runnersUp: others },
    { attempt: 2, at: undefined, agent: "poller", claimed: true, score: 0, compared: 0, runnersUp: [] },
  ]);
});
