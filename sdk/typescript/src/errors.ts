import type { Task } from "./models.js";

/** The status codes of gRPC that errors have, by their names. */
export const StatusCode = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A status code of gRPC: a number. */
export type StatusCode = (typeof StatusCode)[keyof typeof StatusCode];

/** A field that has a value it may not have. */
export interface FieldViolation {
  /** The field's path in the request: `task.type`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/** What a status says beside its code and message. */
export interface StatusDetails {
  /** The name from `ErrorReason` without its prefix. */
  readonly reason?: string | undefined;
  /** The fields that are wrong. */
  readonly violations?: readonly FieldViolation[] | undefined;
  /** Milliseconds after which the server wants to be asked again. */
  readonly retryDelay?: number | undefined;
  /** What it came from. */
  readonly cause?: unknown;
}

/** The base of all that the SDK throws about tasks and calls. Wrong options are TypeErrors and RangeErrors. */
export class CallboardError extends Error {
  override name = "CallboardError";
}

/** A call was refused or failed; `message` is what the server said. Its kinds are subclasses; codes without one are this class itself. */
export class StatusError extends CallboardError {
  override name = "StatusError";
  /** The gRPC status. */
  readonly code: StatusCode;
  /** The name from `ErrorReason` without its prefix; empty if there is none. */
  readonly reason: string;
  /** The fields that are wrong. */
  readonly violations: readonly FieldViolation[];
  /** Milliseconds after which the server wants to be asked again; undefined unless it said so. */
  readonly retryDelay: number | undefined;

  constructor(code: StatusCode, message: string, details: StatusDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.reason = details.reason ?? "";
    this.violations = details.violations ?? [];
    this.retryDelay = details.retryDelay;
  }

  /** The name of the code, the reason and the message: `NOT_FOUND TASK_NOT_FOUND: there is no task …`. */
  override toString(): string {
    const head = this.reason === "" ? codeName(this.code) : `${codeName(this.code)} ${this.reason}`;
    return `${head}: ${this.message}`;
  }
}

/** A value may not be what it is. */
export class InvalidArgument extends StatusError {
  override name = "InvalidArgument";
}

/** There is no such task, agent or namespace. */
export class NotFound extends StatusError {
  override name = "NotFound";
}

/** There is one of this key or name. */
export class AlreadyExists extends StatusError {
  override name = "AlreadyExists";
}

/** The state of the task or agent does not allow it. */
export class FailedPrecondition extends StatusError {
  override name = "FailedPrecondition";
}

/** It belongs to someone else, or the caller's roles don't allow it. */
export class PermissionDenied extends StatusError {
  override name = "PermissionDenied";
}

/** A limit is reached. */
export class ResourceExhausted extends StatusError {
  override name = "ResourceExhausted";
}

/** No server could be reached, or none could decide now. */
export class Unavailable extends StatusError {
  override name = "Unavailable";
}

/** The time was over before the answer came. */
export class DeadlineExceeded extends StatusError {
  override name = "DeadlineExceeded";
}

/** A task whose result was asked for did not complete. */
export class TaskFailed extends CallboardError {
  override name = "TaskFailed";
  /** The task, with its state and failure. */
  readonly task: Task;

  constructor(task: Task) {
    const failure = task.failure;
    const how = failure === undefined ? "" : `: ${failure.type}: ${failure.message}`;
    super(`task ${task.id} ended ${task.state}${how}`);
    this.task = task;
  }
}

/** The reason of a handler's `context.signal` once it is to stop: what `signal.throwIfAborted()` throws. */
export class Cancelled extends CallboardError {
  override name = "Cancelled";
}

/** How a {@link TaskError} fails its attempt. */
export interface TaskErrorOptions {
  /** A short name that programs can act on, at most 256 bytes. Default `TaskError`. */
  readonly type?: string | undefined;
  /** Whether another attempt may succeed. Default true. */
  readonly retryable?: boolean | undefined;
  /** The least delay before the next attempt, in milliseconds, at most 24 hours. */
  readonly retryAfter?: number | undefined;
  /** Anything else; becomes a payload. */
  readonly details?: unknown;
  /** What caused it. */
  readonly cause?: unknown;
}

/**
 * Thrown by a handler to fail its attempt with just this.
 *
 * @throws TypeError when the type begins with `callboard.`: those are the server's, but for `callboard.cancelled`.
 */
export class TaskError extends CallboardError {
  override name = "TaskError";
  /** A short name that programs can act on. */
  readonly type: string;
  /** Whether another attempt may succeed. */
  readonly retryable: boolean;
  /** The least delay before the next attempt, in milliseconds. */
  readonly retryAfter: number | undefined;
  /** Anything else; becomes a payload. */
  readonly details: unknown;

  constructor(message: string, options: TaskErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const type = options.type ?? "TaskError";
    if (type.startsWith("callboard.") && type !== "callboard.cancelled") {
      throw new TypeError(
        `type ${JSON.stringify(type)} is the server's: choose one that doesn't begin with "callboard."`,
      );
    }
    this.type = type;
    this.retryable = options.retryable ?? true;
    this.retryAfter = options.retryAfter;
    this.details = options.details;
  }
}

const KINDS = new Map<number, typeof StatusError>([
  [StatusCode.INVALID_ARGUMENT, InvalidArgument],
  [StatusCode.NOT_FOUND, NotFound],
  [StatusCode.ALREADY_EXISTS, AlreadyExists],
  [StatusCode.FAILED_PRECONDITION, FailedPrecondition],
  [StatusCode.PERMISSION_DENIED, PermissionDenied],
  [StatusCode.RESOURCE_EXHAUSTED, ResourceExhausted],
  [StatusCode.UNAVAILABLE, Unavailable],
  [StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded],
]);

/** The error of a status, of the class that is its kind. */
export function statusError(code: StatusCode, message: string, details: StatusDetails = {}): StatusError {
  const Kind = KINDS.get(code) ?? StatusError;
  return new Kind(code, message, details);
}

function codeName(code: StatusCode): string {
  return Object.entries(StatusCode).find(([, number]) => number === code)?.[0] ?? `code ${String(code)}`;
}
