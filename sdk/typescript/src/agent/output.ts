// Output: what a handler gives while it works. See section 10 of `sdk/SPEC.md`.

import { isMessage } from "@bufbuild/protobuf";

import { PayloadSchema } from "../_gen/callboard/v1/payload_pb.js";
import { InvalidArgument, StatusCode, type StatusError } from "../errors.js";
import { contentSize, encode, MAX_CONTENT, type Payload } from "../payload.js";
import { MAX_CHUNK, weightOf } from "../session/chunks.js";
import { noOutput } from "../session/frames.js";

/** How the output of an attempt reaches the server. @internal */
export interface Outlet {
  /** Whether the server that is attached now takes no output. */
  readonly lacksOutput: boolean;
  /** Passes on what was given; `isWhole`: it is one chunk, and stays so. */
  give(data: Payload, isWhole: boolean): void;
}

/** The output of one attempt. */
export class Output {
  readonly #outlet: Outlet;
  /** What was given and is not in a report. */
  #weight = 0;
  #refusal: StatusError | undefined;
  /** Who waits for room, in order. */
  readonly #waiting: (() => void)[] = [];

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** Gives a value; waits while too much waits to be sent. */
  async give(value: unknown): Promise<void> {
    const isWhole = !isDivisible(value);
    const data = encode(value, "output");
    checkSize(data, isWhole);
    if (this.#waiting.length > 0 || this.#weight >= MAX_CONTENT) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    const refusal = this.#refusal ?? (this.#outlet.lacksOutput ? noOutput() : undefined);
    if (refusal !== undefined) {
      this.#admit();
      throw refusal;
    }
    if (contentSize(data) > 0) {
      this.#weight += weightOf(data, isWhole);
      this.#outlet.give(data, isWhole);
    }
    this.#admit();
  }

  /** So much of it is in a report. */
  taken(weight: number): void {
    this.#weight -= weight;
    this.#admit();
  }

  /** The server takes no more of it, or nobody is there any longer. */
  refuse(error: StatusError): void {
    this.#refusal ??= error;
    this.#weight = 0;
    this.#admit();
  }

  /** Lets in the next that waits, who lets in the one behind it. */
  #admit(): void {
    if (this.#weight < MAX_CONTENT) {
      this.#waiting.shift()?.();
    }
  }
}

/** Whether a value may be divided, and joined to others: a payload, whatever it holds, stays as it is. */
function isDivisible(value: unknown): boolean {
  const isBytes = value instanceof Uint8Array || value instanceof ArrayBuffer;
  return (typeof value === "string" || isBytes) && !isMessage(value, PayloadSchema);
}

function checkSize(data: Payload, isWhole: boolean): void {
  const size = contentSize(data);
  if (isWhole && size > MAX_CHUNK) {
    const fault = `has ${String(size)} bytes, more than ${String(MAX_CHUNK)}`;
    const message = `output ${fault}: give text or bytes, which are divided, or smaller values`;
    const details = { reason: "PAYLOAD_TOO_LARGE", violations: [{ field: "output", description: message }] };
    throw new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, details);
  }
}
