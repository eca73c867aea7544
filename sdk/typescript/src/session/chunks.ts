// Output gathered to chunks: text is joined to text and bytes to bytes, as far as a chunk has room. Without any I/O.

import type { Payload } from "../_gen/callboard/v1/payload_pb.js";
import { binaryPayload, contentSize, textPayload } from "../payload.js";

/** Bytes of content in a chunk at most. */
export const MAX_CHUNK = 65_536;
/** Chunks in a report, and their bytes of content in all, at most. */
const MAX_CHUNKS = 64;
const MAX_REPORT = 1_048_576;
/** What a value that stays apart counts for beside its bytes: a million small ones take more memory than they say. */
const APART = 64;

/** Text or bytes, which more can be joined to, or what stays as it was given. */
type Chunk =
  | { readonly kind: "text"; text: string; size: number }
  | { readonly kind: "bytes"; readonly parts: Uint8Array[]; size: number }
  | { readonly kind: "whole"; readonly payload: Payload; readonly size: number };

/** Chunks for one report. */
export interface Taken {
  readonly chunks: Payload[];
  /** Bytes of content. */
  readonly bytes: number;
  /** How much of the room for what waits they took: see {@link weightOf}. */
  readonly weight: number;
}

/** How much of the room for what waits a value takes. */
export function weightOf(data: Payload, isWhole: boolean): number {
  return contentSize(data) + (isWhole ? APART : 0);
}

/** Chunks in their order. */
export class Chunks {
  #chunks: Chunk[] = [];
  /** Where the first one stands that was not taken. */
  #first = 0;

  get isEmpty(): boolean {
    return this.#first === this.#chunks.length;
  }

  /** Adds text or bytes, which may be divided and joined, or something else, which may not (`isWhole`). */
  add(data: Payload, isWhole: boolean): void {
    const { content } = data;
    if (isWhole || content.case === undefined) {
      this.#chunks.push({ kind: "whole", payload: data, size: contentSize(data) });
    } else if (content.case === "text") {
      this.#addText(Buffer.from(content.value));
    } else {
      this.#addBytes(content.value);
    }
  }

  /** Takes out as much as a report has room for. */
  take(): Taken {
    const chunks: Payload[] = [];
    let [bytes, weight] = [0, 0];
    for (let next = this.#chunks[this.#first]; next !== undefined; next = this.#chunks[this.#first]) {
      if (chunks.length === MAX_CHUNKS || bytes + next.size > MAX_REPORT) {
        return { chunks, bytes, weight };
      }
      this.#first += 1;
      chunks.push(payloadOf(next));
      bytes += next.size;
      weight += next.size + (next.kind === "whole" ? APART : 0);
    }
    this.#chunks = [];
    this.#first = 0;
    return { chunks, bytes, weight };
  }

  #addText(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const last = this.#lastOf("text");
      const end = characterEnd(bytes, at, at + MAX_CHUNK - (last?.size ?? 0));
      if (last === undefined || end === at) {
        // A character that is cut off at the end of a chunk begins the next.
        this.#chunks.push({ kind: "text", text: "", size: 0 });
      } else {
        last.text += bytes.toString("utf8", at, end);
        last.size += end - at;
        at = end;
      }
    }
  }

  #addBytes(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const last = this.#lastOf("bytes");
      const piece = bytes.subarray(at, at + MAX_CHUNK - (last?.size ?? 0));
      if (last === undefined || piece.length === 0) {
        this.#chunks.push({ kind: "bytes", parts: [], size: 0 });
      } else {
        last.parts.push(piece);
        last.size += piece.length;
        at += piece.length;
      }
    }
  }

  /** The last chunk, if it is of this kind and was not taken. */
  #lastOf<K extends Chunk["kind"]>(kind: K): Extract<Chunk, { kind: K }> | undefined {
    const last = this.isEmpty ? undefined : this.#chunks.at(-1);
    return last?.kind === kind ? (last as Extract<Chunk, { kind: K }>) : undefined;
  }
}

function payloadOf(chunk: Chunk): Payload {
  switch (chunk.kind) {
    case "text":
      return textPayload(chunk.text);
    case "bytes":
      return binaryPayload(Buffer.concat(chunk.parts));
    case "whole":
      return chunk.payload;
  }
}

/** The last place up to `limit` that is not within a character of UTF-8. */
function characterEnd(bytes: Uint8Array, from: number, limit: number): number {
  let end = Math.min(bytes.length, limit);
  while (end > from && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end -= 1;
  }
  return end;
}
