// What the two threads of an agent say to each other: the caller's, where handlers run, and the connection's, which no
// handler can block. They say it in batches. Messages of the protocol cross as their bytes, but for results: those are many and
// mostly small, and the engine's own copy of an object costs half as much.

import type { CredentialParts } from "../credentials.js";
import { type FieldViolation, type StatusCode, type StatusError, statusError } from "../errors.js";
import type { Payload } from "../payload.js";
import type { Feature } from "../session/link.js";
import type { Key } from "../session/states.js";
import type { Address, HostPort } from "../settings.js";

/** What the connection's thread is started with. */
export interface WorkerData {
  readonly namespace: string;
  /** An AgentProfile. */
  readonly profile: Uint8Array;
  readonly addresses: readonly [Address, ...Address[]];
  readonly drainTimeout: number;
  readonly instanceId: string;
  readonly takesMessages: boolean;
  readonly credentials: CredentialParts;
  /** Where it answers probes. */
  readonly health: HostPort | undefined;
}

/** What handlers, and whoever started the agent, tell the connection. */
export type ToConnection =
  | { readonly kind: "completed"; readonly key: Key; readonly result: Payload }
  | { readonly kind: "failed"; readonly key: Key; readonly failure: Uint8Array }
  | { readonly kind: "progress"; readonly key: Key; readonly progress: Uint8Array }
  | { readonly kind: "checkpoint"; readonly key: Key; readonly data: Uint8Array; readonly ticket: number }
  | { readonly kind: "step"; readonly key: Key; readonly record: Uint8Array; readonly ticket: number }
  | {
      readonly kind: "await";
      readonly key: Key;
      readonly taskIds: readonly string[];
      readonly count: number;
      readonly ticket: number;
    }
  | { readonly kind: "awaitNoMore"; readonly key: Key; readonly ticket: number }
  | { readonly kind: "output"; readonly key: Key; readonly data: Uint8Array; readonly isWhole: boolean }
  | { readonly kind: "send"; readonly send: Uint8Array; readonly ticket: number }
  | { readonly kind: "handled"; readonly messageId: string; readonly ok: boolean }
  | { readonly kind: "drain"; readonly timeout: number | undefined }
  | { readonly kind: "stop" };

/** How the agent stands. */
export interface Status {
  readonly attached: boolean;
  readonly agentId: string;
  readonly epoch: number;
  /** What the server that is attached doesn't take. */
  readonly lacks: readonly Feature[];
}

/** How an agent stands that has never been attached. */
export const UNATTACHED: Status = { attached: false, agentId: "", epoch: 0, lacks: [] };

/** How much what is logged matters. */
export type Level = "debug" | "info" | "warn" | "error";

/** What the connection tells them. */
export type ToHandlers =
  | { readonly kind: "listening"; readonly address: string }
  | { readonly kind: "listenFailed"; readonly why: string }
  | { readonly kind: "status"; readonly status: Status }
  | { readonly kind: "start"; readonly key: Key; readonly assignment: Uint8Array; readonly hasSteps: boolean }
  | { readonly kind: "stop"; readonly key: Key; readonly reason: string }
  | { readonly kind: "reportSettled"; readonly ticket: number; readonly error: StatusParts | undefined }
  | { readonly kind: "awaitSettled"; readonly ticket: number; readonly ends: readonly Uint8Array[] | undefined }
  | { readonly kind: "awaitDecided"; readonly ticket: number; readonly ended: readonly string[] }
  | { readonly kind: "awaitRefused"; readonly ticket: number; readonly error: StatusParts }
  | { readonly kind: "awaitDropped"; readonly ticket: number }
  | { readonly kind: "deadline"; readonly key: Key; readonly deadline: Date }
  | { readonly kind: "outputTaken"; readonly key: Key; readonly weight: number }
  | { readonly kind: "outputRefused"; readonly key: Key; readonly error: StatusParts }
  | { readonly kind: "sendSettled"; readonly ticket: number; readonly receipt: Uint8Array }
  | { readonly kind: "sendRefused"; readonly ticket: number; readonly error: StatusParts }
  | { readonly kind: "handle"; readonly message: Uint8Array }
  | { readonly kind: "stopHandling" }
  | { readonly kind: "log"; readonly level: Level; readonly text: string }
  | { readonly kind: "ended"; readonly error: StatusParts | undefined };

/** A StatusError on its way between threads, which keep no classes. */
export interface StatusParts {
  readonly code: StatusCode;
  readonly message: string;
  readonly reason: string;
  readonly violations: readonly FieldViolation[];
  readonly retryDelay: number | undefined;
}

/** Takes an error apart. */
export function partsOf(error: StatusError): StatusParts {
  const { code, message, reason, violations, retryDelay } = error;
  return { code, message, reason, violations, retryDelay };
}

/** Puts it together again. */
export function errorOf({ code, message, ...details }: StatusParts): StatusError {
  return statusError(code, message, details);
}

/** A payload that can cross as it is: bytes may be a view of much more, which would cross with them. */
export function crossing(payload: Payload): Payload {
  const { content } = payload;
  return content.case === "binary"
    ? { ...payload, content: { ...content, value: new Uint8Array(content.value) } }
    : payload;
}

/** Gathers what is said in one turn of the event loop, and posts it at its end as one batch. */
export class Batcher<T> {
  readonly #post: (batch: readonly T[]) => void;
  #batch: T[] = [];
  #isDue = false;

  constructor(post: (batch: readonly T[]) => void) {
    this.#post = post;
  }

  /** Says something with the next batch. */
  add(item: T): void {
    this.#batch.push(item);
    if (!this.#isDue) {
      this.#isDue = true;
      queueMicrotask(() => {
        this.flush();
      });
    }
  }

  /** Says something, and all before it, at once: also when this turn of the event loop is a long one. */
  now(item: T): void {
    this.#batch.push(item);
    this.flush();
  }

  /** Posts what is gathered. */
  flush(): void {
    this.#isDue = false;
    const batch = this.#batch;
    if (batch.length > 0) {
      this.#batch = [];
      this.#post(batch);
    }
  }
}
