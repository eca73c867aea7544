// Where the stream of a session is: which address it is opened to and when, what the server said of itself, and whether it
// is silent. Without any I/O.

import type { Welcome } from "../_gen/callboard/v1/agent_pb.js";
import { milliseconds } from "../convert.js";
import { Backoff, type Random } from "../retry.js";
import { type Address, parseAddress } from "../settings.js";
import { earliest } from "./frames.js";

/** From connecting to the welcome; then the next address is tried. */
export const WELCOME_WITHIN = 10_000;
/** The lease until a welcome says another, in milliseconds. */
const FIRST_LEASE = 10_000;

/** Where the session is. Draining is told apart: an agent drains in any of them. */
export type State = "detached" | "connecting" | "hello" | "attached" | "stopped";

/** What handlers ask of the server that is attached. */
export const HANDLER_FEATURES = ["steps", "children", "output"] as const;

export type Feature = (typeof HANDLER_FEATURES)[number];

/** What belongs to one stream and ends with it. */
interface Stream {
  readonly opened: number;
  lastSent: number;
  lastReceived: number;
  /** Milliseconds that either side may be silent. */
  lease: number;
  features: ReadonlySet<string>;
}

/** The stream, from one to the next. */
export class Link {
  readonly #addresses: readonly [Address, ...Address[]];
  readonly #backoff: Backoff;
  #nextAddress = 0;
  /** Where a draining server sends us. */
  #endpoint: Address | undefined;
  #state: State = "detached";
  #agentId = "";
  #epoch = 0n;
  #connectAt: number | undefined;
  #stream = newStream(0);

  constructor(addresses: readonly [Address, ...Address[]], random: Random) {
    this.#addresses = addresses;
    this.#backoff = new Backoff(random);
  }

  get state(): State {
    return this.#state;
  }

  /** The agent's id; empty before the first welcome. */
  get agentId(): string {
    return this.#agentId;
  }

  /** The epoch of the latest session; 0 before the first welcome. */
  get epoch(): bigint {
    return this.#epoch;
  }

  get isAttached(): boolean {
    return this.#state === "attached";
  }

  /** Whether the server is known not to take such frames. While detached nobody knows. */
  lacks(feature: string): boolean {
    return this.isAttached && !this.#stream.features.has(feature);
  }

  // What happens to it.

  /** It may be opened now. */
  begin(now: number): void {
    this.#connectAt = now;
  }

  /** Begins to open it; gives where to. */
  connect(now: number): Address {
    const address = this.#endpoint ?? this.#next();
    this.#endpoint = undefined;
    this.#state = "connecting";
    this.#connectAt = undefined;
    this.#stream = newStream(now);
    return address;
  }

  #next(): Address {
    const address = this.#addresses[this.#nextAddress] ?? this.#addresses[0];
    this.#nextAddress = (this.#nextAddress + 1) % this.#addresses.length;
    return address;
  }

  /** The hello goes out. */
  greet(): void {
    this.#state = "hello";
  }

  /** The server has taken us. */
  welcome(welcome: Welcome): void {
    this.#state = "attached";
    this.#agentId = welcome.agentId;
    this.#epoch = welcome.sessionEpoch;
    this.#stream.features = new Set(welcome.features);
    const lease = welcome.lease === undefined ? 0 : milliseconds(welcome.lease);
    this.#stream.lease = lease > 0 ? lease : this.#stream.lease;
    this.#backoff.reset();
  }

  /** It has ended: it is opened again after a while. */
  detach(now: number): void {
    this.#state = "detached";
    this.#connectAt = now + this.#backoff.delay();
  }

  /** The server drains: it is opened again at once, to the first of these that is an address. */
  leaveFor(now: number, endpoints: readonly string[]): void {
    for (const url of endpoints) {
      try {
        this.#endpoint = parseAddress(url);
        break;
      } catch {
        continue;
      }
    }
    this.#state = "detached";
    this.#connectAt = now;
  }

  /** It is not opened any more. */
  stop(): void {
    this.#state = "stopped";
  }

  sent(now: number): void {
    this.#stream.lastSent = now;
  }

  received(now: number): void {
    this.#stream.lastReceived = now;
  }

  // When something is due.

  /** Whether it is to be opened now. */
  isDue(now: number): boolean {
    return this.#state === "detached" && this.#connectAt !== undefined && now >= this.#connectAt;
  }

  /** Whether nothing was heard for so long that it is broken. */
  isSilent(now: number): boolean {
    const silentAt = this.#silentAt();
    return silentAt !== undefined && now >= silentAt;
  }

  /** When one of the two is so at the latest, unless something happens before. */
  dueAt(): number | undefined {
    return earliest(this.#state === "detached" ? this.#connectAt : undefined, this.#silentAt());
  }

  /** When something must be sent at the latest. */
  heartbeatAt(): number {
    return this.#stream.lastSent + this.#stream.lease / 3;
  }

  #silentAt(): number | undefined {
    switch (this.#state) {
      case "attached":
        return this.#stream.lastReceived + this.#stream.lease;
      case "connecting":
      case "hello":
        return this.#stream.opened + WELCOME_WITHIN;
      default:
        return undefined;
    }
  }
}

function newStream(now: number): Stream {
  return { opened: now, lastSent: now, lastReceived: now, lease: FIRST_LEASE, features: new Set() };
}
