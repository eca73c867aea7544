// Messages that are delivered, until they are handled and acknowledged. One is handled at a time, in the order of the
// mailbox; one that failed holds up only its own sender's. Without any I/O.

import type { Message } from "../_gen/callboard/v1/message_pb.js";
import { Backoff, type Random } from "../retry.js";
import { MAX_BATCH } from "./outbox.js";

/** How many messages wait for the handler at most: only a server that doesn't count comes there. */
const MOST_WAITING = 1_000;
/** How many handled messages are remembered, to know them when they come again. */
const REMEMBERED = 1_000;
/** How often a message is given to its handler before it is given up. */
const MOST_TRIES = 5;
/** Milliseconds before the second try; doubled for each more. */
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 60_000;

/** The agent's mailbox, as far as it was delivered. */
export class Inbox {
  readonly #backoff: Backoff;
  /** Delivered and not handled, in the order of the mailbox; the one that is being handled among them. */
  readonly #waiting = new Map<string, Message>();
  #running: string | undefined;
  /** Until when later messages of a sender wait. */
  readonly #delayed = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #handled = new Set<string>();
  /** Acknowledgements in their order; true once they were sent on this stream. */
  readonly #acknowledging = new Map<string, boolean>();
  #acknowledgeAfter = 0;

  constructor(random: Random) {
    this.#backoff = new Backoff(random);
  }

  /** A message came. One that is known is not handled again; one that was handled is acknowledged again. */
  deliver(message: Message): void {
    if (this.#handled.has(message.id)) {
      this.#acknowledging.set(message.id, false);
    } else if (!this.#waiting.has(message.id) && this.#waiting.size < MOST_WAITING) {
      this.#waiting.set(message.id, message);
    }
  }

  /** The next message to be handled, if it is time. */
  start(now: number): Message | undefined {
    if (this.#running !== undefined) {
      return undefined;
    }
    for (const [sender, until] of this.#delayed) {
      if (until <= now) {
        this.#delayed.delete(sender);
      }
    }
    for (const message of this.#waiting.values()) {
      if (!this.#delayed.has(senderOf(message))) {
        this.#running = message.id;
        return message;
      }
    }
    return undefined;
  }

  /** The handler has ended; `ok` when without an error. False when the message is given up. */
  finish(now: number, messageId: string, ok: boolean): boolean {
    const message = this.#waiting.get(messageId);
    if (this.#running !== messageId || message === undefined) {
      return true;
    }
    this.#running = undefined;
    if (!ok && this.#mayTryAgain(now, message)) {
      return true;
    }
    this.#failures.delete(messageId);
    this.#waiting.delete(messageId);
    this.#remember(messageId);
    this.#acknowledging.set(messageId, false);
    return ok;
  }

  #mayTryAgain(now: number, message: Message): boolean {
    const failures = (this.#failures.get(message.id) ?? 0) + 1;
    this.#failures.set(message.id, failures);
    if (failures >= MOST_TRIES) {
      return false;
    }
    this.#delayed.set(senderOf(message), now + Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)));
    return true;
  }

  #remember(messageId: string): void {
    this.#handled.add(messageId);
    const [oldest] = this.#handled;
    if (this.#handled.size > REMEMBERED && oldest !== undefined) {
      this.#handled.delete(oldest);
    }
  }

  /** The handler is to stop: what it has is delivered again, to whoever attaches next. */
  abort(): void {
    this.#running = undefined;
  }

  /** Acknowledgements that can be sent now. */
  takeAcknowledgements(now: number): string[] {
    const batch: string[] = [];
    if (now < this.#acknowledgeAfter) {
      return batch;
    }
    for (const [messageId, sent] of this.#acknowledging) {
      if (!sent && batch.length < MAX_BATCH) {
        batch.push(messageId);
        this.#acknowledging.set(messageId, true);
      }
    }
    return batch;
  }

  /** Messages are out of the mailbox. */
  acknowledged(ids: Iterable<string>): void {
    for (const messageId of ids) {
      this.#acknowledging.delete(messageId);
    }
  }

  /** The server could not take acknowledgements. */
  acknowledgeAgain(now: number, ids: Iterable<string>): void {
    for (const messageId of ids) {
      if (this.#acknowledging.has(messageId)) {
        this.#acknowledging.set(messageId, false);
        this.#acknowledgeAfter = Math.max(this.#acknowledgeAfter, now + this.#backoff.delay());
      }
    }
  }

  /** A new stream: what has no receipt is sent again. */
  sendAllAgain(): void {
    for (const messageId of this.#acknowledging.keys()) {
      this.#acknowledging.set(messageId, false);
    }
    this.#acknowledgeAfter = 0;
  }

  /** Whether the handler is at work. */
  isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Whether nothing is at work, and every acknowledgement has its receipt. */
  isIdle(): boolean {
    return this.#running === undefined && this.#acknowledging.size === 0;
  }

  /** When there is something to send at the latest. */
  dueAt(): number | undefined {
    for (const sent of this.#acknowledging.values()) {
      if (!sent) {
        return this.#acknowledgeAfter;
      }
    }
    return undefined;
  }

  /** When a message that failed is tried again. */
  startAt(): number | undefined {
    return this.#running !== undefined || this.#delayed.size === 0 ? undefined : Math.min(...this.#delayed.values());
  }
}

function senderOf(message: Message): string {
  return JSON.stringify([message.principal, message.agent]);
}
