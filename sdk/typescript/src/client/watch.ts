// Watching events, over as many streams as it takes.

import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";

import {
  TaskService,
  type WatchEventsRequest,
  WatchEventsRequestSchema,
  type WatchEventsResponse,
} from "../_gen/callboard/v1/task_service_pb.js";
import { CallboardError, StatusCode, StatusError, statusError } from "../errors.js";
import { eventFrom, type TaskEvent } from "../models.js";
import { Backoff, isRetryable } from "../retry.js";
import { fromTransport } from "../status.js";
import { headersFor, sleepUntil } from "../transport.js";
import type { Caller } from "./caller.js";

/** Milliseconds without a word, after which a watch is broken: the server says something every 10 s. */
const SILENCE = 30_000;

/** What is watched. */
export interface WatchOptions {
  /** Go on behind this cursor, of an earlier {@link Watch}. Without: a task from its first event, a namespace from now. */
  readonly cursor?: string | undefined;
  /** Stop when the watched task has ended. Default false. */
  readonly untilEnded?: boolean | undefined;
  /** Ends the watch when it is aborted: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** One stream of events. */
interface EventStream {
  readonly answers: AsyncIterator<WatchEventsResponse>;
  readonly abort: AbortController;
  readonly authorization: string | undefined;
}

/**
 * Events as they come: iterate over it with `for await`. It goes on by itself when the connection breaks, and gives each
 * event once; it ends with the last error when the server can't be reached for as long as the client's timeout. Leaving
 * the loop closes it.
 */
export class Watch implements AsyncIterableIterator<TaskEvent> {
  readonly #caller: Caller;
  readonly #request: WatchEventsRequest;
  readonly #signal: AbortSignal | undefined;
  readonly #backoff = new Backoff(Math.random);
  readonly #waiting: TaskEvent[] = [];
  #stream: EventStream | undefined;
  #failingSince: number | undefined;
  #heard = false;
  #closed = false;
  #cursor: string;

  /** @internal */
  constructor(caller: Caller, taskId: string, options: WatchOptions) {
    const { cursor = "", untilEnded = false, signal } = options;
    this.#caller = caller;
    this.#request = create(WatchEventsRequestSchema, { namespace: caller.namespace, taskId, cursor, untilEnded });
    this.#cursor = cursor;
    this.#signal = signal;
  }

  /** Resume from here, in another process say: behind the last event that was given, or a little before. */
  get cursor(): string {
    return this.#cursor;
  }

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
      const answer = this.#closed ? undefined : await this.#answer();
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
    this.#closed = true;
    this.#drop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** What the server says next; undefined at the end that was asked for. */
  async #answer(): Promise<WatchEventsResponse | undefined> {
    for (;;) {
      this.#signal?.throwIfAborted();
      try {
        const answer = await this.#read();
        if (answer !== undefined) {
          this.#heard = true;
          this.#failingSince = undefined;
          this.#backoff.reset();
          // Without a cursor there is nothing to resume from but the last one.
          this.#request.cursor = answer.cursor || this.#request.cursor;
        }
        return answer;
      } catch (thrown) {
        const authorization = this.#stream?.authorization;
        this.#drop();
        this.#signal?.throwIfAborted();
        if (this.#closed) {
          return undefined;
        }
        if (thrown instanceof CallboardError && !(thrown instanceof StatusError)) {
          throw thrown; // the client is closed
        }
        await this.#recover(fromTransport(thrown), authorization);
      }
    }
  }

  /** Waits until the watch may be tried again; throws when it may not. */
  async #recover(error: StatusError, authorization: string | undefined): Promise<void> {
    const { connections } = this.#caller;
    if (connections.credentials.isRenewed(error, authorization)) {
      return;
    }
    if (!this.#mayResume(error)) {
      throw error;
    }
    const { address } = connections;
    await sleepUntil(this.#backoff.delay(error.retryDelay), this.#signal);
    connections.leave(address);
  }

  #mayResume(error: StatusError): boolean {
    if (!isRetryable(error) && error.reason !== "SLOW_READER") {
      return false;
    }
    this.#failingSince ??= performance.now();
    return performance.now() - this.#failingSince < this.#caller.timeout;
  }

  async #read(): Promise<WatchEventsResponse | undefined> {
    this.#stream ??= this.#open();
    const { answers, abort } = this.#stream;
    const broken = statusError(StatusCode.UNAVAILABLE, `nothing was heard for ${String(SILENCE / 1_000)} s`);
    const silence = setTimeout(() => {
      abort.abort(broken);
    }, SILENCE);
    try {
      const answer = await answers.next();
      if (answer.done !== true) {
        return answer.value;
      }
    } finally {
      clearTimeout(silence);
    }
    if (this.#request.untilEnded && this.#heard) {
      return undefined;
    }
    throw statusError(StatusCode.UNAVAILABLE, "the server ended the stream");
  }

  #open(): EventStream {
    const { connections } = this.#caller;
    const authorization = connections.credentials.authorization(connections.address);
    const abort = new AbortController();
    const signal = this.#signal === undefined ? abort.signal : AbortSignal.any([abort.signal, this.#signal]);
    const client = createClient(TaskService, connections.transport());
    const answers = client.watchEvents({ ...this.#request }, { headers: headersFor(authorization), signal });
    return { answers: answers[Symbol.asyncIterator](), abort, authorization };
  }

  #drop(): void {
    this.#stream?.abort.abort();
    this.#stream = undefined;
  }
}
