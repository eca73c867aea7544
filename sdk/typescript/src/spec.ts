// What callers ask for: tasks with their requirements, retries and timeouts.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Dependency as WireDependency,
  KeyConflictPolicySchema,
  PrioritySchema,
  type RetryPolicy as WireRetryPolicy,
  RetryPolicySchema,
  type TaskSpec as WireTaskSpec,
  TaskSpecSchema,
  type Timeouts as WireTimeouts,
  TimeoutsSchema,
} from "./_gen/callboard/v1/task_pb.js";
import { enumNumber, given, optionalDuration, optionalTimestamp, stringList } from "./convert.js";
import { type Dependency, dependencyToWire } from "./dependencies.js";
import type { Priority, Receipt, Task } from "./models.js";
import { encode } from "./payload.js";
import { type Placement, placementToWire } from "./placement.js";

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

/** A task by its id, or by what a call answered. */
export type TaskRef = string | Receipt | Task;

/** A task to depend on: one that must complete, or a dependency that says more. */
export type DependsOn = TaskRef | Dependency;

/** The options of a task. */
export interface TaskOptions extends Placement {
  /** What the task is about, for people. At most 4 KiB. */
  readonly description?: string | undefined;
  /** Your own id for the task, unique among the live tasks of the namespace. At most 256 bytes. */
  readonly key?: string | undefined;
  /** What to do when a live task has this key. Default USE_EXISTING. */
  readonly keyConflict?: "USE_EXISTING" | "FAIL" | "REPLACE" | undefined;
  /**
   * Whose turn it is: READY tasks of different keys take turns, one task each, whatever their priorities and ages. All tasks
   * without one share a turn. At most 128 bytes.
   */
  readonly fairnessKey?: string | undefined;
  /**
   * Keys whose limits (`limits` of a namespace's settings) it is under, all of them; a key without a limit holds nothing up.
   * At most 4, of 1 to 128 bytes each.
   */
  readonly limitKeys?: readonly string[] | undefined;
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

/** @internal `at` stands before the names of options in errors. */
export function specToWire(spec: TaskSpec, at = ""): WireTaskSpec {
  const { type, description = "", key = "", keyConflict = "USE_EXISTING", hold = false } = spec;
  const { priority = "NORMAL", input = "", retry, timeouts } = spec;
  return create(
    TaskSpecSchema,
    given({
      type,
      description,
      input: encode(input, `${at}input`),
      key,
      keyConflictPolicy: enumNumber(KeyConflictPolicySchema, keyConflict, "KEY_CONFLICT_POLICY_", `${at}keyConflict`),
      requirements: placementToWire(spec, at),
      priority: enumNumber(PrioritySchema, priority, "PRIORITY_", `${at}priority`),
      dependencies: dependenciesToWire(spec.dependsOn ?? [], `${at}dependsOn`),
      retryPolicy: retry === undefined ? undefined : retryToWire(retry, `${at}retry`),
      timeouts: timeouts === undefined ? undefined : timeoutsToWire(timeouts, `${at}timeouts`),
      deadline: optionalTimestamp(spec.deadline, `${at}deadline`),
      startAt: optionalTimestamp(spec.startAt, `${at}startAt`),
      hold,
      tags: stringList(spec.tags, `${at}tags`),
      metadata: { ...spec.metadata },
      headers: { ...spec.headers },
      fairnessKey: spec.fairnessKey,
      limitKeys: stringList(spec.limitKeys, `${at}limitKeys`),
    }) as MessageInitShape<typeof TaskSpecSchema>,
  );
}

/** @internal `field` is what errors call it. */
export function retryToWire(retry: RetryPolicy, field: string): WireRetryPolicy {
  return create(
    RetryPolicySchema,
    given({
      maxAttempts: retry.maxAttempts,
      initialBackoff: optionalDuration(retry.initialBackoff, `${field}.initialBackoff`),
      multiplier: retry.multiplier,
      maxBackoff: optionalDuration(retry.maxBackoff, `${field}.maxBackoff`),
      nonRetryableTypes: stringList(retry.nonRetryableTypes, `${field}.nonRetryableTypes`),
    }),
  );
}

function timeoutsToWire(timeouts: Timeouts, field: string): WireTimeouts {
  return create(
    TimeoutsSchema,
    given({
      scheduleToStart: optionalDuration(timeouts.scheduleToStart, `${field}.scheduleToStart`),
      startToClose: optionalDuration(timeouts.startToClose, `${field}.startToClose`),
      scheduleToClose: optionalDuration(timeouts.scheduleToClose, `${field}.scheduleToClose`),
      heartbeat: optionalDuration(timeouts.heartbeat, `${field}.heartbeat`),
    }),
  );
}

/** @internal `field` is what errors call them. */
export function dependenciesToWire(dependsOn: readonly DependsOn[], field: string): WireDependency[] {
  return dependsOn.map((one, index) => dependencyToWire(dependencyOf(one), `${field}[${String(index)}]`));
}

function dependencyOf(one: DependsOn): Dependency {
  // A receipt has a task id, too, and nothing of the rest.
  return typeof one === "object" && "taskId" in one ? one : { taskId: taskIdOf(one) };
}
