// What the SDK threw, as lines say it.

import { StatusCode, StatusError, TaskFailed } from "callboard";

import { taskLine } from "./answers.js";

const KINDS: readonly string[] = [
  "InvalidArgument",
  "NotFound",
  "AlreadyExists",
  "FailedPrecondition",
  "PermissionDenied",
  "ResourceExhausted",
  "Unavailable",
  "DeadlineExceeded",
];

/** The line of an error. Whatever is not the SDK's is `Local`. */
export function errorLine(error: unknown): object {
  if (error instanceof TaskFailed) {
    return { kind: "TaskFailed", message: error.message, task: taskLine(error.task) };
  }
  if (!(error instanceof StatusError)) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { kind: "Local", code: "", reason: "", message, violations: [], retry_after_ms: null };
  }
  return {
    kind: KINDS.includes(error.name) ? error.name : "Other",
    code: Object.entries(StatusCode).find(([, code]) => code === error.code)?.[0] ?? "",
    reason: error.reason,
    message: error.message,
    violations: error.violations.map(({ field, description }) => ({ field, description })),
    retry_after_ms: error.retryDelay ?? null,
  };
}
