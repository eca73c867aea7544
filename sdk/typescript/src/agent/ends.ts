// Waiting for the ends of children, without the slot of the handler that waits. See section 9 of `sdk/SPEC.md`.

import { setMaxListeners } from "node:events";

import { create } from "@bufbuild/protobuf";

import { type TaskEnd, TaskEndSchema } from "../_gen/callboard/v1/agent_pb.js";
import { TaskSchema, TaskState } from "../_gen/callboard/v1/task_pb.js";
import type { Client } from "../client/client.js";
import type { WaitOptions } from "../client/options.js";
import { given } from "../convert.js";
import { DeadlineExceeded, InvalidArgument, NotFound, StatusCode, statusError, TaskFailed } from "../errors.js";
import { Task } from "../models.js";
import { Quorum } from "../session/quorum.js";
import { orCancelled } from "./cancelled.js";
import type { Child } from "./children.js";
import type { Stop } from "./stop.js";

/** How to wait for some of several children. */
export interface WaitChildrenOptions extends WaitOptions {
  /** How many are to complete: at least 1. Default all of them. */
  readonly count?: number | undefined;
  /**
   * What becomes of those that have not ended when so many have completed, or can't any more. KEEP: they go on, and when the
   * parent's run ends, what their `onParentEnd` says. CANCEL: they are cancelled. Default KEEP.
   */
  readonly rest?: "KEEP" | "CANCEL" | undefined;
}

/** Is told which tasks have ended when a wait is over, while others have not. @internal */
export type Decided = (ended: readonly string[]) => void;

/** How an attempt reaches its children. @internal */
export interface Family {
  /** Whether the server that is attached now takes no children. */
  readonly lacksChildren: boolean;
  readonly client: Client;
  /**
   * Waits without a slot until so many of these tasks have completed, or can't any more (for one of one, until that has
   * ended), and gives the ends that came by then, in that order; undefined when the server has to be asked for them.
   * `decided` may be told before, as soon as that is so: the handler goes on when it has its slot again.
   */
  awaitEnds(
    taskIds: readonly string[],
    count: number,
    signal: AbortSignal,
    decided?: Decided,
  ): Promise<readonly TaskEnd[] | undefined>;
}

/** The ends of an attempt's children. */
export class Ends {
  readonly #family: Family;
  readonly #stop: Pick<Stop, "signal">;

  constructor(family: Family, stop: Pick<Stop, "signal">) {
    this.#family = family;
    this.#stop = stop;
  }

  /** Waits for the end of one. */
  of(child: Child, patience: WaitOptions): Promise<Task> {
    return this.#patiently(patience, `child ${child.id} had not ended in time`, async (signal) => {
      const [end] = (await this.#family.awaitEnds([child.id], 1, signal)) ?? [];
      return end === undefined ? this.#family.client.wait(child.id, { signal }) : this.#taskOf(child, end, signal);
    });
  }

  /** Waits until so many have completed, and gives those that have, in the order in which they were given. */
  async ofSome(children: readonly Child[], options: WaitChildrenOptions): Promise<Task[]> {
    const { count = children.length, rest = "KEEP", ...patience } = options;
    const isCancelling = cancels(rest);
    if (children.length === 0 && options.count === undefined) {
      return [];
    }
    checkQuorum(children, count);
    const late = `of ${String(children.length)} children, ${String(count)} had not completed in time`;
    return this.#patiently(patience, late, async (signal) => {
      let cancelled: Promise<void> | undefined;
      const decided: Decided = (ended) => {
        if (isCancelling) {
          cancelled ??= this.#cancelAllBut(children, ended);
          // Whoever waits looks at it later, or has lost patience.
          cancelled.catch(() => undefined);
        }
      };
      const ids = children.map(({ id }) => id);
      const told = await this.#family.awaitEnds(ids, count, signal, decided);
      const ends = told ?? (await this.#askForEnds(ids, count, signal));
      decided(ends.map(({ taskId }) => taskId));
      // What the wait throws goes before what cancelling the rest throws, and waits for it all the same.
      const [tasks, rested] = await Promise.allSettled([this.#completed(children, count, ends, signal), cancelled]);
      if (tasks.status === "rejected") {
        throw tasks.reason;
      }
      if (rested.status === "rejected") {
        throw rested.reason;
      }
      return tasks.value;
    });
  }

  /** Waits with the caller's patience, and until the handler is to stop. */
  async #patiently<T>(
    { timeout, signal }: WaitOptions,
    whenLate: string,
    wait: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const late = timeout === undefined ? undefined : AbortSignal.timeout(Math.min(timeout, 0x7fff_ffff));
    const others = [signal, late].filter((one) => one !== undefined);
    const stop = others.length === 0 ? this.#stop.signal : AbortSignal.any([this.#stop.signal, ...others]);
    try {
      stop.throwIfAborted();
      return await orCancelled(stop, wait(stop));
    } catch (error) {
      if (late?.aborted === true && error === late.reason) {
        throw new DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, whenLate, { cause: error });
      }
      throw error;
    }
  }

  /** The ends that a server doesn't tell: it is asked for each. */
  async #askForEnds(taskIds: readonly string[], count: number, signal: AbortSignal): Promise<readonly TaskEnd[]> {
    const quorum = new Quorum(taskIds, count);
    const enough = new AbortController();
    const stop = AbortSignal.any([signal, enough.signal]);
    // Each call listens.
    setMaxListeners(0, stop);
    try {
      await new Promise<void>((resolve, reject) => {
        for (const taskId of taskIds) {
          this.#askForEnd(taskId, stop).then((end) => {
            quorum.take(end);
            if (quorum.isDecided) {
              resolve();
            }
          }, reject);
        }
      });
      return [...quorum.ends];
    } finally {
      enough.abort();
    }
  }

  async #askForEnd(taskId: string, signal: AbortSignal): Promise<TaskEnd> {
    try {
      const { proto } = await this.#family.client.wait(taskId, { signal });
      const { state, run, result, failure } = proto;
      return create(TaskEndSchema, given({ taskId, state, run, result, failure }));
    } catch (error) {
      if (error instanceof NotFound) {
        return create(TaskEndSchema, { taskId });
      }
      throw error;
    }
  }

  /** Cancels those that have not ended. That goes on when whoever waits has lost patience. */
  async #cancelAllBut(children: readonly Child[], ended: readonly string[]): Promise<void> {
    const rest = children.filter(({ id }) => !ended.includes(id));
    await Promise.all(rest.map((child) => this.#cancel(child)));
  }

  async #cancel({ id }: Child): Promise<void> {
    try {
      await this.#family.client.cancel(id, "", { requestId: `rest/${id}`, signal: this.#stop.signal });
    } catch (error) {
      // One that was forgotten had ended.
      if (!(error instanceof NotFound)) {
        throw error;
      }
    }
  }

  /** Those that completed. When they are too few, what is wrong with the first that ended badly is thrown. */
  async #completed(
    children: readonly Child[],
    count: number,
    ends: readonly TaskEnd[],
    signal: AbortSignal,
  ): Promise<Task[]> {
    const ended = new Map(ends.map((end) => [end.taskId, end]));
    const told = children.flatMap((child) => {
      const end = ended.get(child.id);
      return end === undefined ? [] : [{ child, end }];
    });
    const completed = told.filter(({ end }) => hasCompleted(end));
    const bad = told.find(({ end }) => !hasCompleted(end));
    if (completed.length < count && bad !== undefined) {
      throw new TaskFailed(await this.#taskOf(bad.child, bad.end, signal));
    }
    return Promise.all(completed.map(({ child, end }) => this.#taskOf(child, end, signal)));
  }

  async #taskOf({ id, type }: Child, end: TaskEnd, signal: AbortSignal): Promise<Task> {
    const { client } = this.#family;
    const { state, run, result, failure } = end;
    if (state === TaskState.UNSPECIFIED) {
      throw statusError(StatusCode.NOT_FOUND, `there is no task ${id}`, { reason: "TASK_NOT_FOUND" });
    }
    if (end.resultOmitted) {
      return client.get(id, { signal });
    }
    const { namespace } = client;
    return new Task(create(TaskSchema, given({ id, namespace, state, run, spec: { type }, result, failure })));
  }
}

function hasCompleted({ state }: TaskEnd): boolean {
  return state === TaskState.COMPLETED;
}

/** Whether the rest is cancelled. Not every caller has a compiler that knows the two. */
function cancels(rest: string): boolean {
  if (rest !== "KEEP" && rest !== "CANCEL") {
    throw new TypeError(`rest ${JSON.stringify(rest)} is unknown: it is one of KEEP, CANCEL`);
  }
  return rest === "CANCEL";
}

function checkQuorum(children: readonly Child[], count: number): void {
  if (!(Number.isInteger(count) && count >= 1 && count <= children.length)) {
    throw invalid("count", `count is ${String(count)}: give a whole number from 1 to ${String(children.length)}`);
  }
  const seen = new Set<string>();
  for (const { id } of children) {
    if (seen.has(id)) {
      throw invalid("children", `child ${id} stands there twice`);
    }
    seen.add(id);
  }
}

function invalid(field: string, message: string): InvalidArgument {
  const violations = [{ field, description: message }];
  return new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, { reason: "INVALID_FIELD", violations });
}
