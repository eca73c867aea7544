// Runs handlers, on the caller's thread.

import { type Assignment } from "../_gen/callboard/v1/agent_pb.js";
import { Claim } from "../client/claims.js";
import { Cancelled } from "../errors.js";
import {
  cancelledFailure,
  failureOf,
  invalidInput,
  invalidResult,
  isCancellation,
  type WireFailure,
} from "../failure.js";
import { handling, type Interceptor } from "../interceptors/interceptor.js";
import type { Message } from "../messages.js";
import { dependencyFrom, type DependencyResult } from "../models.js";
import { decode, encode, type Payload } from "../payload.js";
import type { Key } from "../session/states.js";
import { Children } from "./children.js";
import { Context, type Link, MessageContext, type Reporter } from "./context.js";
import type { Family } from "./ends.js";
import type { MessageHandler, Registered } from "./handlers.js";
import type { Logger } from "./options.js";
import { type Outlet, Output } from "./output.js";
import { type StepRecorder, Steps } from "./steps.js";
import { Stop } from "./stop.js";

/** What a runner is made from. */
export interface RunnerOptions {
  readonly handlers: ReadonlyMap<string, Registered>;
  readonly onMessage: MessageHandler | undefined;
  readonly interceptors: readonly Interceptor[];
  /** The agent's name. */
  readonly agent: string;
  readonly upstream: Upstream;
  readonly logger: Logger;
}

/** Where outcomes go. */
export interface Upstream extends Link {
  /** What carries the reports of an attempt's handler. */
  reporter(key: Key): Reporter;
  /** What records the steps of an attempt's handler. */
  recorder(key: Key, assignment: Assignment): StepRecorder;
  /** What leads to the children of an attempt's handler. */
  family(key: Key): Family;
  /** What takes the output of an attempt's handler. */
  outlet(key: Key): Outlet;
  /** A handler gave a result. */
  completed(key: Key, result: Payload): void;
  /** A handler failed. */
  failed(key: Key, failure: WireFailure): void;
  /** The handler of a message has ended. */
  handled(messageId: string, ok: boolean): void;
  /** All results of a task's dependencies. */
  fetchDependencies(taskId: string, signal: AbortSignal): Promise<DependencyResult[]>;
}

/** An attempt whose handler runs. */
interface Running {
  readonly key: Key;
  readonly assignment: Assignment;
  readonly hasSteps: boolean;
  readonly stop: Stop;
  readonly output: Output;
  /** Once the handler was called. */
  context: Context | undefined;
}

/** The handlers that run. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #upstream: Upstream;
  readonly #logger: Logger;
  readonly #running = new Map<Key, Running>();
  #handling: Stop | undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#upstream = options.upstream;
    this.#logger = options.logger;
  }

  /** Begins a handler; returns at once. `hasSteps`: the server that gave the assignment has said what is recorded. */
  start(key: Key, assignment: Assignment, hasSteps: boolean): void {
    const running: Running = {
      key,
      assignment,
      hasSteps,
      stop: new Stop(),
      output: new Output(this.#upstream.outlet(key)),
      context: undefined,
    };
    this.#running.set(key, running);
    // A turn of the event loop for each: one that blocks must not hold up the outcome of the one before.
    setImmediate(() => {
      void this.#run(running);
    });
  }

  /** The attempt times out at another time now. */
  postpone(key: Key, deadline: Date): void {
    const context = this.#running.get(key)?.context;
    if (context !== undefined) {
      context.deadline = deadline;
    }
  }

  /** The output of an attempt whose handler runs. */
  output(key: Key): Output | undefined {
    return this.#running.get(key)?.output;
  }

  /** Tells a handler to stop; returns at once. */
  stop(key: Key, reason: string): void {
    this.#running.get(key)?.stop.ask(new Cancelled(reason));
  }

  /** Begins the handler of a message; returns at once. One runs at a time. */
  handle(message: Message): void {
    const stop = new Stop();
    this.#handling = stop;
    setImmediate(() => {
      void this.#handle(message, stop);
    });
  }

  /** Tells the handler of the message to stop; returns at once. */
  stopHandling(): void {
    this.#handling?.ask(new Cancelled("the agent stops"));
  }

  /** Tells all to stop. */
  stopAll(reason: string): void {
    for (const { stop } of this.#running.values()) {
      stop.ask(new Cancelled(reason));
    }
    this.stopHandling();
  }

  async #run(running: Running): Promise<void> {
    const { key } = running;
    const outcome = await this.#outcome(running);
    this.#running.delete(key);
    if ("result" in outcome) {
      this.#upstream.completed(key, outcome.result);
    } else {
      this.#upstream.failed(key, outcome.failure);
    }
  }

  /** What becomes of an attempt. Never throws: whatever a handler throws is its outcome. */
  async #outcome(running: Running): Promise<{ result: Payload } | { failure: WireFailure }> {
    const { key, assignment, stop } = running;
    const { handlers, interceptors } = this.#options;
    const registered = handlers.get(assignment.spec?.type ?? "") ?? handlers.get("*");
    if (registered === undefined) {
      return { failure: failureOf(new Error(`no handler takes the task type of ${key}`)) };
    }
    let input: unknown;
    try {
      input = await registered.parseInput(decode(assignment.spec?.input));
    } catch (error) {
      return { failure: this.#logged(key, invalidInput(error), error) };
    }
    try {
      const dependencies = assignment.dependenciesTruncated
        ? await this.#upstream.fetchDependencies(assignment.attempt?.taskId ?? "", stop.signal)
        : assignment.dependencies.map(dependencyFrom);
      stop.throwIfAsked();
      const context = this.#context(running, dependencies);
      running.context = context;
      const handle = handling(interceptors, context, (given) => registered.handler(given as never, context));
      return await this.#encoded(key, registered, await handle(input));
    } catch (error) {
      const isCancelled = stop.isAsked && isCancellation(error, stop.signal);
      return { failure: isCancelled ? cancelledFailure() : this.#logged(key, failureOf(error), error) };
    }
  }

  #context({ key, assignment, hasSteps, stop, output }: Running, dependencies: readonly DependencyResult[]): Context {
    const steps = new Steps(assignment, hasSteps, this.#upstream.recorder(key, assignment));
    const children = new Children(new Claim(assignment), this.#upstream.family(key), steps, stop);
    const voice = { reporter: this.#upstream.reporter(key), steps, children, output };
    return new Context(assignment, this.#options.agent, dependencies, voice, stop);
  }

  async #encoded(
    key: Key,
    { parseResult }: Registered,
    given: unknown,
  ): Promise<{ result: Payload } | { failure: WireFailure }> {
    try {
      return { result: encode(await parseResult(given), "result") };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { failure: this.#logged(key, invalidResult(why), error) };
    }
  }

  #logged(key: Key, failure: WireFailure, error: unknown): WireFailure {
    this.#logger.warn(`callboard: attempt ${key} failed:`, error);
    return failure;
  }

  async #handle(message: Message, stop: Stop): Promise<void> {
    try {
      await this.#options.onMessage?.(message, new MessageContext(this.#upstream, stop));
      this.#upstream.handled(message.id, true);
    } catch (error) {
      this.#logger.warn(`callboard: the handler of message ${message.id} failed:`, error);
      this.#upstream.handled(message.id, false);
    }
  }
}
