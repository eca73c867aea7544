// What the transport throws becomes a StatusError, with what the details of `google.rpc` tell.

import type { IncomingHttpHeaders } from "node:http2";

import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import { milliseconds } from "./convert.js";
import { type FieldViolation, StatusCode, StatusError, statusError } from "./errors.js";

const DOMAIN = "callboard.dev";

/** The StatusError of whatever a call or stream threw. */
export function fromTransport(thrown: unknown): StatusError {
  if (thrown instanceof StatusError) {
    return thrown;
  }
  const error = ConnectError.from(thrown, Code.Unavailable);
  if (!isTheServers(error) && isBroken(error)) {
    return broken(error.rawMessage, error);
  }
  const details = error.details.filter((detail) => "type" in detail);
  return statusError(error.code as number as StatusCode, error.rawMessage, { ...readDetails(details), cause: error });
}

/** There was no whole answer. */
export function broken(why: string, cause?: unknown): StatusError {
  return statusError(StatusCode.UNAVAILABLE, `the connection broke: ${why}`, { cause });
}

/** Why there was no status of gRPC at the end: what the status of HTTP says of it, if there was one. */
export function unanswered(httpStatus = 200): StatusError {
  const why = httpStatus === 200 ? "it ended" : `the server answered HTTP ${String(httpStatus)}`;
  switch (httpStatus) {
    case 401:
      return statusError(StatusCode.UNAUTHENTICATED, why);
    case 403:
      return statusError(StatusCode.PERMISSION_DENIED, why);
    case 404:
      return statusError(StatusCode.UNIMPLEMENTED, why);
    default:
      return broken(why);
  }
}

/** The StatusError that trailers stand for; undefined when they say that all is well. */
export function fromTrailers(trailers: IncomingHttpHeaders): StatusError | undefined {
  const code = Number(textIn(trailers, "grpc-status"));
  if (code === 0) {
    return undefined;
  }
  const details = detailsIn(Buffer.from(textIn(trailers, "grpc-status-details-bin"), "base64"));
  return statusError(knownCode(code), messageIn(textIn(trailers, "grpc-message")), readDetails(details));
}

/** The StatusError of a serialized `google.rpc.Status`. */
export function fromStatus(status: Uint8Array): StatusError {
  try {
    return statusError(knownCode(codeIn(status)), stringIn(status, 2), readDetails(detailsIn(status)));
  } catch (cause) {
    return statusError(StatusCode.INTERNAL, `the status can't be read: ${String(cause)}`, { cause });
  }
}

function knownCode(code: number): StatusCode {
  return Object.values(StatusCode).find((one) => one === code) ?? StatusCode.UNKNOWN;
}

function codeIn(status: Uint8Array): number {
  const reader = new BinaryReader(status);
  let code = 0;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 1) {
      code = reader.int32();
    } else {
      reader.skip(wireType);
    }
  }
  return code;
}

function textIn(trailers: IncomingHttpHeaders, name: string): string {
  const value = trailers[name];
  return typeof value === "string" ? value : "";
}

/** The message, in which what is not printable ASCII is encoded by percent signs. */
function messageIn(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** The details of a serialized `google.rpc.Status`; none when it can't be read. */
function detailsIn(status: Uint8Array): RawDetail[] {
  try {
    return messagesIn(status, 3).map((detail) => ({
      type: stringIn(detail, 1).split("/").at(-1) ?? "",
      value: messagesIn(detail, 2).at(-1) ?? new Uint8Array(),
    }));
  } catch {
    return [];
  }
}

/** Whether the server said it, and not the transport. */
function isTheServers(error: ConnectError): boolean {
  return error.metadata.has("grpc-status") || error.metadata.has("grpc-status-details-bin");
}

/**
 * Whether a status that the transport made up says no more than that there was no whole answer. Its codes differ by
 * how a connection broke, and by where; to callers it is all the same.
 */
function isBroken(error: ConnectError): boolean {
  const codes: readonly Code[] = [Code.Internal, Code.Unknown, Code.Aborted, Code.Canceled, Code.Unavailable];
  return codes.includes(error.code) && !/^(parse|serialize) binary/.test(error.rawMessage);
}

interface RawDetail {
  readonly type: string;
  readonly value: Uint8Array;
}

interface Details {
  reason?: string;
  violations: FieldViolation[];
  retryDelay?: number;
}

/** What serialized `google.rpc` details tell; those that can't be read are left out. */
export function readDetails(raw: readonly RawDetail[]): Details {
  const found: Details = { violations: [] };
  for (const { type, value } of raw) {
    try {
      if (type === "google.rpc.ErrorInfo") {
        const [reason, domain] = [stringIn(value, 1), stringIn(value, 2)];
        if (domain === DOMAIN) {
          found.reason = reason.replace("ERROR_REASON_", "");
        }
      } else if (type === "google.rpc.BadRequest") {
        const violations = messagesIn(value, 1);
        found.violations.push(...violations.map((one) => ({ field: stringIn(one, 1), description: stringIn(one, 2) })));
      } else if (type === "google.rpc.RetryInfo") {
        const [delay] = messagesIn(value, 1);
        const asked = delay === undefined ? 0 : milliseconds(fromBinary(DurationSchema, delay));
        found.retryDelay = Math.max(0, asked);
      }
    } catch {
      continue;
    }
  }
  return found;
}

function stringIn(message: Uint8Array, field: number): string {
  return new TextDecoder().decode(messagesIn(message, field).at(-1) ?? new Uint8Array());
}

/** The contents of a field of a message that has only fields with a length. */
function messagesIn(message: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field) {
      found.push(reader.bytes());
    } else {
      reader.skip(wireType);
    }
  }
  return found;
}
