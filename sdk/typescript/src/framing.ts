// Messages of gRPC in the bytes of an HTTP/2 stream.

import { StatusCode, statusError } from "./errors.js";

/** What stands before a message: whether it is compressed, and its length. */
export const PREFIX = 5;

/** A message as it goes over a stream. */
export function framed(message: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(PREFIX + message.length);
  body.writeUInt8(0, 0);
  body.writeUInt32BE(message.length, 1);
  body.set(message, PREFIX);
  return body;
}

/** Puts the messages of a stream together again, from chunks that begin and end anywhere. */
export class Unframer {
  readonly #mostBytes: number;
  /** What has come of the next message, its prefix first. */
  #chunks: Buffer[] = [];
  #size = 0;
  /** How many bytes of it there must be before more can be said. */
  #needed = PREFIX;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** The messages that are whole now. Throws StatusError when one is compressed or too large. */
  push(chunk: Buffer): Uint8Array[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const messages: Uint8Array[] = [];
    if (this.#size < this.#needed) {
      return messages;
    }
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    for (this.#needed = this.#lengthOf(rest); rest.length >= this.#needed; this.#needed = this.#lengthOf(rest)) {
      // A copy, and no Buffer: bytes of a message are views of it, and may be kept for long.
      messages.push(new Uint8Array(rest.subarray(PREFIX, this.#needed)));
      rest = rest.subarray(this.#needed);
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
    return messages;
  }

  /** With its prefix, as far as that is known. */
  #lengthOf(message: Buffer): number {
    if (message.length < PREFIX) {
      return PREFIX;
    }
    if (message[0] !== 0) {
      throw statusError(StatusCode.INTERNAL, "a message is compressed, and nobody asked for that");
    }
    const length = message.readUInt32BE(1);
    if (length > this.#mostBytes) {
      throw statusError(StatusCode.RESOURCE_EXHAUSTED, `a message has more than ${String(this.#mostBytes)} bytes`);
    }
    return PREFIX + length;
  }
}
