// When a workflow is expected to end, and what its end waits for.

import {
  type ForecastTask as WireForecastTask,
  type WorkflowForecast as WireForecast,
} from "./_gen/callboard/v1/workflow_pb.js";
import { date, milliseconds } from "./convert.js";
import { type TaskState, taskStateFrom } from "./models.js";

/** What is expected of a workflow, from how long tasks of the same types took. */
export interface WorkflowForecast {
  /**
   * When it ends, if every task finds an agent as soon as it is eligible, and none fails; undefined when it has ended, or is
   * held.
   */
  readonly expectedEnd: Date | undefined;
  /**
   * Of the tasks that have not ended, those behind each other that its end waits for, the first of them first. At most 1,000:
   * of more, the first.
   */
  readonly criticalPath: readonly ForecastTask[];
  /**
   * Types of tasks that have not ended of which none has completed before. They count as if they took no time: the end comes
   * later by what they take.
   */
  readonly unknownTypes: readonly string[];
}

/** A task that the end of its workflow waits for. */
export interface ForecastTask {
  /** The task. */
  readonly taskId: string;
  /** What it is called in the workflow; empty for a child. */
  readonly name: string;
  /** The kind of work. */
  readonly type: string;
  /** Where it is in its life. */
  readonly state: TaskState;
  /**
   * Milliseconds that it takes from accepted to ended: the mean of the latest tasks of its type that completed, 100 at most;
   * undefined when there is none.
   */
  readonly expectedDuration: number | undefined;
  /** When it begins, or began. */
  readonly expectedStart: Date | undefined;
  /** When it ends. */
  readonly expectedEnd: Date | undefined;
}

/** @internal */
export function forecastFrom(wire: WireForecast | undefined): WorkflowForecast {
  return {
    expectedEnd: date(wire?.expectedEnd),
    criticalPath: wire?.criticalPath.map(forecastTaskFrom) ?? [],
    unknownTypes: wire?.unknownTypes ?? [],
  };
}

function forecastTaskFrom({ taskId, name, type, state, ...expected }: WireForecastTask): ForecastTask {
  const { expectedDuration, expectedStart, expectedEnd } = expected;
  return {
    taskId,
    name,
    type,
    state: taskStateFrom(state),
    expectedDuration: expectedDuration === undefined ? undefined : milliseconds(expectedDuration),
    expectedStart: date(expectedStart),
    expectedEnd: date(expectedEnd),
  };
}
