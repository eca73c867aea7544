// Frames, reports and errors that a session makes.

import { create } from "@bufbuild/protobuf";

import {
  type AttachRequest,
  AttachRequestSchema,
  type Attempt as Lease,
  type Report,
  ReportSchema,
} from "../_gen/callboard/v1/agent_pb.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";

/** What an agent sends. */
export type Frame = AttachRequest["frame"];

type FrameInit = NonNullable<NonNullable<Parameters<typeof create<typeof AttachRequestSchema>>[1]>["frame"]>;
/** What a report says. */
export type ReportInit = NonNullable<NonNullable<Parameters<typeof create<typeof ReportSchema>>[1]>["kind"]>;

/** A frame from its parts. */
export function frameOf(frame: FrameInit): Frame {
  return create(AttachRequestSchema, { frame }).frame;
}

/** A report of an attempt, without an id yet. */
export function reportOf(attempt: Lease, kind: ReportInit): Report {
  return create(ReportSchema, { attempt, kind });
}

/** An attempt handed back. */
export function rejection(attempt: Lease, reason: string): Report {
  return reportOf(attempt, { case: "rejected", value: { reason } });
}

/** The server's features are without `children`. */
export function noChildren(): StatusError {
  return statusError(StatusCode.FAILED_PRECONDITION, "the server takes no children");
}

/** The server's features are without `output`. */
export function noOutput(): StatusError {
  return statusError(StatusCode.FAILED_PRECONDITION, "the server takes no output");
}

/** Nothing of an attempt is wanted any more. */
export function leaseLost(why: string): StatusError {
  return statusError(StatusCode.FAILED_PRECONDITION, why, { reason: "STALE_ATTEMPT" });
}

/** The earliest of the times that are set. */
export function earliest(...times: readonly (number | undefined)[]): number | undefined {
  let first: number | undefined;
  for (const time of times) {
    if (time !== undefined && (first === undefined || time < first)) {
      first = time;
    }
  }
  return first;
}
