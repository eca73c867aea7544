// Durable steps: parts of a handler's work that run once for all attempts of a run, as far as that can be. See section 8
// of `sdk/SPEC.md`.

import { AsyncLocalStorage } from "node:async_hooks";

import { create } from "@bufbuild/protobuf";

import type { Assignment } from "../_gen/callboard/v1/agent_pb.js";
import { type StepRecord, StepRecordSchema } from "../_gen/callboard/v1/step_pb.js";
import { CallboardError } from "../errors.js";
import { type Step, stepFrom } from "../recorded.js";
import { decode, encode, type Payload } from "../payload.js";
import { noSteps } from "../session/saved.js";
import { invalidName, Occurrences } from "./occurrences.js";

/** What a step may have beside its function. */
export interface StepOptions<T> {
  /**
   * Makes what you want of the decoded result: a schema's `parse`, say. What it throws is the cause of what the step
   * throws; what it doesn't take is not recorded.
   */
  readonly parse?: ((value: unknown) => T) | undefined;
}

/** How the steps of an attempt reach the server. @internal */
export interface StepRecorder {
  /** Whether the server that is attached now takes no steps. */
  readonly lacksSteps: boolean;
  /** Records a step; resolves when it is committed. */
  record(record: StepRecord): Promise<void>;
  /** All steps that the run recorded. */
  fetchSteps(): Promise<readonly Step[]>;
}

/** What tells the steps of a run apart. */
interface StepKey {
  readonly name: string;
  /** How many steps of this name the attempt began before. */
  readonly occurrence: number;
}

/** The attempt whose step's function runs here, with all that it has begun. */
const inside = new AsyncLocalStorage<Steps>();

/** Whether this is called by the function of a step of this attempt. */
export function isWithinStep(steps: Steps): boolean {
  return inside.getStore() === steps;
}

/** The steps of one attempt. */
export class Steps {
  readonly #assignment: Assignment;
  readonly #recorder: StepRecorder;
  readonly #hasSteps: boolean;
  readonly #begun = new Occurrences("step");
  #recorded: Promise<ReadonlyMap<string, Payload | undefined>> | undefined;

  /** `hasSteps`: the server that gave the assignment has said what is recorded. */
  constructor(assignment: Assignment, hasSteps: boolean, recorder: StepRecorder) {
    this.#assignment = assignment;
    this.#hasSteps = hasSteps;
    this.#recorder = recorder;
  }

  /** Gives what is recorded of a step, or does it and has it recorded. It is counted before this returns. */
  async run<T>(name: string, work: () => T | Promise<T>, parse: StepOptions<T>["parse"]): Promise<T> {
    const key = this.#begin(name);
    if (!this.#hasSteps) {
      throw noSteps();
    }
    const recorded = await this.#all();
    if (recorded.has(idOf(key))) {
      return read(key, recorded.get(idOf(key)), parse);
    }
    if (this.#recorder.lacksSteps) {
      throw noSteps();
    }
    const result = encode(await inside.run(this, work), `the result of ${textOf(key)}`);
    // What later attempts could not read is not recorded.
    const value = read(key, result, parse);
    await this.#recorder.record(create(StepRecordSchema, { ...key, result }));
    return value;
  }

  #begin(name: string): StepKey {
    if (isWithinStep(this)) {
      throw invalidName(`step ${JSON.stringify(name)} begins within another: call it behind that one`);
    }
    return { name, occurrence: this.#begun.next(name) };
  }

  /** What earlier attempts recorded. What did not come whole is fetched once; when that fails, anew for the next step. */
  #all(): Promise<ReadonlyMap<string, Payload | undefined>> {
    this.#recorded ??= this.#whole().catch((error: unknown) => {
      this.#recorded = undefined;
      throw error;
    });
    return this.#recorded;
  }

  async #whole(): Promise<ReadonlyMap<string, Payload | undefined>> {
    const { steps, stepCount } = this.#assignment;
    const all = steps.length < stepCount ? await this.#recorder.fetchSteps() : steps.map(stepFrom);
    return new Map(all.map((step) => [idOf(step), step.payload]));
  }
}

function read<T>(key: StepKey, result: Payload | undefined, parse: StepOptions<T>["parse"]): T {
  try {
    const value = decode(result);
    return parse === undefined ? (value as T) : parse(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CallboardError(`the result of ${textOf(key)} can't be read: ${why}`, { cause: error });
  }
}

function idOf({ name, occurrence }: StepKey): string {
  return `${String(occurrence)} ${name}`;
}

function textOf({ name, occurrence }: StepKey): string {
  return `step ${JSON.stringify(name)} (occurrence ${String(occurrence)})`;
}
