// What an application wants done around every task, in one place. See section 11 of `sdk/SPEC.md`.

import type { Context } from "../agent/context.js";
import type { TaskSpec } from "../spec.js";

/** Goes on with a task that is submitted: gives what the call gives. */
export type SubmitNext<T> = (spec: TaskSpec) => Promise<T>;

/** Goes on with an attempt: gives the handler's value, or throws its error. */
export type HandleNext = (input: unknown) => Promise<unknown>;

/**
 * Stands around every task: give a list of them to a {@link Client} or an {@link Agent}. The first is the outermost.
 * Either method may be missing.
 */
export interface Interceptor {
  /**
   * Around `create`, each task of `createAll`, `workflows.create` and `workflows.add`, `run`, `createChild`, and a handler's `startChild`
   * and `runChild`. It may change the spec before it calls `next`, once. When it throws, the call does, and nothing is sent.
   * It may answer by itself, without `next`, but for a task of a workflow: all of those are created, or none.
   */
  submit?<T>(spec: TaskSpec, next: SubmitNext<T>): Promise<T> | T;
  /**
   * Around each attempt's handler, in its place: what it returns is the result, and what it throws fails the attempt.
   * `context.signal` is the handler's.
   */
  handle?(context: Context, input: unknown, next: HandleNext): unknown;
}

/** @internal What goes through all that submit, and then on. */
export function submitting<T>(interceptors: readonly Interceptor[], last: SubmitNext<T>): SubmitNext<T> {
  return interceptors
    .filter((interceptor) => interceptor.submit !== undefined)
    .reduceRight<SubmitNext<T>>((next, interceptor) => {
      return async (spec) => (interceptor as Required<Interceptor>).submit(spec, next);
    }, last);
}

/** @internal What goes through all that handle, and then to the handler. */
export function handling(
  interceptors: readonly Interceptor[],
  context: Context,
  handler: (input: unknown) => unknown,
): HandleNext {
  // What it throws before its first `await` is the promise's, too.
  const last: HandleNext = (input) =>
    new Promise((resolve) => {
      resolve(handler(input));
    });
  return interceptors
    .filter((interceptor) => interceptor.handle !== undefined)
    .reduceRight<HandleNext>((next, interceptor) => {
      return async (input) => await (interceptor as Required<Interceptor>).handle(context, input, next);
    }, last);
}

/** A task, with whatever else is asked of it. */
interface Asked {
  readonly task: TaskSpec;
}

/**
 * @internal What goes through all that submit for each of many tasks, which are then sent together: each is given its
 * own part of the answer. When one throws before, nothing is sent.
 */
export async function submittingAll<A extends Asked, T>(
  interceptors: readonly Interceptor[],
  asked: readonly A[],
  send: (asked: readonly A[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  if (asked.length === 0 || !interceptors.some((interceptor) => interceptor.submit !== undefined)) {
    return send(asked);
  }
  const places = asked.map((one) => {
    const place = new Place<T>();
    return { one, place, submitted: submitting(interceptors, place.next)(one.task) };
  });
  try {
    // Each has come through, or has its value without that.
    await Promise.all(places.map(({ place, submitted }) => Promise.race([place.arrived, submitted])));
    const through = places.flatMap(({ one, place }) =>
      place.spec === undefined ? [] : [{ place, changed: { ...one, task: place.spec } }],
    );
    const answers = await send(through.map(({ changed }) => changed));
    through.forEach(({ place }, index) => {
      place.answer(answers[index] as T);
    });
  } catch (error) {
    for (const { place } of places) {
      place.fail(error);
    }
  }
  return Promise.all(places.map(({ submitted }) => submitted));
}

/** Where one of many tasks waits for the others. */
class Place<T> {
  /** What is to be sent, once it has come through. */
  spec: TaskSpec | undefined;
  #arrive!: () => void;
  readonly arrived = new Promise<void>((resolve) => {
    this.#arrive = resolve;
  });
  #answer!: (answer: T) => void;
  #fail!: (error: unknown) => void;
  readonly #answered = new Promise<T>((resolve, reject) => {
    this.#answer = resolve;
    this.#fail = reject;
  });

  constructor() {
    // One that never came through has nobody who looks at its answer.
    this.#answered.catch(() => undefined);
  }

  readonly next: SubmitNext<T> = (spec) => {
    this.spec ??= spec;
    this.#arrive();
    return this.#answered;
  };

  answer(answer: T): void {
    this.#answer(answer);
  }

  fail(error: unknown): void {
    this.#fail(error);
  }
}
