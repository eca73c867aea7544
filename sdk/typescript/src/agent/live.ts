// An agent that has started: the connection's thread, the handlers on this one, and what is between them.

import { Worker } from "node:worker_threads";

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import {
  type Assignment,
  AssignmentSchema,
  type Progress,
  ProgressSchema,
  type TaskEnd,
  TaskEndSchema,
} from "../_gen/callboard/v1/agent_pb.js";
import {
  MessageReceiptSchema,
  MessageSchema,
  type MessageSend,
  MessageSendSchema,
} from "../_gen/callboard/v1/message_pb.js";
import { FailureSchema, PayloadSchema } from "../_gen/callboard/v1/payload_pb.js";
import { type StepRecord, StepRecordSchema } from "../_gen/callboard/v1/step_pb.js";
import { Client } from "../client/client.js";
import { CallboardError } from "../errors.js";
import type { WireFailure } from "../failure.js";
import type { Interceptor } from "../interceptors/interceptor.js";
import { messageFrom, type MessageReceipt, messageReceiptFrom } from "../messages.js";
import type { DependencyResult } from "../models.js";
import type { Payload } from "../payload.js";
import { PROGRESS_EVERY } from "../session/attempts.js";
import type { Key } from "../session/states.js";
import type { Connections } from "../transport.js";
import type { Reporter } from "./context.js";
import type { Decided, Family } from "./ends.js";
import type { MessageHandler, Registered } from "./handlers.js";
import type { Logger } from "./options.js";
import type { Outlet } from "./output.js";
import {
  Batcher,
  crossing,
  errorOf,
  type Status,
  type ToConnection,
  type ToHandlers,
  UNATTACHED,
  type WorkerData,
} from "./port.js";
import { Runner, type Upstream } from "./runner.js";
import type { StepRecorder } from "./steps.js";

/** Steps on a page: as many as a run can have. */
const MOST_STEPS = 1_000;

/** What a live agent is made from. */
export interface LiveOptions {
  readonly data: WorkerData;
  readonly handlers: ReadonlyMap<string, Registered>;
  readonly onMessage: MessageHandler | undefined;
  readonly connections: Connections;
  readonly interceptors: readonly Interceptor[];
  /** The agent's name. */
  readonly agent: string;
  readonly logger: Logger;
}

/** Who waits for a ticket. */
interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  /** Is told when a wait for some of several tasks is over, before the handler may go on. */
  readonly decided?: Decided | undefined;
}

/** Carries what happens between the connection, the handlers and whoever started the agent. */
export class Live implements Upstream {
  readonly #worker: Worker;
  readonly #outgoing: Batcher<ToConnection>;
  readonly #runner: Runner;
  readonly #connections: Connections;
  readonly #logger: Logger;
  readonly client: Client;
  #lastTicket = 0;
  readonly #saves = new Map<number, Waiter<void>>();
  readonly #sends = new Map<number, Waiter<MessageReceipt>>();
  readonly #awaits = new Map<number, Waiter<TaskEnd[] | undefined>>();
  #status = UNATTACHED;
  #healthAddress: string | undefined;
  #outcome: { readonly error: CallboardError | undefined } | undefined;
  /** Who waits for the next change of the status, or the end. */
  #waiting: (() => void)[] = [];

  constructor({ data, handlers, onMessage, connections, interceptors, agent, logger }: LiveOptions) {
    this.#logger = logger;
    this.#connections = connections;
    this.client = new Client({ namespace: data.namespace, interceptors }, connections);
    this.#runner = new Runner({ handlers, onMessage, interceptors, agent, upstream: this, logger });
    // Without the program's own flags: some are not for a thread that begins with a file.
    const options = { workerData: data, execArgv: [], name: "callboard" };
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), options);
    this.#outgoing = new Batcher((batch) => {
      this.#worker.postMessage(batch);
    });
    this.#worker.on("message", (batch: readonly ToHandlers[]) => {
      for (const event of batch) {
        this.#heard(event);
      }
    });
    const broke = (why: unknown): void => {
      this.#end(new CallboardError("the agent's connection broke off: its thread ended", { cause: why }));
    };
    this.#worker.on("error", broke);
    this.#worker.on("messageerror", broke);
    this.#worker.on("exit", broke);
  }

  /** How the agent stands. */
  get status(): Status {
    return this.#status;
  }

  /** Where it answers probes; undefined when it doesn't. */
  get healthAddress(): string | undefined {
    return this.#healthAddress;
  }

  /** How the agent ended; undefined before. */
  get outcome(): { readonly error: CallboardError | undefined } | undefined {
    return this.#outcome;
  }

  /** Takes nothing new. */
  drain(timeout: number | undefined): void {
    this.#outgoing.now({ kind: "drain", timeout });
  }

  /** Ends at once. */
  stop(): void {
    this.#outgoing.now({ kind: "stop" });
  }

  /** Waits until `isSo`, which is asked at every change; false when the time is over before. */
  async until(isSo: () => boolean, timeout: number | undefined): Promise<boolean> {
    const deadline = timeout === undefined ? Infinity : performance.now() + timeout;
    while (!isSo()) {
      const left = deadline - performance.now();
      if (left <= 0) {
        return false;
      }
      await this.#change(left);
    }
    return true;
  }

  #change(within: number): Promise<void> {
    return new Promise((resolve) => {
      // A longer time than timers have is waited for in parts.
      const timer = within === Infinity ? undefined : setTimeout(resolve, Math.min(within, 0x7fff_ffff));
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) {
      wake();
    }
  }

  // What the connection says.

  #heard(event: ToHandlers): void {
    switch (event.kind) {
      case "listening":
        this.#healthAddress = event.address;
        this.#logger.info(`callboard: probes are answered at ${event.address}`);
        this.#changed();
        break;
      case "listenFailed":
        this.#logger.error(`callboard: health can't be listened at: ${event.why}`);
        this.#end(new CallboardError(`health can't be listened at: ${event.why}`));
        break;
      case "status":
        this.#status = event.status;
        this.#changed();
        break;
      case "start":
        this.#runner.start(event.key, fromBinary(AssignmentSchema, event.assignment), event.hasSteps);
        break;
      case "stop":
        this.#runner.stop(event.key, event.reason);
        break;
      case "handle":
        this.#runner.handle(messageFrom(fromBinary(MessageSchema, event.message)));
        break;
      case "stopHandling":
        this.#runner.stopHandling();
        break;
      case "reportSettled": {
        const waiter = take(this.#saves, event.ticket);
        if (event.error === undefined) {
          waiter?.resolve();
        } else {
          waiter?.reject(errorOf(event.error));
        }
        break;
      }
      case "awaitSettled": {
        const ends = event.ends?.map((end) => fromBinary(TaskEndSchema, end));
        take(this.#awaits, event.ticket)?.resolve(ends);
        break;
      }
      case "awaitDecided":
        this.#awaits.get(event.ticket)?.decided?.(event.ended);
        break;
      case "awaitRefused":
        take(this.#awaits, event.ticket)?.reject(errorOf(event.error));
        break;
      case "awaitDropped":
        take(this.#awaits, event.ticket);
        break;
      case "deadline":
        this.#runner.postpone(event.key, event.deadline);
        break;
      case "outputTaken":
        this.#runner.output(event.key)?.taken(event.weight);
        break;
      case "outputRefused":
        this.#runner.output(event.key)?.refuse(errorOf(event.error));
        break;
      case "sendSettled":
        take(this.#sends, event.ticket)?.resolve(messageReceiptFrom(fromBinary(MessageReceiptSchema, event.receipt)));
        break;
      case "sendRefused":
        take(this.#sends, event.ticket)?.reject(errorOf(event.error));
        break;
      case "log":
        this.#logger[event.level](`callboard: ${event.text}`);
        break;
      case "ended":
        this.#end(event.error === undefined ? undefined : errorOf(event.error));
        break;
    }
  }

  #end(error: CallboardError | undefined): void {
    if (this.#outcome !== undefined) {
      return;
    }
    this.#outcome = { error };
    this.#healthAddress = undefined;
    this.#status = { ...this.#status, attached: false, lacks: [] };
    this.#runner.stopAll("the agent has ended");
    const gone = new CallboardError("the agent has ended");
    for (const waiters of [this.#saves, this.#sends, this.#awaits]) {
      for (const waiter of waiters.values()) {
        waiter.reject(gone);
      }
      waiters.clear();
    }
    this.#connections.close();
    this.#changed();
  }

  // What handlers say.

  completed(key: Key, result: Payload): void {
    this.#say({ kind: "completed", key, result: crossing(result) });
  }

  failed(key: Key, failure: WireFailure): void {
    this.#say({ kind: "failed", key, failure: toBinary(FailureSchema, failure) });
  }

  handled(messageId: string, ok: boolean): void {
    this.#say({ kind: "handled", messageId, ok });
  }

  #say(event: ToConnection): void {
    if (this.#outcome === undefined) {
      this.#outgoing.add(event);
    }
  }

  send(send: MessageSend): Promise<MessageReceipt> {
    return this.#ask(this.#sends, (ticket) => ({ kind: "send", send: toBinary(MessageSendSchema, send), ticket }));
  }

  checkpoint(key: Key, data: Payload): Promise<void> {
    return this.#ask(this.#saves, (ticket) => {
      return { kind: "checkpoint", key, data: toBinary(PayloadSchema, data), ticket };
    });
  }

  step(key: Key, record: StepRecord): Promise<void> {
    return this.#ask(this.#saves, (ticket) => {
      return { kind: "step", key, record: toBinary(StepRecordSchema, record), ticket };
    });
  }

  #ask<T>(waiters: Map<number, Waiter<T>>, event: (ticket: number) => ToConnection, decided?: Decided): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#outcome !== undefined) {
        reject(new CallboardError("the agent has ended"));
        return;
      }
      this.#lastTicket += 1;
      waiters.set(this.#lastTicket, { resolve, reject, decided });
      // Now, and not with the next batch: the handler may go on without yielding.
      this.#outgoing.now(event(this.#lastTicket));
    });
  }

  /** What {@link Family.awaitEnds} does, for an attempt. */
  awaitEnds(
    key: Key,
    ...[taskIds, count, signal, decided]: Parameters<Family["awaitEnds"]>
  ): Promise<readonly TaskEnd[] | undefined> {
    let asked = 0;
    const giveUp = (): void => {
      if (take(this.#awaits, asked) !== undefined) {
        this.#say({ kind: "awaitNoMore", key, ticket: asked });
      }
    };
    signal.addEventListener("abort", giveUp, { once: true });
    const tell = (ticket: number): ToConnection => {
      asked = ticket;
      return { kind: "await", key, taskIds, count, ticket };
    };
    const ends = this.#ask(this.#awaits, tell, decided);
    return ends.finally(() => {
      signal.removeEventListener("abort", giveUp);
    });
  }

  reporter(key: Key): Reporter {
    const gate = new ProgressGate((progress) => {
      if (this.#outcome === undefined) {
        this.#outgoing.now({ kind: "progress", key, progress: toBinary(ProgressSchema, progress) });
      }
    });
    return {
      client: this.client,
      send: (send) => this.send(send),
      progress: (progress) => {
        gate.tell(progress);
      },
      checkpoint: (data) => this.checkpoint(key, data),
    };
  }

  recorder(key: Key, { attempt, run }: Assignment): StepRecorder {
    const lacks = (): boolean => this.#status.lacks.includes("steps");
    return {
      get lacksSteps(): boolean {
        return lacks();
      },
      record: (record) => this.step(key, record),
      fetchSteps: () => gathered(this.client.steps(attempt?.taskId ?? "", { run, pageSize: MOST_STEPS })),
    };
  }

  family(key: Key): Family {
    const lacks = (): boolean => this.#status.lacks.includes("children");
    return {
      get lacksChildren(): boolean {
        return lacks();
      },
      client: this.client,
      awaitEnds: (...asked) => this.awaitEnds(key, ...asked),
    };
  }

  outlet(key: Key): Outlet {
    const lacks = (): boolean => this.#status.lacks.includes("output");
    return {
      get lacksOutput(): boolean {
        return lacks();
      },
      give: (data, isWhole) => {
        this.#say({ kind: "output", key, data: toBinary(PayloadSchema, data), isWhole });
      },
    };
  }

  fetchDependencies(taskId: string, signal: AbortSignal): Promise<DependencyResult[]> {
    return gathered(this.client.dependencyResults(taskId, { signal }));
  }
}

async function gathered<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

/**
 * Passes progress on, at most as often as it is sent: a handler may tell it a million times a second. What it tells is
 * passed on at once when it is time, so that it also goes out when the handler never yields.
 */
class ProgressGate {
  readonly #pass: (progress: Progress) => void;
  #passedAt = -Infinity;
  #latest: Progress | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(pass: (progress: Progress) => void) {
    this.#pass = pass;
  }

  tell(progress: Progress): void {
    this.#latest = progress;
    const wait = this.#passedAt + PROGRESS_EVERY - performance.now();
    if (wait <= 0) {
      this.#open();
    } else {
      this.#timer ??= setTimeout(() => {
        this.#open();
      }, wait).unref();
    }
  }

  #open(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const latest = this.#latest;
    this.#latest = undefined;
    if (latest !== undefined) {
      this.#passedAt = performance.now();
      this.#pass(latest);
    }
  }
}

function take<T>(waiters: Map<number, Waiter<T>>, ticket: number): Waiter<T> | undefined {
  const waiter = waiters.get(ticket);
  waiters.delete(ticket);
  return waiter;
}
