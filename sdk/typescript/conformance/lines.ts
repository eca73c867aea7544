// Lines of a stream. Node's readline also ends lines where JSON has U+2028.

import { StringDecoder } from "node:string_decoder";

/** The lines of UTF-8 that comes in chunks, without their ends. What is behind the last end is no line. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder("utf8");
  let begun: string[] = [];
  for await (const chunk of chunks) {
    const [first = "", ...more] = decoder.write(Buffer.from(chunk)).split("\n");
    begun.push(first);
    for (const next of more) {
      yield begun.join("");
      begun = [next];
    }
  }
}
