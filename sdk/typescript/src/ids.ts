// Ids that callers leave to the SDK.

import { randomBytes } from "node:crypto";

/** The caller's request id, or one made up once and kept through all retries. */
export function requestIdOr(given: string | undefined): string {
  return given ?? uuid7();
}

/** A UUID that begins with the time (RFC 9562, 5.7): the server's index of ids grows at its end. */
export function uuid7(now: number = Date.now(), random: Uint8Array = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes.set(random, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
