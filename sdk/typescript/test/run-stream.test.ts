// Runs over a stream of `RunTasks`: with a server that does what no good one does, and with a real one that is killed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Client, InvalidArgument, StatusCode, StatusError, Unavailable } from "../src/index.js";
import { TaskState } from "../src/v1.js";
import { type FakeStream, type RunServer, runServer } from "./support/run-server.js";
import { serve } from "./support/server.js";
import { agentOf, all, attached, gate, LONG } from "./support/waiting.js";

const SDK = fileURLToPath(new URL("../src/index.js", import.meta.url));

function clientOf(t: TestContext, { address }: { readonly address: string }): Client {
  const client = new Client({ address, timeout: LONG });
  t.after(() => {
    client.close();
  });
  return client;
}

/** Has tasks of these ids run; gives the stream that they came over, and what becomes of them. */
async function begun(
  server: RunServer,
  client: Client,
  ...ids: readonly string[]
): Promise<{ readonly stream: FakeStream; readonly results: Promise<unknown[]> }> {
  const results = Promise.all(ids.map((requestId) => client.run("greet", "", { requestId })));
  results.catch(() => undefined);
  const stream = (await server.streams.next()).open();
  const { runs } = await stream.frames.next();
  assert.deepEqual(
    runs.map((run) => run.requestId),
    ids,
  );
  return { stream, results };
}

/** A serialized google.rpc.Status. */
function status(code: number, type: string, detail: Buffer): Uint8Array {
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  const any = Buffer.concat([field(1, Buffer.from(`type.googleapis.com/google.rpc.${type}`)), field(2, detail)]);
  return Buffer.concat([Buffer.from([8, code]), field(2, Buffer.from("no")), field(3, any)]);
}

test("outcomes go to those who asked, in whatever order they come", async (t) => {
  const server = await runServer(t);
  const { stream, results } = await begun(server, clientOf(t, server), "a", "b", "c");
  stream.complete("c", "a");
  stream.complete("b");
  assert.deepEqual(await results, ["a", "b", "c"]);
});

test("a refusal is what a call's would be, and one with RetryInfo is asked again", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const { stream, results } = await begun(server, client, "a");
  // A BadRequest with a violation of `task.type`; a RetryInfo of 10 ms.
  const violation = Buffer.concat([Buffer.from([10, 13, 10, 9]), Buffer.from("task.type"), Buffer.from([18, 0])]);
  const refused = { case: "status", value: status(3, "BadRequest", violation) } as const;
  const retry = { case: "status", value: status(8, "RetryInfo", Buffer.from([10, 5, 16, 128, 173, 226, 4])) } as const;
  stream.tell({ requestId: "a", outcome: retry });
  assert.equal((await stream.frames.next()).runs[0]?.requestId, "a");
  stream.tell({ requestId: "a", outcome: refused });
  await assert.rejects(results, (error) => {
    assert.ok(error instanceof InvalidArgument);
    assert.deepEqual([error.message, error.violations.map(({ field }) => field)], ["no", ["task.type"]]);
    return true;
  });
});

test("a run that is refused for a token that was changed goes again with the new one, and others are not touched", async (t) => {
  const server = await runServer(t);
  const folder = await mkdtemp(join(tmpdir(), "callboard-"));
  t.after(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, "old");
  const client = new Client({ address: server.address, timeout: LONG, tokenFile });
  t.after(() => {
    client.close();
  });
  const refused = { case: "status", value: status(16, "ErrorInfo", Buffer.from([])) } as const;
  const { stream, results } = await begun(server, client, "a", "b", "c");
  assert.equal(stream.authorization, "Bearer old");
  await writeFile(tokenFile, "new");
  stream.tell(
    { requestId: "a", outcome: refused },
    { requestId: "b", outcome: { case: "task", value: { state: TaskState.COMPLETED } } },
  );
  const next = (await server.streams.next()).open();
  assert.equal(next.authorization, "Bearer new");
  assert.deepEqual((await next.frames.next()).runs.map((run) => run.requestId), ["a", "c"]); // prettier-ignore
  await stream.gone();
  next.complete("c");
  // That one is no good either, and there is no other.
  next.tell({ requestId: "a", outcome: refused });
  await assert.rejects(results, (error) => error instanceof StatusError && error.code === StatusCode.UNAUTHENTICATED);
});

test("however a stream breaks, what has no outcome is asked again, and each is answered once", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const breaks: ((stream: FakeStream) => void)[] = [
    (stream) => {
      stream.reset();
    },
    () => {
      server.hangUp();
    },
    (stream) => {
      stream.end("14");
    },
    (stream) => {
      stream.end("0");
    },
  ];
  for (const breakOff of breaks) {
    const { stream, results } = await begun(server, client, "a", "b");
    stream.complete("a");
    await client.run("greet", "", { requestId: "c", signal: AbortSignal.timeout(1) }).catch(() => undefined);
    breakOff(stream);
    const next = (await server.streams.next()).open();
    const { namespace, runs } = await next.frames.next();
    assert.deepEqual([namespace, runs.map((run) => run.requestId)], ["default", ["b"]]);
    next.complete("a", "b");
    assert.deepEqual(await results, ["a", "b"]);
    next.end("0");
  }
});

test("a status that trying again can't help is thrown", async (t) => {
  const server = await runServer(t);
  const { stream, results } = await begun(server, clientOf(t, server), "a");
  stream.end("7");
  await assert.rejects(results, (error) => error instanceof StatusError && error.code === StatusCode.PERMISSION_DENIED);
});

test("a server without the stream gets calls, until the client connects anew", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const first = client.run("greet", "", { requestId: "a" });
  (await server.streams.next()).end("12");
  assert.deepEqual([await first, await client.run("greet", "", { requestId: "b" })], ["a", "b"]);
  assert.deepEqual((await server.calls.some(2)).map((call) => call.requestId), ["a", "b"]); // prettier-ignore
  assert.ok(server.streams.isEmpty);
  // A call that is tried again tells that the client has connected anew.
  client.get("t").catch(() => undefined);
  await server.unanswered.next();
  server.hangUp();
  await server.unanswered.next();
  const { stream, results } = await begun(server, client, "c");
  stream.complete("c");
  assert.deepEqual(await results, ["c"]);
});

test("what a frame would be refused for is left to calls", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const { stream, results } = await begun(server, client, "a");
  const long = "x".repeat(129);
  for (const requestId of ["a", long, ""]) {
    assert.equal(await client.run("greet", "", { requestId }), requestId);
    assert.equal((await server.calls.next()).requestId, requestId);
  }
  stream.complete("a");
  assert.deepEqual(await results, ["a"]);
});

test("a run that is given up throws the signal's reason, and is forgotten", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const abort = new AbortController();
  const given = client.run("greet", "", { requestId: "a", signal: abort.signal });
  const stream = (await server.streams.next()).open();
  await stream.frames.next();
  abort.abort(new RangeError("enough"));
  await assert.rejects(given, RangeError);
  assert.deepEqual((await stream.frames.next()).forgottenIds, ["a"]);
  await assert.rejects(client.run("greet", "", { signal: abort.signal }), RangeError);
  const late = client.run("greet", "", { requestId: "b", timeout: 20 });
  await assert.rejects(late, (error) => error instanceof StatusError && error.code === StatusCode.DEADLINE_EXCEEDED);
  assert.equal((await stream.frames.next()).runs[0]?.requestId, "b");
  assert.deepEqual((await stream.frames.next()).forgottenIds, ["b"]);
});

test("closing the client ends its runs and its stream", async (t) => {
  const server = await runServer(t);
  const client = clientOf(t, server);
  const { stream, results } = await begun(server, client, "a");
  client.close();
  await assert.rejects(results, (error) => error instanceof StatusError && error.code === StatusCode.CANCELLED);
  await stream.gone();
  await assert.rejects(client.run("greet"), /closed/);
});

test("nobody there is UNAVAILABLE when the client's time is over", async () => {
  const client = new Client({ address: "http://127.0.0.1:1", timeout: 200 });
  await assert.rejects(client.run("greet"), Unavailable);
  client.close();
});

test("a program waits for its runs, and an idle stream doesn't keep it", { timeout: LONG }, async (t) => {
  const server = await runServer(t);
  const program = `
    const { Client } = await import(${JSON.stringify(SDK)});
    const client = new Client({ address: ${JSON.stringify(server.address)} });
    console.log(await client.run("greet", "", { requestId: "a" }));`;
  const ended = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  const stream = (await server.streams.next()).open();
  await stream.frames.next();
  stream.complete("a");
  const told = performance.now();
  assert.equal((await ended).stdout.trim(), "a");
  // The stream itself would have ended after 10 s.
  assert.ok(performance.now() - told < 9_000);
  await stream.gone();
});

test("a server that is killed with 64 runs under way: each is answered once, with a task each", async (t) => {
  const server = await serve(t);
  const client = clientOf(t, server);
  const go = gate();
  let working = 0;
  const agent = agentOf(t, server.address, { slots: 64 });
  const busy = gate();
  agent.task("double", async (input) => {
    working += 1;
    if (working === 32) {
      busy.open();
    }
    await go.opened;
    return 2 * Number(input);
  });
  await attached(agent);
  const results = Promise.all(Array.from({ length: 64 }, (_, number) => client.run("double", number)));
  await busy.opened;
  await server.kill();
  await server.start();
  go.open();
  assert.deepEqual(
    await results,
    Array.from({ length: 64 }, (_, number) => 2 * number),
  );
  const tasks = await all(client.list({ type: "double" }));
  assert.deepEqual([tasks.length, tasks.every((task) => task.state === "COMPLETED")], [64, true]);
});
