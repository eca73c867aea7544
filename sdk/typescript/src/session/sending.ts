// Messages that handlers send, until their receipt. Without any I/O.

import { toBinary } from "@bufbuild/protobuf";

import { ErrorReasonSchema } from "../_gen/callboard/v1/error_pb.js";
import { type MessageSend, MessageSendSchema, type MessageSendReceipt } from "../_gen/callboard/v1/message_pb.js";
import { enumName } from "../convert.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";
import { Backoff, type Random } from "../retry.js";
import type { SendSettled } from "./actions.js";
import { ITEM_OVERHEAD, MAX_BATCH_BYTES } from "./outbox.js";

/** How many messages may be on their way without a receipt; the rest waits here. */
export const MOST_SENDING = 64;

const CODES: Readonly<Record<string, StatusCode>> = {
  AGENT_NOT_FOUND: StatusCode.NOT_FOUND,
  NAMESPACE_NOT_FOUND: StatusCode.NOT_FOUND,
  LIMIT_REACHED: StatusCode.RESOURCE_EXHAUSTED,
  INVALID_FIELD: StatusCode.INVALID_ARGUMENT,
  PAYLOAD_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
  REQUEST_ID_REUSED: StatusCode.INVALID_ARGUMENT,
};

/** A message that has no receipt yet. */
interface Outgoing {
  readonly send: MessageSend;
  inFlight: boolean;
}

/** Messages on their way, in the order of sending. */
export class Sending {
  readonly #backoff: Backoff;
  /** By ticket. Not by request id: callers choose theirs, maybe the same twice. */
  readonly #outgoing = new Map<number, Outgoing>();
  #after = 0;
  #settled: SendSettled[] = [];

  constructor(random: Random) {
    this.#backoff = new Backoff(random);
  }

  /** A handler sends a message. */
  add(send: MessageSend, ticket: number): void {
    this.#outgoing.set(ticket, { send, inFlight: false });
  }

  /** What can be sent now, as much as fits into a frame. */
  take(now: number): MessageSend[] {
    const batch: MessageSend[] = [];
    const room = MOST_SENDING - this.#inFlight();
    let size = 0;
    if (now < this.#after) {
      return batch;
    }
    for (const outgoing of this.#outgoing.values()) {
      if (outgoing.inFlight) {
        continue;
      }
      const bytes = toBinary(MessageSendSchema, outgoing.send).length + ITEM_OVERHEAD;
      if (batch.length >= room || (batch.length > 0 && size + bytes > MAX_BATCH_BYTES)) {
        break;
      }
      size += bytes;
      outgoing.inFlight = true;
      batch.push(outgoing.send);
    }
    return batch;
  }

  /** The receipt of a message. */
  receipt(now: number, receipt: MessageSendReceipt): void {
    // The oldest that is on its way under the request id.
    for (const [ticket, outgoing] of this.#outgoing) {
      if (outgoing.inFlight && outgoing.send.requestId === receipt.requestId) {
        this.#decide(now, ticket, outgoing, receipt);
        return;
      }
    }
  }

  #decide(now: number, ticket: number, outgoing: Outgoing, receipt: MessageSendReceipt): void {
    if (receipt.retry) {
      outgoing.inFlight = false;
      this.#after = Math.max(this.#after, now + this.#backoff.delay());
      return;
    }
    this.#backoff.reset();
    this.#outgoing.delete(ticket);
    this.#settled.push({ kind: "sendSettled", ticket, outcome: receipt.message ?? refused(receipt) });
  }

  /** Nobody waits for what has no receipt any longer. */
  giveUp(error: StatusError): void {
    for (const ticket of this.#outgoing.keys()) {
      this.#settled.push({ kind: "sendSettled", ticket, outcome: error });
    }
    this.#outgoing.clear();
  }

  /** The messages that are decided, each with its receipt or error. */
  takeSettled(): SendSettled[] {
    const settled = this.#settled;
    this.#settled = [];
    return settled;
  }

  /** A new stream: what has no receipt is sent again. */
  sendAllAgain(): void {
    for (const outgoing of this.#outgoing.values()) {
      outgoing.inFlight = false;
    }
    this.#after = 0;
  }

  /** Whether everything has its receipt. */
  isEmpty(): boolean {
    return this.#outgoing.size === 0;
  }

  /** When there is something to send at the latest. */
  dueAt(): number | undefined {
    return this.#inFlight() < Math.min(MOST_SENDING, this.#outgoing.size) ? this.#after : undefined;
  }

  #inFlight(): number {
    let count = 0;
    for (const outgoing of this.#outgoing.values()) {
      count += outgoing.inFlight ? 1 : 0;
    }
    return count;
  }
}

function refused(receipt: MessageSendReceipt): StatusError {
  const reason = enumName(ErrorReasonSchema, receipt.reason, "ERROR_REASON_");
  return statusError(CODES[reason] ?? StatusCode.FAILED_PRECONDITION, receipt.detail, { reason });
}
