// Watching events.

import { create } from "@bufbuild/protobuf";

import {
  type WatchEventsRequest,
  WatchEventsRequestSchema,
  type WatchEventsResponse,
} from "../_gen/callboard/v1/task_service_pb.js";
import { eventFrom, type TaskEvent } from "../models.js";
import type { Caller } from "./caller.js";
import { Resuming } from "./resuming.js";

/** What is watched. */
export interface WatchOptions {
  /** Go on behind this cursor, of an earlier {@link Watch}. Without: a task from its first event, a namespace from now. */
  readonly cursor?: string | undefined;
  /** Stop when the watched task has ended. Default false. */
  readonly untilEnded?: boolean | undefined;
  /** Ends the watch when it is aborted: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Events as they come: iterate over it with `for await`. It goes on by itself when the connection breaks, and gives each
 * event once; it ends with the last error when the server can't be reached for as long as the client's timeout. Leaving
 * the loop closes it.
 */
export class Watch implements AsyncIterableIterator<TaskEvent> {
  readonly #request: WatchEventsRequest;
  readonly #answers: Resuming<WatchEventsResponse>;
  readonly #waiting: TaskEvent[] = [];
  #heard = false;
  #cursor: string;

  /** @internal */
  constructor(caller: Caller, taskId: string, options: WatchOptions) {
    const { cursor = "", untilEnded = false, signal } = options;
    const request = create(WatchEventsRequestSchema, { namespace: caller.namespace, taskId, cursor, untilEnded });
    this.#request = request;
    this.#cursor = cursor;
    this.#answers = new Resuming(
      caller,
      {
        open: (client, call) => client.watchEvents({ ...request }, call),
        heard: (answer) => {
          this.#heard = true;
          // Without a cursor there is nothing to resume from but the last one.
          request.cursor = answer.cursor || request.cursor;
        },
        isOver: () => untilEnded && this.#heard,
      },
      signal,
    );
  }

  /** Resume from here, in another process say: behind the last event that was given, or a little before. */
  get cursor(): string {
    return this.#cursor;
  }

  /** For `for await`. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The next event.
   *
   * @throws StatusError when the watch can't go on: FailedPrecondition with the reason CURSOR_FORGOTTEN when events behind
   * the cursor were forgotten.
   */
  async next(): Promise<IteratorResult<TaskEvent, undefined>> {
    while (this.#waiting.length === 0) {
      const answer = await this.#answers.next();
      if (answer === undefined) {
        this.close();
        return { done: true, value: undefined };
      }
      const events = answer.events.map(eventFrom);
      if (events.length === 0) {
        this.#cursor = this.#request.cursor;
      }
      this.#waiting.push(...events);
    }
    const event = this.#waiting.shift();
    if (event === undefined) {
      return this.next();
    }
    if (this.#waiting.length === 0) {
      this.#cursor = this.#request.cursor;
    }
    return { done: false, value: event };
  }

  /** Closes the watch; `for await` calls it when its loop is left. */
  return(): Promise<IteratorResult<TaskEvent, undefined>> {
    this.close();
    this.#waiting.length = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends the stream. A `next` that waits gives the end. */
  close(): void {
    this.#answers.close();
  }

  /** Closes it, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}
