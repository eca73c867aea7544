// The instructions `output.…`: what an SDK's watch of output gives is gathered until somebody asks for it.

import type { OutputChunk, OutputWatch } from "callboard";

import { chunkLine } from "./answers.js";
import { Gathering } from "./gathering.js";

/** A watch of output that was started. */
export class OutputWatching {
  readonly #gathered: Gathering<OutputChunk>;

  constructor(watch: (signal: AbortSignal) => OutputWatch) {
    this.#gathered = new Gathering(watch);
  }

  /** What was found so far, when it has so many bytes, or the watch has ended, or the time is over. Throws what ended it. */
  async wait(bytes: number, timeout: number): Promise<object> {
    await this.#gathered.until((chunks) => sizeOf(chunks) >= bytes, timeout);
    return this.#answer();
  }

  /** The same at once, and ends the watch. */
  async stop(): Promise<object> {
    try {
      return await this.#answer();
    } finally {
      this.#gathered.stop();
    }
  }

  async #answer(): Promise<object> {
    const { found, ended } = await this.#gathered.state();
    return { chunks: found.map(chunkLine), ended };
  }
}

function sizeOf(chunks: readonly OutputChunk[]): number {
  const contents = chunks.map(({ payload }) => payload?.content.value ?? "");
  return contents.reduce((sum, content) => sum + Buffer.byteLength(content), 0);
}
