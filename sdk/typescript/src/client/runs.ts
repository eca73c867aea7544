// The runs of a client that go over a stream of `RunTasks`, without any I/O: see section 3 of `sdk/SPEC.md`.
//
// What happens is told to it: runs that are asked for and given up, streams that open and break, outcomes that come, time that
// passes. `tick()` says what is to be done about the stream, `nextFrame()` gives what goes over it next, `dueAt()` says when to
// call `tick()` again. Times are milliseconds of the caller's monotonic clock.

import { StatusCode, type StatusError, statusError } from "../errors.js";
import { Backoff, isRetryable, type Random, Retries } from "../retry.js";
import { encodeFrame } from "./run-frames.js";

/** Tasks in a frame at most. */
export const MOST_IN_FRAME = 1_000;
/** Bytes of them; a task that is larger has a frame of its own. */
export const MOST_BYTES = 1024 * 1024;
/** Runs without an outcome on a stream; what is asked beyond waits. */
export const MOST_ON_STREAM = 4_096;
/** Milliseconds without a word, after which a stream is broken: the server says something every 10 s. */
export const SILENCE = 30_000;
/** Milliseconds that a stream stays open with nothing to run for. */
export const IDLE = 10_000;

/** A run that is asked for. */
export interface Ask<T> {
  /** Unique among those without an outcome. */
  readonly requestId: string;
  /** A serialized TaskRun. */
  readonly bytes: Uint8Array;
  /** When it is given up; Infinity when never. */
  readonly deadline: number;
  /** Told once what became of it. */
  readonly settle: (outcome: Outcome<T>) => void;
}

/** What became of a run. `toCalls`: the server has no such stream. */
export type Outcome<T> =
  | { readonly kind: "ended"; readonly task: T }
  | { readonly kind: "failed"; readonly error: StatusError }
  | { readonly kind: "toCalls" };

/** What the server says of a run. */
export interface Told<T> {
  readonly requestId: string;
  readonly outcome: Outcome<T>;
}

/** What is to be done about the stream: open one, end its side that sends, or cut it. */
export type Step = "open" | "end" | "cut";

/** What it is made from. */
export interface RunsOptions {
  readonly namespace: string;
  /** Milliseconds that no stream can be opened before runs fail. */
  readonly timeout: number;
  readonly random: Random;
}

/** A run without an outcome. */
interface Run<T> {
  readonly ask: Ask<T>;
  /** `later`: it was refused, and is asked again. */
  state: "waiting" | "sent" | "later" | "over";
  /** Not to be sent again before. */
  notBefore: number;
  /** Of a run that was refused. */
  retries: Retries | undefined;
  refusal: StatusError | undefined;
}

/** The state machine. `T` is what a task is that has ended. */
export class Runs<T> {
  readonly #options: RunsOptions;
  readonly #backoff: Backoff;
  /** All without an outcome, in the order in which they were asked for. */
  readonly #runs = new Map<string, Run<T>>();
  /** Those to be sent, in order; among them may be some that are over. */
  #queue: Run<T>[] = [];
  #later: Run<T>[] = [];
  #sent = 0;
  /** Sent, and not wanted any more. */
  #forgotten: string[] = [];
  #stream: "none" | "opening" | "open" = "none";
  #isGreeted = false;
  /** No stream is opened before. */
  #openAt = 0;
  /** Since when none can be opened, and why. */
  #failing: { readonly since: number; readonly why: StatusError | undefined } | undefined;
  #heardAt = 0;
  #idleSince = 0;
  /** No run is given up before: the deadline of one of them, or of one that is over. */
  #nextDeadline = Infinity;

  constructor(options: RunsOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  /** Whether some have no outcome. */
  get isBusy(): boolean {
    return this.#runs.size > 0;
  }

  /** Whether the run of this id has no outcome. */
  has(requestId: string): boolean {
    return this.#runs.has(requestId);
  }

  // What happens.

  /** A run is asked for. */
  ask(ask: Ask<T>): void {
    const run: Run<T> = { ask, state: "waiting", notBefore: 0, retries: undefined, refusal: undefined };
    this.#runs.set(ask.requestId, run);
    this.#queue.push(run);
    this.#nextDeadline = Math.min(this.#nextDeadline, ask.deadline);
  }

  /** Nobody wants the outcome any more; `settle` is not called. */
  giveUp(now: number, requestId: string): void {
    const run = this.#runs.get(requestId);
    if (run !== undefined) {
      this.#forget(now, run);
    }
  }

  /** The server has taken the stream up. */
  opened(now: number): void {
    this.#stream = "open";
    this.#failing = undefined;
    this.#heardAt = now;
  }

  /** A frame came. */
  received(now: number, told: readonly Told<T>[]): void {
    this.opened(now);
    this.#backoff.reset();
    for (const { requestId, outcome } of told) {
      const run = this.#runs.get(requestId);
      if (run?.state !== "sent") {
        continue; // it was given up
      }
      if (outcome.kind === "failed") {
        this.#refused(now, run, outcome.error);
      } else {
        this.#settle(now, run, outcome);
      }
    }
  }

  /** The stream broke, or could not be opened. `isRenewed`: there is another token now, so that it may be opened at once. */
  broken(now: number, error: StatusError, isRenewed = false): void {
    this.#close();
    this.#sendAllAgain();
    if (isRenewed || !this.isBusy) {
      this.#openAt = now;
    } else if (isBreak(error)) {
      this.#openLater(now, error);
    } else {
      this.#endAll(now, { kind: "failed", error });
    }
  }

  /** The server has no such stream. */
  unsupported(now: number): void {
    this.#close();
    this.#endAll(now, { kind: "toCalls" });
  }

  /** The client is closed. */
  closed(now: number, error: StatusError): void {
    this.#close();
    this.#endAll(now, { kind: "failed", error });
  }

  // What is to be done.

  /** Time passed: does whatever is due. */
  tick(now: number): Step | undefined {
    this.#giveUpLate(now);
    this.#resume(now);
    if (this.#stream === "none") {
      return this.isBusy && now >= this.#openAt ? this.#open(now) : undefined;
    }
    if (now >= this.#hopelessAt()) {
      this.#close();
      this.#endAll(now, { kind: "failed", error: this.#failing?.why ?? unheard(this.#options.timeout) });
      return "cut";
    }
    if (now >= this.#heardAt + SILENCE) {
      this.broken(now, statusError(StatusCode.UNAVAILABLE, `nothing was heard for ${String(SILENCE / 1_000)} s`));
      return "cut";
    }
    if (!this.isBusy && now >= this.#idleSince + IDLE) {
      this.#close();
      return "end";
    }
    return undefined;
  }

  /** The next frame to send, if there is one. Ask when the stream can take it: asking means sending. */
  nextFrame(): Uint8Array | undefined {
    const runs = this.#stream === "none" ? [] : this.#takeRuns();
    const forgottenIds = this.#forgotten;
    if (runs.length === 0 && forgottenIds.length === 0) {
      return undefined;
    }
    this.#forgotten = [];
    // It is the whole stream's.
    const namespace = this.#isGreeted ? "" : this.#options.namespace;
    this.#isGreeted = true;
    return encodeFrame({ namespace, runs, forgottenIds });
  }

  /** When `tick` is due at the latest; undefined when only an event can change something. */
  dueAt(): number | undefined {
    let due = this.#later.reduce((first, run) => Math.min(first, run.notBefore), this.#nextDeadline);
    if (this.#stream !== "none") {
      const idle = this.isBusy ? Infinity : this.#idleSince + IDLE;
      due = Math.min(due, this.#heardAt + SILENCE, this.#hopelessAt(), idle);
    } else if (this.isBusy) {
      due = Math.min(due, this.#openAt);
    }
    return due === Infinity ? undefined : due;
  }

  // Streams.

  #open(now: number): Step {
    this.#stream = "opening";
    this.#isGreeted = false;
    this.#heardAt = now;
    this.#failing ??= { since: now, why: undefined };
    return "open";
  }

  #close(): void {
    this.#stream = "none";
    this.#forgotten = [];
  }

  #openLater(now: number, why: StatusError): void {
    this.#failing = { since: this.#failing?.since ?? now, why };
    this.#openAt = now + this.#backoff.delay(why.retryDelay);
    if (this.#openAt >= this.#failing.since + this.#options.timeout) {
      this.#endAll(now, { kind: "failed", error: why });
    }
  }

  /** When no stream could be opened for so long that nobody shall wait for one any longer. */
  #hopelessAt(): number {
    const since = this.#stream === "opening" ? this.#failing?.since : undefined;
    return since === undefined ? Infinity : since + this.#options.timeout;
  }

  /** A new stream knows of none. */
  #sendAllAgain(): void {
    this.#sent = 0;
    this.#queue = [...this.#runs.values()].filter((run) => run.state !== "later");
    for (const run of this.#queue) {
      run.state = "waiting";
    }
  }

  // Runs.

  #takeRuns(): Uint8Array[] {
    const batch: Uint8Array[] = [];
    const most = Math.min(MOST_IN_FRAME, MOST_ON_STREAM - this.#sent);
    let size = 0;
    let taken = 0;
    for (const run of this.#queue) {
      if (run.state === "waiting") {
        const { bytes } = run.ask;
        if (batch.length === most || (batch.length > 0 && size + bytes.length > MOST_BYTES)) {
          break;
        }
        run.state = "sent";
        batch.push(bytes);
        size += bytes.length;
      }
      taken += 1;
    }
    this.#queue.splice(0, taken);
    this.#sent += batch.length;
    return batch;
  }

  #refused(now: number, run: Run<T>, error: StatusError): void {
    run.retries ??= new Retries(Math.min(run.ask.deadline, now + this.#options.timeout), this.#options.random);
    const delay = run.retries.delay(error, now);
    if (delay === undefined) {
      this.#settle(now, run, { kind: "failed", error });
      return;
    }
    this.#sent -= 1;
    run.state = "later";
    run.notBefore = now + delay;
    run.refusal = error;
    this.#later.push(run);
  }

  #resume(now: number): void {
    if (this.#later.some((run) => now >= run.notBefore)) {
      const due = this.#later.filter((run) => now >= run.notBefore);
      this.#later = this.#later.filter((run) => now < run.notBefore);
      for (const run of due) {
        run.state = "waiting";
      }
      this.#queue.push(...due);
    }
  }

  #giveUpLate(now: number): void {
    if (now < this.#nextDeadline) {
      return;
    }
    this.#nextDeadline = Infinity;
    for (const run of this.#runs.values()) {
      if (now >= run.ask.deadline) {
        const error = this.#lateError(run);
        this.#forget(now, run);
        run.ask.settle({ kind: "failed", error });
      } else {
        this.#nextDeadline = Math.min(this.#nextDeadline, run.ask.deadline);
      }
    }
  }

  /** Why it was not even on a stream says more than that its time is over. */
  #lateError(run: Run<T>): StatusError {
    const why = run.state === "sent" ? undefined : (run.refusal ?? this.#failing?.why);
    return why ?? statusError(StatusCode.DEADLINE_EXCEEDED, "the task had not ended in time");
  }

  #forget(now: number, run: Run<T>): void {
    if (run.state === "sent") {
      this.#forgotten.push(run.ask.requestId);
    }
    this.#remove(now, run);
  }

  #settle(now: number, run: Run<T>, outcome: Outcome<T>): void {
    this.#remove(now, run);
    run.ask.settle(outcome);
  }

  #remove(now: number, run: Run<T>): void {
    this.#runs.delete(run.ask.requestId);
    if (run.state === "sent") {
      this.#sent -= 1;
    } else if (run.state === "later") {
      this.#later = this.#later.filter((other) => other !== run);
    }
    run.state = "over";
    if (!this.isBusy) {
      this.#idleSince = now;
      this.#nextDeadline = Infinity;
    }
    // Those that are over must not pile up while nothing is sent.
    if (this.#queue.length > 2 * this.#runs.size) {
      this.#queue = this.#queue.filter((other) => other.state === "waiting");
    }
  }

  #endAll(now: number, outcome: Outcome<T>): void {
    for (const run of this.#runs.values()) {
      this.#settle(now, run, outcome);
    }
    this.#failing = undefined;
    this.#openAt = now;
    this.#backoff.reset();
  }
}

/** Whether another stream may do better: what a call would be tried again for, and a server that we read too slowly. */
function isBreak(error: StatusError): boolean {
  return isRetryable(error) || error.reason === "SLOW_READER";
}

function unheard(timeout: number): StatusError {
  return statusError(StatusCode.DEADLINE_EXCEEDED, `there was no answer for ${String(timeout)} ms`);
}
