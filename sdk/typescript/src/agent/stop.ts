// Whether and why a handler is to stop.

import { setMaxListeners } from "node:events";

import type { Cancelled } from "../errors.js";

/** Most handlers are never told to stop, and never ask: an AbortSignal, which is dear, is made when one is wanted. */
export class Stop {
  #reason: Cancelled | undefined;
  #abort: AbortController | undefined;

  /** Whether the handler was told to stop. */
  get isAsked(): boolean {
    return this.#reason !== undefined;
  }

  /** Aborted once the handler is to stop. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      // A handler may well wait for a hundred things at once.
      setMaxListeners(0, this.#abort.signal);
      if (this.#reason !== undefined) {
        this.#abort.abort(this.#reason);
      }
    }
    return this.#abort.signal;
  }

  /** Tells the handler to stop. */
  ask(reason: Cancelled): void {
    this.#reason ??= reason;
    this.#abort?.abort(this.#reason);
  }

  /** Throws the reason when the handler was told to stop. */
  throwIfAsked(): void {
    if (this.#reason !== undefined) {
      throw this.#reason;
    }
  }
}
