// Children: tasks that a handler creates for its run, and waits for without its slot. See section 9 of `sdk/SPEC.md`.

import { create } from "@bufbuild/protobuf";

import type { TaskEnd } from "../_gen/callboard/v1/agent_pb.js";
import { type Task as WireTask, TaskSchema, TaskState } from "../_gen/callboard/v1/task_pb.js";
import type { Claim } from "../client/claims.js";
import type { ChildOptions } from "../client/children.js";
import type { Client } from "../client/client.js";
import type { ResultOptions, WaitOptions } from "../client/options.js";
import { given } from "../convert.js";
import { DeadlineExceeded, StatusCode, statusError } from "../errors.js";
import { uuid5 } from "../ids.js";
import { resultOf, Task } from "../models.js";
import { noChildren } from "../session/frames.js";
import type { TaskOptions } from "../spec.js";
import { orCancelled } from "./cancelled.js";
import { invalidName, Occurrences } from "./occurrences.js";
import { isWithinStep, type Steps } from "./steps.js";
import type { Stop } from "./stop.js";

/** What a child may have beside its type and input. */
export interface StartChildOptions extends TaskOptions, ChildOptions {}

/** How an attempt reaches its children. @internal */
export interface Family {
  /** Whether the server that is attached now takes no children. */
  readonly lacksChildren: boolean;
  readonly client: Client;
  /** The end of a task, waited for without a slot; undefined when the server has to be asked for it. */
  awaitEnd(taskId: string, signal: AbortSignal): Promise<TaskEnd | undefined>;
}

/** A task that a handler created for its run. */
export class Child {
  /** Its id. */
  readonly id: string;
  /** Its type. */
  readonly type: string;
  /** It was there before: an earlier attempt of the run created it. */
  readonly existing: boolean;
  readonly #children: Children;

  /** @internal */
  constructor(children: Children, type: string, id: string, existing: boolean) {
    this.#children = children;
    this.type = type;
    this.id = id;
    this.existing = existing;
  }

  /**
   * Waits until it has ended, however, and gives the task as it ended: its id, type, state, run, result and failure;
   * `client.get` tells the rest. The attempt has no slot meanwhile. Throws {@link Cancelled} when the handler is to stop.
   *
   * @throws NotFound when the child was forgotten, DeadlineExceeded when the time is over before, FailedPrecondition when
   * the attempt is lost.
   */
  wait(options: WaitOptions = {}): Promise<Task> {
    return this.#children.wait(this, options);
  }

  /**
   * Waits until it has ended, and gives its result, decoded, or what `parse` makes of it.
   *
   * @throws TaskFailed when it did not complete; and what `wait` throws.
   */
  async result<T = unknown>(options: ResultOptions<T> = {}): Promise<NoInfer<T>> {
    return resultOf(await this.wait(options), options);
  }
}

/** The children of one attempt. */
export class Children {
  readonly #claim: Claim;
  readonly #family: Family;
  readonly #steps: Steps;
  readonly #stop: Pick<Stop, "signal">;
  readonly #begun = new Occurrences("child");

  constructor(claim: Claim, family: Family, steps: Steps, stop: Pick<Stop, "signal">) {
    this.#claim = claim;
    this.#family = family;
    this.#steps = steps;
    this.#stop = stop;
  }

  /** Creates a child, or gives the one that is there. It is counted before this returns. */
  async start(type: string, input: unknown, options: StartChildOptions): Promise<Child> {
    const { name = type } = options;
    if (isWithinStep(this.#steps)) {
      throw invalidName(`child ${JSON.stringify(name)} begins within a step: call it behind that one`);
    }
    const occurrence = this.#begun.next(name);
    if (this.#family.lacksChildren) {
      throw noChildren();
    }
    const { taskId, run } = this.#claim;
    // The same in every attempt: whichever comes first creates it.
    const requestId = `child/${uuid5(taskId, `${String(run)}/${String(occurrence)}/${name}`)}`;
    const keyed = { ...options, name, occurrence, requestId };
    const receipt = await this.#family.client.createChild(this.#claim, type, input, keyed);
    return new Child(this, type, receipt.taskId, receipt.existing);
  }

  /** Waits for the end of one. */
  async wait(child: Child, { timeout, signal }: WaitOptions): Promise<Task> {
    const late = timeout === undefined ? undefined : AbortSignal.timeout(Math.min(timeout, 0x7fff_ffff));
    const others = [signal, late].filter((one) => one !== undefined);
    const stop = others.length === 0 ? this.#stop.signal : AbortSignal.any([this.#stop.signal, ...others]);
    try {
      stop.throwIfAborted();
      return await orCancelled(stop, this.#ended(child, stop));
    } catch (error) {
      if (late?.aborted === true && error === late.reason) {
        const message = `child ${child.id} had not ended in time`;
        throw new DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, message, { cause: error });
      }
      throw error;
    }
  }

  async #ended(child: Child, signal: AbortSignal): Promise<Task> {
    const { client } = this.#family;
    const end = await this.#family.awaitEnd(child.id, signal);
    if (end === undefined) {
      return client.wait(child.id, { signal });
    }
    if (end.state === TaskState.UNSPECIFIED) {
      throw statusError(StatusCode.NOT_FOUND, `there is no task ${child.id}`, { reason: "TASK_NOT_FOUND" });
    }
    return end.resultOmitted ? client.get(child.id, { signal }) : new Task(taskOf(child, client.namespace, end));
  }
}

function taskOf({ id, type }: Child, namespace: string, { state, run, result, failure }: TaskEnd): WireTask {
  return create(TaskSchema, given({ id, namespace, state, run, spec: { type }, result, failure }));
}
