// Tokens, TLS, settings, retries and errors: where they come from, where they go, and that nothing shows a token.

import assert from "node:assert/strict";
import { unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";

import { cut, date, duration, enumName, milliseconds, timestamp } from "../src/convert.js";
import { type CredentialOptions, type Credentials, REREAD, resolveCredentials } from "../src/credentials.js";
import { failureOf, isCancellation } from "../src/failure.js";
import { uuid7 } from "../src/ids.js";
import { Agent, Client, StatusCode, StatusError, TaskError } from "../src/index.js";
import { Backoff, Retries } from "../src/retry.js";
import { statusError } from "../src/errors.js";
import {
  parseAddress,
  parseAddresses,
  resolveAddresses,
  resolveAgentName,
  resolveHealth,
  resolveNamespace,
} from "../src/settings.js";
import { readDetails } from "../src/status.js";
import { TaskStateSchema } from "../src/v1.js";
import { directory } from "./support/server.js";

const SECRET = "callboard_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const LOOPBACK = parseAddress("http://127.0.0.1:7470");
const REMOTE = parseAddress("http://callboard.example:7470");
const SECURE = parseAddress("https://callboard.example:7470");

function resolve(
  environment: Record<string, string>,
  options: CredentialOptions = {},
  now?: () => number,
): Credentials {
  return resolveCredentials(options, environment, now);
}

test("an option wins over the environment", (t) => {
  const file = join(directory(t), "token");
  writeFileSync(file, "from-file\n");
  const environment = { CALLBOARD_TOKEN: "from-environment" };
  const sent = (credentials: Credentials): string | undefined => credentials.authorization(LOOPBACK);
  assert.equal(sent(resolve(environment)), "Bearer from-environment");
  assert.equal(sent(resolve(environment, { token: "given" })), "Bearer given");
  assert.equal(sent(resolve(environment, { tokenFile: file })), "Bearer from-file");
  assert.equal(sent(resolve({ CALLBOARD_TOKEN_FILE: file })), "Bearer from-file");
  assert.equal(sent(resolve({ CALLBOARD_TOKEN: "" })), undefined);
});

test("two tokens, no token and half a certificate are refused", (t) => {
  const empty = join(directory(t), "empty");
  writeFileSync(empty, "\n");
  const cases: readonly [Record<string, string>, CredentialOptions, RegExp][] = [
    [{}, { token: "a", tokenFile: "b" }, /one of them/],
    [{ CALLBOARD_TOKEN: "a", CALLBOARD_TOKEN_FILE: "b" }, {}, /one of them/],
    [{}, { token: "two words" }, /token holds no token/],
    [{}, { token: "a\nb" }, /token holds no token/],
    [{}, { tokenFile: empty }, /tokenFile.*holds no token/],
    [{}, { tokenFile: `${empty}-not` }, /can't be read: ENOENT/],
    [{ CALLBOARD_CA: `${empty}-not` }, {}, /^ca /],
    [{ CALLBOARD_CLIENT_CERT: empty }, {}, /clientKey is missing/],
    [{ CALLBOARD_ALLOW_PLAINTEXT: "maybe" }, {}, /CALLBOARD_ALLOW_PLAINTEXT/],
  ];
  for (const [environment, options, message] of cases) {
    assert.throws(() => resolve(environment, options), { name: "TypeError", message });
  }
});

test("a token is not told where it can be read on the way", () => {
  const careful = resolve({ CALLBOARD_TOKEN: SECRET });
  careful.check([LOOPBACK, SECURE]);
  const isCareful = (error: unknown): boolean =>
    error instanceof TypeError && error.message.includes("allowPlaintext") && !error.message.includes(SECRET);
  assert.throws(() => {
    careful.check([SECURE, REMOTE]);
  }, isCareful);
  assert.equal(careful.authorization(REMOTE), undefined, "nor where a server sends its agents to");
  assert.equal(careful.authorization(SECURE), `Bearer ${SECRET}`);
  const bold = resolve({ CALLBOARD_TOKEN: SECRET, CALLBOARD_ALLOW_PLAINTEXT: "true" });
  bold.check([REMOTE]);
  assert.equal(bold.authorization(REMOTE), `Bearer ${SECRET}`);
  assert.throws(() => new Client({ address: REMOTE.url, token: SECRET }), isCareful);
  assert.throws(() => new Agent("t", { address: REMOTE.url, token: SECRET }), isCareful);
});

test("a token file is read again, and at once when the server refuses the old one", (t) => {
  const file = join(directory(t), "token");
  let now = 100;
  writeFileSync(file, "old");
  const credentials = resolve({}, { tokenFile: file }, () => now);
  writeFileSync(file, "new");
  assert.equal(credentials.authorization(LOOPBACK), "Bearer old");
  const refused = statusError(StatusCode.UNAUTHENTICATED, "no");
  assert.ok(!credentials.isRenewed(statusError(StatusCode.UNAVAILABLE, "no"), "Bearer old"));
  assert.ok(credentials.isRenewed(refused, "Bearer old"));
  assert.ok(!credentials.isRenewed(refused, "Bearer new"));
  writeFileSync(file, "newer");
  now += REREAD;
  assert.equal(credentials.authorization(LOOPBACK), "Bearer newer");
  unlinkSync(file);
  now += REREAD;
  assert.equal(credentials.authorization(LOOPBACK), "Bearer newer", "the last one that could be read");
});

test("a token is not shown", () => {
  const options = { address: LOOPBACK.url, token: SECRET };
  for (const one of [resolve({}, { token: SECRET }), new Client(options), new Agent("t", options)]) {
    const shown = inspect(one, { depth: 10, showHidden: true }) + JSON.stringify(one);
    assert.ok(!shown.includes(SECRET));
  }
});

test("addresses are parsed, and wrong ones are named", () => {
  const [one, two, three] = parseAddresses("http://a:7470, https://b ,http://[::1]:1/");
  assert.deepEqual([one.origin, one.secure, one.loopback], ["http://a:7470", false, false]);
  assert.deepEqual([two?.origin, two?.secure], ["https://b", true]);
  assert.deepEqual([three?.origin, three?.loopback], ["http://[::1]:1", true]);
  const wrong = ["", " , ", "localhost:7470", "ftp://a", "http://", "http:///x", "http://a/b", "http://a?b"];
  for (const address of [...wrong, "http://a:x", "http://u@a", "http://@a"]) {
    assert.throws(() => new Client({ address }), { name: "TypeError", message: /^address ".*give one like/ });
  }
});

test("health is host:port, and anything else is named", () => {
  assert.deepEqual(resolveHealth("0.0.0.0:8080", { CALLBOARD_HEALTH: "[::1]:0" }), { host: "0.0.0.0", port: 8080 });
  assert.deepEqual(resolveHealth(undefined, { CALLBOARD_HEALTH: "[::1]:0" }), { host: "::1", port: 0 });
  for (const nowhere of [undefined, ""]) {
    assert.equal(resolveHealth(nowhere, { CALLBOARD_HEALTH: "" }), undefined);
  }
  assert.equal(resolveHealth("", { CALLBOARD_HEALTH: "localhost:1" }), undefined);
  for (const health of [
    "8080",
    ":8080",
    "localhost",
    "localhost:",
    "::1:80",
    "a:65536",
    "a:-1",
    "http://a:80",
    "a:80/x",
  ]) {
    assert.throws(() => new Agent("t", { health }), { name: "TypeError", message: /^health ".*" is not host:port/ });
  }
});

test("options win over the environment, over defaults", () => {
  const environment = { CALLBOARD_ADDRESS: "http://env:1", CALLBOARD_NAMESPACE: "env", CALLBOARD_AGENT_NAME: "e" };
  assert.equal(resolveAddresses("http://option:1", environment)[0].origin, "http://option:1");
  assert.equal(resolveAddresses(undefined, environment)[0].origin, "http://env:1");
  assert.equal(resolveAddresses(undefined, { CALLBOARD_ADDRESS: "" })[0].url, "http://127.0.0.1:7470");
  assert.deepEqual([resolveNamespace(undefined, environment), resolveNamespace(undefined, {})], ["env", "default"]);
  assert.equal(
    resolveAgentName(undefined, "t", () => "beef", environment),
    "e",
  );
  const madeUp = resolveAgentName(undefined, "t".repeat(200), () => "beef", {});
  assert.ok(madeUp.length === 128 && madeUp.endsWith("-beef"));
});

test("delays double with jitter, and only what may be retried is", () => {
  const backoff = new Backoff(() => 0);
  assert.deepEqual([backoff.delay(), backoff.delay(), backoff.delay(), backoff.delay(3_000)], [50, 100, 200, 1_500]);
  backoff.reset();
  assert.equal(backoff.delay(), 50);
  const retries = new Retries(10_000, () => 1);
  const asked = statusError(StatusCode.RESOURCE_EXHAUSTED, "", { retryDelay: 2_000 });
  assert.equal(retries.delay(statusError(StatusCode.UNAVAILABLE, ""), 0), 100);
  assert.equal(retries.delay(asked, 0), 2_000);
  assert.equal(retries.delay(statusError(StatusCode.RESOURCE_EXHAUSTED, ""), 0), undefined);
  assert.equal(retries.delay(statusError(StatusCode.INTERNAL, ""), 0), undefined);
  assert.equal(retries.delay(asked, 8_500), undefined);
});

test("details of errors that can't be read are left out", () => {
  const broken = { type: "google.rpc.ErrorInfo", value: new Uint8Array([255, 255]) };
  const elsewhere = { type: "google.rpc.ErrorInfo", value: Buffer.from("\n\x01X\x12\x09elsewhere", "latin1") };
  const ours = { type: "google.rpc.ErrorInfo", value: Buffer.from("\n\x01X\x12\x0dcallboard.dev", "latin1") };
  const retry = { type: "google.rpc.RetryInfo", value: Buffer.from([0x0a, 0x02, 0x08, 0x02]) };
  assert.deepEqual(readDetails([broken, elsewhere, retry]), { violations: [], retryDelay: 2_000 });
  assert.equal(readDetails([ours]).reason, "X");
  const error = statusError(StatusCode.NOT_FOUND, "no such task", { reason: "TASK_NOT_FOUND" });
  assert.deepEqual(
    [error.name, error.message, String(error)],
    ["NotFound", "no such task", "NOT_FOUND TASK_NOT_FOUND: no such task"],
  );
  assert.equal(statusError(StatusCode.INTERNAL, "").constructor, StatusError);
});

test("an error becomes a failure with its causes, at most eight deep and never circular", () => {
  let error = new Error("0");
  for (let depth = 1; depth < 12; depth += 1) {
    error = new Error(String(depth), { cause: error });
  }
  let depth = 0;
  for (let failure = failureOf(error); failure.cause !== undefined; failure = failure.cause) {
    depth += 1;
  }
  assert.equal(depth, 8);
  const circle = new Error("circle");
  circle.cause = new Error("back", { cause: circle });
  assert.equal(failureOf(circle).cause?.cause, undefined);
  const cause = new TaskError("inner", { type: "Inner", details: "left out" });
  const failure = failureOf(new TaskError("outer", { details: () => 1, retryAfter: 1_500, cause }));
  assert.match(String(failure.details?.content.value), /is not/);
  assert.deepEqual([failure.retryAfter?.seconds, failure.retryAfter?.nanos], [1n, 500_000_000]);
  assert.deepEqual([failure.cause?.type, failure.cause?.details], ["Inner", undefined]);
  assert.throws(() => new TaskError("m", { type: "callboard.lease_lost" }), /callboard\.lease_lost/);
  assert.equal(failureOf("just text").message, "just text");
  assert.equal(failureOf(Object.create(null)).message, "the error has no readable text");
});

test("only who was told to stop is cancelled", () => {
  const abort = new AbortController();
  const named = new DOMException("x", "AbortError");
  assert.ok(!isCancellation(named, abort.signal));
  abort.abort();
  assert.ok(isCancellation(named, abort.signal) && isCancellation(abort.signal.reason, abort.signal));
  assert.ok(!isCancellation(new Error("other"), abort.signal));
});

test("times, lengths of time, texts and ids", () => {
  assert.deepEqual([duration(-1_500, "d").seconds, duration(-1_500, "d").nanos], [-1n, -500_000_000]);
  assert.equal(milliseconds(duration(2_250.5, "d")), 2_250.5);
  assert.throws(() => duration(NaN, "ttl"), /ttl is NaN/);
  const before = new Date(-500);
  assert.deepEqual([timestamp(before, "t").seconds, timestamp(before, "t").nanos], [-1n, 500_000_000]);
  assert.deepEqual(date(timestamp(before, "t")), before);
  assert.throws(() => timestamp(new Date("soon"), "deadline"), /deadline is an invalid Date/);
  assert.deepEqual([cut("aü", 2), cut("aü", 3), cut("\ud800", 9)], ["a", "aü", "\ufffd"]);
  assert.equal(enumName(TaskStateSchema, 99, "TASK_STATE_"), "99");
  assert.match(uuid7(0x0102_0304_0506), /^01020304-0506-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
