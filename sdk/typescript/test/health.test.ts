// What probes are told of an agent, over real sockets.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";

import { HealthServer } from "../src/agent/health.js";
import { CallboardError, Client } from "../src/index.js";
import type { Readiness } from "../src/session/session.js";
import { StatusCode, statusError } from "../src/errors.js";
import { Script } from "./support/script.js";
import { serve } from "./support/server.js";
import { agentOf, attached, drained, gate, Log, LONG, until } from "./support/waiting.js";

/** An address at which no server answers. */
const NOWHERE = "http://127.0.0.1:1";

/** Opens a connection, which is closed with the test. */
async function opened(t: TestContext, address: string): Promise<Socket> {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connect(Number(port), hostname.replaceAll(/[[\]]/g, ""));
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** All that comes until the other side closes the connection. */
async function heard(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("utf8");
  socket.setTimeout(LONG, () => socket.destroy(new Error("the connection was not closed")));
  for await (const part of socket) {
    text += String(part);
  }
  return text;
}

/** What is answered to a request, behind which the connection must be closed: status, content type, body. */
async function asked(t: TestContext, address: string, request: string): Promise<[string, string, string]> {
  const socket = await opened(t, address);
  socket.write(`${request} HTTP/1.1\r\nhost: agent\r\n\r\n`);
  const [head = "", body = ""] = (await heard(socket)).split("\r\n\r\n");
  const status = /^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? head;
  return [status, /^content-type: (.*?)\r?$/im.exec(head)?.[1] ?? "", body];
}

/** The status and the word of `/readyz`. */
async function ready(t: TestContext, address: string): Promise<string> {
  const [status, , word] = await asked(t, address, "GET /readyz");
  return `${status} ${word}`;
}

function unexpected(text: string): void {
  throw new Error(text);
}

async function listening(
  t: TestContext,
  options: { readonly requestWithin?: number; readonly readiness?: () => Readiness } = {},
): Promise<string> {
  const server = new HealthServer({ readiness: () => "connecting", warn: unexpected, ...options });
  t.after(() => server.close());
  return server.listen({ host: "127.0.0.1", port: 0 });
}

test("a session is ready while it is attached and doesn't drain", () => {
  const s = new Script();
  const { session } = s;
  assert.equal(session.readiness, "connecting");
  s.attach();
  assert.equal(session.readiness, "attached");
  s.drop(statusError(StatusCode.UNAVAILABLE, "gone"));
  assert.equal(session.readiness, "connecting");
  s.attach({ epoch: 2n });
  s.assign(["t1"]);
  session.drain(s.now);
  assert.equal(session.readiness, "draining");
  s.drop();
  assert.equal(session.readiness, "draining", "also while it is away");
  session.stop();
  assert.equal(session.readiness, "stopped");
});

test("probes are told a word, and everybody else nothing", async (t) => {
  let readiness: Readiness = "connecting";
  const address = await listening(t, { readiness: () => readiness });
  const text = "text/plain; charset=utf-8";
  assert.deepEqual(await asked(t, address, "GET /healthz"), ["200", text, "ok"]);
  assert.deepEqual(await asked(t, address, "GET /healthz?probe=1"), ["200", text, "ok"]);
  for (readiness of ["connecting", "draining", "stopped"] as const) {
    assert.deepEqual(await asked(t, address, "GET /readyz"), ["503", text, readiness]);
  }
  readiness = "attached";
  assert.deepEqual(await asked(t, address, "GET /readyz"), ["200", text, "attached"]);
  for (const path of ["/", "/healthz/", "/metrics", "*"]) {
    assert.deepEqual(await asked(t, address, `GET ${path}`), ["404", text, ""]);
  }
  for (const method of ["POST", "HEAD", "DELETE"]) {
    assert.deepEqual(await asked(t, address, `${method} /readyz`), ["405", text, ""]);
  }
  assert.equal((await asked(t, address, "nonsense"))[0], "400");
});

test("a connection that asks nothing, or not to the end, is closed", async (t) => {
  const address = await listening(t, { requestWithin: 100 });
  for (const beginning of ["", "GET /healthz HTTP/1.1\r\nhost: ag", "POST / HTTP/1.1\r\ncontent-length: 9\r\n"]) {
    const socket = await opened(t, address);
    socket.write(beginning);
    assert.doesNotMatch(await heard(socket), /^HTTP\/1\.1 200/);
  }
});

test("more headers than a probe has are refused", async (t) => {
  const address = await listening(t);
  assert.equal((await asked(t, address, `GET /healthz?${"x".repeat(9_000)}`))[0], "431");
});

test("at most 64 connections are open at once", async (t) => {
  const address = await listening(t);
  const open = await Promise.all(Array.from({ length: 64 }, () => opened(t, address)));
  // They are accepted in their order: by the time of this one the server has the others.
  assert.equal(await heard(await opened(t, address)), "");
  open[0]?.destroy();
  await until("room for another", async () => (await asked(t, address, "GET /healthz").catch(() => []))[2] === "ok");
});

test("readiness follows an agent from before it attaches to its end", async (t) => {
  const server = await serve(t);
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  const [working, finish] = [gate(), gate()];
  const agent = agentOf(t, server.address, { health: "127.0.0.1:0" });
  agent.task("wait", async () => {
    working.open();
    await finish.opened;
  });
  assert.equal(agent.healthAddress, undefined);
  await server.stop();
  agent.start();
  const address = await until("the agent to listen", () => agent.healthAddress);
  assert.match(address, /^127\.0\.0\.1:[1-9]\d*$/);
  assert.equal(await ready(t, address), "503 connecting");
  await server.start();
  assert.ok(await agent.waitAttached(LONG));
  assert.equal(await ready(t, address), "200 attached");
  const task = await client.create("wait");
  await working.opened;
  agent.drain();
  await until("the drain", async () => (await ready(t, address)) === "503 draining");
  assert.equal((await asked(t, address, "GET /healthz"))[2], "ok");
  finish.open();
  assert.ok(await agent.wait(LONG));
  assert.ok((await client.get(task)).ended);
  assert.equal(agent.healthAddress, undefined);
  await assert.rejects(opened(t, address), { code: "ECONNREFUSED" });
});

test("probes are answered while a handler burns the processor", async (t) => {
  const server = await serve(t);
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  // 1: the handler has begun, and lets nothing else run on its thread; 2: the probe, on a thread of its own, has its answers.
  const stage = new Int32Array(new SharedArrayBuffer(4));
  const agent = agentOf(t, server.address, { health: "127.0.0.1:0" });
  agent.task("burn", () => {
    Atomics.store(stage, 0, 1);
    Atomics.notify(stage, 0);
    const patience = performance.now() + LONG;
    while (Atomics.load(stage, 0) !== 2 && performance.now() < patience);
    return Atomics.load(stage, 0);
  });
  await attached(agent);
  const script = `
    const { parentPort, workerData: { stage, address, patience } } = require("node:worker_threads");
    parentPort.postMessage("up");
    Atomics.wait(stage, 0, 0, patience);
    const ask = async (path) => (await fetch("http://" + address + path)).text();
    Promise.all(["/healthz", "/readyz"].map(ask)).then((words) => {
      Atomics.store(stage, 0, 2);
      parentPort.postMessage(words);
    });`;
  const probe = new Worker(script, { eval: true, workerData: { stage, address: agent.healthAddress, patience: LONG } });
  t.after(() => probe.terminate());
  await once(probe, "message");
  const words = once(probe, "message");
  assert.equal(await client.run("burn", "", { timeout: 2 * LONG }), 2, "the answers came while it burnt");
  assert.deepEqual(await words, [["ok", "attached"]]);
  await drained(agent);
});

test("an agent that can't listen for probes fails before anything else", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const bound = taken.address();
  assert.ok(bound !== null && typeof bound === "object");
  const log = new Log();
  const agent = agentOf(t, NOWHERE, { health: `127.0.0.1:${String(bound.port)}`, logger: log });
  agent.task("t", () => undefined);
  const refusal = (error: unknown): boolean =>
    error instanceof CallboardError && /health can't be listened at: .*EADDRINUSE/.test(error.message);
  await assert.rejects(agent.run({ handleSignals: false }), refusal);
  await assert.rejects(agent.waitAttached(), refusal);
  assert.deepEqual(
    log.lines.filter((line) => line.includes("attaching")),
    [],
  );
});

test("an agent that is stopped at once has ended, and listens no more", async (t) => {
  const agent = agentOf(t, NOWHERE, { health: "localhost:0" });
  agent.task("t", () => undefined);
  agent.start();
  await agent.stop();
  assert.equal(agent.healthAddress, undefined);
});

test("IPv6 addresses are told in brackets", async (t) => {
  const server = new HealthServer({ readiness: () => "attached", warn: unexpected });
  let address: string;
  try {
    address = await server.listen({ host: "::1", port: 0 });
  } catch {
    t.skip("this machine has no IPv6");
    return;
  }
  t.after(() => server.close());
  assert.match(address, /^\[::1\]:\d+$/);
  assert.equal(await ready(t, address), "200 attached");
});
