// The instructions `watch.…`: what an SDK's watch gives is gathered until somebody asks for it.

import { setImmediate as nextTurn } from "node:timers/promises";

import type { Client } from "callboard";

import { eventLine, messageLine } from "./answers.js";

/** A watch that was started. */
export class Watching {
  readonly #kind: "events" | "messages";
  readonly #found: object[] = [];
  readonly #abort = new AbortController();
  #cursor: (() => string) | undefined;
  #ended: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  private constructor(kind: "events" | "messages") {
    this.#kind = kind;
  }

  /** Watches a task, or, without one, the namespace. */
  static ofEvents(
    client: Client,
    taskId: string | undefined,
    options: { readonly cursor: string | undefined; readonly untilEnded: boolean | undefined },
  ): Watching {
    const watching = new Watching("events");
    const watch = client.watch(taskId, { ...options, signal: watching.#abort.signal });
    watching.#cursor = () => watch.cursor;
    void watching.#gather(watch, eventLine);
    return watching;
  }

  /** Watches the mailbox of an agent. */
  static ofMailbox(client: Client, agent: string): Watching {
    const watching = new Watching("messages");
    void watching.#gather(client.messages.watch(agent, { signal: watching.#abort.signal }), messageLine);
    return watching;
  }

  /** What was found so far, when it is so many, or the watch has ended, or the time is over. Throws what ended it. */
  async wait(count: number, timeout: number): Promise<object> {
    const deadline = performance.now() + timeout;
    while (this.#found.length < count && this.#ended === undefined && performance.now() < deadline) {
      await this.#change(deadline - performance.now());
    }
    return this.#answer();
  }

  /** The same at once, and ends the watch. */
  async stop(): Promise<object> {
    try {
      return await this.#answer();
    } finally {
      this.#abort.abort();
    }
  }

  async #answer(): Promise<object> {
    // What was given along with the cursor is here when this turn of the event loop is over.
    await nextTurn();
    if (this.#ended?.error !== undefined && !this.#abort.signal.aborted) {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- it is the SDK's, whatever it is
      throw this.#ended.error;
    }
    const cursor = this.#cursor === undefined ? {} : { cursor: this.#cursor() };
    return { [this.#kind]: [...this.#found], ...cursor, ended: this.#ended !== undefined };
  }

  async #gather<T>(items: AsyncIterable<T>, line: (item: T) => object): Promise<void> {
    let error: unknown;
    try {
      for await (const item of items) {
        this.#found.push(line(item));
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
