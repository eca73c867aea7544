// The driver of the conformance suite, as far as it needs no server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { FailedPrecondition, StatusCode, StatusError } from "callboard";

import {
  dependencyLine,
  explanationLine,
  forecastLine,
  workflowLine,
  workflowTaskLine,
} from "../conformance/answers.js";
import { Driver } from "../conformance/driver.js";
import { isDefect, NAMES, patched } from "../conformance/defects.js";
import { errorLine } from "../conformance/errors.js";
import { parseJson, writeJson } from "../conformance/json.js";
import { linesOf } from "../conformance/lines.js";
import { limit, spec } from "../conformance/spec.js";
import { lineOf, value } from "../conformance/values.js";
import { workflowTask } from "../conformance/workflow-calls.js";
import { specToWire } from "../src/spec.js";
import { DependencyCondition, DependencyFailureAction, ResultComparison } from "../src/v1.js";
import { environment, REPOSITORY } from "./support/server.js";

const SDK = join(REPOSITORY, "sdk/typescript");

/** A driver, and what it says. */
function driver(): { readonly said: Record<string, unknown>[]; readonly take: (line: object) => Promise<unknown> } {
  const said: Record<string, unknown>[] = [];
  const tested = new Driver((line) => {
    said.push(line as Record<string, unknown>);
  });
  const take = async (line: object): Promise<unknown> => {
    await tested.take(JSON.stringify(line));
    return said.at(-1);
  };
  return { said, take };
}

test("numbers keep all digits, both ways", () => {
  for (const text of ["12345678901234567890", "-9007199254740993", '[1,{"a":9007199254740992}]', "-0", "0.5", "1e30"]) {
    const written = writeJson(parseJson(text));
    assert.equal(written, text === "1e30" ? "1e+30" : text);
  }
  assert.equal(parseJson("9007199254740993"), 9007199254740993n);
  assert.equal(parseJson("9007199254740991"), 9007199254740991);
  assert.equal(parseJson("0.1234567890123456789"), 0.12345678901234568);
  // Digits in strings are no numbers, whatever stands around them.
  const text = String.raw`{"12345678901234567890":["\"12345678901234567890","\\",12345678901234567890]}`;
  assert.equal(writeJson(parseJson(text)), text);
});

test("values are what a user passes and gets", () => {
  for (const line of ["text", "", null, true, 1.5, [1], { a: { $bytes: "aGk=" } }, { $bytes: "aGk=", b: 1 }, {}]) {
    assert.deepEqual(lineOf(value(line, "v")), line);
  }
  assert.deepEqual(value({ $bytes: "aGk=" }, "v"), new Uint8Array([104, 105]));
  assert.deepEqual(lineOf(new Uint8Array([104, 105])), { $bytes: "aGk=" });
  assert.equal(lineOf(undefined), null);
  const payload = value({ $payload: { content_type: "text/csv", base64: "aGk=" } }, "v") as { contentType: string };
  assert.equal(payload.contentType, "text/csv");
  for (const wrong of [
    { $bytes: "aGk" },
    { $bytes: 1 },
    { $payload: { content_type: "a/b" } },
    { $payload: { content_type: "a/b", text: "", base64: "" } },
    { $payload: { content_type: "a/b", text: "", more: 1 } },
    undefined,
  ]) {
    assert.throws(() => value(wrong, "v"), { name: "Fault" });
  }
});

test("a task's dependencies are what the line says, and no more", () => {
  const result = { pointer: "/a", comparison: "EQUAL", value: null };
  const full = { task_id: "t", on_failure: "FAIL", condition: "COMPLETED", result, name: "n" };
  const exists = { task_id: "u", result: { comparison: "EXISTS" } };
  const read = spec({ type: "w", depends_on: [full, exists, { task_id: "v" }] }, "task");
  const told = specToWire(read).dependencies.map(({ taskId, onFailure, condition, name, result: of }) => {
    return [taskId, onFailure, condition, name, of && [of.pointer, of.comparison, of.value]];
  });
  assert.deepEqual(told, [
    ["t", DependencyFailureAction.FAIL, DependencyCondition.COMPLETED, "n", ["/a", ResultComparison.EQUAL, "null"]],
    ["u", DependencyFailureAction.SKIP, DependencyCondition.COMPLETED, "", ["", ResultComparison.EXISTS, ""]],
    ["v", DependencyFailureAction.SKIP, DependencyCondition.COMPLETED, "", undefined],
  ]);
  const unknown = { task_id: "t", result: { comparison: "EQUAL", much: 1 } };
  for (const one of [unknown, { task_id: "t", result: {} }, { task_id: "t", name: 1 }, { task_id: "t", much: 1 }]) {
    assert.throws(() => spec({ type: "w", depends_on: [one] }, "task"), { name: "Fault" });
  }
});

test("a dependency's line has all that is told of it", () => {
  const line = dependencyLine({
    ...{ taskId: "t", type: "w", key: "k", name: "n", state: "COMPLETED", value: "done" },
    ...{ payload: undefined, failure: undefined },
  });
  assert.deepEqual(line, { task_id: "t", type: "w", key: "k", name: "n", state: "COMPLETED", value: "done" });
});

test("a workflow's tasks are what the line says, and no more", () => {
  const full = { task: "a", condition: "ENDED", on_failure: "FAIL", result: { comparison: "EXISTS" } };
  const line = { name: "b", task: { type: "w" }, depends_on: ["a", full], allow_failure: true, weight: 2 };
  const dependsOn = ["a", { task: "a", condition: "ENDED", onFailure: "FAIL", result: { comparison: "EXISTS" } }];
  const read = workflowTask(line, "task");
  assert.deepEqual(JSON.parse(JSON.stringify(read)), {
    ...{ name: "b", task: { type: "w" }, dependsOn, allowFailure: true, weight: 2 },
  });
  const least = { name: "b", task: { type: "w" } };
  assert.deepEqual(JSON.parse(JSON.stringify(workflowTask(least, "task"))), least);
  for (const wrong of [
    { task: { type: "w" } },
    { ...least, depends_on: [1] },
    { ...least, depends_on: [{ condition: "ENDED" }] },
    { ...least, depends_on: [{ task: "a", name: "a" }] },
    { ...least, wieght: 2 },
  ]) {
    assert.throws(() => workflowTask(wrong, "task"), { name: "Fault" });
  }
});

test("a workflow's line, and those of its tasks, have all that is told of them", () => {
  const counts = { tasks: 3, openTasks: 1, completedTasks: 1, failedTasks: 0, cancelledTasks: 0, skippedTasks: 1 };
  const shown = { name: "n", description: "d", state: "RUNNING", progress: 0.5, tags: ["t"], metadata: { m: "1" } };
  const unshown = { namespace: "default", createdAt: undefined, endedAt: undefined, createdBy: "ann", version: 1 };
  const line = workflowLine({
    ...shown,
    ...counts,
    ...unshown,
    id: "w",
    cancelRequested: false,
    held: true,
    ended: false,
  });
  assert.deepEqual(line, {
    ...{ ...shown, workflow_id: "w", tasks: 3, open_tasks: 1, completed_tasks: 1, failed_tasks: 0 },
    ...{ cancelled_tasks: 0, skipped_tasks: 1, cancel_requested: false, held: true },
  });
  const terms = { condition: "ENDED", result: undefined, onFailure: "SKIP" };
  const task = {
    ...{ id: "t", type: "work", state: "READY" },
    workflow: { workflowId: "w", name: "n", allowFailure: false, weight: 2, tasksBehind: 3 },
    dependencies: [{ taskId: "u", name: "a", ...terms }],
  };
  assert.deepEqual(workflowTaskLine(task), {
    ...{ name: "n", task_id: "t", type: "work", state: "READY", allow_failure: false, weight: 2, tasks_behind: 3 },
    depends_on: [{ task_id: "u", name: "a", condition: "ENDED", on_failure: "SKIP" }],
  });
});

test("what is asked for of placement is what the line says, and no more", () => {
  const fallbacks = [
    { after_ms: 500, skills: ["s"] },
    { after_ms: 900, tools: ["t"], role: "lead", assignee: "ann" },
  ];
  const asked = { near: ["a"], apart: ["b"], resources: { gpu: 0.5 } };
  const line = { type: "w", anti_affinity: { zone: "a" }, ...asked, fallbacks };
  const { antiAffinity, near, apart, resources, fallbacks: read } = spec(line, "task");
  assert.deepEqual({ near, apart, resources, antiAffinity }, { ...asked, antiAffinity: { zone: "a" } });
  assert.deepEqual(JSON.parse(JSON.stringify(read)), [
    { after: 500, skills: ["s"] },
    { after: 900, tools: ["t"], role: "lead", assignee: "ann" },
  ]);
  for (const wrong of [{ resources: { gpu: "1" } }, { fallbacks: [{ role: "lead" }] }, { near: "a" }]) {
    assert.throws(() => spec({ type: "w", ...wrong }, "task"), { name: "Fault" });
  }
});

test("the lines of a forecast and of an explanation have all that is told", () => {
  const about = { name: "n", type: "work", state: "READY" };
  const [start, end] = [new Date(1_000), new Date(3_000)];
  const known = { expectedDuration: 2_000, expectedStart: start, expectedEnd: end };
  const unknown = { expectedDuration: undefined, expectedStart: undefined, expectedEnd: undefined };
  const criticalPath = [{ taskId: "t", ...about, ...known }, { taskId: "u", ...about, ...unknown }]; // prettier-ignore
  assert.deepEqual(forecastLine({ expectedEnd: end, criticalPath, unknownTypes: ["x"] }), {
    expected_end_ms: 3_000,
    critical_path: [
      { task_id: "t", ...about, expected_duration_ms: 2_000, expected_start_ms: 1_000, expected_end_ms: 3_000 },
      { task_id: "u", ...about, expected_duration_ms: null, expected_start_ms: null, expected_end_ms: null },
    ],
    unknown_types: ["x"],
  });
  const shown = { state: "WAITING", agent: "ann", ahead: 1, agents: 2, fitting: 1 };
  const scores = { score: 0.5, success: 0.4, idle: 0.3, affinity: 0.2, role: 1 };
  const candidates = [{ agent: "bob", fits: false, obstacles: [{ type: "SKILL", detail: "go" }], ...scores }];
  const limit = { key: "m", maxConcurrent: 1, rate: undefined, ratePeriod: undefined };
  const limits = [
    { key: "m", limit, inUse: 1, reached: true, nextAt: end },
    { key: "n", limit: { key: "n", rate: 2, ratePeriod: 500 }, inUse: 0, reached: false, nextAt: undefined },
  ];
  const chosen = { attempt: 1, agent: "ann", claimed: false, score: 0.5, compared: 2 };
  const past = [{ ...chosen, at: start, runnersUp: [{ agent: "bob", score: 0.25 }] }];
  const line = explanationLine({ taskId: "t", waitingFor: ["HOLD"], candidates, limits, past, ...shown });
  const only = { key: "m", max_concurrent: 1, rate: null, rate_period_ms: null };
  const slow = { key: "n", max_concurrent: null, rate: 2, rate_period_ms: 500 };
  assert.deepEqual(line, {
    ...{ task_id: "t", waiting_for: ["HOLD"], candidates, ...shown },
    limits: [
      { key: "m", limit: only, in_use: 1, reached: true, next_at_ms: 3_000 },
      { key: "n", limit: slow, in_use: 0, reached: false, next_at_ms: null },
    ],
    past: [{ ...chosen, runners_up: [{ agent: "bob", score: 0.25 }] }],
  });
});

test("what is asked for of turns, limits and dependencies is what the line says, and no more", async () => {
  const { fairnessKey, limitKeys } = spec({ type: "w", fairness_key: "ann", limit_keys: ["m"] }, "task");
  assert.deepEqual({ fairnessKey, limitKeys }, { fairnessKey: "ann", limitKeys: ["m"] });
  const full = { key: "m", max_concurrent: 1, rate: 2, rate_period_ms: 500 };
  assert.deepEqual(limit(full, "l"), { key: "m", maxConcurrent: 1, rate: 2, ratePeriod: 500 });
  for (const wrong of [{ fairness_key: 1 }, { limit_keys: "m" }]) {
    assert.throws(() => spec({ type: "w", ...wrong }, "task"), { name: "Fault" });
  }
  const { take } = driver();
  for (const wrong of [
    { do: "client.set_limits", limits: [{ rate: 1 }] },
    { do: "client.set_limits", limits: [{ key: "m", much: 1 }] },
    { do: "client.set_limits", limits: [{ key: "m", rate: "1" }] },
    { do: "client.add_dependencies", task_id: "t" },
    { do: "client.add_dependencies", task_id: "t", dependencies: [{ task_id: "u", much: 1 }] },
  ]) {
    const line = (await take({ id: 1, client: "c", ...wrong })) as { fault?: unknown };
    assert.equal(typeof line.fault, "string", JSON.stringify(line));
  }
});

test("lines end with a line feed alone, also when they come in pieces", async () => {
  const bytes = Buffer.from('{"a":"é\u2028"}\n\n{"b":1}\nrest');
  const pieces = Array.from(bytes, (byte) => Buffer.from([byte]));
  for (const chunks of [[bytes], pieces]) {
    const lines: string[] = [];
    for await (const line of linesOf(each(chunks))) {
      lines.push(line);
    }
    assert.deepEqual(lines, ['{"a":"é\u2028"}', "", '{"b":1}']);
  }
});

async function* each<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  for (const item of items) {
    yield await Promise.resolve(item);
  }
}

test("what is unknown, missing or of another kind is a fault, and is answered once", async () => {
  const { said, take } = driver();
  const where = { address: "http://127.0.0.1:1", namespace: "default" };
  const start = { do: "agent.start", agent: "a", options: { name: "a", ...where } };
  assert.deepEqual(await take({ id: 1, do: "client.open", client: "c", ...where }), { id: 1, ok: {} });
  const wrong: [line: object, fault: RegExp][] = [
    [{ id: 2, do: "client.nonsense", client: "c" }, /no instruction `client.nonsense`/],
    [{ id: 2 }, /do is missing/],
    [{ id: 2, do: "client.get", client: "c" }, /client.get.task_id is missing/],
    [{ id: 2, do: "client.get", client: "c", task_id: 1 }, /task_id is not a string/],
    [{ id: 2, do: "client.get", client: "c", task_id: "t", more: 1 }, /field `more` is unknown/],
    [{ id: 2, do: "client.get", client: "d", task_id: "t" }, /no client `d`/],
    [{ id: 2, do: "client.create", client: "c", task: { type: "t", inptu: 1 } }, /field `inptu` is unknown/],
    [
      { id: 2, do: "client.create_workflow", client: "c", workflow: { name: "w", tasks: [{ name: "a" }] } },
      /workflow.tasks\[0\].task is not an object|task is missing/,
    ],
    [{ id: 2, do: "client.retry_workflow", client: "c", workflow_id: "w", reason: "r" }, /field `reason` is unknown/],
    [{ id: 2, do: "client.heartbeat", client: "c", task_id: "t", attempt: 1 }, /no claim `t\/1`/],
    [{ id: 2, do: "agent.status", agent: "a" }, /no agent `a`/],
    [{ id: 2, do: "watch.stop", watch: "w" }, /no watch `w`/],
    [{ id: 2, do: "output.stop", watch: "w" }, /no watch of output `w`/],
    [{ id: 2, do: "output.start", client: "c", watch: "w", task_id: "t", from: 1 }, /field `from` is unknown/],
    [{ id: 2, do: "client.open", client: "e", ...where, interceptors: [{ submit: {} }] }, /name is missing/],
    [
      { ...start, id: 2, handlers: [{ type: "t", program: [{ op: "child", as: "c", task: { typ: "t" } }] }] },
      /field `typ` is unknown/,
    ],
    [{ ...start, id: 2, handlers: [{ type: "t", program: [{ op: "join", as: "c" }] }] }, /children is missing/],
    [
      {
        ...start,
        id: 2,
        handlers: [{ type: "t", program: [{ op: "wait_children", as: "c", children: [], most: 1 }] }],
      },
      /field `most` is unknown/,
    ],
    [{ ...start, id: 2, options: { ...start.options, resources: { gpu: "1" } }, handlers: [] }, /gpu is not a number/],
    [{ id: 2, do: "client.add_workflow_tasks", client: "c", workflow_id: "w" }, /tasks is missing/],
    [{ id: 2, do: "client.forecast_workflow", client: "c", workflow_id: "w", at: 1 }, /field `at` is unknown/],
    [{ id: 2, do: "client.explain", client: "c" }, /task_id is missing/],
    [{ id: 2, do: "watch.start", client: "c", watch: "w", mailbox: "m", task_id: "t" }, /`mailbox` stands alone/],
    [{ ...start, id: 2, handlers: [{ type: "t", program: [{ op: "retrun" }] }] }, /no op `retrun`/],
    [{ ...start, id: 2, handlers: [{ type: "t", program: [{ op: "gate", gaet: "g" }] }] }, /field `gaet` is unknown/],
    [
      { ...start, id: 2, handlers: [{ type: "t", program: [{ op: "call", as: "x", call: { do: "client.gte" } }] }] },
      /no call `client.gte`/,
    ],
  ];
  for (const [line, fault] of wrong) {
    const answer = (await take(line)) as { id: number; fault: string };
    assert.equal(answer.id, 2);
    assert.match(answer.fault, fault);
  }
  assert.equal(said.length, wrong.length + 1);
  for (const line of [{}, { id: "7", do: "gate.open" }, []]) {
    assert.deepEqual(Object.keys((await take(line)) as object), ["fault"]);
  }
  assert.deepEqual(await take({ id: 3, do: "gate.open", gate: "g" }), { id: 3, ok: {} });
});

test("what the SDK throws is an error, and keeps its kind", async () => {
  const { take } = driver();
  const where = { address: "http://127.0.0.1:1", namespace: "default", timeout_ms: 1_500 };
  const none = { code: "", reason: "", violations: [], retry_after_ms: null };
  const error = async (line: object): Promise<Record<string, unknown>> => {
    const answer = (await take(line)) as { readonly error: Record<string, unknown> };
    return answer.error;
  };
  const open = await error({ id: 1, do: "client.open", client: "c", ...where, address: "nowhere" });
  assert.equal(open["kind"], "Local");
  await take({ id: 2, do: "client.open", client: "c", ...where });
  const away = await error({ id: 3, do: "client.get", client: "c", task_id: "t" });
  assert.deepEqual([away["kind"], away["code"]], ["Unavailable", "UNAVAILABLE"]);
  const priority = { type: "t", priority: "HIHG" };
  assert.equal((await error({ id: 4, do: "client.create", client: "c", task: priority }))["kind"], "Local");
  const large = { type: "t", input: "x".repeat(1_048_577) };
  const refused = await error({ id: 5, do: "client.create", client: "c", task: large });
  assert.deepEqual([refused["kind"], refused["reason"]], ["InvalidArgument", "PAYLOAD_TOO_LARGE"]);
  assert.match(JSON.stringify(refused["violations"]), /"field":"input"/);
  const state = new FailedPrecondition(StatusCode.FAILED_PRECONDITION, "no", { reason: "TASK_STATE", retryDelay: 5 });
  assert.deepEqual(errorLine(state), {
    ...none,
    kind: "FailedPrecondition",
    code: "FAILED_PRECONDITION",
    reason: "TASK_STATE",
    message: "no",
    retry_after_ms: 5,
  });
  const other = errorLine(new StatusError(StatusCode.ABORTED, "no"));
  assert.deepEqual(other, { ...none, kind: "Other", code: "ABORTED", message: "no" });
  assert.deepEqual(errorLine(new TypeError("no")), { ...none, kind: "Local", message: "TypeError: no" });
});

test("every defect fits what it patches, and changes it", () => {
  assert.ok(NAMES.length >= 5);
  for (const name of NAMES) {
    for (const [path, text] of patched(name, join(SDK, "dist"))) {
      assert.notEqual(text, readFileSync(path, "utf8"));
    }
  }
  assert.ok(!isDefect("toString"));
});

test("the process says that it is ready, answers, and ends with its input; an unknown defect ends it at once", async () => {
  const start = (defect: string): ReturnType<typeof spawn> =>
    spawn(process.execPath, ["conformance/driver.mjs"], {
      cwd: SDK,
      env: { ...environment, CALLBOARD_DEFECT: defect },
      stdio: ["pipe", "pipe", defect === "nonsense" ? "ignore" : "inherit"],
    });
  for (const defect of ["", "no-reattach"]) {
    const running = start(defect);
    const exit = once(running, "exit");
    running.stdin?.end('{"id":1,"do":"gate.open","gate":"g"}\nnonsense\n');
    const said: Buffer[] = [];
    running.stdout?.on("data", (chunk: Buffer) => said.push(chunk));
    assert.deepEqual(await exit, [0, null]);
    const [ready, ...answers] = Buffer.concat(said).toString().trimEnd().split("\n");
    assert.equal(ready, '{"ready":{"sdk":"typescript","protocol":1}}');
    assert.deepEqual([answers.length, answers.includes('{"id":1,"ok":{}}')], [2, true]);
  }
  assert.deepEqual(await once(start("nonsense"), "exit"), [64, null]);
});
