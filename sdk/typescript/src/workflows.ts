// Workflows: what is asked for, and what calls answer.

import { create } from "@bufbuild/protobuf";

import {
  type Workflow as WireWorkflow,
  type WorkflowDependency as WireDependency,
  WorkflowDependencySchema,
  WorkflowSchema,
  type WorkflowSpec as WireWorkflowSpec,
  WorkflowSpecSchema,
  WorkflowStateSchema,
  type WorkflowTask as WireTask,
  WorkflowTaskSchema,
} from "./_gen/callboard/v1/workflow_pb.js";
import { date, enumName, enumNumber, stringList } from "./convert.js";
import { type DependencyTerms, termsToWire } from "./dependencies.js";
import type { Known, Receipt, WorkflowLink } from "./models.js";
import { specToWire, type TaskSpec } from "./spec.js";

/** What a task of a workflow waits for: another of its tasks, and how that must end. */
export interface WorkflowDependency<Name extends string = string> extends DependencyTerms {
  /** The name of the task, which may stand behind the one that waits for it. */
  readonly task: Name;
}

/** A task of a workflow. `Name` is what the workflow's tasks are called: names that are written out are checked. */
export interface WorkflowTask<Name extends string = string> {
  /**
   * What it is called within the workflow, once: 1 to 128 characters, letters, digits and `-_./:`. The handlers of those that
   * depend on it find how it ended by this name: `context.dependency(name)`.
   */
  readonly name: Name;
  /** What the task is. It has no key: the workflow and the name are. What its `dependsOn` names are tasks outside of the workflow. */
  readonly task: Omit<TaskSpec, "key" | "keyConflict">;
  /** What must end first of the workflow: names of tasks that must complete, or dependencies that say more. At most 1,000. */
  readonly dependsOn?: readonly (NoInfer<Name> | WorkflowDependency<NoInfer<Name>>)[] | undefined;
  /** The workflow may complete although this task failed: it has a fallback, or matters little. */
  readonly allowFailure?: boolean | undefined;
  /** How much of the workflow's work it is, compared with the others. Default 1; at most 1,000,000. */
  readonly weight?: number | undefined;
}

/** A task that is added to a workflow. It may depend on those that the workflow has already, too. */
export interface AddedTask<Name extends string = string> extends Omit<WorkflowTask<Name>, "dependsOn"> {
  /** What must end first of the workflow, or of what is added: as in {@link WorkflowTask}. */
  readonly dependsOn?: readonly (string | WorkflowDependency)[] | undefined;
}

/** The options of a workflow. */
export interface WorkflowOptions {
  /** What it is about, for people. At most 4 KiB. */
  readonly description?: string | undefined;
  /** To find it by. At most 32, of 1 to 128 bytes each. */
  readonly tags?: readonly string[] | undefined;
  /** What an application wants to keep with it. At most 64 entries and 16 KiB. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Given to each of its tasks that doesn't have one of the same name. At most 32 entries and 8 KiB. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Where a workflow is in its life. */
export type WorkflowState = Known<"RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED">;

/** A workflow as it is now. */
export interface Workflow {
  /** Its id, a UUIDv7. */
  readonly id: string;
  /** Its namespace. */
  readonly namespace: string;
  /** What it is called; many may have the same name. */
  readonly name: string;
  /** What it is about, for people. */
  readonly description: string;
  /**
   * Where it is in its life: RUNNING while a task has not ended; then COMPLETED, when none FAILED or was CANCELLED but those
   * that may; CANCELLED, when that was asked for; else FAILED.
   */
  readonly state: WorkflowState;
  /**
   * How many tasks it has, with those that were added, and with the children that its tasks created, but those that outlive
   * their parents.
   */
  readonly tasks: number;
  /** How many of them have not ended. */
  readonly openTasks: number;
  /** How many completed. */
  readonly completedTasks: number;
  /** How many failed, those that may included. */
  readonly failedTasks: number;
  /** How many were cancelled. */
  readonly cancelledTasks: number;
  /** How many were skipped. */
  readonly skippedTasks: number;
  /** How much of the work is done, 0 to 1: the weights of the tasks that have ended, of those of all. */
  readonly progress: number;
  /** Its cancellation was asked for. */
  readonly cancelRequested: boolean;
  /** It is held: its tasks that are not assigned are not given out. */
  readonly held: boolean;
  /** To find it by. */
  readonly tags: readonly string[];
  /** What an application keeps with it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** When the last of its tasks ended; undefined while some have not. */
  readonly endedAt: Date | undefined;
  /** Whether all of its tasks have ended. A retry takes that back. */
  readonly ended: boolean;
  /** The principal that created it. */
  readonly createdBy: string;
  /** Rises with every change. */
  readonly version: number;
}

/** A workflow that was created: the same when that is repeated with its request id. */
export interface WorkflowReceipt<Name extends string = string> {
  /** The workflow. */
  readonly workflowId: string;
  /** Its tasks, by their names. */
  readonly receipts: Readonly<Record<Name, Receipt>>;
}

/** A workflow by its id, by what a call answered, or by the link that a task has to it. */
export type WorkflowRef = string | Workflow | WorkflowReceipt | WorkflowLink;

const STATE = "WORKFLOW_STATE_";

/** @internal The id of a workflow. */
export function workflowIdOf(workflow: WorkflowRef): string {
  if (typeof workflow === "string") {
    return workflow;
  }
  return "workflowId" in workflow ? workflow.workflowId : workflow.id;
}

/** @internal */
export function workflowToWire(
  name: string,
  tasks: readonly WorkflowTask[],
  { description = "", tags, metadata, headers }: WorkflowOptions,
): WireWorkflowSpec {
  return create(WorkflowSpecSchema, {
    name,
    description,
    tasks: workflowTasksToWire(tasks),
    tags: stringList(tags, "tags"),
    metadata: { ...metadata },
    headers: { ...headers },
  });
}

/** @internal */
export function workflowTasksToWire(tasks: readonly AddedTask[]): WireTask[] {
  return tasks.map((task, index) => taskToWire(task, `tasks[${String(index)}]`));
}

/** `field` is what errors call it. */
function taskToWire({ name, task, dependsOn = [], allowFailure = false, weight }: AddedTask, field: string): WireTask {
  return create(WorkflowTaskSchema, {
    name,
    task: specToWire(task, `${field}.task.`),
    dependsOn: dependsOn.map((one, index) => dependencyToWire(one, `${field}.dependsOn[${String(index)}]`)),
    allowFailure,
    // Zero is none given: the server says what that means.
    weight: weight ?? 0,
  });
}

function dependencyToWire(one: string | WorkflowDependency, field: string): WireDependency {
  const { task, ...terms } = typeof one === "string" ? { task: one } : one;
  return create(WorkflowDependencySchema, { task, ...termsToWire(terms, field) });
}

/** @internal */
export function workflowFrom(wire: WireWorkflow | undefined): Workflow {
  const { createdAt, endedAt, state, version, ...same } = wire ?? create(WorkflowSchema);
  const { id, namespace, name, description, tasks, openTasks, completedTasks, failedTasks } = same;
  const { cancelledTasks, skippedTasks, progress, cancelRequested, held, tags, metadata, createdBy } = same;
  return {
    ...{ id, namespace, name, description, tasks, openTasks, completedTasks, failedTasks },
    ...{ cancelledTasks, skippedTasks, progress, cancelRequested, held, tags, metadata, createdBy },
    state: enumName(WorkflowStateSchema, state, STATE),
    createdAt: date(createdAt),
    endedAt: date(endedAt),
    ended: endedAt !== undefined,
    version: Number(version),
  };
}

/** @internal */
export function workflowStateNumber(state: WorkflowState, field: string): number {
  return enumNumber(WorkflowStateSchema, state, STATE, field);
}
