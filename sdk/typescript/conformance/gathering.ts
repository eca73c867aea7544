// What an iterable of the SDK's gives, gathered until somebody asks for it.

import { setImmediate as nextTurn } from "node:timers/promises";

/** What was found so far. */
export interface Found<T> {
  readonly found: readonly T[];
  /** Whether there will be no more. */
  readonly ended: boolean;
}

/** Gathers from now on. */
export class Gathering<T> {
  readonly #found: T[] = [];
  readonly #abort = new AbortController();
  #ended: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  /** `begin` is given what ends it. */
  constructor(begin: (signal: AbortSignal) => AsyncIterable<T>) {
    void this.#gather(begin(this.#abort.signal));
  }

  /** Waits until enough was found, or there will be no more, or the time is over. */
  async until(isEnough: (found: readonly T[]) => boolean, timeout: number): Promise<void> {
    const deadline = performance.now() + timeout;
    while (!isEnough(this.#found) && this.#ended === undefined && performance.now() < deadline) {
      await this.#change(deadline - performance.now());
    }
  }

  /** What was found so far. Throws what ended it, if an error did. */
  async state(): Promise<Found<T>> {
    // What was given along with the last one is here when this turn of the event loop is over.
    await nextTurn();
    if (this.#ended?.error !== undefined && !this.#abort.signal.aborted) {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- it is the SDK's, whatever it is
      throw this.#ended.error;
    }
    return { found: [...this.#found], ended: this.#ended !== undefined };
  }

  /** Ends it. */
  stop(): void {
    this.#abort.abort();
  }

  async #gather(items: AsyncIterable<T>): Promise<void> {
    let error: unknown;
    try {
      for await (const item of items) {
        this.#found.push(item);
        this.#wake();
      }
    } catch (thrown) {
      error = thrown;
    }
    this.#ended = { error };
    this.#wake();
  }

  #change(within: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, within);
      const before = this.#wake;
      this.#wake = (): void => {
        clearTimeout(timer);
        before();
        resolve();
      };
    });
  }
}
