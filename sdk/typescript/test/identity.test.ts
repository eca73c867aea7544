// Tokens, TLS, client certificates, and whose an agent's name is, against a real server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import {
  Client,
  type ClientOptions,
  type CredentialOptions,
  DeadlineExceeded,
  NotFound,
  PermissionDenied,
  StatusCode,
  StatusError,
  Unavailable,
} from "../src/index.js";
import { directory, Identities, REPOSITORY, serve } from "./support/server.js";
import { agentOf, all, attached, drained, gate, Log, LONG, Told, until } from "./support/waiting.js";

const file = (name: string): string => join(REPOSITORY, "sdk/typescript/test/certificates", `${name}.pem`);
const certificate = (name: string): CredentialOptions => {
  return { ca: file("ca"), clientCert: file(name), clientKey: file(`${name}-key`) };
};
const TLS = ["--tls-cert", file("server"), "--tls-key", file("server-key"), "--tls-client-ca", file("ca")];

function client(t: TestContext, options: ClientOptions): Client {
  const made = new Client(options);
  t.after(() => {
    made.close();
  });
  return made;
}

function refused(code: StatusCode, reason: string, secret = "none"): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StatusError);
    assert.deepEqual([error.code, error.reason], [code, reason]);
    return !`${String(error)}${error.stack ?? ""}`.includes(secret);
  };
}

test("who asks is told by token, file and certificate", async (t) => {
  const identities = new Identities(t);
  const token = identities.token("ci", ["submitter"]);
  identities.certificate("fleet", "fleet.example.org", ["submitter"]);
  const tokenFile = join(directory(t), "token");
  writeFileSync(tokenFile, `${token}\n`);
  const { address } = await serve(t, "--identities", identities.path, ...TLS);
  assert.ok(address.startsWith("https://"));
  const fleet = certificate("fleet");
  const cases: readonly [string, CredentialOptions][] = [
    ["ci", { ca: file("ca"), token }],
    ["ci", { ca: file("ca"), tokenFile }],
    ["fleet", fleet],
    ["ci", { ...fleet, token }],
  ];
  for (const [principal, credentials] of cases) {
    const one = client(t, { address, ...credentials });
    assert.equal((await one.get(await one.create("echo"))).createdBy, principal);
  }
  const wrong = `callboard_${"w".repeat(43)}`;
  const strangers: readonly [CredentialOptions, string][] = [
    [{ ca: file("ca") }, "CREDENTIALS_MISSING"],
    [{ ca: file("ca"), token: wrong }, "CREDENTIALS_INVALID"],
    [certificate("stranger"), "CREDENTIALS_INVALID"],
  ];
  for (const [credentials, reason] of strangers) {
    const one = client(t, { address, ...credentials });
    await assert.rejects(one.create("echo"), refused(StatusCode.UNAUTHENTICATED, reason, wrong));
    await assert.rejects(all(one.watch()), refused(StatusCode.UNAUTHENTICATED, reason, wrong));
  }
});

test("only the right server is spoken to, and only with the right certificate", async (t) => {
  const identities = new Identities(t);
  const token = identities.token("ci", ["submitter"]);
  const { address } = await serve(t, "--identities", identities.path, ...TLS);
  const forged = { ...certificate("forged"), ca: file("ca") };
  const isAway = (error: unknown): boolean => error instanceof Unavailable || error instanceof DeadlineExceeded;
  await assert.rejects(client(t, { address, token, ca: file("other-ca"), timeout: 3_000 }).create("echo"), Unavailable);
  await assert.rejects(client(t, { address, token, timeout: 3_000 }).create("echo"), Unavailable);
  // With TLS 1.3 a server refuses a certificate when the connection seems to stand already.
  await assert.rejects(client(t, { address, ...forged, timeout: 1_000 }).create("echo"), isAway);
  // Node's HTTP/2 doesn't say that a server which speaks TLS alone has hung up on it.
  const plain = client(t, { address: address.replace("https", "http"), token, timeout: 1_000 });
  await assert.rejects(plain.create("echo"), isAway);
});

test("an agent works over TLS with a token and with a certificate", async (t) => {
  const identities = new Identities(t);
  const submitter = identities.token("ci", ["submitter"]);
  const token = identities.token("ann", ["agent"]);
  identities.certificate("fleet", "fleet.example.org", ["agent"]);
  const { address } = await serve(t, "--identities", identities.path, ...TLS);
  const asking = client(t, { address, token: submitter, ca: file("ca") });
  for (const [name, credentials] of [
    ["ann", { token, ca: file("ca") }],
    ["fleet", certificate("fleet")],
  ] as const) {
    const agent = agentOf(t, address, { name, ...credentials });
    agent.task("echo", (input) => input);
    await attached(agent);
    assert.equal(await asking.run("echo", "hello", { timeout: LONG }), "hello");
    assert.equal((await asking.agents.get(name)).principal, name);
    await drained(agent);
  }
});

test("roles, namespaces and names are what they are", async (t) => {
  const identities = new Identities(t);
  const [ann, bob] = [identities.token("ann", ["agent", "viewer"]), identities.token("bob", ["agent"])];
  const { address } = await serve(t, "--identities", identities.path);
  const viewer = client(t, { address, token: ann });
  await assert.rejects(viewer.create("echo"), refused(StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"));
  const elsewhere = client(t, { address, token: ann, namespace: "nowhere" });
  await assert.rejects(all(elsewhere.list()), (error) => {
    return error instanceof NotFound && error.reason === "NAMESPACE_NOT_FOUND";
  });
  const first = agentOf(t, address, { name: "worker", token: ann });
  first.task("echo", (input) => input);
  await attached(first);
  const thief = agentOf(t, address, { name: "worker", token: bob });
  thief.task("echo", (input) => input);
  await assert.rejects(thief.run({ handleSignals: false }), (error) => {
    return error instanceof PermissionDenied && error.reason === "NOT_YOUR_AGENT";
  });
  assert.ok(first.attached);
  await drained(first);
});

test("who is revoked loses its streams, and its handlers are told to stop", async (t) => {
  const identities = new Identities(t);
  const token = identities.token("loses", ["agent", "submitter"]);
  const { address } = await serve(t, "--identities", identities.path);
  const agent = agentOf(t, address, { token });
  const told = new Told<string>();
  agent.task("stuck", async (_, context) => {
    told.tell("began");
    await once(context.signal, "abort");
    told.tell("stopped");
  });
  await attached(agent);
  const loser = client(t, { address, token });
  const watch = loser.watch(await loser.create("stuck"));
  assert.deepEqual([await told.next(), (await watch.next()).value?.type], ["began", "CREATED"]);
  identities.revoke(token);
  await assert.rejects(agent.wait(LONG), refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID", token));
  assert.equal(await told.next(), "stopped");
  await assert.rejects(all(watch), refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID", token));
});

test("a token is changed while an agent runs, and is in no log", async (t) => {
  const identities = new Identities(t);
  const tokenFile = join(directory(t), "token");
  const old = identities.token("ann", ["agent", "viewer"]);
  writeFileSync(tokenFile, old);
  const server = await serve(t, "--identities", identities.path, "--log", "trace");
  const { address } = server;
  const asking = client(t, { address, token: identities.token("ci", ["submitter"]) });
  const logger = new Log();
  const agent = agentOf(t, address, { tokenFile, logger });
  const [began, go] = [new Told<number>(), gate()];
  agent.task("slow", async (_, context) => {
    began.tell(context.attempt);
    await go.opened;
    return "done";
  });
  await attached(agent);
  const own = client(t, { address, tokenFile });
  const task = await until("the token to be known", () => asking.create("slow").catch(() => undefined));
  assert.equal(await began.next(), 1);
  const watch = own.watch(task, { untilEnded: true });
  assert.equal((await watch.next()).value?.type, "CREATED");
  const epoch = agent.sessionEpoch;
  const fresh = identities.token("ann", ["agent", "viewer"]);
  writeFileSync(tokenFile, fresh);
  identities.revoke(old);
  await until("the session with the new token", () => agent.attached && agent.sessionEpoch > epoch);
  go.open();
  assert.equal(await asking.result(task, { timeout: LONG }), "done");
  assert.equal((await own.get(task)).attempt, 1, "the same attempt went on");
  assert.equal((await all(watch)).at(-1)?.type, "COMPLETED", "and so did who watched it");
  await drained(agent);
  for (const token of [old, fresh]) {
    assert.ok(!server.log().includes(token) && !logger.lines.join("\n").includes(token));
  }
});
