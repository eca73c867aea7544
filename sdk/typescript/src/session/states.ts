// What a session remembers of itself: the keys of its attempts, its drain; and what ends it.

import type { Attempt as Lease } from "../_gen/callboard/v1/agent_pb.js";
import { StatusCode, type StatusError } from "../errors.js";

const FATAL_REASONS = new Set(["SESSION_SUPERSEDED", "NOT_YOUR_AGENT"]);
const FATAL_CODES = new Set<StatusCode>([
  StatusCode.INVALID_ARGUMENT,
  StatusCode.NOT_FOUND,
  StatusCode.PERMISSION_DENIED,
  StatusCode.UNAUTHENTICATED,
]);

/** What tells attempts apart: `TASK/ATTEMPT`. */
export type Key = string;

/** The key of an attempt. */
export function keyOf(attempt: Lease | undefined): Key {
  return `${attempt?.taskId ?? ""}/${String(attempt?.attempt ?? 0)}`;
}

/** When a drain loses its patience: with handlers, then with receipts. */
export class Drain {
  readonly handlersUntil: number;
  receiptsUntil: number | undefined;
  announced = false;
  closedSlots = false;

  constructor(handlersUntil: number) {
    this.handlersUntil = handlersUntil;
  }

  /** When the patience that is running now ends. */
  due(): number {
    return this.receiptsUntil ?? this.handlersUntil;
  }
}

/**
 * Whether attaching again can't help. `isUnproven`: it comes from an endpoint that a drain notice named, and that has not
 * welcomed the agent. That may be anything: a server that was misspelled, of others, or that doesn't know the agent yet;
 * what it says is of no matter elsewhere, unless it is about the agent itself.
 */
export function isFatal(error: StatusError, attached: boolean, isUnproven: boolean): boolean {
  if (FATAL_REASONS.has(error.reason) || (FATAL_CODES.has(error.code) && !isUnproven)) {
    return true;
  }
  // The agent was removed. While attached it's told that its session expired, and learns this when it comes back.
  return error.reason === "AGENT_STATE" && !attached;
}
