import { MessageService } from "../_gen/callboard/v1/message_service_pb.js";
import { duration } from "../convert.js";
import { requestIdOr } from "../ids.js";
import {
  type Message,
  messageFrom,
  type MessageOptions,
  type MessageReceipt,
  messageReceiptFrom,
  newMessage,
} from "../messages.js";
import { type Call, callOf } from "../transport.js";
import type { Caller } from "./caller.js";
import type { CallOptions, CommandOptions } from "./options.js";
import { MORE } from "./waiting.js";

/** Milliseconds that one fetch of a watch waits: shorter than what proxies leave an idle request. */
const WAIT = 50_000;

/** Messages to agents: `client.messages`. */
export class Messages {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Sends a message to the mailbox of an agent; it is durable when this resolves.
   *
   * @throws NotFound when the agent is unknown, ResourceExhausted when its mailbox is full.
   */
  async send(to: string, body: unknown = "", options: MessageOptions & CommandOptions = {}): Promise<MessageReceipt> {
    const { namespace } = this.#caller;
    const request = { namespace, message: newMessage(to, body, options), requestId: requestIdOr(options.requestId) };
    return this.#caller.make(
      callOf(MessageService.method.sendMessage, request, (answer) => messageReceiptFrom(answer.receipt)),
      options,
    );
  }

  /** Gives the messages that wait in an agent's mailbox, oldest first. It takes nothing away. */
  async *list(agent: string, options: CallOptions = {}): AsyncGenerator<Message, void, undefined> {
    let after = 0;
    for (;;) {
      const page = await this.#caller.make(this.#fetch(agent, after, 0), options);
      if (page.length === 0) {
        return;
      }
      yield* page;
      after = page.at(-1)?.sequence ?? after;
    }
  }

  /**
   * Gives the messages that wait, and then each that comes, without an end. It takes nothing away: acknowledge what is
   * handled.
   */
  async *watch(agent: string, options: Pick<CallOptions, "signal"> = {}): AsyncGenerator<Message, void, undefined> {
    let after = 0;
    for (;;) {
      const call = this.#fetch(agent, after, WAIT);
      for (const message of await this.#caller.make(call, { ...options, timeout: WAIT + MORE })) {
        after = message.sequence;
        yield message;
      }
    }
  }

  /** Takes messages out of an agent's mailbox for good; gives how many were there. A second time is fine. */
  acknowledge(agent: string, messages: readonly (Message | string)[], options: CallOptions = {}): Promise<number> {
    const messageIds = messages.map((message) => (typeof message === "string" ? message : message.id));
    const request = { namespace: this.#caller.namespace, agent, messageIds };
    return this.#caller.make(
      callOf(MessageService.method.acknowledgeMessages, request, (answer) => answer.acknowledged),
      options,
    );
  }

  #fetch(agent: string, after: number, wait: number): Call<Message[]> {
    const { namespace } = this.#caller;
    const request = { namespace, agent, afterSequence: BigInt(after), wait: duration(wait, "wait") };
    return callOf(MessageService.method.fetchMessages, request, (answer) => answer.messages.map(messageFrom));
  }
}
