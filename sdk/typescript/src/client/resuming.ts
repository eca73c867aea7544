// What a server tells for as long as somebody listens, over as many streams as it takes.

import { type CallOptions, type Client, createClient } from "@connectrpc/connect";

import { TaskService } from "../_gen/callboard/v1/task_service_pb.js";
import { CallboardError, StatusCode, StatusError, statusError } from "../errors.js";
import { Backoff, isRetryable } from "../retry.js";
import { fromTransport } from "../status.js";
import { headersFor, sleepUntil } from "../transport.js";
import type { Caller } from "./caller.js";

/** Milliseconds without a word, after which a stream is broken: the server says something every 10 s. */
const SILENCE = 30_000;

/** What is told. */
export interface Told<A> {
  /** Begins a stream behind what was told before. */
  readonly open: (client: Client<typeof TaskService>, options: CallOptions) => AsyncIterable<A>;
  /** Remembers what the server said: the next stream begins behind it. */
  readonly heard: (answer: A) => void;
  /** Whether the end of the stream is the end that was asked for. */
  readonly isOver: () => boolean;
}

/** One stream. */
interface Stream<A> {
  readonly answers: AsyncIterator<A>;
  readonly abort: AbortController;
  readonly authorization: string | undefined;
}

/** Answers, from one stream to the next. */
export class Resuming<A> {
  readonly #caller: Caller;
  readonly #told: Told<A>;
  readonly #signal: AbortSignal | undefined;
  readonly #backoff = new Backoff(Math.random);
  #stream: Stream<A> | undefined;
  #failingSince: number | undefined;
  #closed = false;

  constructor(caller: Caller, told: Told<A>, signal: AbortSignal | undefined) {
    this.#caller = caller;
    this.#told = told;
    this.#signal = signal;
  }

  /** What the server says next; undefined at the end that was asked for, and when it is closed. */
  async next(): Promise<A | undefined> {
    while (!this.#closed) {
      this.#signal?.throwIfAborted();
      try {
        const answer = await this.#read();
        if (answer !== undefined) {
          this.#failingSince = undefined;
          this.#backoff.reset();
          this.#told.heard(answer);
        }
        return answer;
      } catch (thrown) {
        const authorization = this.#stream?.authorization;
        this.#drop();
        this.#signal?.throwIfAborted();
        if (this.#isClosed()) {
          return undefined;
        }
        if (thrown instanceof CallboardError && !(thrown instanceof StatusError)) {
          throw thrown; // the client is closed
        }
        await this.#recover(fromTransport(thrown), authorization);
      }
    }
    return undefined;
  }

  /** Ends the stream. A `next` that waits gives the end. */
  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /** Somebody may have closed it meanwhile. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** Waits until it may be tried again; throws when it may not. */
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

  async #read(): Promise<A | undefined> {
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
    if (this.#told.isOver()) {
      return undefined;
    }
    throw statusError(StatusCode.UNAVAILABLE, "the server ended the stream");
  }

  #open(): Stream<A> {
    const { connections } = this.#caller;
    const authorization = connections.credentials.authorization(connections.address);
    const abort = new AbortController();
    const signal = this.#signal === undefined ? abort.signal : AbortSignal.any([abort.signal, this.#signal]);
    const client = createClient(TaskService, connections.connection().transport);
    const answers = this.#told.open(client, { headers: headersFor(authorization), signal });
    return { answers: answers[Symbol.asyncIterator](), abort, authorization };
  }

  #drop(): void {
    this.#stream?.abort.abort();
    this.#stream = undefined;
  }
}
