// Where the stream of a session is: which address it is opened to and when, what the server said of itself, and whether it
// is silent. Without any I/O.

import type { Welcome } from "../_gen/callboard/v1/agent_pb.js";
import { milliseconds } from "../convert.js";
import type { StatusError } from "../errors.js";
import { Backoff, type Random } from "../retry.js";
import { type Address, parseAddress } from "../settings.js";
import { earliest } from "./frames.js";
import { isFatal } from "./states.js";

/** From connecting to the welcome; then the next address is tried. */
export const WELCOME_WITHIN = 10_000;
/**
 * The same at an endpoint that a server that drains named. There is always something else to try behind it, and servers give
 * the attempts of an agent that stays away for long to others.
 */
const NAMED_WELCOME_WITHIN = 5_000;
/** A server that drains sooner after its welcome is not left at once, but after a while. */
const BRIEF = 1_000;
/**
 * How many endpoints of a drain notice are kept: all of them, silent, take less than the time for which agents that were sent
 * away are awaited (30 s).
 */
const MAX_NAMED = 4;
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
  /** It is at an endpoint that a drain notice named. */
  readonly isNamed: boolean;
  welcomed: number | undefined;
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
  /** Endpoints of the latest drain notice that were not tried yet. */
  #named: Address[] = [];
  #state: State = "detached";
  #agentId = "";
  #epoch = 0n;
  #connectAt: number | undefined;
  #stream = newStream(0, false);

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
    const named = this.#named.shift();
    this.#state = "connecting";
    this.#connectAt = undefined;
    this.#stream = newStream(now, named !== undefined);
    return named ?? this.#next();
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
  welcome(now: number, welcome: Welcome): void {
    this.#state = "attached";
    this.#stream.welcomed = now;
    this.#named = [];
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

  /** The server drains: it is opened again at once, to those of these that are addresses, before our own. */
  leaveFor(now: number, endpoints: readonly string[]): void {
    const { welcomed } = this.#stream;
    const isBrief = welcomed !== undefined && now < welcomed + BRIEF;
    this.#named = usable(endpoints);
    this.#state = "detached";
    this.#connectAt = isBrief ? now + this.#backoff.delay() : now;
  }

  /** Whether opening it again can't help, when it has ended with this. */
  isFinal(error: StatusError): boolean {
    return isFatal(error, this.isAttached, this.#stream.isNamed && !this.isAttached);
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
        return this.#stream.opened + (this.#stream.isNamed ? NAMED_WELCOME_WITHIN : WELCOME_WITHIN);
      default:
        return undefined;
    }
  }
}

function newStream(now: number, isNamed: boolean): Stream {
  const features = new Set<string>();
  return { opened: now, isNamed, welcomed: undefined, lastSent: now, lastReceived: now, lease: FIRST_LEASE, features };
}

/** The endpoints that can be tried, in their order, each once. */
function usable(endpoints: readonly string[]): Address[] {
  const found: Address[] = [];
  for (const url of new Set(endpoints)) {
    if (found.length === MAX_NAMED) {
      break;
    }
    try {
      found.push(parseAddress(url));
    } catch {
      continue;
    }
  }
  return found;
}
