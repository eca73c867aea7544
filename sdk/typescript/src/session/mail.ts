// The messages of a session: those that are delivered to it, and those that its handlers send. Without any I/O.

import type { Message, MessageReceiptBatch, MessageSend } from "../_gen/callboard/v1/message_pb.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";
import type { Random } from "../retry.js";
import type { SendSettled } from "./actions.js";
import { type Frame, frameOf } from "./frames.js";
import { Inbox } from "./inbox.js";
import { Sending } from "./sending.js";

/** Both ways. */
export class Mail {
  readonly inbox: Inbox;
  readonly #sending: Sending;

  constructor(random: Random) {
    this.inbox = new Inbox(random);
    this.#sending = new Sending(random);
  }

  /** Messages came. */
  deliver(messages: readonly Message[]): void {
    for (const message of messages) {
      this.inbox.deliver(message);
    }
  }

  /** A handler sends a message. */
  send(send: MessageSend, ticket: number): void {
    this.#sending.add(send, ticket);
  }

  /** Receipts of messages and acknowledgements came. */
  receipts(now: number, batch: MessageReceiptBatch): void {
    for (const receipt of batch.sent) {
      this.#sending.receipt(now, receipt);
    }
    this.inbox.acknowledged(batch.acknowledgedIds);
    this.inbox.acknowledgeAgain(now, batch.retryIds);
  }

  /** The next frame to send, if there is one. */
  takeFrame(now: number): Frame | undefined {
    const messageIds = this.inbox.takeAcknowledgements(now);
    if (messageIds.length > 0) {
      return frameOf({ case: "acknowledgements", value: { messageIds } });
    }
    const messages = this.#sending.take(now);
    return messages.length > 0 ? frameOf({ case: "messages", value: { messages } }) : undefined;
  }

  /** When there is one at the latest. */
  dueAt(): (number | undefined)[] {
    return [this.inbox.dueAt(), this.#sending.dueAt()];
  }

  /** A new stream: what has no receipt is sent again, unless the server takes no messages. */
  sendAllAgain(isTaken: boolean): void {
    this.#sending.sendAllAgain();
    this.inbox.sendAllAgain();
    if (!isTaken) {
      this.#sending.giveUp(noMessages());
    }
  }

  /** Nothing more is sent. */
  giveUp(): void {
    this.#sending.giveUp(statusError(StatusCode.UNAVAILABLE, "the agent stops"));
  }

  /** Whether nothing is handled, and everything has its receipt. */
  get isIdle(): boolean {
    return this.inbox.isIdle() && this.#sending.isEmpty();
  }

  /** The messages that are decided, each with its receipt or error. */
  takeSettled(): SendSettled[] {
    return this.#sending.takeSettled();
  }
}

/** The server's features are without `messages`. */
export function noMessages(): StatusError {
  return statusError(StatusCode.UNIMPLEMENTED, "the server takes no messages");
}
