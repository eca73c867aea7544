// Where a server that drains sends the agent: endpoints that it names, which may be wrong.

import assert from "node:assert/strict";
import { test } from "node:test";

import { StatusCode, statusError } from "../src/errors.js";
import { attempt, Script, the } from "./support/script.js";

const OWN = "http://a:1,http://b:2";
const NAMED = ["http://c:3", "http://d:4"];
const GONE = statusError(StatusCode.UNAVAILABLE, "gone");

const drains = (s: Script, ...endpoints: string[]): void => {
  s.receive({ case: "drain", value: { endpoints } });
};

/** An agent that is attached to its first address, works, and is told by the server to go to one of these. */
function sentTo(...endpoints: string[]): Script {
  const s = new Script({ addresses: OWN });
  s.working("t1");
  s.later(2_000);
  drains(s, ...endpoints);
  return s;
}

/** Where it attaches next, as soon as it does. Its hello goes out. */
function nextAddress(s: Script): string | undefined {
  let connects = s.only("connect");
  const due = s.session.tickAt();
  if (connects.length === 0 && due !== undefined) {
    s.later(due - s.now);
    connects = s.only("connect");
  }
  s.frames();
  return connects[0]?.address.url;
}

for (const [code, reason] of [
  ["UNAUTHENTICATED", ""],
  ["PERMISSION_DENIED", ""],
  ["NOT_FOUND", "NAMESPACE_NOT_FOUND"],
  ["INVALID_ARGUMENT", "INVALID_FIELD"],
] as const) {
  test(`a named endpoint that refuses with ${code} does not end the agent`, () => {
    const error = statusError(StatusCode[code], "no", { reason });
    const s = sentTo(...NAMED);
    // The last is its own, the one behind the one that drains.
    for (const expected of [...NAMED, "http://b:2"]) {
      assert.equal(nextAddress(s), expected);
      s.drop(error);
    }
    assert.deepEqual(s.only("end"), [{ kind: "end", error }], "its own says so: that is the end");
  });
}

for (const [code, reason] of [
  ["ABORTED", "SESSION_SUPERSEDED"],
  ["PERMISSION_DENIED", "NOT_YOUR_AGENT"],
  ["FAILED_PRECONDITION", "AGENT_STATE"],
] as const) {
  test(`a named endpoint that says ${reason} ends the agent: it says so of the agent itself`, () => {
    const error = statusError(StatusCode[code], "no", { reason });
    const s = sentTo(...NAMED);
    nextAddress(s);
    s.drop(error);
    assert.deepEqual(s.only("end"), [{ kind: "end", error }]);
  });
}

test("a named endpoint that welcomed is believed", () => {
  const s = sentTo(...NAMED);
  s.attach({ held: [attempt("t1")] });
  s.actions();
  const error = statusError(StatusCode.UNAUTHENTICATED, "no");
  s.drop(error);
  assert.deepEqual(s.only("end"), [{ kind: "end", error }]);
});

test("named endpoints are tried in their order, and each once", () => {
  const s = sentTo("nonsense", "http://c:3", "d:4", "http://d:4", "http://c:3");
  for (const expected of [...NAMED, "http://b:2", "http://a:1"]) {
    assert.equal(nextAddress(s), expected);
    s.drop(GONE);
  }
});

test("a welcome forgets the other named endpoints", () => {
  const s = sentTo(...NAMED);
  s.attach({ held: [attempt("t1")] });
  s.actions();
  s.drop(GONE);
  assert.equal(nextAddress(s), "http://b:2");
});

test("a new notice replaces the named endpoints", () => {
  const s = sentTo(...NAMED);
  s.attach({ held: [attempt("t1")] });
  s.later(2_000);
  s.actions();
  drains(s, "http://e:5");
  for (const expected of ["http://e:5", "http://b:2"]) {
    assert.equal(nextAddress(s), expected);
    s.drop(GONE);
  }
});

test("only so many named endpoints are kept", () => {
  const names = Array.from({ length: 20 }, (_, host) => `http://h${String(host)}:1`);
  const s = sentTo(...names);
  for (const expected of [...names.slice(0, 4), "http://b:2"]) {
    assert.equal(nextAddress(s), expected);
    s.drop(GONE);
  }
});

test("a named endpoint that is silent is given up soon", () => {
  const s = sentTo(...NAMED);
  nextAddress(s);
  s.later(4_999);
  assert.deepEqual(s.actions(), []);
  s.later(1);
  assert.deepEqual(s.actions(), [{ kind: "cut" }]);
  assert.equal(nextAddress(s), "http://d:4");
  s.drop(GONE);
  assert.equal(nextAddress(s), "http://b:2");
  s.later(9_000);
  assert.deepEqual(s.actions(), [], "its own has its time");
});

test("a server that drains as soon as it welcomes makes no hot loop", () => {
  const s = new Script({ addresses: OWN });
  s.working();
  drains(s);
  assert.deepEqual(s.actions(), [{ kind: "cut" }]);
  assert.equal(s.session.tickAt(), s.now + 100);
  assert.equal(nextAddress(s), "http://b:2");
});

test("nor does one that names itself", () => {
  const s = new Script({ addresses: OWN });
  s.working();
  for (let i = 0; i < 3; i += 1) {
    drains(s, "http://a:1");
    assert.deepEqual(s.actions(), [{ kind: "cut" }]);
    assert.equal(the(s.session.tickAt()), s.now + 100);
    s.attach();
    s.actions();
  }
});

test("a server that drains a second after its welcome is left at once", () => {
  const s = new Script({ addresses: OWN });
  s.working();
  s.later(1_000);
  const left = s.now;
  drains(s);
  assert.equal(nextAddress(s), "http://b:2");
  assert.equal(s.now, left);
});
