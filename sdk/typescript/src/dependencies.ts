// What tasks wait for: as callers ask for it, and as tasks show it.

import { create } from "@bufbuild/protobuf";

import {
  DependencyCondition as WireCondition,
  DependencyConditionSchema,
  DependencyFailureAction as WireAction,
  DependencyFailureActionSchema,
  DependencySchema,
  type Dependency as WireDependency,
  ResultComparisonSchema,
  type ResultCondition as WireResultCondition,
  ResultConditionSchema,
} from "./_gen/callboard/v1/task_pb.js";
import { enumName, enumNumber, given } from "./convert.js";
import { parseJson } from "./json.js";
import type { Known } from "./models.js";
import { jsonText } from "./payload.js";

/** How a task must end that another waits for. */
export type DependencyCondition = "COMPLETED" | "FAILED" | "NOT_COMPLETED" | "ENDED";

/** What becomes of a task when one that it waits for ended otherwise than it must. */
export type DependencyFailureAction = "SKIP" | "FAIL";

/** How a value in a result is compared. */
export type ResultComparison =
  "EQUAL" | "NOT_EQUAL" | "LESS" | "LESS_OR_EQUAL" | "GREATER" | "GREATER_OR_EQUAL" | "EXISTS" | "NOT_EXISTS";

/** What a result must be: a value in it, compared with another. Text is a value like any of JSON; in bytes there is none. */
export interface ResultCondition {
  /** Where in the result the value is, as a JSON Pointer (RFC 6901): `/score`. Default is the whole result. At most 1 KiB. */
  readonly pointer?: string | undefined;
  /**
   * How it is compared. Numbers are compared as numbers, and text by its code points; what is neither two numbers nor two
   * texts is not less or greater.
   */
  readonly comparison: ResultComparison;
  /** What it is compared with: anything that JSON has. Not with EXISTS and NOT_EXISTS. At most 4 KiB. */
  readonly value?: unknown;
}

/** What is asked of a task that another waits for. */
export interface DependencyTerms {
  /**
   * How it must end: COMPLETED; FAILED, for a fallback (one that was cancelled or skipped has not failed); NOT_COMPLETED, to
   * undo what was done before it; ENDED, in any way, to clean up. Default COMPLETED.
   */
  readonly condition?: DependencyCondition | undefined;
  /** What its result must be, besides. Only with COMPLETED. */
  readonly result?: ResultCondition | undefined;
  /** What becomes of the dependent when that one ends otherwise than `condition` and `result` say. Default SKIP. */
  readonly onFailure?: DependencyFailureAction | undefined;
}

/** A task that must end first, and how. */
export interface Dependency extends DependencyTerms {
  /** Its id. */
  readonly taskId: string;
  /**
   * What the dependent's handler calls it: `context.dependency(name)` finds how it ended. 1 to 128 characters: letters,
   * digits and `-_./:`, each name once.
   */
  readonly name?: string | undefined;
}

/** What a task waits for, as the server has it. */
export interface TaskDependency {
  /** The id of the task that must end first. */
  readonly taskId: string;
  /** What the dependent calls it; empty if it has no name. In a workflow it is that task's name. */
  readonly name: string;
  /** How it must end. */
  readonly condition: Known<DependencyCondition>;
  /** What its result must be, besides; a value of undefined is compared with nothing. */
  readonly result:
    { readonly pointer: string; readonly comparison: Known<ResultComparison>; readonly value: unknown } | undefined;
  /** What becomes of the dependent when it ends otherwise. */
  readonly onFailure: Known<DependencyFailureAction>;
}

const CONDITION = "DEPENDENCY_CONDITION_";
const ACTION = "DEPENDENCY_FAILURE_ACTION_";
const COMPARISON = "RESULT_COMPARISON_";

/** @internal `field` is what errors call it. */
export function dependencyToWire({ taskId, name = "", ...terms }: Dependency, field: string): WireDependency {
  return create(DependencySchema, { taskId, name, ...termsToWire(terms, field) });
}

/** @internal The fields of the wire that dependencies of tasks and of workflows have in common. */
export function termsToWire(terms: DependencyTerms, field: string): WireTerms {
  const { condition = "COMPLETED", result, onFailure = "SKIP" } = terms;
  return given({
    condition: enumNumber(DependencyConditionSchema, condition, CONDITION, `${field}.condition`),
    result: result === undefined ? undefined : conditionToWire(result, `${field}.result`),
    onFailure: enumNumber(DependencyFailureActionSchema, onFailure, ACTION, `${field}.onFailure`),
  });
}

type WireTerms = Pick<WireDependency, "condition" | "result" | "onFailure">;

function conditionToWire({ pointer = "", comparison, value }: ResultCondition, field: string): WireResultCondition {
  return create(ResultConditionSchema, {
    pointer,
    comparison: enumNumber(ResultComparisonSchema, comparison, COMPARISON, `${field}.comparison`),
    value: value === undefined ? "" : jsonText(value, `${field}.value`),
  });
}

/** @internal */
export function taskDependencyFrom({ taskId, name, condition, result, onFailure }: WireDependency): TaskDependency {
  return {
    taskId,
    name,
    condition: enumName(DependencyConditionSchema, condition || WireCondition.COMPLETED, CONDITION),
    result: result && conditionFrom(result),
    onFailure: enumName(DependencyFailureActionSchema, onFailure || WireAction.SKIP, ACTION),
  };
}

function conditionFrom({ pointer, comparison, value }: WireResultCondition): NonNullable<TaskDependency["result"]> {
  return {
    pointer,
    comparison: enumName(ResultComparisonSchema, comparison, COMPARISON),
    get value(): unknown {
      return value === "" ? undefined : parseJson(value);
    },
  };
}
