// Ids that callers leave to the SDK.

import { createHash, randomBytes } from "node:crypto";

/** The caller's request id, or one made up once and kept through all retries. */
export function requestIdOr(given: string | undefined): string {
  return given ?? uuid7();
}

/** A UUID that begins with the time (RFC 9562, 5.7): the server's index of ids grows at its end. */
export function uuid7(now: number = Date.now(), random: Uint8Array = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes.set(random, 6);
  return textOf(bytes, 7);
}

/** The UUID of a name in the space of another UUID (RFC 9562, 5.5): the same each time. */
export function uuid5(space: string, name: string): string {
  const bytes = Buffer.from(space.replaceAll("-", ""), "hex");
  return textOf(createHash("sha1").update(bytes).update(name).digest().subarray(0, 16), 5);
}

function textOf(bytes: Buffer, version: number): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | (version << 4), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
