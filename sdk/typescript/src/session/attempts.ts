// The attempts of a session: which run, which are over, and what their handlers say. Without any I/O.

import { create } from "@bufbuild/protobuf";

import {
  type Assignment,
  type Attempt as Lease,
  type Cancellation,
  CancellationReason,
  CancellationReasonSchema,
  type Progress,
  type Receipt,
  type Report,
  ReportSchema,
  type Resumption,
} from "../_gen/callboard/v1/agent_pb.js";
import { ErrorReason } from "../_gen/callboard/v1/error_pb.js";
import { date, enumName } from "../convert.js";
import { invalidResult } from "../failure.js";
import type { Action } from "./actions.js";
import { rejection, reportOf } from "./frames.js";
import type { Outbox } from "./outbox.js";
import { Outputs } from "./outputs.js";
import { type Key, keyOf } from "./states.js";
import { Waits } from "./waits.js";

/** Milliseconds between two progress reports of an attempt. */
export const PROGRESS_EVERY = 100;

/**
 * Milliseconds that an acceptance waits for the attempt's end, which implies it: a handler that ends at once costs the server
 * half as much without.
 */
export const ACCEPT_WITHIN = 5;

/** Why a report is refused for what it holds. */
const UNFIT: readonly ErrorReason[] = [ErrorReason.INVALID_FIELD, ErrorReason.PAYLOAD_TOO_LARGE];

/** An attempt that this agent has, or whose reports have no receipt yet. */
export interface Attempt {
  readonly key: Key;
  readonly lease: Lease;
  /** Whether its handler runs. */
  running: boolean;
  /** Nothing more is reported of it: its outcome was, or the lease is lost. */
  closed: boolean;
  cancelRequested: boolean;
  progress: Progress | undefined;
  /** No progress is sent before. */
  progressDue: number;
}

/** All of them. What is to be done goes to `act`, what is to be reported into the outbox. */
export class Attempts {
  /** What their handlers wait for. */
  readonly waits: Waits;
  /** What their handlers give as output. */
  readonly outputs: Outputs;
  readonly #outbox: Outbox;
  readonly #act: (action: Action) => void;
  readonly #attempts = new Map<Key, Attempt>();
  /** Those with progress that was not sent. */
  readonly #progressing = new Set<Attempt>();

  constructor(outbox: Outbox, act: (action: Action) => void) {
    this.#outbox = outbox;
    this.#act = act;
    this.waits = new Waits(outbox, act);
    this.outputs = new Outputs(outbox, act);
  }

  /** The attempts whose handlers run. */
  running(): Key[] {
    return [...this.#attempts.values()].filter((attempt) => attempt.running).map((attempt) => attempt.key);
  }

  /** The attempts whose handlers run and that are still ours. */
  ours(): Attempt[] {
    return [...this.#attempts.values()].filter(isOurs);
  }

  /** The attempt of this key, if its handler runs and it is still ours. */
  find(key: Key): Attempt | undefined {
    const attempt = this.#attempts.get(key);
    return attempt !== undefined && isOurs(attempt) ? attempt : undefined;
  }

  /** What a hello says: attempts whose handlers run, or that have reports without a receipt. */
  held(): Lease[] {
    return [...this.#attempts.values()]
      .filter((attempt) => isOurs(attempt) || this.#outbox.has(attempt.key))
      .map((attempt) => attempt.lease);
  }

  /** An assignment came; `refusal` says why it is not taken, if it isn't. The same attempt coming twice runs once. */
  assign(now: number, assignment: Assignment, refusal: string | undefined, hasSteps: boolean): void {
    const lease = assignment.attempt;
    const key = keyOf(lease);
    if (lease === undefined || this.#attempts.has(key)) {
      return;
    }
    const running = refusal === undefined;
    const rest = { cancelRequested: false, progress: undefined, progressDue: 0 };
    this.#attempts.set(key, { key, lease, running, closed: !running, ...rest });
    if (refusal === undefined) {
      this.#act({ kind: "start", key, assignment, hasSteps });
      this.#outbox.add(reportOf(lease, { case: "accepted", value: {} }), { notBefore: now + ACCEPT_WITHIN });
    } else {
      this.#outbox.add(rejection(lease, refusal));
    }
  }

  /** A handler ended; the report says how. */
  ended(key: Key, isWanted: boolean, report: (lease: Lease) => Report): void {
    const attempt = this.#attempts.get(key);
    if (attempt?.running !== true) {
      return;
    }
    attempt.running = false;
    this.#dropProgress(attempt);
    if (!attempt.closed && isWanted) {
      attempt.closed = true;
      // A handler that ended while a checkpoint or step still waits for room doesn't want it any more.
      this.#outbox.dropWaiting(key, "the handler has ended");
      this.outputs.flush(key);
      // The end implies it.
      this.#outbox.dropUnsent(key, "accepted");
      this.#outbox.add(report(attempt.lease));
    }
    this.waits.forget(key);
    this.outputs.forget(key);
    this.#forgetIfDone(attempt);
  }

  /** The attempt isn't ours any more: its handler is to stop, and nothing more is reported of it. */
  close(attempt: Attempt, why: string): void {
    attempt.closed = true;
    this.#dropProgress(attempt);
    this.#outbox.dropWaiting(attempt.key, why);
    this.#act({ kind: "stop", key: attempt.key, reason: why, reported: false });
    this.waits.lose(attempt.key, why);
    this.outputs.forget(attempt.key);
  }

  /** A receipt came. */
  receipt(now: number, receipt: Receipt): void {
    const report = this.#outbox.find(receipt.reportId);
    const settled = this.#outbox.receipt(now, receipt);
    const key = keyOf(receipt.attempt);
    // Output behind the one that there was no room for is refused, too.
    const isKnown = report?.kind.case === "output" && this.outputs.isRefused(key);
    const isRefused = settled === "refused" && !isKnown;
    if (report !== undefined && settled !== "retry") {
      this.outputs.receipt(report, receipt);
      this.waits.receipt(report, receipt);
    }
    if (isRefused && report !== undefined) {
      this.#followUp(report, receipt);
    }
    const attempt = this.#attempts.get(key);
    if (attempt === undefined) {
      return;
    }
    if (isRefused && isOurs(attempt)) {
      this.close(attempt, receipt.message || "a report was refused");
    }
    this.#forgetIfDone(attempt);
  }

  /** A paused attempt has a slot again. */
  resumed(resumption: Resumption): void {
    const attempt = this.find(keyOf(resumption.attempt));
    const deadline = date(resumption.deadline);
    if (attempt === undefined) {
      return;
    }
    if (deadline !== undefined) {
      this.#act({ kind: "deadline", key: attempt.key, deadline });
    }
    this.waits.resumed(attempt.key);
  }

  /** A result that is refused for what it holds fails its attempt: else the task would hang until its timeout. */
  #followUp(report: Report, receipt: Receipt): void {
    if (report.kind.case === "completed" && report.attempt !== undefined && UNFIT.includes(receipt.reason)) {
      const failure = invalidResult(receipt.message);
      this.#outbox.add(reportOf(report.attempt, { case: "failed", value: { failure } }));
    }
  }

  /** The server wants an attempt to be stopped. */
  cancel(cancellation: Cancellation): void {
    const attempt = this.find(keyOf(cancellation.attempt));
    if (attempt === undefined) {
      return;
    }
    const { reason } = cancellation;
    const why = cancellation.message || enumName(CancellationReasonSchema, reason, "CANCELLATION_REASON_");
    if (reason === CancellationReason.REQUESTED && !attempt.cancelRequested) {
      attempt.cancelRequested = true;
      this.#act({ kind: "stop", key: attempt.key, reason: why, reported: true });
    } else if (reason === CancellationReason.LEASE_LOST || reason === CancellationReason.TIMED_OUT) {
      this.close(attempt, why);
    }
  }

  /** A handler told how far it is. The latest wins. */
  progressed(key: Key, progress: Progress): void {
    const attempt = this.find(key);
    if (attempt !== undefined) {
      attempt.progress = progress;
      this.#progressing.add(attempt);
    }
  }

  /** Progress that may be sent now. */
  takeProgress(now: number): Report[] {
    const reports: Report[] = [];
    for (const attempt of this.#progressing) {
      if (attempt.progress !== undefined && now >= attempt.progressDue) {
        const kind = { case: "progress", value: attempt.progress } as const;
        reports.push(create(ReportSchema, { reportId: this.#outbox.newId(), attempt: attempt.lease, kind }));
        attempt.progressDue = now + PROGRESS_EVERY;
        this.#dropProgress(attempt);
      }
    }
    return reports;
  }

  /** When there is progress to send. */
  progressDueAt(): number[] {
    return [...this.#progressing].map((attempt) => attempt.progressDue);
  }

  /** The stream ended: progress is not kept across streams. */
  dropAllProgress(): void {
    for (const attempt of this.#progressing) {
      this.#dropProgress(attempt);
    }
  }

  #dropProgress(attempt: Attempt): void {
    attempt.progress = undefined;
    this.#progressing.delete(attempt);
  }

  #forgetIfDone(attempt: Attempt): void {
    if (!attempt.running && !this.#outbox.has(attempt.key)) {
      this.#attempts.delete(attempt.key);
    }
  }
}

function isOurs(attempt: Attempt): boolean {
  return attempt.running && !attempt.closed;
}
