// What handlers save and wait for, checkpoints and steps; and what it means that a report is refused.

import type { Receipt, Report } from "../_gen/callboard/v1/agent_pb.js";
import { ErrorReason, ErrorReasonSchema } from "../_gen/callboard/v1/error_pb.js";
import { enumName } from "../convert.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";

/** The kinds of such reports. */
export type Saved = "checkpoint" | "step";

/** The feature that says whether a server takes them. */
export const SAVED = { checkpoint: "checkpoint", step: "steps" } as const;

/** Reasons that are about what was reported and not its attempt, which goes on. */
const NOT_THE_ATTEMPTS: Readonly<Record<string, StatusCode>> = {
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

/** Whether only this was refused, and not the attempt: then its handler decides how to go on. */
export function leavesAttempt({ kind }: Report, receipt: Receipt): boolean {
  const isOfTheOutput = kind.case === "output" && receipt.reason === ErrorReason.LIMIT_REACHED;
  return isOfTheOutput || (kind.case === "step" && reasonOf(receipt) in NOT_THE_ATTEMPTS);
}

/** What whoever gave a report hears when it was refused. */
export function refused(report: Report, receipt: Receipt): StatusError {
  const reason = reasonOf(receipt);
  const code = leavesAttempt(report, receipt) ? NOT_THE_ATTEMPTS[reason] : undefined;
  return statusError(code ?? StatusCode.FAILED_PRECONDITION, receipt.message, { reason });
}

function reasonOf(receipt: Receipt): string {
  return enumName(ErrorReasonSchema, receipt.reason, "ERROR_REASON_");
}
