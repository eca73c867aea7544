// The driver: lines come in, each is carried out beside the others, and answered once.

import { errorLine } from "./errors.js";
import { Fault } from "./fault.js";
import { readInstruction } from "./instructions.js";
import { parseJson } from "./json.js";
import { object, text } from "./shapes.js";
import { type Say, Stage } from "./stage.js";

/** The longest line, in characters: 16 MiB of UTF-8 have no more. */
const MAX_LINE = 16 * 1024 * 1024;

/** Carries out instructions. */
export class Driver {
  readonly #say: Say;
  readonly #stage: Stage;

  constructor(say: Say) {
    this.#say = say;
    this.#stage = new Stage(say);
  }

  /** Says that it can take instructions. */
  begin(): void {
    this.#say({ ready: { sdk: "typescript", protocol: 1 } });
  }

  /** Begins what a line says; resolves when it is answered. */
  async take(line: string): Promise<void> {
    let id: number | undefined;
    try {
      const { id: given, do: name, ...rest } = instructionIn(line);
      id = idIn(given);
      const carry = readInstruction(text(name, "do"), rest);
      this.#say({ id, ok: await carry(this.#stage) });
    } catch (error) {
      const answered = id === undefined ? {} : { id };
      const what = error instanceof Fault ? { fault: error.message } : { error: errorLine(error) };
      this.#say({ ...answered, ...what });
    }
  }

  /** Stops all agents, without a drain; resolves when they have ended. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#stage.agents.values().map((agent) => agent.stop()));
  }
}

function instructionIn(line: string): Readonly<Record<string, unknown>> {
  if (line.length > MAX_LINE) {
    throw new Fault(`a line of ${String(line.length)} characters is too long`);
  }
  try {
    return object(parseJson(line), "the line");
  } catch (error) {
    throw error instanceof Fault ? error : new Fault(`the line is not JSON: ${String(error)}`);
  }
}

function idIn(given: unknown): number {
  if (typeof given !== "number") {
    throw new Fault("the line has no number as its `id`");
  }
  return given;
}
