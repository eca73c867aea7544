// Every method of the client on tasks, agents, namespaces and messages, against a real server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  AlreadyExists,
  Client,
  DeadlineExceeded,
  FailedPrecondition,
  InvalidArgument,
  type Message,
  NotFound,
  StatusError,
  TaskError,
  TaskFailed,
  Unavailable,
} from "../src/index.js";
import { serve, type Server } from "./support/server.js";
import { agentOf, all, attached, drained, LONG, Told, unique, until } from "./support/waiting.js";

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

test("every option of a task arrives", async () => {
  const [type, soon] = [unique("t"), new Date(Date.now() + 3_600_000)];
  const first = await client.create(type);
  const receipt = await client.create(type, new Uint8Array([0]), {
    description: "about",
    key: unique("key"),
    keyConflict: "FAIL",
    skills: ["s"],
    tools: ["t"],
    role: "lead",
    assignee: "ann",
    preferredAgent: "ann",
    affinity: { zone: "a" },
    priority: "HIGH",
    dependsOn: [{ taskId: first.taskId, onFailure: "FAIL" }],
    retry: { maxAttempts: 5, initialBackoff: 2_000, multiplier: 3, maxBackoff: 30_000, nonRetryableTypes: ["Fatal"] },
    timeouts: { scheduleToStart: 1_500, startToClose: 2_000, scheduleToClose: 3_000, heartbeat: 4_000 },
    deadline: soon,
    startAt: soon,
    hold: true,
    tags: ["x", "y"],
    metadata: { m: "1" },
    headers: { traceparent: "00" },
  });
  const task = await client.get(receipt);
  assert.deepEqual([task.input, task.description, task.priority], [new Uint8Array([0]), "about", "HIGH"]);
  assert.deepEqual([...task.waitingFor].sort(), ["DEPENDENCIES", "HOLD", "START_TIME"]);
  assert.deepEqual([task.tags, task.metadata, task.headers], [["x", "y"], { m: "1" }, { traceparent: "00" }]);
  const { requirements: needs, retryPolicy: retry, timeouts, deadline } = task.proto.spec ?? {};
  assert.deepEqual([needs?.skills, needs?.tools, needs?.role, needs?.assignee], [["s"], ["t"], "lead", "ann"]);
  assert.deepEqual([needs?.preferredAgent, needs?.affinity], ["ann", { zone: "a" }]);
  assert.deepEqual([retry?.maxAttempts, retry?.multiplier, retry?.nonRetryableTypes], [5, 3, ["Fatal"]]);
  assert.deepEqual([retry?.initialBackoff?.seconds, retry?.maxBackoff?.seconds], [2n, 30n]);
  assert.deepEqual([timeouts?.scheduleToStart?.seconds, timeouts?.scheduleToStart?.nanos], [1n, 500_000_000]);
  assert.deepEqual([timeouts?.startToClose?.seconds, timeouts?.scheduleToClose?.seconds], [2n, 3n]);
  assert.equal(deadline?.seconds, BigInt(Math.floor(soon.getTime() / 1_000)));
  await assert.rejects(
    client.create(type, "", { key: task.key, keyConflict: "FAIL" }),
    refused(AlreadyExists, "KEY_EXISTS"),
  );
  assert.ok((await client.create(type, "", { key: task.key })).existing);
});

test("tasks are run, followed and retried", async (t) => {
  const agent = agentOf(t, server.address, { slots: 8 });
  const type = unique("work");
  agent.task(type, (input, context) => {
    if (input === "fail") {
      throw new TaskError("no", { type: "No", retryable: false, details: { why: "so" } });
    }
    return { got: input, dependencies: context.dependencies.map((one) => [one.state, one.taskId]) };
  });
  await attached(agent);
  const timeout = LONG;
  assert.deepEqual(await client.run(type, { a: [1] }, { timeout }), { got: { a: [1] }, dependencies: [] });
  const failing = await client.create(type, "fail");
  const failed = await client.wait(failing, { timeout });
  assert.deepEqual([failed.state, failed.failure?.type, failed.failure?.details], ["FAILED", "No", { why: "so" }]);
  await assert.rejects(client.result(failing, { timeout }), (error) => {
    return error instanceof TaskFailed && error.message.includes("FAILED: No: no") && error.task.id === failed.id;
  });
  assert.equal((await client.retry(failing)).run, 2);
  assert.equal((await client.wait(failing, { timeout })).run, 2);
  const [one, two] = await client.createAll([
    { type, input: 1 },
    { type, input: "fail" },
  ]);
  assert.ok(one !== undefined && two !== undefined);
  const skipped = await client.create(type, "", { dependsOn: [two] });
  assert.equal((await client.wait(skipped, { timeout })).state, "SKIPPED");
  const both = await client.create(type, 2, { dependsOn: [one] });
  assert.deepEqual(await client.result(both, { timeout }), { got: 2, dependencies: [["COMPLETED", one.taskId]] });
  const [dependency] = await all(client.dependencyResults(both));
  assert.deepEqual([dependency?.taskId, dependency?.value], [one.taskId, { got: 1, dependencies: [] }]);
  const kinds = (await all(client.history(one, { pageSize: 2 }))).map((event) => event.type);
  assert.deepEqual([kinds[0], kinds.at(-1)], ["CREATED", "COMPLETED"]);
  const watch = client.watch(one, { untilEnded: true });
  assert.deepEqual(
    (await all(watch)).map((event) => event.type),
    kinds,
  );
  const rest = client.watch(one, { untilEnded: true, cursor: watch.cursor });
  assert.deepEqual(await all(rest), []);
  const listed = await all(client.list({ type, states: ["SKIPPED"], pageSize: 1 }));
  assert.deepEqual(
    listed.map((task) => task.id),
    [skipped.taskId],
  );
  assert.equal((await all(client.list({ type, pageSize: 2 }))).length, 6);
  await drained(agent);
});

test("tasks are steered", async () => {
  const held = await client.create(unique("t"), "x", { hold: true });
  assert.deepEqual((await client.get(held)).waitingFor, ["HOLD"]);
  await client.update(held, { priority: "URGENT", tags: ["new"], assignee: "nobody" });
  const task = await client.get(held);
  assert.deepEqual([task.priority, task.tags], ["URGENT", ["new"]]);
  assert.equal(task.proto.spec?.requirements?.assignee, "nobody");
  await assert.rejects(client.wait(held, { timeout: 10 }), DeadlineExceeded);
  await client.update(held, { assignee: "", deadline: null });
  await client.release(held);
  await client.hold(held, "again");
  await client.cancel(held, "enough");
  assert.equal((await client.wait(held, { timeout: LONG })).state, "CANCELLED");
  await assert.rejects(client.hold(held), refused(FailedPrecondition, "TASK_STATE"));
});

test("a request id makes a repetition safe", async () => {
  const [type, requestId] = [unique("t"), unique(`once-${String(Date.now())}`)];
  const first = await client.create(type, "x", { requestId });
  assert.deepEqual(await client.create(type, "x", { requestId }), first);
  await assert.rejects(client.create(type, "y", { requestId }), refused(InvalidArgument, "REQUEST_ID_REUSED"));
});

test("tasks are claimed and ended by calls", async () => {
  const [type, name] = [unique("t"), unique("ann")];
  const tasks = await client.createAll([0, 1, 2].map((input) => ({ type, input })));
  const options = { resources: { gpu: 2 }, buildId: "b1", labels: { zone: "a" } };
  const claims = await client.claim(name, [type], { slots: 5, maxTasks: 5, lease: 30_000, wait: 1_000, ...options });
  assert.deepEqual(
    claims.map((claim) => claim.input),
    [0, 1, 2],
  );
  const [first, second] = claims;
  assert.ok(first !== undefined && second !== undefined);
  const { proto } = await client.agents.get(name);
  assert.deepEqual([proto.profile?.resources, proto.profile?.buildId], [{ gpu: 2 }, "b1"]);
  const lease = await client.heartbeat(first, { progress: 0.5, phase: "executing", message: "half", checkpoint: [1] });
  assert.ok(lease.expiresAt instanceof Date && !lease.cancelRequested);
  const task = await client.get(first.taskId);
  assert.deepEqual(
    [task.state, task.progress, task.phase, task.progressMessage],
    ["RUNNING", 0.5, "executing", "half"],
  );
  await client.complete(first, { fine: true });
  assert.deepEqual(await client.result(first.taskId), { fine: true });
  await client.fail(second, new TaskError("broken", { type: "Broken", retryable: false }));
  assert.equal((await client.get(second.taskId)).failure?.type, "Broken");
  assert.equal(tasks.length, 3);
  await assert.rejects(client.complete(first, "again"), FailedPrecondition);
  const nobodys = await client.create(unique("t"));
  await client.complete(nobodys, "done", { agent: name });
  assert.equal(await client.result(nobodys), "done");
});

test("agents and namespaces are looked after", async () => {
  const name = unique("ann");
  await client.claim(name, [unique("t")]);
  assert.ok((await all(client.agents.list({ pageSize: 1 }))).some((agent) => agent.name === name));
  assert.ok((await client.agents.cordon(name)).cordoned);
  assert.ok(!(await client.agents.uncordon(name)).cordoned);
  await client.agents.remove(name);
  await assert.rejects(client.agents.get(name), refused(NotFound, "AGENT_NOT_FOUND"));
  const space = `space-${String(Date.now())}`;
  assert.equal((await client.namespaces.create(space, { maxLiveTasks: 1 })).settings.maxLiveTasks, 1);
  assert.ok((await all(client.namespaces.list())).some((namespace) => namespace.name === space));
  await assert.rejects(client.namespaces.create(space), refused(AlreadyExists, "NAMESPACE_EXISTS"));
  await client.namespaces.update(space, { maxLiveTasks: 2, retry: { maxAttempts: 7 } });
  const { settings } = await client.namespaces.get(space);
  assert.deepEqual([settings.maxLiveTasks, settings.retry?.maxAttempts], [2, 7]);
});

test("what the server logs is shown and set", async () => {
  const before = await client.admin.logFilter();
  assert.deepEqual(await client.admin.setLogFilter("error"), { previous: before, filter: "error" });
  await assert.rejects(client.admin.setLogFilter("debgu"), refused(InvalidArgument, "INVALID_FIELD"));
  await client.admin.setLogFilter(before);
});

test("a call is retried at the next address, and gives up with the last status", async (t) => {
  const away = new Client({ address: `http://127.0.0.1:1,${server.address}` });
  t.after(() => {
    away.close();
  });
  assert.ok((await away.create(unique("t"))).taskId);
  const nowhere = new Client({ address: "http://127.0.0.1:1", timeout: 300 });
  await assert.rejects(nowhere.create("t"), Unavailable);
  await assert.rejects(all(nowhere.watch()), Unavailable);
  const reason = new Error("enough");
  const abort = new AbortController();
  const waiting = client.wait(await client.create(unique("t")), { signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(waiting, reason);
});

test("a watch goes on where it was when the server comes back", async (t) => {
  const own = await serve(t);
  const watcher = new Client({ address: own.address });
  t.after(() => {
    watcher.close();
  });
  const task = await watcher.create("t", "", { hold: true });
  const watch = watcher.watch(task, { untilEnded: true });
  assert.equal((await watch.next()).value?.type, "CREATED");
  const rest = all(watch);
  await own.kill();
  await own.start();
  await watcher.cancel(task);
  const types = (await rest).map((event) => event.type);
  assert.deepEqual([types.includes("CREATED"), types.at(-1)], [false, "CANCELLED"]);
});

test("messages wait in order until they are acknowledged, and a watch gives each that comes", async () => {
  const ann = unique("ann");
  await client.claim(ann, [unique("idle")]);
  const values = ["text", new Uint8Array([0, 255]), { page: 3 }, ""];
  for (const value of values) {
    await client.messages.send(ann, value, { headers: { n: "1" }, ttl: 60_000 });
  }
  const found = await all(client.messages.list(ann));
  assert.deepEqual(
    found.map((message) => message.body),
    values,
  );
  assert.deepEqual([found[1]?.to, found[1]?.sequence, found[1]?.headers], [ann, 2, { n: "1" }]);
  const watch = client.messages.watch(ann);
  assert.equal((await watch.next()).value?.id, found[0]?.id);
  assert.equal(await client.messages.acknowledge(ann, found), 4);
  assert.equal(await client.messages.acknowledge(ann, found.slice(1)), 0);
  await assert.rejects(client.messages.send("nobody", "x"), refused(NotFound, "AGENT_NOT_FOUND"));
  await assert.rejects(
    client.messages.send(ann, () => 1),
    refused(InvalidArgument, "INVALID_FIELD"),
  );
});

test("agents write to each other, in order, and acknowledge", async (t) => {
  const [answering, asking] = [agentOf(t, server.address), agentOf(t, server.address)];
  const tell = unique("tell");
  const told = new Told<Message>();
  answering
    .task(unique("idle"), () => undefined)
    .onMessage(async (message, context) => {
      await context.send(message.agent, [message.body], { headers: { correlation_id: message.id } });
    });
  asking
    .task(tell, async (_, context) => {
      const numbers = Array.from({ length: 100 }, (_one, number) => number);
      const sent = await Promise.all(numbers.map((number) => context.send(answering.name, number)));
      return sent.map((receipt) => receipt.messageId);
    })
    .onMessage((message) => {
      told.tell(message);
    });
  await attached(answering);
  await attached(asking);
  const ids = await client.run(tell, "", { timeout: LONG });
  const answers = await told.some(100);
  assert.deepEqual(
    answers.map((answer) => answer.body),
    Array.from({ length: 100 }, (_, number) => [number]),
  );
  assert.deepEqual(
    answers.map((answer) => answer.headers["correlation_id"]),
    ids,
  );
  await drained(asking, answering);
  assert.deepEqual(await all(client.messages.list(asking.name)), []);
});

test("a handler that sends hears what became of it", async (t) => {
  const agent = agentOf(t, server.address);
  const tell = unique("tell");
  agent.task(tell, async (to: string, context) => {
    try {
      return (await context.send(to, "hello", { requestId: tell })).sequence;
    } catch (error) {
      return error instanceof StatusError ? [error.name, error.reason] : String(error);
    }
  });
  await attached(agent);
  assert.equal(await client.run(tell, agent.name, { timeout: LONG }), 1);
  assert.equal(await client.run(tell, agent.name, { timeout: LONG }), 1, "the request id makes it one message");
  assert.deepEqual(await client.run(tell, "nobody", { timeout: LONG }), ["InvalidArgument", "REQUEST_ID_REUSED"]);
  await drained(agent);
});

test("a message whose handler failed comes again before later ones", async (t) => {
  const agent = agentOf(t, server.address);
  const told = new Told<unknown>();
  let failures = 1;
  agent
    .task(unique("idle"), () => undefined)
    .onMessage((message) => {
      told.tell(message.body);
      if (failures > 0) {
        failures -= 1;
        throw new Error("not yet");
      }
    });
  await attached(agent);
  await client.messages.send(agent.name, "first");
  await client.messages.send(agent.name, "second");
  assert.deepEqual(await told.some(3), ["first", "first", "second"]);
  await until("the acknowledgements", async () => (await all(client.messages.list(agent.name))).length === 0);
  await drained(agent);
});
