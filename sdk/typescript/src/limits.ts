// What the tasks with a limit key may do: as callers ask for it, and as namespaces and explanations tell it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { LimitSchema, type Limit as WireLimit } from "./_gen/callboard/v1/namespace_service_pb.js";
import { given, milliseconds, optionalDuration } from "./convert.js";

/**
 * What the tasks with a limit key (`limitKeys` of a task) may do, all agents and servers together. It counts from when it is
 * set: what runs beyond it goes on.
 */
export interface Limit {
  /**
   * The key, 1 to 128 bytes. One that ends with `*` is the limit of each key that begins with what stands before it and has
   * none of its own; of several the longest: `tenant/*` lets each tenant have so much.
   */
  readonly key: string;
  /** How many tasks with the key may hold a slot at once: 1 to 1,000,000. Default any number. */
  readonly maxConcurrent?: number | undefined;
  /**
   * How many attempts may be given out in each `ratePeriod`, those that are handed back, too: 1 to 1,000,000. As many may be
   * given out at once behind a time without any. Default any number.
   */
  readonly rate?: number | undefined;
  /** The milliseconds that `rate` is for: 1 to 24 h. Default 1,000. Only with `rate`. */
  readonly ratePeriod?: number | undefined;
}

/** @internal `field` is what errors call it. */
export function limitToWire({ key, maxConcurrent, rate, ratePeriod }: Limit, field: string): WireLimit {
  const fields: MessageInitShape<typeof LimitSchema> = given({
    key,
    maxConcurrent,
    rate,
    ratePeriod: optionalDuration(ratePeriod, `${field}.ratePeriod`),
  });
  return create(LimitSchema, fields);
}

/** @internal */
export function limitFrom({ key, maxConcurrent, rate, ratePeriod }: WireLimit): Limit {
  return { key, maxConcurrent, rate, ratePeriod: ratePeriod && milliseconds(ratePeriod) };
}
