// Runs handlers, on the caller's thread.

import { type Assignment } from "../_gen/callboard/v1/agent_pb.js";
import { Cancelled, InvalidArgument } from "../errors.js";
import {
  cancelledFailure,
  failureOf,
  invalidInput,
  invalidResult,
  isCancellation,
  type WireFailure,
} from "../failure.js";
import type { Message } from "../messages.js";
import { dependencyFrom, type DependencyResult } from "../models.js";
import { decode, encode, type Payload } from "../payload.js";
import type { Key } from "../session/states.js";
import { Context, type Link, MessageContext, type Reporter } from "./context.js";
import type { MessageHandler, Registered } from "./handlers.js";
import type { Logger } from "./options.js";
import { type StepRecorder, Steps } from "./steps.js";

/** Where outcomes go. */
export interface Upstream extends Link {
  /** What carries the reports of an attempt's handler. */
  reporter(key: Key): Reporter;
  /** What records the steps of an attempt's handler. */
  recorder(key: Key, assignment: Assignment): StepRecorder;
  /** A handler gave a result. */
  completed(key: Key, result: Payload): void;
  /** A handler failed. */
  failed(key: Key, failure: WireFailure): void;
  /** The handler of a message has ended. */
  handled(messageId: string, ok: boolean): void;
  /** All results of a task's dependencies. */
  fetchDependencies(taskId: string, signal: AbortSignal): Promise<DependencyResult[]>;
}

/** The handlers that run. */
export class Runner {
  readonly #handlers: ReadonlyMap<string, Registered>;
  readonly #onMessage: MessageHandler | undefined;
  readonly #upstream: Upstream;
  readonly #logger: Logger;
  readonly #running = new Map<Key, AbortController>();
  #handling: AbortController | undefined;

  constructor(
    handlers: ReadonlyMap<string, Registered>,
    onMessage: MessageHandler | undefined,
    upstream: Upstream,
    logger: Logger,
  ) {
    this.#handlers = handlers;
    this.#onMessage = onMessage;
    this.#upstream = upstream;
    this.#logger = logger;
  }

  /** Begins a handler; returns at once. `hasSteps`: the server that gave the assignment has said what is recorded. */
  start(key: Key, assignment: Assignment, hasSteps: boolean): void {
    const abort = new AbortController();
    this.#running.set(key, abort);
    // A turn of the event loop for each: one that blocks must not hold up the outcome of the one before.
    setImmediate(() => {
      void this.#run(key, assignment, hasSteps, abort.signal);
    });
  }

  /** Tells a handler to stop; returns at once. */
  stop(key: Key, reason: string): void {
    this.#running.get(key)?.abort(new Cancelled(reason));
  }

  /** Begins the handler of a message; returns at once. One runs at a time. */
  handle(message: Message): void {
    const abort = new AbortController();
    this.#handling = abort;
    setImmediate(() => {
      void this.#handle(message, abort.signal);
    });
  }

  /** Tells the handler of the message to stop; returns at once. */
  stopHandling(): void {
    this.#handling?.abort(new Cancelled("the agent stops"));
  }

  /** Tells all to stop. */
  stopAll(reason: string): void {
    for (const abort of this.#running.values()) {
      abort.abort(new Cancelled(reason));
    }
    this.stopHandling();
  }

  async #run(key: Key, assignment: Assignment, hasSteps: boolean, signal: AbortSignal): Promise<void> {
    const outcome = await this.#outcome(key, assignment, hasSteps, signal);
    this.#running.delete(key);
    if ("result" in outcome) {
      this.#upstream.completed(key, outcome.result);
    } else {
      this.#upstream.failed(key, outcome.failure);
    }
  }

  /** What becomes of an attempt. Never throws: whatever a handler throws is its outcome. */
  async #outcome(
    key: Key,
    assignment: Assignment,
    hasSteps: boolean,
    signal: AbortSignal,
  ): Promise<{ result: Payload } | { failure: WireFailure }> {
    const registered = this.#handlers.get(assignment.spec?.type ?? "") ?? this.#handlers.get("*");
    if (registered === undefined) {
      return { failure: failureOf(new Error(`no handler takes the task type of ${key}`)) };
    }
    let input: unknown;
    try {
      input = registered.parse(decode(assignment.spec?.input));
    } catch (error) {
      return { failure: this.#logged(key, invalidInput(error), error) };
    }
    try {
      const dependencies = await this.#dependencies(assignment, signal);
      signal.throwIfAborted();
      const steps = new Steps(assignment, hasSteps, this.#upstream.recorder(key, assignment));
      const context = new Context(assignment, dependencies, this.#upstream.reporter(key), steps, signal);
      return this.#encoded(key, await registered.handler(input as never, context));
    } catch (error) {
      return {
        failure: isCancellation(error, signal) ? cancelledFailure() : this.#logged(key, failureOf(error), error),
      };
    }
  }

  #encoded(key: Key, result: unknown): { result: Payload } | { failure: WireFailure } {
    try {
      return { result: encode(result, "result") };
    } catch (error) {
      const why = error instanceof InvalidArgument ? error.message : String(error);
      return { failure: this.#logged(key, invalidResult(why), error) };
    }
  }

  async #dependencies(assignment: Assignment, signal: AbortSignal): Promise<readonly DependencyResult[]> {
    if (assignment.dependenciesTruncated) {
      return this.#upstream.fetchDependencies(assignment.attempt?.taskId ?? "", signal);
    }
    return assignment.dependencies.map(dependencyFrom);
  }

  #logged(key: Key, failure: WireFailure, error: unknown): WireFailure {
    this.#logger.warn(`callboard: attempt ${key} failed:`, error);
    return failure;
  }

  async #handle(message: Message, signal: AbortSignal): Promise<void> {
    try {
      await this.#onMessage?.(message, new MessageContext(this.#upstream, signal));
      this.#upstream.handled(message.id, true);
    } catch (error) {
      this.#logger.warn(`callboard: the handler of message ${message.id} failed:`, error);
      this.#upstream.handled(message.id, false);
    }
  }
}
