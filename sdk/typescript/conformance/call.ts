// What an instruction `client.…` is: a call that is read, and can be made.

import type { Client } from "callboard";

import { fields, type Of, type Shape } from "./shapes.js";
import type { Stage } from "./stage.js";

/** A call that is read, and can be made. */
export type Call = (client: Client, stage: Stage) => Promise<object>;

/** Reads what a call is given: all but `id`, `do` and `client`. */
export type CallReader = (given: unknown, place: string) => Call;

/** A call of these fields. */
export function call<S extends Shape>(
  shape: S,
  make: (client: Client, given: Of<S>, stage: Stage) => Promise<object>,
): CallReader {
  const read = fields(shape);
  return (given, place) => {
    const found = read(given, place);
    return (client, stage) => make(client, found, stage);
  };
}
