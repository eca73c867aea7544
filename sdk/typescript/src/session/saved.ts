// What handlers save and wait for: checkpoints and steps.

import type { Receipt, Report } from "../_gen/callboard/v1/agent_pb.js";
import { ErrorReasonSchema } from "../_gen/callboard/v1/error_pb.js";
import { enumName } from "../convert.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";

/** The kinds of such reports. */
export type Saved = "checkpoint" | "step";

/** The feature that says whether a server takes them. */
export const SAVED = { checkpoint: "checkpoint", step: "steps" } as const;

/** Reasons that are about the step and not its attempt, which goes on. */
const OF_THE_STEP: Readonly<Record<string, StatusCode>> = {
  LIMIT_REACHED: StatusCode.RESOURCE_EXHAUSTED,
  STEP_EXISTS: StatusCode.ALREADY_EXISTS,
  INVALID_FIELD: StatusCode.INVALID_ARGUMENT,
  PAYLOAD_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
};

/** The server's features are without `steps`. */
export function noSteps(): StatusError {
  return statusError(StatusCode.FAILED_PRECONDITION, "the server takes no steps");
}

/** The server's features are without those that such reports need. */
export function untaken(kind: Saved): StatusError {
  return kind === "step" ? noSteps() : statusError(StatusCode.UNIMPLEMENTED, "the server takes no checkpoints");
}

export function isStep(report: Report): boolean {
  return report.kind.case === "step";
}

/** Whether only the step was refused: then its handler decides how to go on. */
export function isOfTheStep(report: Report, receipt: Receipt): boolean {
  return isStep(report) && reasonOf(receipt) in OF_THE_STEP;
}

/** What whoever waits for a report hears when it was refused. */
export function refused(report: Report, receipt: Receipt): StatusError {
  const reason = reasonOf(receipt);
  const code = isStep(report) ? OF_THE_STEP[reason] : undefined;
  return statusError(code ?? StatusCode.FAILED_PRECONDITION, receipt.message, { reason });
}

function reasonOf(receipt: Receipt): string {
  return enumName(ErrorReasonSchema, receipt.reason, "ERROR_REASON_");
}
