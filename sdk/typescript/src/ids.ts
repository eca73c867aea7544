// Ids that callers leave to the SDK.

import { createHash, randomUUID } from "node:crypto";

/** The caller's request id, or one made up once and kept through all retries. */
export function requestIdOr(given: string | undefined): string {
  return given ?? uuid7();
}

/** A UUID that begins with the time (RFC 9562, 5.7): the server's index of ids grows at its end. */
export function uuid7(now: number = Date.now(), random: string = randomUUID()): string {
  const time = now.toString(16).padStart(12, "0");
  // What is random stands at the same places in both kinds. Node keeps some in stock for `randomUUID` alone.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
}

/** The UUID of a name in the space of another UUID (RFC 9562, 5.5): the same each time. */
export function uuid5(space: string, name: string): string {
  const bytes = Buffer.from(space.replaceAll("-", ""), "hex");
  const digest = createHash("sha1").update(bytes).update(name).digest().subarray(0, 16);
  digest.writeUInt8((digest.readUInt8(6) & 0x0f) | 0x50, 6);
  digest.writeUInt8((digest.readUInt8(8) & 0x3f) | 0x80, 8);
  return digest.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
