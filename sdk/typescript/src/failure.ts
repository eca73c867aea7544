// How a handler's error becomes the failure of its attempt.

import { create } from "@bufbuild/protobuf";

import { type Failure as WireFailure, FailureSchema, type Payload } from "./_gen/callboard/v1/payload_pb.js";
import { cut, given, optionalDuration } from "./convert.js";
import { Cancelled, InvalidArgument, TaskError } from "./errors.js";
import { encode } from "./payload.js";

export type { WireFailure };

// The SDK's own types. Another attempt would meet the same input and the same code.
const INVALID_INPUT = "InvalidInput";
const INVALID_RESULT = "InvalidResult";

// The server cuts longer ones; cutting here keeps a huge message from passing the limit of a frame.
const MAX_TYPE = 256;
const MAX_MESSAGE = 16 * 1024;
const MAX_CAUSES = 8;

/** Whether a handler that was told to stop stopped with this error because of it. */
export function isCancellation(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) {
    return false;
  }
  // What is given the signal and doesn't throw its reason throws an AbortError of its own: fetch, timers, child processes.
  return error === signal.reason || error instanceof Cancelled || nameOf(error) === "AbortError";
}

/** The failure of a handler that stopped because it was told to. */
export function cancelledFailure(): WireFailure {
  const message = "the handler stopped because it was told to";
  return create(FailureSchema, { type: "callboard.cancelled", message, retryable: false });
}

/** The failure of an attempt whose input can't be decoded to what its handler takes. */
export function invalidInput(error: unknown): WireFailure {
  const message = cut(`the input can't be decoded: ${textOf(error)}`, MAX_MESSAGE);
  return create(FailureSchema, { type: INVALID_INPUT, message, retryable: false });
}

/** The failure of an attempt whose result can't be sent, or is not taken for what it holds. */
export function invalidResult(why: string): WireFailure {
  return create(FailureSchema, { type: INVALID_RESULT, message: cut(why, MAX_MESSAGE), retryable: false });
}

/** The failure that an error stands for, with its causes. */
export function failureOf(error: unknown): WireFailure {
  const failure = one(error);
  if (error instanceof TaskError && error.details !== undefined) {
    failure.details = detailsOf(error.details);
  }
  const seen = new Set([error]);
  let [at, inner] = [failure, error];
  for (let depth = 0; depth < MAX_CAUSES; depth += 1) {
    const cause = inner instanceof Error ? inner.cause : undefined;
    if (cause === undefined || cause === null || seen.has(cause)) {
      break;
    }
    seen.add(cause);
    at.cause = one(cause);
    [at, inner] = [at.cause, cause];
  }
  return failure;
}

function one(error: unknown): WireFailure {
  if (error instanceof TaskError) {
    const { type, message, retryable, retryAfter } = error;
    const fields = { type: cut(type, MAX_TYPE), message: cut(message, MAX_MESSAGE), retryable };
    return create(FailureSchema, given({ ...fields, retryAfter: optionalDuration(retryAfter, "retryAfter") }));
  }
  const type = cut(nameOf(error), MAX_TYPE);
  return create(FailureSchema, { type, message: cut(textOf(error), MAX_MESSAGE), retryable: true });
}

/** Only the outermost error's: eight payloads would not fit into a frame. */
function detailsOf(value: unknown): Payload {
  try {
    return encode(value, "details");
  } catch (refused) {
    // The failure itself is worth more than its details.
    return encode(refused instanceof InvalidArgument ? refused.message : textOf(refused), "details");
  }
}

/** The name of the error's class. Classes that don't set `name` inherit `Error`: then the constructor's name says more. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return "Error";
  }
  try {
    return (error.name === "Error" ? error.constructor.name : error.name) || "Error";
  } catch {
    return "Error";
  }
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    // A broken toString must not hide that the handler failed.
    return "the error has no readable text";
  }
}
