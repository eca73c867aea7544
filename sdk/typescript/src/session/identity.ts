// Who the agent of a session is, and what it says of itself.

import { create } from "@bufbuild/protobuf";

import {
  type AgentProfile,
  type Assignment,
  type Attempt as Lease,
  type Hello,
  HelloSchema,
} from "../_gen/callboard/v1/agent_pb.js";
import type { Random } from "../retry.js";
import type { Address } from "../settings.js";

/** What every agent lists; `messages` comes with a handler of them. */
const FEATURES = ["cancellation", "drain", "message_receipts", "steps", "children"] as const;

/** What a session is made from. */
export interface SessionOptions {
  readonly namespace: string;
  readonly profile: AgentProfile;
  readonly addresses: readonly [Address, ...Address[]];
  readonly random: Random;
  /** How long handlers may go on while the agent drains. */
  readonly drainTimeout: number;
  /** A random id of the agent's process, the same each time that it attaches. */
  readonly instanceId: string;
  /** Whether the agent has a handler of messages. */
  readonly takesMessages: boolean;
}

/** What it says first, with the attempts that it still has. */
export function helloOf(options: SessionOptions, held: Lease[], previousEpoch: bigint): Hello {
  const { namespace, profile, instanceId, takesMessages } = options;
  const features = takesMessages ? [...FEATURES, "messages"] : [...FEATURES];
  return create(HelloSchema, { namespace, profile, held, features, previousEpoch, instanceId });
}

/** Why nobody here does such a task, of these types; undefined when somebody does. */
export function unhandled(types: ReadonlySet<string>, { spec }: Assignment): string | undefined {
  const type = spec?.type ?? "";
  const isHandled = types.has(type) || types.has("*");
  return isHandled ? undefined : `no handler takes the task type ${JSON.stringify(type)}`;
}
