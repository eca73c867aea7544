// Payloads: how JavaScript values go over the wire and come back.

import { create, isMessage } from "@bufbuild/protobuf";

import { type Payload, PayloadSchema } from "./_gen/callboard/v1/payload_pb.js";
import { InvalidArgument, StatusCode } from "./errors.js";
import { parseJson, stringifyJson } from "./json.js";

/** A value as it goes over the wire. Give one instead of a value to choose content type and metadata. */
export type { Payload };

/** The most bytes of content in a payload: 1 MiB. */
export const MAX_CONTENT = 1_048_576;

const TEXT = "text/plain";
const BINARY = "application/octet-stream";
const JSON_TYPE = "application/json";

/** What a payload may have beside its content. */
export interface PayloadOptions {
  /** The media type, at most 256 bytes. */
  readonly contentType?: string | undefined;
  /** What an application wants to say about the content: at most 64 entries and 16 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A payload of text, with a content type of your choice; `text/plain` unless said. */
export function textPayload(text: string, options: PayloadOptions = {}): Payload {
  const { contentType = TEXT, metadata = {} } = options;
  return create(PayloadSchema, { contentType, metadata: { ...metadata }, content: { case: "text", value: text } });
}

/** A payload of bytes, with a content type of your choice; `application/octet-stream` unless said. */
export function binaryPayload(bytes: Uint8Array, options: PayloadOptions = {}): Payload {
  const { contentType = BINARY, metadata = {} } = options;
  return create(PayloadSchema, { contentType, metadata: { ...metadata }, content: { case: "binary", value: bytes } });
}

/**
 * The payload of a value: a string is `text/plain`, a Uint8Array or ArrayBuffer is `application/octet-stream`,
 * everything else is JSON, undefined is null.
 *
 * @throws InvalidArgument, naming the field, when the value can't be one or has more than 1 MiB.
 */
export function encode(value: unknown, field: string): Payload {
  let payload: Payload;
  try {
    payload = payloadOf(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalid(field, `${field} is not a string, bytes, or JSON: ${why}`, "INVALID_FIELD", error);
  }
  const size = contentSize(payload);
  if (size > MAX_CONTENT) {
    const fault = `has ${String(size)} bytes, more than ${String(MAX_CONTENT)}`;
    throw invalid(field, `${field} ${fault}: keep it elsewhere and send where it is`, "PAYLOAD_TOO_LARGE");
  }
  return payload;
}

/**
 * The JSON text of a value.
 *
 * @throws InvalidArgument, naming the field, when it has none.
 * @internal
 */
export function jsonText(value: unknown, field: string): string {
  try {
    if (isMessage(value, PayloadSchema)) {
      throw new TypeError("the value is a payload");
    }
    return stringifyJson(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalid(field, `${field} is not JSON: ${why}`, "INVALID_FIELD", error);
  }
}

function payloadOf(value: unknown): Payload {
  if (isMessage(value, PayloadSchema)) {
    return value;
  }
  if (typeof value === "string") {
    if (!value.isWellFormed()) {
      throw new TypeError("the text is not valid Unicode: it has a lone surrogate");
    }
    return textPayload(value);
  }
  if (value instanceof Uint8Array) {
    return binaryPayload(value);
  }
  if (value instanceof ArrayBuffer) {
    return binaryPayload(new Uint8Array(value));
  }
  return textPayload(stringifyJson(value), { contentType: JSON_TYPE });
}

/**
 * The value of a payload: text of `text/*` and of unknown types as a string, JSON parsed, other bytes as a Uint8Array,
 * an unset content or payload as the empty string. Integers in JSON that a number can't hold exactly are bigints.
 *
 * @throws SyntaxError when it says it is JSON and isn't.
 */
export function decode(payload: Payload | undefined): unknown {
  const content = payload?.content;
  if (payload === undefined || content?.case === undefined) {
    return "";
  }
  const [mediaType, charset] = mediaTypeOf(payload.contentType || (content.case === "binary" ? BINARY : TEXT));
  if (mediaType === JSON_TYPE || mediaType.endsWith("+json")) {
    return parseJson(content.case === "binary" ? textOf(content.value, "utf-8") : content.value);
  }
  if (content.case === "text") {
    return content.value;
  }
  return mediaType.startsWith("text/") ? textOf(content.value, charset) : content.value;
}

/** How many bytes of content a payload has. */
export function contentSize(payload: Payload): number {
  const { content } = payload;
  if (content.case === undefined) {
    return 0;
  }
  return content.case === "binary" ? content.value.length : Buffer.byteLength(content.value);
}

/** The media type in small letters, and the charset that it names; `utf-8` unless it does. */
function mediaTypeOf(contentType: string): [mediaType: string, charset: string] {
  const [type = "", ...parameters] = contentType.split(";");
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() === "charset") {
      return [type.trim().toLowerCase(), value.trim().replaceAll('"', "")];
    }
  }
  return [type.trim().toLowerCase(), "utf-8"];
}

function textOf(bytes: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes);
  } catch {
    // A charset that nobody knows: as Unicode at least what is ASCII can be read.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }
}

function invalid(field: string, message: string, reason: string, cause?: unknown): InvalidArgument {
  const violations = [{ field, description: message }];
  return new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, { reason, violations, cause });
}
