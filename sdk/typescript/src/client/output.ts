// A run's output: what there is of it, and watching it.

import { create } from "@bufbuild/protobuf";

import {
  TaskService,
  type WatchOutputRequest,
  WatchOutputRequestSchema,
  type WatchOutputResponse,
} from "../_gen/callboard/v1/task_service_pb.js";
import { type OutputChunk, outputFrom } from "../recorded.js";
import { contentSize } from "../payload.js";
import { type Call, callOf } from "../transport.js";
import type { Caller, Page } from "./caller.js";
import type { PageOptions } from "./options.js";
import { Resuming } from "./resuming.js";

/** Which part of the output. */
interface Part {
  /** Of this run, from 1. Default the latest. */
  readonly run?: number | undefined;
  /** Leave out chunks that end at or before this byte of the run's output. Default 0: none. */
  readonly offset?: number | undefined;
}

/** Which output there is. */
export interface OutputOptions extends Part, PageOptions {}

/** Which output is watched. */
export interface OutputWatchOptions extends Part {
  /** Ends the watch when it is aborted: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** @internal */
export function outputPage(
  namespace: string,
  taskId: string,
  { run = 0, offset = 0, pageSize = 0 }: OutputOptions,
): (pageToken: string) => Call<Page<OutputChunk>> {
  const request = { namespace, taskId, run, offset: offsetOf(offset), pageSize };
  return (pageToken) =>
    callOf(TaskService.method.listOutput, { ...request, pageToken }, (answer) => ({
      items: answer.chunks.map(outputFrom),
      nextPageToken: answer.nextPageToken,
    }));
}

/**
 * Output as it comes, until the run has ended: iterate over it with `for await`. It goes on by itself when the connection
 * breaks, and gives each chunk once; it keeps to the run that it began with, and ends with the last error when the server
 * can't be reached for as long as the client's timeout. Leaving the loop closes it.
 */
export class OutputWatch implements AsyncIterableIterator<OutputChunk> {
  readonly #request: WatchOutputRequest;
  readonly #answers: Resuming<WatchOutputResponse>;
  readonly #waiting: OutputChunk[] = [];
  #ended = false;
  #offset: number;

  /** @internal */
  constructor(caller: Caller, taskId: string, options: OutputWatchOptions) {
    const { run = 0, offset = 0, signal } = options;
    const part = { namespace: caller.namespace, taskId, run, offset: offsetOf(offset) };
    const request = create(WatchOutputRequestSchema, part);
    this.#request = request;
    this.#offset = offset;
    this.#answers = new Resuming(
      caller,
      {
        open: (client, call) => client.watchOutput({ ...request }, call),
        heard: (answer) => {
          this.#ended = answer.ended;
          request.run = answer.run;
          request.offset = answer.nextOffset;
        },
        isOver: () => this.#ended,
      },
      signal,
    );
  }

  /** Resume from here, in another process say: behind the last chunk that was given. */
  get offset(): number {
    return this.#offset;
  }

  /** The run that is watched; 0 before the server has said which is the latest. */
  get run(): number {
    return this.#request.run;
  }

  /** For `for await`. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The next chunk.
   *
   * @throws StatusError when the watch can't go on.
   */
  async next(): Promise<IteratorResult<OutputChunk, undefined>> {
    while (this.#waiting.length === 0) {
      const answer = this.#ended ? undefined : await this.#answers.next();
      if (answer === undefined) {
        this.close();
        return { done: true, value: undefined };
      }
      this.#waiting.push(...answer.chunks.map(outputFrom));
    }
    const chunk = this.#waiting.shift();
    if (chunk === undefined) {
      return this.next();
    }
    this.#offset = chunk.offset + (chunk.payload === undefined ? 0 : contentSize(chunk.payload));
    return { done: false, value: chunk };
  }

  /** Closes the watch; `for await` calls it when its loop is left. */
  return(): Promise<IteratorResult<OutputChunk, undefined>> {
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

function offsetOf(offset: number): bigint {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`offset is ${String(offset)}: give a number of bytes, 0 or more`);
  }
  return BigInt(offset);
}
