// Durable steps, against a real server.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { AlreadyExists, Client, StatusError } from "../src/index.js";
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

test("a later attempt is given what an earlier one recorded, and shows where it comes from", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  const ran: unknown[] = [];
  agent.task("read", async (_, context) => {
    const did = <T>(what: T): T => {
      ran.push(what);
      return what;
    };
    const pages: unknown[] = [];
    for (const page of ["first", "second"]) {
      pages.push(await context.step("page", () => did(page)));
    }
    await assert.rejects(
      context.step("fails", () => Promise.reject(did(new RangeError("no")))),
      RangeError,
    );
    if (context.attempt === 1) throw new Error("halfway");
    return [pages, await context.step("sum", () => did({ pages: 2, size: 2n ** 70n }))];
  });
  await attached(agent);
  const task = await client.create("read", "", { retry: RETRY });
  const result = await client.result(task, { timeout: LONG });
  assert.deepEqual(result, [["first", "second"], { pages: 2, size: 2n ** 70n }]);
  assert.deepEqual(
    ran.map((one) => (one instanceof RangeError ? "fails" : one)),
    ["first", "second", "fails", "fails", { pages: 2, size: 2n ** 70n }],
  );
  const steps = await all(client.steps(task, { pageSize: 1 }));
  assert.deepEqual(
    steps.map((step) => [step.name, step.occurrence, step.ordinal, step.attempt, step.value]),
    [
      ["page", 0, 1, 1, "first"],
      ["page", 1, 2, 1, "second"],
      ["sum", 0, 3, 2, { pages: 2, size: 2n ** 70n }],
    ],
  );
  assert.ok(steps.every((step) => step.recordedAt instanceof Date));
  const recorded = (await all(client.history(task))).filter((event) => event.type === "STEP_RECORDED");
  assert.deepEqual(
    recorded.map((event) => [event.step, event.stepOccurrence]),
    [
      ["page", 0],
      ["page", 1],
      ["sum", 0],
    ],
  );
  await drained(agent);
});

test("an agent that takes over goes on behind the steps of the one that is gone", async (t) => {
  const { server, client } = await setUp(t, "--reattach-grace", "100ms");
  const ran = new Told<string>();
  const stuck = gate();
  const make = (name: string): ReturnType<typeof agentOf> =>
    agentOf(t, server.address).task("work", async (_, context) => {
      const first = await context.step("one", () => {
        ran.tell(`one ${name}`);
        return name;
      });
      if (name === "ann") {
        ran.tell("ann is stuck");
        await stuck.opened;
      }
      return [first, await context.step("two", () => name)];
    });
  const ann = await attached(make("ann"));
  const task = await client.create("work", "", { retry: RETRY });
  assert.deepEqual(await ran.some(2), ["one ann", "ann is stuck"]);
  await ann.stop();
  const bob = await attached(make("bob"));
  assert.deepEqual(await client.result(task, { timeout: LONG }), ["ann", "bob"]);
  assert.ok(ran.isEmpty, "the recorded step did not run again");
  stuck.open();
  await drained(bob);
});

test("a step waits while the server is away, and is recorded once it is back", async (t) => {
  const { server, client } = await setUp(t);
  const [began, go] = [new Told<number>(), gate()];
  let runs = 0;
  const agent = agentOf(t, server.address);
  agent.task("work", async (_, context) => {
    began.tell(context.attempt);
    await go.opened;
    return context.step("one", () => (runs += 1));
  });
  await attached(agent);
  const task = await client.create("work");
  await began.next();
  await server.kill();
  await until("the loss of the stream", () => !agent.attached);
  go.open();
  await until("the step's function", () => runs === 1);
  await server.start();
  assert.equal(await client.result(task, { timeout: LONG }), 1);
  assert.deepEqual([runs, (await all(client.steps(task))).length], [1, 1]);
  await drained(agent);
});

test("steps that do not fit into an assignment are fetched", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  let runs = 0;
  agent.task("large", async (_, context) => {
    const sizes: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const part = await context.step("part", () => {
        runs += 1;
        return "x".repeat(700_000 + i);
      });
      sizes.push(part.length);
    }
    if (context.attempt === 1) throw new Error("again");
    return sizes;
  });
  await attached(agent);
  const sizes = await client.run("large", "", { retry: RETRY, timeout: LONG });
  assert.deepEqual([sizes, runs], [[700_000, 700_001, 700_002, 700_003], 4]);
  await drained(agent);
});

test("a run that is opened by hand begins with no steps", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, server.address);
  agent.task("work", async (_, context) => {
    const run = await context.step("run", () => context.run);
    if (run === 1) throw new Error("not this time");
    return run;
  });
  await attached(agent);
  const task = await client.create("work", "", { retry: { maxAttempts: 1 } });
  assert.equal((await client.wait(task, { timeout: LONG })).state, "FAILED");
  await client.retry(task);
  assert.equal(await client.result(task, { timeout: LONG }), 2);
  const values = async (run?: number): Promise<unknown[]> =>
    (await all(client.steps(task, { run }))).map((step) => step.value);
  assert.deepEqual([await values(), await values(1), await values(2), await values(3)], [[2], [1], [2], []]);
  await drained(agent);
});

test("claims have the steps of earlier attempts, and heartbeats record them", async (t) => {
  const { client } = await setUp(t);
  const [type, name] = [unique("t"), unique("ann")];
  await client.create(type, "", { retry: RETRY });
  const [first] = await client.claim(name, [type], { wait: LONG });
  assert.ok(first !== undefined);
  assert.deepEqual([first.steps, first.stepCount], [[], 0]);
  const steps = [
    { name: "one", result: { page: 1 } },
    { name: "one", occurrence: 1, result: "two" },
  ];
  await client.heartbeat(first, { steps });
  await client.heartbeat(first, { steps, progress: 0.5 });
  const other = client.heartbeat(first, { steps: [{ name: "one", result: "another" }], progress: 0.9 });
  await assert.rejects(other, (error) => error instanceof AlreadyExists && error.reason === "STEP_EXISTS");
  assert.equal((await client.get(first.taskId)).progress, 0.5, "all of it, or nothing");
  const large = client.heartbeat(first, { steps: [{ name: "large", result: "x".repeat(1_048_577) }] });
  await assert.rejects(
    large,
    (error) => error instanceof StatusError && error.violations[0]?.field === "steps[0].result",
  );
  await client.fail(first, "halfway");
  const [second] = await client.claim(name, [type], { wait: LONG });
  assert.deepEqual(
    [second?.stepCount, second?.steps.map((step) => [step.name, step.occurrence, step.value])],
    [
      2,
      [
        ["one", 0, { page: 1 }],
        ["one", 1, "two"],
      ],
    ],
  );
});
