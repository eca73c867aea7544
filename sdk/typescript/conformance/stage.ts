// What the driver has at hand, by the names that the runner gave it.

import type { Agent, Claim, Client } from "callboard";

import { Fault } from "./fault.js";
import { Gates } from "./gates.js";
import type { OutputWatching } from "./outputs.js";
import type { Watching } from "./watches.js";

/** Writes a line. */
export type Say = (line: object) => void;

/** All of it, global to the process. */
export class Stage {
  readonly say: Say;
  readonly clients = new Registry<Client>("client");
  readonly claims = new Registry<Claim>("claim");
  readonly agents = new Registry<Agent>("agent");
  readonly watches = new Registry<Watching>("watch");
  readonly outputs = new Registry<OutputWatching>("watch of output");
  readonly gates = new Gates();

  constructor(say: Say) {
    this.say = say;
  }
}

/** Things by name. One that is not there is a fault, and so is one that is there already. */
export class Registry<T> {
  readonly #kind: string;
  readonly #things = new Map<string, T>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  get(name: string): T {
    const thing = this.#things.get(name);
    if (thing === undefined) {
      throw new Fault(`there is no ${this.#kind} \`${name}\``);
    }
    return thing;
  }

  add(name: string, thing: T): void {
    if (this.#things.has(name)) {
      throw new Fault(`there is a ${this.#kind} \`${name}\` already`);
    }
    this.#things.set(name, thing);
  }

  /** Adds it, or puts it in the place of another: a claim that is answered again. */
  put(name: string, thing: T): void {
    this.#things.set(name, thing);
  }

  values(): T[] {
    return [...this.#things.values()];
  }
}
