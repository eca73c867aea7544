// When a call is tried again, and after how long. Pure: time and randomness are passed in.

import { type StatusError, StatusCode } from "./errors.js";

const FIRST_DELAY = 100;
const LONGEST_DELAY = 5_000;

/** Gives numbers from 0 to 1. */
export type Random = () => number;

/** A random part of a delay, between half and the whole, so that clients don't come in step. */
export function jittered(delay: number, random: Random): number {
  return delay * (0.5 + 0.5 * random());
}

/** Delays that double from 100 ms to 5 s, with jitter. */
export class Backoff {
  readonly #random: Random;
  #next = FIRST_DELAY;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Begins again at the first delay. */
  reset(): void {
    this.#next = FIRST_DELAY;
  }

  /** The next delay in milliseconds. `asked` is the server's, and then counts instead. */
  delay(asked?: number): number {
    const doubling = this.#next;
    this.#next = Math.min(doubling * 2, LONGEST_DELAY);
    return jittered(asked ?? doubling, this.#random);
  }
}

/** Whether the call may be tried again: UNAVAILABLE, and what the server says so of. Nothing else. */
export function isRetryable(error: StatusError): boolean {
  return error.code === StatusCode.UNAVAILABLE || error.retryDelay !== undefined;
}

/** The retries of one call, which end at its deadline (on the caller's monotonic clock, in milliseconds). */
export class Retries {
  readonly #deadline: number;
  readonly #backoff: Backoff;

  constructor(deadline: number, random: Random) {
    this.#deadline = deadline;
    this.#backoff = new Backoff(random);
  }

  /** Milliseconds until the next try; undefined when the error is to be thrown. */
  delay(error: StatusError, now: number): number | undefined {
    if (!isRetryable(error)) {
      return undefined;
    }
    const delay = this.#backoff.delay(error.retryDelay);
    return now + delay < this.#deadline ? delay : undefined;
  }
}
