// Durable steps: parts of a handler's work that run once for all attempts of a run, as far as that can be. See section 8
// of `sdk/SPEC.md`.

import { AsyncLocalStorage } from "node:async_hooks";

import { create } from "@bufbuild/protobuf";

import type { Assignment } from "../_gen/callboard/v1/agent_pb.js";
import { type StepRecord, StepRecordSchema } from "../_gen/callboard/v1/step_pb.js";
import { CallboardError, InvalidArgument, StatusCode } from "../errors.js";
import { type Step, stepFrom } from "../models.js";
import { decode, encode, type Payload } from "../payload.js";
import { noSteps } from "../session/saved.js";

/** The most bytes of a step's name. */
const MAX_NAME = 128;

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

/** The steps of one attempt. */
export class Steps {
  readonly #assignment: Assignment;
  readonly #recorder: StepRecorder;
  readonly #hasSteps: boolean;
  readonly #begun = new Map<string, number>();
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
    checkName(name);
    if (inside.getStore() === this) {
      throw invalidName(`step ${JSON.stringify(name)} begins within another: call it behind that one`);
    }
    const occurrence = this.#begun.get(name) ?? 0;
    this.#begun.set(name, occurrence + 1);
    return { name, occurrence };
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

function checkName(name: unknown): void {
  if (typeof name !== "string" || !name.isWellFormed()) {
    throw invalidName("name is not a string of valid Unicode");
  }
  const size = Buffer.byteLength(name);
  if (size < 1 || size > MAX_NAME) {
    throw invalidName(`name has ${String(size)} bytes: give a step 1 to ${String(MAX_NAME)}`);
  }
}

function invalidName(message: string): InvalidArgument {
  const violations = [{ field: "name", description: message }];
  return new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, { reason: "INVALID_FIELD", violations });
}

function idOf({ name, occurrence }: StepKey): string {
  return `${String(occurrence)} ${name}`;
}

function textOf({ name, occurrence }: StepKey): string {
  return `step ${JSON.stringify(name)} (occurrence ${String(occurrence)})`;
}
