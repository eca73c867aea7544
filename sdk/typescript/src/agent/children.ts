// Children: tasks that a handler creates for its run, and waits for without its slot. See section 9 of `sdk/SPEC.md`.

import type { Claim } from "../client/claims.js";
import type { ChildOptions } from "../client/children.js";
import type { ResultOptions, WaitOptions } from "../client/options.js";
import { uuid5 } from "../ids.js";
import { resultOf, type Task } from "../models.js";
import { noChildren } from "../session/frames.js";
import type { TaskOptions } from "../spec.js";
import { Ends, type Family } from "./ends.js";
import { invalidName, Occurrences } from "./occurrences.js";
import { isWithinStep, type Steps } from "./steps.js";
import type { Stop } from "./stop.js";

/** What a child may have beside its type and input. */
export interface StartChildOptions extends TaskOptions, ChildOptions {}

/** A task that a handler created for its run. */
export class Child {
  /** Its id. */
  readonly id: string;
  /** Its type. */
  readonly type: string;
  /** It was there before: an earlier attempt of the run created it. */
  readonly existing: boolean;
  readonly #ends: Ends;

  /** @internal */
  constructor(ends: Ends, type: string, id: string, existing: boolean) {
    this.#ends = ends;
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
    return this.#ends.of(this, options);
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
  /** How they end. */
  readonly ends: Ends;
  readonly #begun = new Occurrences("child");

  constructor(claim: Claim, family: Family, steps: Steps, stop: Pick<Stop, "signal">) {
    this.#claim = claim;
    this.#family = family;
    this.#steps = steps;
    this.ends = new Ends(family, stop);
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
    return new Child(this.ends, type, receipt.taskId, receipt.existing);
  }
}
