// What a run recorded while its handlers worked: steps, children, output.

import {
  type Child as WireChild,
  ParentEndAction as WireParentEndAction,
  ParentEndActionSchema,
} from "./_gen/callboard/v1/child_pb.js";
import type { OutputChunk as WireOutputChunk } from "./_gen/callboard/v1/output_pb.js";
import type { Payload } from "./_gen/callboard/v1/payload_pb.js";
import type { Step as WireStep } from "./_gen/callboard/v1/step_pb.js";
import { date, enumName } from "./convert.js";
import { type Known, Task } from "./models.js";
import { decode } from "./payload.js";

/** A step that a run recorded. */
export interface Step {
  /** What the handler calls it. */
  readonly name: string;
  /** How many steps of this name its attempt had begun before it. */
  readonly occurrence: number;
  /** Its place among the run's steps, in the order in which they were recorded: 1, 2, 3, … */
  readonly ordinal: number;
  /** What it gave, as it came. */
  readonly payload: Payload | undefined;
  /** What it gave, decoded. */
  readonly value: unknown;
  /** The attempt that recorded it. */
  readonly attempt: number;
  /** When it was recorded, by the server's clock. */
  readonly recordedAt: Date | undefined;
}

/** @internal */
export function stepFrom(wire: WireStep): Step {
  const { name, occurrence, ordinal, attempt, result } = wire;
  return {
    name,
    occurrence,
    ordinal,
    payload: result,
    get value(): unknown {
      return decode(result);
    },
    attempt,
    recordedAt: date(wire.recordedAt),
  };
}

/** What becomes of a child that has not ended when its parent's run ends. */
export type ParentEndAction = "CANCEL" | "DETACH";

/** A child of a run of a task. */
export interface ChildInfo {
  /** What the parent's handler calls it. */
  readonly name: string;
  /** How many children of this name the attempt began before it. */
  readonly occurrence: number;
  /** Its place among the run's children, in the order in which they were created: 1, 2, 3, … */
  readonly ordinal: number;
  /** What becomes of it when the parent's run ends. */
  readonly onParentEnd: Known<ParentEndAction>;
  /** Its id. */
  readonly taskId: string;
  /** The child as it is now, without input and result; undefined when it was forgotten since. */
  readonly task: Task | undefined;
}

/** @internal */
export function childFrom(wire: WireChild): ChildInfo {
  const { name, occurrence, ordinal, taskId, task } = wire;
  const action = wire.onParentEnd || WireParentEndAction.CANCEL;
  return {
    name,
    occurrence,
    ordinal,
    onParentEnd: enumName(ParentEndActionSchema, action, "PARENT_END_ACTION_"),
    taskId,
    task: task === undefined ? undefined : new Task(task),
  };
}

/** A piece of a run's output. Text and bytes may be divided anywhere: join the pieces. */
export interface OutputChunk {
  /** How many bytes of the run's output, of all its attempts, come before it. */
  readonly offset: number;
  /** What was given, as it came. */
  readonly payload: Payload | undefined;
  /** What was given, decoded. */
  readonly value: unknown;
  /** The attempt that gave it. When this rises, an attempt began anew: what came of those before may come again. */
  readonly attempt: number;
  /** When it was given, by the server's clock. */
  readonly givenAt: Date | undefined;
}

/** @internal */
export function outputFrom(wire: WireOutputChunk): OutputChunk {
  const { data, attempt } = wire;
  return {
    offset: Number(wire.offset),
    payload: data,
    get value(): unknown {
      return decode(data);
    },
    attempt,
    givenAt: date(wire.givenAt),
  };
}
