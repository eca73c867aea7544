// What goes over a stream of `RunTasks`. A run is serialized once, when it is asked for: its size is known then, and frames
// are put together of what is there.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

import type { Task as WireTask, TaskSpec as WireTaskSpec } from "../_gen/callboard/v1/task_pb.js";
import {
  RunTasksRequestSchema,
  RunTasksResponseSchema,
  type TaskOutcome,
  TaskRunSchema,
} from "../_gen/callboard/v1/task_service_pb.js";
import { StatusCode, statusError } from "../errors.js";
import { fromStatus } from "../status.js";
import type { Outcome, Told } from "./runs.js";

/** A RunTasksRequest, of serialized runs. */
export interface Frame {
  readonly namespace: string;
  readonly runs: readonly Uint8Array[];
  readonly forgottenIds: readonly string[];
}

const { namespace: NAMESPACE, runs: RUNS, forgottenIds: FORGOTTEN } = RunTasksRequestSchema.field;

/** Serializes a run. */
export function encodeRun(requestId: string, task: WireTaskSpec): Uint8Array {
  return toBinary(TaskRunSchema, create(TaskRunSchema, { requestId, task }));
}

/** Serializes a frame. */
export function encodeFrame({ namespace, runs, forgottenIds }: Frame): Uint8Array {
  const writer = new BinaryWriter();
  if (namespace !== "") {
    writer.tag(NAMESPACE.number, WireType.LengthDelimited).string(namespace);
  }
  for (const run of runs) {
    writer.tag(RUNS.number, WireType.LengthDelimited).bytes(run);
  }
  for (const id of forgottenIds) {
    writer.tag(FORGOTTEN.number, WireType.LengthDelimited).string(id);
  }
  return writer.finish();
}

/** Reads what the server says. */
export function decodeFrame(bytes: Uint8Array): Told<WireTask>[] {
  return fromBinary(RunTasksResponseSchema, bytes).outcomes.map(({ requestId, outcome }) => ({
    requestId,
    outcome: outcomeOf(outcome),
  }));
}

function outcomeOf(outcome: TaskOutcome["outcome"]): Outcome<WireTask> {
  switch (outcome.case) {
    case "task":
      return { kind: "ended", task: outcome.value };
    case "status":
      return { kind: "failed", error: fromStatus(outcome.value) };
    default: {
      const error = statusError(StatusCode.INTERNAL, "the server tells an outcome that this SDK does not know");
      return { kind: "failed", error };
    }
  }
}
