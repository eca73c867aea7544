// The instructions `watch.…`: what an SDK's watch gives is gathered until somebody asks for it.

import type { Client, Message, TaskEvent, Watch } from "callboard";

import { eventLine, messageLine } from "./answers.js";
import { Gathering } from "./gathering.js";

/** A watch that was started. */
export abstract class Watching {
  /** What was found so far, when it is so many, or the watch has ended, or the time is over. Throws what ended it. */
  abstract wait(count: number, timeout: number): Promise<object>;

  /** The same at once, and ends the watch. */
  abstract stop(): Promise<object>;

  /** Watches a task, or, without one, the namespace. */
  static ofEvents(
    client: Client,
    taskId: string | undefined,
    options: { readonly cursor: string | undefined; readonly untilEnded: boolean | undefined },
  ): Watching {
    let watch: Watch | undefined;
    const begin = (signal: AbortSignal): Watch => (watch = client.watch(taskId, { ...options, signal }));
    return new WatchingOf<TaskEvent>(begin, (events) => {
      return { events: events.map(eventLine), cursor: watch?.cursor };
    });
  }

  /** Watches the mailbox of an agent. */
  static ofMailbox(client: Client, agent: string): Watching {
    const begin = (signal: AbortSignal): AsyncIterable<Message> => client.messages.watch(agent, { signal });
    return new WatchingOf(begin, (messages) => ({ messages: messages.map(messageLine) }));
  }
}

class WatchingOf<T> extends Watching {
  readonly #gathered: Gathering<T>;
  readonly #line: (found: readonly T[]) => object;

  constructor(begin: (signal: AbortSignal) => AsyncIterable<T>, line: (found: readonly T[]) => object) {
    super();
    this.#gathered = new Gathering(begin);
    this.#line = line;
  }

  async wait(count: number, timeout: number): Promise<object> {
    await this.#gathered.until((found) => found.length >= count, timeout);
    return this.#answer();
  }

  async stop(): Promise<object> {
    try {
      return await this.#answer();
    } finally {
      this.#gathered.stop();
    }
  }

  async #answer(): Promise<object> {
    const { found, ended } = await this.#gathered.state();
    return { ...this.#line(found), ended };
  }
}
