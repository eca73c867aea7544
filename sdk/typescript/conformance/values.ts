// Values in lines, and what users of the SDK pass and get for them.

import { binaryPayload, type Payload, textPayload } from "callboard";

import { Fault } from "./fault.js";
import { fields, object, optional, type Reader, text } from "./shapes.js";

const readPayload = fields({ content_type: text, text: optional(text), base64: optional(text) });

/** What a user passes for a value of a line. */
export const value: Reader<unknown> = (line, place) => {
  if (line === undefined) {
    throw new Fault(`${place} is missing`);
  }
  const only = onlyField(line);
  switch (only?.[0]) {
    case "$bytes":
      return bytes(only[1], `${place}.$bytes`);
    case "$payload":
      return payload(only[1], `${place}.$payload`);
    default:
      return line;
  }
};

/** What a line has for a value that a user got. */
export function lineOf(got: unknown): unknown {
  if (got instanceof Uint8Array) {
    return { $bytes: Buffer.from(got).toString("base64") };
  }
  return got === undefined ? null : got;
}

function onlyField(line: unknown): [name: string, value: unknown] | undefined {
  const isObject = typeof line === "object" && line !== null && !Array.isArray(line);
  const [entry, ...more] = isObject ? Object.entries(object(line, "")) : [];
  return more.length === 0 ? entry : undefined;
}

function payload(given: unknown, place: string): Payload {
  const { content_type: contentType, text: content, base64 } = readPayload(given, place);
  if (content !== undefined && base64 === undefined) {
    return textPayload(content, { contentType });
  }
  if (base64 !== undefined && content === undefined) {
    return binaryPayload(bytes(base64, `${place}.base64`), { contentType });
  }
  throw new Fault(`${place} has not just one of \`text\` and \`base64\``);
}

function bytes(given: unknown, place: string): Uint8Array {
  const base64 = text(given, place);
  const decoded = Buffer.from(base64, "base64");
  // Node leaves out what isn't base64 without a word.
  if (decoded.toString("base64") !== base64) {
    throw new Fault(`${place} is not base64 with padding`);
  }
  return new Uint8Array(decoded);
}
