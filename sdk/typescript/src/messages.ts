// Messages between agents: what they are.

import { create } from "@bufbuild/protobuf";

import {
  type Message as WireMessage,
  type MessageReceipt as WireReceipt,
  type MessageSend,
  MessageSendSchema,
  type NewMessage,
  NewMessageSchema,
} from "./_gen/callboard/v1/message_pb.js";
import { date, given, optionalDuration } from "./convert.js";
import { requestIdOr } from "./ids.js";
import { decode, encode, type Payload } from "./payload.js";

/** A message in a mailbox. */
export interface Message {
  /** The same each time that the message is delivered: deduplicate by it. */
  readonly id: string;
  /** Its namespace. */
  readonly namespace: string;
  /** The agent whose mailbox it is in. */
  readonly to: string;
  /** Its place in the mailbox: 1, 2, 3, … Behind a promoted standby of PostgreSQL there is a gap. */
  readonly sequence: number;
  /** Who sent it: a principal. */
  readonly principal: string;
  /** The agent that sent it; empty when it was sent by a call. */
  readonly agent: string;
  /** What it says, as it came. */
  readonly payload: Payload | undefined;
  /** What it says, decoded. */
  readonly body: unknown;
  /** What applications agree on. */
  readonly headers: Readonly<Record<string, string>>;
  /** When it was sent, by the server's clock. */
  readonly sentAt: Date | undefined;
  /** When it ceases to be delivered. */
  readonly expiresAt: Date | undefined;
}

/** Where a message is. */
export interface MessageReceipt {
  /** The message's id. */
  readonly messageId: string;
  /** Its place in the mailbox. */
  readonly sequence: number;
}

/** What a message may have beside its body. */
export interface MessageOptions {
  /** What applications agree on. At most 32 entries and 8 KiB in all. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds that it may wait for its acknowledgement: 1 to 30 days. Default 7 days. */
  readonly ttl?: number | undefined;
}

/** @internal */
export function messageFrom(wire: WireMessage): Message {
  const { id, namespace, principal, agent, payload, headers } = wire;
  return {
    id,
    namespace,
    to: wire.to?.to.value ?? "",
    sequence: Number(wire.sequence),
    principal,
    agent,
    payload,
    get body(): unknown {
      return decode(payload);
    },
    headers,
    sentAt: date(wire.sentAt),
    expiresAt: date(wire.expiresAt),
  };
}

/** @internal */
export function messageReceiptFrom(wire: WireReceipt | undefined): MessageReceipt {
  return { messageId: wire?.messageId ?? "", sequence: Number(wire?.sequence ?? 0) };
}

/** @internal */
export function newMessage(to: string, body: unknown, options: MessageOptions): NewMessage {
  return create(
    NewMessageSchema,
    given({
      to: { to: { case: "agent" as const, value: to } },
      payload: encode(body, "message.payload"),
      headers: { ...options.headers },
      ttl: optionalDuration(options.ttl, "message.ttl"),
    }),
  );
}

/** @internal The same over an agent's stream. */
export function messageSend(
  to: string,
  body: unknown,
  options: MessageOptions & { readonly requestId?: string | undefined },
): MessageSend {
  // The protocol wants a request id here: an empty one counts as none.
  const requestId = requestIdOr(options.requestId || undefined);
  return create(MessageSendSchema, { requestId, message: newMessage(to, body, options) });
}
