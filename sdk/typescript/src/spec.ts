// What callers ask for: tasks with their requirements, retries and timeouts.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  DependencyConditionSchema,
  DependencyFailureActionSchema,
  DependencySchema,
  type Dependency as WireDependency,
  KeyConflictPolicySchema,
  PrioritySchema,
  ResultComparisonSchema,
  type ResultCondition as WireResultCondition,
  ResultConditionSchema,
  type RetryPolicy as WireRetryPolicy,
  RetryPolicySchema,
  type TaskSpec as WireTaskSpec,
  TaskSpecSchema,
  type Timeouts as WireTimeouts,
  TimeoutsSchema,
} from "./_gen/callboard/v1/task_pb.js";
import { enumNumber, given, optionalDuration, optionalTimestamp, stringList } from "./convert.js";
import type { Priority, Receipt, Task } from "./models.js";
import { encode, jsonText } from "./payload.js";

/** When and how often a failed attempt is followed by another. What is left out takes the namespace's default. */
export interface RetryPolicy {
  /** Attempts in a run, the first included: 1 to 1,000. Default 3. */
  readonly maxAttempts?: number | undefined;
  /** Milliseconds before the second attempt: 1 to 24 h. Default 1 s. */
  readonly initialBackoff?: number | undefined;
  /** What the delay is multiplied by from attempt to attempt: 1 to 100. Default 2. */
  readonly multiplier?: number | undefined;
  /** The longest delay in milliseconds, at most 24 h. Default 60 s. */
  readonly maxBackoff?: number | undefined;
  /** Types of failures that are not retried. At most 64. */
  readonly nonRetryableTypes?: readonly string[] | undefined;
}

/** How long things may take, in milliseconds. What is left out takes the namespace's default. */
export interface Timeouts {
  /** From READY to accepted by an agent. */
  readonly scheduleToStart?: number | undefined;
  /** From assigned to ended, for each attempt. Default 300 s. */
  readonly startToClose?: number | undefined;
  /** From creation to the end, over all attempts of the run. */
  readonly scheduleToClose?: number | undefined;
  /** The longest silence of the handler itself between two progress reports or checkpoints. */
  readonly heartbeat?: number | undefined;
}

/** What a result must be: a value in it, compared with another. Text is a value like any of JSON; in bytes there is none. */
export interface ResultCondition {
  /** Where in the result the value is, as a JSON Pointer (RFC 6901): `/score`. Default is the whole result. At most 1 KiB. */
  readonly pointer?: string | undefined;
  /**
   * How it is compared. Numbers are compared as numbers, and text by its code points; what is neither two numbers nor two
   * texts is not less or greater.
   */
  readonly comparison:
    "EQUAL" | "NOT_EQUAL" | "LESS" | "LESS_OR_EQUAL" | "GREATER" | "GREATER_OR_EQUAL" | "EXISTS" | "NOT_EXISTS";
  /** What it is compared with: anything that JSON has. Not with EXISTS and NOT_EXISTS. At most 4 KiB. */
  readonly value?: unknown;
}

/** A task that must end first, and how. */
export interface Dependency {
  /** Its id. */
  readonly taskId: string;
  /**
   * How it must end: COMPLETED; FAILED, for a fallback (one that was cancelled or skipped has not failed); NOT_COMPLETED, to
   * undo what was done before it; ENDED, in any way, to clean up. Default COMPLETED.
   */
  readonly condition?: "COMPLETED" | "FAILED" | "NOT_COMPLETED" | "ENDED" | undefined;
  /** What its result must be, besides. Only with COMPLETED. */
  readonly result?: ResultCondition | undefined;
  /** What becomes of the dependent when that one ends otherwise than `condition` and `result` say. Default SKIP. */
  readonly onFailure?: "SKIP" | "FAIL" | undefined;
  /**
   * What the dependent's handler calls it: `context.dependency(name)` finds how it ended. 1 to 128 characters: letters,
   * digits and `-_./:`, each name once.
   */
  readonly name?: string | undefined;
}

/** A task by its id, or by what a call answered. */
export type TaskRef = string | Receipt | Task;

/** A task to depend on: one that must complete, or a dependency that says more. */
export type DependsOn = TaskRef | Dependency;

/** The options of a task. */
export interface TaskOptions {
  /** What the task is about, for people. At most 4 KiB. */
  readonly description?: string | undefined;
  /** Your own id for the task, unique among the live tasks of the namespace. At most 256 bytes. */
  readonly key?: string | undefined;
  /** What to do when a live task has this key. Default USE_EXISTING. */
  readonly keyConflict?: "USE_EXISTING" | "FAIL" | "REPLACE" | undefined;
  /** Skills that the agent must all have. At most 32. */
  readonly skills?: readonly string[] | undefined;
  /** Tools that the agent must all have. At most 32. */
  readonly tools?: readonly string[] | undefined;
  /** The role that the agent must have. */
  readonly role?: string | undefined;
  /** The only agent that may have it, by name. */
  readonly assignee?: string | undefined;
  /** The agent that should have it, by name. */
  readonly preferredAgent?: string | undefined;
  /** Labels that the agent should have. At most 16. */
  readonly affinity?: Readonly<Record<string, string>> | undefined;
  /** How urgent it is. Default NORMAL. */
  readonly priority?: Priority | undefined;
  /** What must end first. At most 1,000. */
  readonly dependsOn?: readonly DependsOn[] | undefined;
  /** How failures are retried. */
  readonly retry?: RetryPolicy | undefined;
  /** How long things may take. */
  readonly timeouts?: Timeouts | undefined;
  /** When the task fails if it has not ended. */
  readonly deadline?: Date | undefined;
  /** Not before this time. */
  readonly startAt?: Date | undefined;
  /** Keep it WAITING until it is released. */
  readonly hold?: boolean | undefined;
  /** To find it by. At most 32. */
  readonly tags?: readonly string[] | undefined;
  /** What an application wants to keep with it. At most 64 entries and 16 KiB. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Carried to every attempt and child: trace context. At most 32 entries and 8 KiB. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What a task is asked to be. */
export interface TaskSpec extends TaskOptions {
  /** The kind of work, which agents say they handle. */
  readonly type: string;
  /** What the handler is given. Default the empty string. */
  readonly input?: unknown;
}

/** The id of a task. */
export function taskIdOf(task: TaskRef): string {
  if (typeof task === "string") {
    return task;
  }
  return "taskId" in task ? task.taskId : task.id;
}

/** @internal */
export function specToWire(spec: TaskSpec): WireTaskSpec {
  const { type, description = "", key = "", role = "", assignee = "", preferredAgent = "", hold = false } = spec;
  const { keyConflict = "USE_EXISTING", priority = "NORMAL", input = "", retry, timeouts } = spec;
  return create(
    TaskSpecSchema,
    given({
      type,
      description,
      input: encode(input, "input"),
      key,
      keyConflictPolicy: enumNumber(KeyConflictPolicySchema, keyConflict, "KEY_CONFLICT_POLICY_", "keyConflict"),
      requirements: {
        skills: stringList(spec.skills, "skills"),
        tools: stringList(spec.tools, "tools"),
        role,
        assignee,
        preferredAgent,
        affinity: { ...spec.affinity },
      },
      priority: enumNumber(PrioritySchema, priority, "PRIORITY_", "priority"),
      dependencies: (spec.dependsOn ?? []).map((one, index) => dependencyToWire(one, `dependsOn[${String(index)}]`)),
      retryPolicy: retry === undefined ? undefined : retryToWire(retry),
      timeouts: timeouts === undefined ? undefined : timeoutsToWire(timeouts),
      deadline: optionalTimestamp(spec.deadline, "deadline"),
      startAt: optionalTimestamp(spec.startAt, "startAt"),
      hold,
      tags: stringList(spec.tags, "tags"),
      metadata: { ...spec.metadata },
      headers: { ...spec.headers },
    }) as MessageInitShape<typeof TaskSpecSchema>,
  );
}

/** @internal */
export function retryToWire(retry: RetryPolicy): WireRetryPolicy {
  return create(
    RetryPolicySchema,
    given({
      maxAttempts: retry.maxAttempts,
      initialBackoff: optionalDuration(retry.initialBackoff, "retry.initialBackoff"),
      multiplier: retry.multiplier,
      maxBackoff: optionalDuration(retry.maxBackoff, "retry.maxBackoff"),
      nonRetryableTypes: stringList(retry.nonRetryableTypes, "retry.nonRetryableTypes"),
    }),
  );
}

function timeoutsToWire(timeouts: Timeouts): WireTimeouts {
  return create(
    TimeoutsSchema,
    given({
      scheduleToStart: optionalDuration(timeouts.scheduleToStart, "timeouts.scheduleToStart"),
      startToClose: optionalDuration(timeouts.startToClose, "timeouts.startToClose"),
      scheduleToClose: optionalDuration(timeouts.scheduleToClose, "timeouts.scheduleToClose"),
      heartbeat: optionalDuration(timeouts.heartbeat, "timeouts.heartbeat"),
    }),
  );
}

function dependencyToWire(one: DependsOn, field: string): WireDependency {
  // A receipt has a task id, too, and nothing of the rest.
  const dependency: Dependency = typeof one === "object" && "taskId" in one ? one : { taskId: taskIdOf(one) };
  const { taskId, condition = "COMPLETED", result, onFailure = "SKIP", name = "" } = dependency;
  return create(
    DependencySchema,
    given({
      taskId,
      condition: enumNumber(DependencyConditionSchema, condition, "DEPENDENCY_CONDITION_", `${field}.condition`),
      result: result === undefined ? undefined : conditionToWire(result, `${field}.result`),
      onFailure: enumNumber(
        DependencyFailureActionSchema,
        onFailure,
        "DEPENDENCY_FAILURE_ACTION_",
        `${field}.onFailure`,
      ),
      name,
    }),
  );
}

function conditionToWire({ pointer = "", comparison, value }: ResultCondition, field: string): WireResultCondition {
  return create(ResultConditionSchema, {
    pointer,
    comparison: enumNumber(ResultComparisonSchema, comparison, "RESULT_COMPARISON_", `${field}.comparison`),
    value: value === undefined ? "" : jsonText(value, `${field}.value`),
  });
}
