// Agents, against a real server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import {
  Agent,
  type AgentOptions,
  Cancelled,
  Client,
  Context,
  NotFound,
  StatusError,
  TaskError,
} from "../src/index.js";
import { environment, serve, type Server } from "./support/server.js";
import { agentOf, all, attached, drained, gate, Log, LONG, Told, until } from "./support/waiting.js";

async function setUp(
  t: TestContext,
  options: AgentOptions = {},
  args: readonly string[] = [],
): Promise<{ server: Server; client: Client; agent: Agent }> {
  const server = await serve(t, ...args);
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  return { server, client, agent: agentOf(t, server.address, options) };
}

/** Burns the processor, and never lets anything else run on its thread. */
function burn(milliseconds: number, each: () => void = () => undefined): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until) {
    each();
  }
}

test("a handler that burns its processor for three leases keeps its lease", async (t) => {
  const { client, agent } = await setUp(t, {}, ["--stream-lease", "1s", "--reattach-grace", "0s"]);
  agent.task("burn", () => {
    burn(3_000);
    return "burnt";
  });
  await attached(agent);
  const epoch = agent.sessionEpoch;
  const task = await client.create("burn");
  assert.equal(await client.result(task, { timeout: LONG }), "burnt");
  const events = (await all(client.history(task))).map((event) => event.type);
  assert.deepEqual(events, ["CREATED", "ASSIGNED", "STARTED", "COMPLETED"]);
  assert.equal(agent.sessionEpoch, epoch, "it was never away");
  await drained(agent);
});

test("progress goes out while its handler burns the processor", async (t) => {
  const { server, client, agent } = await setUp(t);
  // A client on this thread can't look while the handler burns: another process does, from before it begins.
  const script = `
    import { Client } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
    const client = new Client();
    console.log("looking");
    for (let task; task?.progressMessage !== "burning"; task = await client.get(process.argv[1])) {
      if (task?.ended) process.exit(1);
    }`;
  const task = await client.create("burn");
  const looker = spawn(process.execPath, ["--input-type=module", "-e", script, task.taskId], {
    env: { ...environment, CALLBOARD_ADDRESS: server.address },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(looker, "exit");
  await once(looker.stdout, "data");
  agent.task("burn", (_, context) => {
    burn(3_000, () => {
      context.progress(0.5, "executing", "burning");
    });
  });
  await attached(agent);
  await client.result(task, { timeout: LONG });
  assert.deepEqual(await exit, [0, null]);
  await drained(agent);
});

test("a handler has its context, and its result is the task's", async (t) => {
  const { client, agent } = await setUp(t);
  agent.task("work", (input, context) => {
    assert.ok(context instanceof Context);
    const { attempt, run, attemptsUsed, type, namespace, headers, metadata, description } = context;
    return { input, attempt, run, attemptsUsed, type, namespace, headers, metadata, description };
  });
  agent.task("deadline", (_, context) => [context.deadline, context.payload.contentType, context.checkpoint]);
  await attached(agent);
  const options = { headers: { h: "1" }, metadata: { m: "2" }, description: "about", timeout: LONG };
  assert.deepEqual(await client.run("work", { a: [2n ** 70n] }, options), {
    input: { a: [2n ** 70n] },
    attempt: 1,
    run: 1,
    attemptsUsed: 0,
    type: "work",
    namespace: "default",
    headers: { h: "1" },
    metadata: { m: "2" },
    description: "about",
  });
  const parse = (value: unknown): unknown[] => value as unknown[];
  const [deadline, contentType, checkpoint] = await client.run("deadline", "text", { timeout: LONG, parse });
  assert.ok(new Date(String(deadline)).getTime() > Date.now());
  assert.deepEqual([contentType, checkpoint], ["text/plain", null]);
  await drained(agent);
});

test("bytes that a handler gives may be a view of more", async (t) => {
  const { client, agent } = await setUp(t);
  agent.task("cut", () => Buffer.from("beginning and end").subarray(0, 9));
  await attached(agent);
  assert.deepEqual(await client.run("cut", "", { timeout: LONG }), new Uint8Array(Buffer.from("beginning")));
  await drained(agent);
});

test("a checkpoint is what the next attempt begins from", async (t) => {
  const { client, agent } = await setUp(t);
  agent.task("steps", async (_, context) => {
    if (context.checkpoint === undefined) {
      await context.saveCheckpoint({ step: context.attempt });
      throw new Error("halfway");
    }
    return context.checkpoint;
  });
  await attached(agent);
  const retry = { initialBackoff: 1 };
  assert.deepEqual(await client.run("steps", "", { retry, timeout: LONG }), { step: 1 });
  await drained(agent);
});

test("errors are failures, and what can't be converted fails for good", async (t) => {
  const { client, agent } = await setUp(t, { slots: 4 });
  class NoLuck extends Error {}
  agent.task("broken", () => {
    throw new NoLuck("today", { cause: new TypeError("why") });
  });
  agent.task("typed", () => Promise.reject(new TaskError("no", { type: "No", retryable: false, details: { a: 1 } })));
  agent.task("unsendable", () => () => undefined);
  agent.task("large", () => "x".repeat(1_048_577));
  agent.task("parsed", (input: number) => input, {
    parse: (value) => {
      if (typeof value !== "number") throw new TypeError("not a number");
      return value;
    },
  });
  await attached(agent);
  const failureOf = async (type: string, input: unknown = ""): Promise<unknown[]> => {
    const task = await client.wait(await client.create(type, input, { retry: { maxAttempts: 1 } }), { timeout: LONG });
    const failure = task.failure;
    return [task.state, failure?.type, failure?.message, failure?.retryable, failure?.cause?.type, failure?.details];
  };
  assert.deepEqual(await failureOf("broken"), ["FAILED", "NoLuck", "today", true, "TypeError", undefined]);
  assert.deepEqual(await failureOf("typed"), ["FAILED", "No", "no", false, undefined, { a: 1 }]);
  assert.deepEqual((await failureOf("unsendable")).slice(0, 2), ["FAILED", "InvalidResult"]);
  assert.deepEqual((await failureOf("large")).slice(0, 2), ["FAILED", "InvalidResult"]);
  assert.deepEqual((await failureOf("parsed", "one")).slice(0, 2), ["FAILED", "InvalidInput"]);
  assert.equal(await client.run("parsed", 7, { timeout: LONG }), 7);
  await drained(agent);
});

test("a cancellation aborts the handler's signal, and what it throws then is a cancellation", async (t) => {
  const logger = new Log();
  const { client, agent } = await setUp(t, { slots: 3, logger });
  const began = new Told<string>();
  const reasons: unknown[] = [];
  agent.task("timer", async (_, context) => {
    began.tell("timer");
    await sleep(LONG, undefined, { signal: context.signal });
  });
  agent.task("polling", async (_, context) => {
    began.tell("polling");
    while (!context.cancelled) await sleep(5);
    reasons.push(context.signal.reason);
    context.signal.throwIfAborted();
  });
  agent.task("saving", async (_, context) => {
    began.tell("saving");
    while (!context.cancelled) await sleep(5);
    await context.saveCheckpoint("too late");
  });
  await attached(agent);
  const tasks = await Promise.all(["timer", "polling", "saving"].map((type) => client.create(type)));
  await began.some(3);
  for (const task of tasks) {
    await client.cancel(task, "enough");
  }
  for (const task of tasks) {
    const ended = await client.wait(task, { timeout: LONG });
    assert.deepEqual([ended.state, ended.attempt], ["CANCELLED", 1]);
  }
  assert.ok(reasons[0] instanceof Cancelled);
  // An error that is none would have been logged.
  assert.deepEqual(
    logger.lines.filter((line) => line.includes("failed")),
    [],
  );
  await drained(agent);
});

test("dependencies are given with their results, also those that came truncated", async (t) => {
  const { client, agent } = await setUp(t, { slots: 4 });
  agent.task("large", (input) => String(input).repeat(900_000));
  agent.task("lengths", (_, context) => context.dependencies.map((one) => [one.state, String(one.value).length]));
  await attached(agent);
  const parts = await client.createAll(["a", "b", "c"].map((input) => ({ type: "large", input })));
  const lengths = await client.run("lengths", "", { dependsOn: parts, timeout: LONG });
  assert.deepEqual(lengths, Array(3).fill(["COMPLETED", 900_000]));
  await drained(agent);
});

test("an agent outlives the server: attempts go on, and their reports are committed once", async (t) => {
  const { server, client, agent } = await setUp(t, { slots: 2 });
  const [began, go] = [new Told<number>(), gate()];
  agent.task("slow", async (_, context) => {
    began.tell(context.attempt);
    await go.opened;
    return "done";
  });
  await attached(agent);
  const [whileAway, afterwards] = await client.createAll([{ type: "slow" }, { type: "slow" }]);
  assert.ok(whileAway !== undefined && afterwards !== undefined);
  assert.deepEqual(await began.some(2), [1, 1]);
  const [id, epoch] = [agent.agentId, agent.sessionEpoch];
  await server.kill();
  await until("the loss of the stream", () => !agent.attached);
  assert.equal(await agent.waitAttached(0), false);
  go.open();
  await server.start();
  assert.ok(await agent.waitAttached(LONG));
  for (const task of [whileAway, afterwards]) {
    assert.equal(await client.result(task, { timeout: LONG }), "done");
    assert.equal((await client.get(task)).attempt, 1);
  }
  assert.ok(agent.agentId === id && agent.sessionEpoch > epoch);
  await drained(agent);
  assert.ok(!agent.attached && !(await agent.waitAttached(0)));
});

test("an agent goes to the next address, and stays when the first comes back", async (t) => {
  const { server, client } = await setUp(t);
  const agent = agentOf(t, `http://127.0.0.1:1,${server.address}`);
  agent.task("echo", (input) => input);
  await attached(agent);
  assert.equal(await client.run("echo", "hello", { timeout: LONG }), "hello");
  await drained(agent);
});

test("a program that takes the name ends the one that has it, whose handlers are told to stop", async (t) => {
  const { server, client, agent } = await setUp(t, { name: "ann" });
  const [began, stopped] = [new Told<string>(), new Told<string>()];
  agent.task("stuck", async (_, context) => {
    began.tell(context.taskId);
    await once(context.signal, "abort");
    stopped.tell(context.taskId);
  });
  await attached(agent);
  const task = await client.create("stuck");
  await began.next();
  const other = agentOf(t, server.address, { name: "ann" });
  other.task("stuck", () => "mine");
  await attached(other);
  await assert.rejects(
    agent.wait(LONG),
    (error) => error instanceof StatusError && error.reason === "SESSION_SUPERSEDED",
  );
  assert.equal(await stopped.next(), task.taskId);
  assert.equal(await client.result(task, { timeout: LONG }), "mine");
  await drained(other);
});

test("a drain lets handlers end, and hands back what runs too long", async (t) => {
  const { client, agent } = await setUp(t, { slots: 2 });
  const [began, go] = [new Told<string>(), gate()];
  agent.task("work", async (input, context) => {
    began.tell(String(input));
    await (input === "ends" ? go.opened : once(context.signal, "abort"));
    return input;
  });
  await attached(agent);
  const [ends, stays] = await client.createAll(["ends", "stays"].map((input) => ({ type: "work", input })));
  assert.ok(ends !== undefined && stays !== undefined);
  await began.some(2);
  agent.drain(1_500);
  const late = await client.create("work", "late");
  go.open();
  assert.equal(await client.result(ends, { timeout: LONG }), "ends");
  assert.ok(await agent.wait(LONG));
  assert.equal((await client.get(late)).attempt, 0);
  const history = await all(client.history(stays));
  assert.ok(history.some((event) => event.type === "HANDED_BACK" && event.reason.includes("drain")));
});

const PROGRAM = `
  import { setTimeout as sleep } from "node:timers/promises";
  import { Agent } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
  const agent = new Agent("greeter");
  agent.task("greet", async (input, { signal }) => { await sleep(Number(input), undefined, { signal }); return "done"; });
  await agent.run();
  console.log("drained");`;

test(
  "SIGTERM drains a program, and a second signal ends it at once",
  { skip: process.platform === "win32" },
  async (t) => {
    const { server, client } = await setUp(t, {}, ["--reattach-grace", "100ms"]);
    const start = (): ReturnType<typeof spawn> => {
      const env = { ...environment, CALLBOARD_ADDRESS: server.address };
      const stdio = ["ignore", "pipe", "pipe"] as const;
      const program = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], { env, stdio: [...stdio] });
      t.after(() => program.kill("SIGKILL"));
      return program;
    };
    const running = async (input: number): Promise<string> => {
      const { taskId } = await client.create("greet", input);
      await until("its start", async () => (await client.get(taskId)).state === "RUNNING");
      return taskId;
    };
    const first = start();
    const said: string[] = [];
    first.stdout?.on("data", (chunk) => said.push(String(chunk)));
    first.stderr?.on("data", (chunk) => said.push(String(chunk)));
    let exit = once(first, "exit");
    const task = await running(1_000);
    first.kill("SIGTERM");
    assert.equal(await client.result(task, { timeout: LONG }), "done");
    assert.deepEqual(await exit, [0, null]);
    assert.deepEqual(said, ["drained\n"]);
    const second = start();
    exit = once(second, "exit");
    const stays = await running(60_000);
    second.kill("SIGTERM");
    await until("the drain", async () => {
      const { agent } = await client.get(stays);
      return (await client.agents.get(agent)).state === "DRAINING";
    });
    second.kill("SIGINT");
    assert.deepEqual(await exit, [0, null]);
  },
);

test("who waits hears why the agent can not attach", async (t) => {
  const { server } = await setUp(t);
  const agent = agentOf(t, server.address, { namespace: "nowhere" });
  agent.task("t", () => undefined);
  agent.start();
  await assert.rejects(
    agent.waitAttached(LONG),
    (error) => error instanceof NotFound && error.reason === "NAMESPACE_NOT_FOUND",
  );
});

test("handlers have a client, which ends with the agent", async (t) => {
  const { client, agent } = await setUp(t, { slots: 2 });
  let own: Client | undefined;
  agent.task("double", (input: number) => 2 * input);
  agent.task("ask", async (input, context) => {
    own = context.client;
    own.close();
    return context.client.run("double", input);
  });
  await attached(agent);
  assert.equal(await client.run("ask", 21, { timeout: LONG }), 42, "closing it ends nothing of the agent's");
  await drained(agent);
  await assert.rejects(async () => own?.get("x"), /closed/);
});

test("what is wrong with an agent is said at once", () => {
  const agent = new Agent("greeter", { slots: 2 }).task("greet", (input) => input);
  assert.throws(() => agent.task("greet", () => undefined), /greet.*already/);
  assert.throws(() => agent.task("", () => undefined), /empty/);
  assert.throws(() => {
    new Agent().start();
  }, /no handlers/);
  assert.throws(() => {
    agent.drain();
  }, /not started/);
  assert.throws(() => new Agent("a", { skills: "python" as never }), /skills/);
  for (const slots of [0, 1_001, 1.5]) {
    assert.throws(() => new Agent("a", { slots }), /slots/);
  }
  assert.match(agent.name, /^greeter-.+-\d+-[0-9a-f]{4}$/);
});

test("progress that would be refused is refused where it can be seen", async (t) => {
  const { client, agent } = await setUp(t);
  agent.task("tell", (_, context) => {
    for (const fraction of [-0.1, 1.1, NaN]) {
      assert.throws(() => {
        context.progress(fraction);
      }, /fraction/);
    }
    assert.throws(() => {
      context.progress(0, "x".repeat(129));
    }, /phase/);
    context.progress(0, "", "ü".repeat(1_000));
  });
  await attached(agent);
  assert.equal(await client.run("tell", "", { timeout: LONG }), null);
  await drained(agent);
});

test("a logger hears what happens, and no token", async (t) => {
  const logger = new Log();
  const { client, agent } = await setUp(t, { logger });
  agent.task("fail", () => {
    throw new Error("no luck");
  });
  await attached(agent);
  await client.wait(await client.create("fail", "", { retry: { maxAttempts: 1 } }), { timeout: LONG });
  await drained(agent);
  assert.ok(logger.lines.some((line) => line.includes("attached to")));
  assert.ok(logger.lines.some((line) => line.includes("no luck")));
});
