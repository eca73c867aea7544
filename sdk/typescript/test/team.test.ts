// Children, output and interceptors, against a real server.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import {
  AlreadyExists,
  Client,
  FailedPrecondition,
  type Interceptor,
  InvalidArgument,
  type OutputChunk,
  ResourceExhausted,
  TaskError,
  TaskFailed,
} from "../src/index.js";
import { serve, type Server } from "./support/server.js";
import { agentOf, all, attached, drained, gate, LONG, Told, unique, until } from "./support/waiting.js";

const RETRY = { initialBackoff: 1 };

async function setUp(t: TestContext, ...args: readonly string[]): Promise<{ server: Server; client: Client }> {
  const server = await serve(t, ...args);
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  return { server, client };
}

const textOf = (chunks: readonly OutputChunk[]): string => chunks.map((chunk) => String(chunk.value)).join("");

// Children.

test("one slot is enough for children of children, in any order", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 1 });
  agent.task("sum", async (depth: number, context) => {
    if (depth === 0) return 1;
    const first = await context.startChild("sum", depth - 1);
    const second = await context.startChild("sum", depth - 1);
    const results = await Promise.all([first, second].map((child) => child.result({ parse: Number })));
    return results.reduce((sum, one) => sum + one, 0);
  });
  await attached(agent);
  const task = await client.create("sum", 3);
  assert.equal(await client.result(task, { timeout: LONG }), 8);
  const children = await all(client.children(task, { pageSize: 1 }));
  assert.deepEqual(
    children.map(({ name, occurrence, ordinal, onParentEnd, task: child }) => {
      return [name, occurrence, ordinal, onParentEnd, child?.state, child?.parent?.taskId];
    }),
    [0, 1].map((index) => ["sum", index, index + 1, "CANCEL", "COMPLETED", task.taskId]),
  );
  const types = (await all(client.history(task))).map((event) => event.type);
  assert.ok(types.includes("PAUSED") && types.includes("RESUMED"), types.join(" "));
  await drained(agent);
});

test("a parent that waits is PAUSED for its children, and its slot is another's", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 1 });
  const { opened, open } = gate();
  agent.task("parent", (_, context) => context.runChild("child", "", { description: "a child" }));
  agent.task("child", async () => {
    await opened;
    return "x".repeat(100_000);
  });
  agent.task("other", () => "done");
  await attached(agent);
  const task = await client.create("parent", "", { headers: { trace: "1" } });
  const paused = await until("the parent to wait", async () => {
    const found = await client.get(task);
    return found.state === "PAUSED" ? found : undefined;
  });
  assert.equal(paused.pausedFor, "CHILDREN");
  const [child] = await all(client.children(task));
  assert.deepEqual([child?.task?.description, child?.task?.headers], ["a child", { trace: "1" }]);
  open();
  assert.equal(await client.run("other", "", { timeout: LONG }), "done");
  // More than a TaskEnd carries.
  assert.equal(String(await client.result(task, { timeout: LONG })).length, 100_000);
  await drained(agent);
});

test("a later attempt is given the child that is there, and what failed is the handler's", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 2 });
  const ran: unknown[] = [];
  agent.task("parent", async (_, context) => {
    const child = await context.startChild("child", context.attempt, { onParentEnd: "DETACH" });
    const result = await child.result();
    if (context.attempt === 1) throw new Error("halfway");
    await assert.rejects(context.runChild("fails", "", { retry: { maxAttempts: 1 } }), TaskFailed);
    return [result, child.existing];
  });
  agent.task("child", (input) => {
    ran.push(input);
    return input;
  });
  agent.task("fails", () => {
    throw new Error("no");
  });
  await attached(agent);
  assert.deepEqual(await client.run("parent", "", { retry: RETRY, timeout: LONG }), [1, true]);
  assert.deepEqual(ran, [1]);
  await drained(agent);
});

test("enough children are enough: the rest is cancelled, also when it has the slot that the parent wants", async (t) => {
  const { server, client } = await setUp(t);
  const [one, other] = [agentOf(t, server.address, { slots: 1 }), agentOf(t, server.address, { slots: 2 })];
  const slow = gate();
  one.task("parent", async (_, context) => {
    const children = [await context.startChild("slow")];
    for (const n of [1, 2]) {
      children.push(await context.startChild("quick", n));
    }
    const tasks = await context.waitChildren(children, { count: 2, rest: "CANCEL" });
    return tasks.map((task) => [task.type, task.state, task.result()]);
  });
  one.task("slow", (_, { signal }) => {
    slow.open();
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        reject(signal.reason as Error);
      });
    });
  });
  other.task("quick", async (n) => {
    await slow.opened;
    return n;
  });
  await attached(one);
  await attached(other);
  const task = await client.create("parent");
  assert.deepEqual(await client.result(task, { timeout: LONG }), [
    ["quick", "COMPLETED", 1],
    ["quick", "COMPLETED", 2],
  ]);
  const [rest] = await all(client.children(task));
  assert.equal((await client.wait(rest?.taskId ?? "", { timeout: LONG })).state, "CANCELLED");
  const types = (await all(client.history(task))).map((event) => event.type);
  const paused = types.filter((type) => type === "PAUSED" || type === "RESUMED");
  assert.deepEqual(paused, ["PAUSED", "RESUMED"]);
  await drained(one, other);
});

test("children that can't be enough any more throw at once, and the rest goes on", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 3 });
  const slow = gate();
  agent.task("parent", async (_, context) => {
    const children = [await context.startChild("slow"), await context.startChild("fails")];
    await assert.rejects(context.waitChildren(children), (error) => {
      return error instanceof TaskFailed && error.task.id === children[1]?.id && error.task.failure?.type === "Broken";
    });
    const [first] = children;
    assert.ok(first !== undefined && !(await client.get(first.id)).cancelRequested);
    slow.open();
    const [task] = await context.waitChildren([first]);
    return task?.result();
  });
  agent.task("slow", async () => {
    await slow.opened;
    return "late";
  });
  agent.task("fails", () => {
    throw new TaskError("no", { type: "Broken", retryable: false });
  });
  await attached(agent);
  assert.equal(await client.run("parent", "", { timeout: LONG }), "late");
  await drained(agent);
});

test("children end with their parent, but those that are detached", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 1 });
  const type = unique("nobody");
  agent.task("parent", async (_, context) => {
    await context.startChild(type);
    await context.startChild(type, "", { name: "free", onParentEnd: "DETACH" });
  });
  await attached(agent);
  const task = await client.create("parent");
  await client.wait(task, { timeout: LONG });
  await until("the cascade", async () => {
    const children = await all(client.children(task));
    return children.map((child) => child.task?.state).join(" ") === "CANCELLED READY";
  });
  await drained(agent);
});

test("a handler that is told to stop stops waiting", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 1 });
  const began = new Told<string>();
  agent.task("parent", async (_, context) => {
    const child = await context.startChild(unique("nobody"));
    began.tell(child.id);
    await child.wait();
  });
  await attached(agent);
  const task = await client.create("parent");
  await began.next();
  await client.cancel(task);
  assert.equal((await client.wait(task, { timeout: LONG })).state, "CANCELLED");
  await drained(agent);
});

test("a claim has children, too", async (t) => {
  const { client } = await setUp(t);
  const type = unique("claimed");
  const task = await client.create(type);
  const [claim] = await client.claim("claimer", [type]);
  assert.ok(claim !== undefined);
  const first = await client.createChild(claim, "child", 1, { name: "one" });
  const again = await client.createChild(claim, "child", 2, { name: "one" });
  assert.deepEqual([again.taskId, first.existing, again.existing], [first.taskId, false, true]);
  const other = await client.createChild(claim, "child", 1, { name: "one", occurrence: 1 });
  assert.notEqual(other.taskId, first.taskId);
  await assert.rejects(client.createChild(claim, "another", 1, { name: "one" }), AlreadyExists);
  await assert.rejects(client.createChild(claim, "child", 1, { name: "x".repeat(129) }), InvalidArgument);
  await client.complete(claim);
  await assert.rejects(client.createChild(claim, "child", 1, { name: "late" }), FailedPrecondition);
  assert.equal((await all(client.children(task))).length, 2);
});

test("waits outlive the server", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address, { slots: 1 });
  const worker = agentOf(t, server.address, { slots: 1 });
  const { opened, open } = gate();
  agent.task("parent", async (_, context) => {
    const children = await Promise.all([1, 2].map((input) => context.startChild("child", input)));
    return Promise.all(children.map((child) => child.result()));
  });
  worker.task("child", async (input) => {
    await opened;
    return input;
  });
  await attached(agent);
  await attached(worker);
  const task = await client.create("parent");
  await until("the parent to wait", async () => (await client.get(task)).state === "PAUSED");
  await server.kill();
  open();
  await server.start();
  assert.deepEqual(await client.result(task, { timeout: LONG }), [1, 2]);
  await drained(agent, worker);
});

// Output.

test("output is watched as it comes, is whole when the task has ended, and stays", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  const seen = new Told<string>();
  const { opened, open } = gate();
  agent.task("tell", async (_, context) => {
    await context.output("é".repeat(50_000));
    await opened;
    for (let index = 0; index < 1_000; index += 1) {
      await context.output(`${String(index)} `);
    }
    await context.output({ partial: true });
    return "done";
  });
  await attached(agent);
  const task = await client.create("tell");
  const watch = client.watchOutput(task);
  const watched: OutputChunk[] = [];
  const watching = (async () => {
    for await (const chunk of watch) {
      watched.push(chunk);
      seen.tell(String(chunk.value));
    }
  })();
  assert.ok((await seen.next()).startsWith("é"));
  open();
  await watching;
  const told = "é".repeat(50_000) + Array.from({ length: 1_000 }, (_, index) => `${String(index)} `).join("");
  assert.equal(textOf(watched.slice(0, -1)), told);
  assert.deepEqual(watched.at(-1)?.value, { partial: true });
  const kept = await all(client.output(task, { pageSize: 1 }));
  assert.deepEqual(
    kept.map(({ offset, value, attempt }) => [offset, value, attempt]),
    watched.map(({ offset, value, attempt }) => [offset, value, attempt]),
  );
  assert.ok(kept.every((chunk) => chunk.givenAt instanceof Date));
  assert.equal(watch.run, 1);
  const rest = await all(client.output(task, { offset: Buffer.byteLength(told) }));
  assert.deepEqual(
    rest.map((chunk) => chunk.value),
    [{ partial: true }],
  );
  assert.deepEqual(await all(client.watchOutput(task, { offset: watch.offset })), []);
  await drained(agent);
});

test("a watch of output goes on where it was when the server was gone, and gives each chunk once", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  const gates = [gate(), gate()];
  agent.task("tell", async (_, context) => {
    await context.output("one ");
    await gates[0]?.opened;
    await context.output("two ");
    await context.saveCheckpoint(1);
    await gates[1]?.opened;
    await context.output("three");
  });
  await attached(agent);
  const task = await client.create("tell");
  const watch = client.watchOutput(task);
  const first = await watch.next();
  assert.equal(first.value?.value, "one ");
  await server.kill();
  gates[0]?.open();
  await server.start();
  const second = await watch.next();
  assert.equal(second.value?.value, "two ");
  gates[1]?.open();
  assert.equal(textOf(await all(watch)), "three");
  await drained(agent);
});

test("each run has its own output, and there is a limit", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  agent.task("tell", async (_, context) => {
    await context.output(`run ${String(context.run)}`);
    if (context.run === 1) throw new Error("no");
    const large = new Uint8Array(1_048_576);
    let told = 0;
    try {
      for (; told < 64; told += 1) await context.output(large);
    } catch (error) {
      assert.ok(error instanceof ResourceExhausted);
      return error.reason;
    }
    return "no limit";
  });
  await attached(agent);
  const task = await client.create("tell", "", { retry: { maxAttempts: 1 } });
  assert.equal((await client.wait(task, { timeout: LONG })).state, "FAILED");
  await client.retry(task);
  assert.equal(await client.result(task, { timeout: LONG }), "LIMIT_REACHED");
  assert.equal(textOf(await all(client.output(task, { run: 1 }))), "run 1");
  const [first] = await all(client.output(task));
  assert.equal(first?.value, "run 2");
  await assert.rejects(client.watchOutput(task, { run: 3 }).next(), FailedPrecondition);
  await drained(agent);
});

// Interceptors.

test("interceptors stand around what is submitted and what is done, the children of handlers included", async (t) => {
  const server = await serve(t);
  const marking = (name: string): Interceptor => ({
    submit: (spec, next) => next({ ...spec, headers: { path: `${spec.headers?.["path"] ?? ""}${name}` } }),
    handle: async (_, input, next) => `${String(await next(input))}${name}`,
  });
  const client = new Client({ address: server.address, interceptors: [marking("a"), marking("b")] });
  t.after(() => {
    client.close();
  });
  const agent = agentOf(t, server.address, { interceptors: [marking("c")] });
  agent.task("path", (_, context) => context.headers["path"]);
  agent.task("parent", (_, context) => context.runChild("path"));
  await attached(agent);
  assert.equal(await client.run("path", "", { timeout: LONG }), "abc");
  assert.equal(await client.run("parent", "", { timeout: LONG }), "ccc");
  const receipts = await client.createAll([{ type: "path" }, { type: "path", headers: { path: "x" } }]);
  const results = await Promise.all(receipts.map((receipt) => client.result(receipt, { timeout: LONG })));
  assert.deepEqual(results, ["abc", "xabc"]);
  await drained(agent);
});
