// Dependencies: what is asked for, and how a handler finds what came of them. Without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { Context } from "../src/agent/context.js";
import { register } from "../src/agent/handlers.js";
import { Runner, type Upstream } from "../src/agent/runner.js";
import {
  type Dependency,
  type DependencyResult,
  type DependsOn,
  InvalidArgument,
  type ResultCondition,
  textPayload,
} from "../src/index.js";
import { dependencyFrom, Task } from "../src/models.js";
import { specToWire } from "../src/spec.js";
import {
  AssignmentSchema,
  type Dependency as WireDependency,
  DependencyCondition,
  DependencyConditionSchema,
  DependencyFailureAction,
  DependencyResultSchema,
  type Failure,
  type Payload,
  ResultComparison,
  ResultComparisonSchema,
  TaskSchema,
  TaskState,
} from "../src/v1.js";
import { attempt, key } from "./support/script.js";
import { Log, Told } from "./support/waiting.js";

// What is asked for.

function sent(...dependsOn: DependsOn[]): WireDependency[] {
  return specToWire({ type: "t", dependsOn }).dependencies;
}

/** How a result's condition goes over the wire. */
function sentCondition(result: ResultCondition): unknown[] {
  const [dependency] = sent({ taskId: "id-0", result });
  const { pointer, comparison, value } = dependency?.result ?? {};
  return [pointer, comparison, value];
}

test("a dependency goes over the wire with all that it says", () => {
  const [full] = sent({
    taskId: "id-0",
    condition: "COMPLETED",
    result: { pointer: "/score", comparison: "GREATER_OR_EQUAL", value: 0.8 },
    onFailure: "FAIL",
    name: "review",
  });
  assert.ok(full !== undefined);
  assert.deepEqual([full.taskId, full.name], ["id-0", "review"]);
  assert.equal(full.condition, DependencyCondition.COMPLETED);
  assert.equal(full.onFailure, DependencyFailureAction.FAIL);
  const { pointer, comparison, value } = full.result ?? {};
  assert.deepEqual([pointer, comparison, value], ["/score", ResultComparison.GREATER_OR_EQUAL, "0.8"]);
});

test("what must just complete is an id, a receipt, a task, or a dependency that says no more", () => {
  const receipt = { taskId: "receipt", state: "READY", run: 1, version: 1, existing: false } as const;
  const dependencies = sent("id", receipt, new Task(create(TaskSchema, { id: "task" })), { taskId: "dependency" });
  assert.deepEqual(
    dependencies.map(({ taskId }) => taskId),
    ["id", "receipt", "task", "dependency"],
  );
  for (const { condition, onFailure, result, name } of dependencies) {
    assert.deepEqual([condition, onFailure], [DependencyCondition.COMPLETED, DependencyFailureAction.SKIP]);
    assert.deepEqual([result, name], [undefined, ""]);
  }
});

test("every condition and every comparison has its name", () => {
  for (const { name, number } of DependencyConditionSchema.values.slice(1)) {
    const condition = name.replace("DEPENDENCY_CONDITION_", "") as Dependency["condition"];
    assert.equal(sent({ taskId: "id-0", condition })[0]?.condition, number);
  }
  for (const { name, number } of ResultComparisonSchema.values.slice(1)) {
    const comparison = name.replace("RESULT_COMPARISON_", "") as ResultCondition["comparison"];
    assert.deepEqual(sentCondition({ comparison, value: 1 }), ["", number, "1"]);
  }
});

test("what a result is compared with is JSON, and nothing when it isn't given", () => {
  const cases: readonly [value: unknown, text: string][] = [
    ["en", '"en"'],
    ["", '""'],
    [null, "null"],
    [true, "true"],
    [2n ** 70n, "1180591620717411303424"],
    [{ ä: [1, 0.5] }, '{"ä":[1,0.5]}'],
    [undefined, ""],
  ];
  for (const [value, text] of cases) {
    assert.deepEqual(sentCondition({ comparison: "EQUAL", value }), ["", ResultComparison.EQUAL, text]);
  }
});

test("what is no JSON is compared with no result", () => {
  for (const value of [new Uint8Array(1), new ArrayBuffer(1), textPayload("text"), NaN, new Map(), "\ud800"]) {
    const result = { pointer: "/a", comparison: "EQUAL", value } as const;
    assert.throws(
      () => sent("id-0", { taskId: "id-1", result }),
      (error) => {
        assert.ok(error instanceof InvalidArgument);
        assert.match(error.message, /is not JSON/);
        assert.deepEqual(
          error.violations.map(({ field }) => field),
          ["dependsOn[1].result.value"],
        );
        return true;
      },
    );
  }
});

test("a name that there isn't is an error that says where, and which there are", () => {
  const wrong = { condition: "DONE", onFailure: "STOP", comparison: "LIKE" } as never;
  const { condition, onFailure, comparison } = wrong as Record<string, never>;
  for (const [dependency, message] of [
    [{ taskId: "id-0", condition }, /^dependsOn\[0\]\.condition "DONE" is unknown: .* NOT_COMPLETED/],
    [{ taskId: "id-0", onFailure }, /^dependsOn\[0\]\.onFailure "STOP" is unknown/],
    [{ taskId: "id-0", result: { comparison } }, /^dependsOn\[0\]\.result\.comparison "LIKE" is unknown/],
  ] as const) {
    assert.throws(() => sent(dependency as unknown as Dependency), { name: "TypeError", message });
  }
});

// What handlers find.

/** Nothing of these handlers is sent, recorded or given. */
const unused = (): never => ({}) as never;

/** Takes what becomes of attempts, and has the results of dependencies that came truncated. */
class Stage implements Upstream {
  readonly ended = new Told<Payload | Failure>();
  readonly fetched: string[] = [];
  readonly stored: readonly DependencyResult[];
  readonly client = unused();

  constructor(stored: readonly DependencyResult[]) {
    this.stored = stored;
  }

  send = unused;
  reporter = unused;
  recorder = unused;
  family = unused;
  outlet = unused;
  handled = (): void => undefined;
  completed = (_: string, result: Payload): void => {
    this.ended.tell(result);
  };
  failed = (_: string, failure: Failure): void => {
    this.ended.tell(failure);
  };
  fetchDependencies = (taskId: string): Promise<DependencyResult[]> => {
    this.fetched.push(taskId);
    return Promise.resolve([...this.stored]);
  };
}

/** How an attempt ended whose task depends on tasks of these names: its result, or how it failed. */
async function handled(
  names: readonly string[],
  handler: (context: Context) => unknown,
  dependenciesTruncated = false,
): Promise<{ outcome: unknown; fetched: readonly string[] }> {
  const results = names.map((name) =>
    create(DependencyResultSchema, {
      name,
      state: TaskState.COMPLETED,
      result: textPayload(`result of ${name}`),
    }),
  );
  const stage = new Stage(results.map(dependencyFrom));
  const registered = register(
    "t",
    (_, context) => handler(context),
    {},
    () => undefined,
  );
  const handlers = new Map([["t", registered]]);
  const runner = new Runner({
    handlers,
    onMessage: undefined,
    interceptors: [],
    agent: "a",
    upstream: stage,
    logger: new Log(),
  });
  const dependencies = dependenciesTruncated ? [] : results;
  const assignment = create(AssignmentSchema, {
    attempt: attempt("t1"),
    spec: { type: "t" },
    dependencies,
    dependenciesTruncated,
  });
  runner.start(key("t1"), assignment, false);
  const ended = await stage.ended.next();
  const outcome = ended.$typeName === "callboard.v1.Payload" ? ended.content.value : `${ended.type}: ${ended.message}`;
  return { outcome, fetched: stage.fetched };
}

for (const isTruncated of [false, true]) {
  test(`a dependency is found by its name, ${isTruncated ? "also when the results have to be fetched" : "in place"}`, async () => {
    const find = (context: Context): unknown => {
      const names = context.dependencies.map(({ name }) => name);
      return `${String(context.dependency("review").value)} of ${JSON.stringify(names)}`;
    };
    const { outcome, fetched } = await handled(["test", "", "review"], find, isTruncated);
    assert.equal(outcome, 'result of review of ["test","","review"]');
    assert.deepEqual(fetched, isTruncated ? ["t1"] : []);
  });
}

test("a dependency that there isn't is an error that names those that there are", async () => {
  const missing = 'RangeError: no dependency is called "build"';
  for (const [names, expected] of [
    [["review", "", "test"], `${missing}: there are "review", "test"`],
    [[""], `${missing}: none has a name`],
    [[], `${missing}: none has a name`],
  ] as const) {
    const { outcome } = await handled(names, (context) => context.dependency("build"));
    assert.equal(outcome, expected);
  }
  const { outcome } = await handled([""], (context) => context.dependency(""));
  assert.equal(outcome, 'RangeError: no dependency is called "": none has a name');
});
