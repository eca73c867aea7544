// What tells the steps of a run apart, and its children: a name, and how many of that name the attempt began before.

import { InvalidArgument, StatusCode } from "../errors.js";

/** The most bytes of a name. */
const MAX_NAME = 128;

/** Counts what an attempt begins, by its name. */
export class Occurrences {
  readonly #what: string;
  readonly #begun = new Map<string, number>();

  /** `what` is counted: errors say so. */
  constructor(what: string) {
    this.#what = what;
  }

  /** How many of this name began before this one. Throws InvalidArgument when it isn't a name. */
  next(name: string): number {
    this.#check(name);
    const occurrence = this.#begun.get(name) ?? 0;
    this.#begun.set(name, occurrence + 1);
    return occurrence;
  }

  #check(name: unknown): void {
    if (typeof name !== "string" || !name.isWellFormed()) {
      throw invalidName("name is not a string of valid Unicode");
    }
    const size = Buffer.byteLength(name);
    if (size < 1 || size > MAX_NAME) {
      throw invalidName(`name has ${String(size)} bytes: give a ${this.#what} 1 to ${String(MAX_NAME)}`);
    }
  }
}

/** What a name may not be. */
export function invalidName(message: string): InvalidArgument {
  const violations = [{ field: "name", description: message }];
  return new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, { reason: "INVALID_FIELD", violations });
}
