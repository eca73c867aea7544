// The instructions `agent.…`.

import { Agent, type AgentOptions, type Context, type Message, type MessageContext } from "callboard";

import { MessageHandling, TaskHandling } from "./handling.js";
import { interceptors, interceptorsOf } from "./interceptors.js";
import { type Program, program } from "./programs.js";
import { fields, flag, list, number, numbers, object, type Of, optional, type Reader, text, texts } from "./shapes.js";
import type { Stage } from "./stage.js";
import { addTyped } from "./typed.js";

const options = fields({
  name: text,
  address: text,
  namespace: text,
  agent_type: optional(text),
  role: optional(text),
  skills: optional(list(text)),
  tools: optional(list(text)),
  labels: optional(texts),
  resources: optional(numbers),
  slots: optional(number),
  build_id: optional(text),
  drain_timeout_ms: optional(number),
  token: optional(text),
  health: optional(text),
  interceptors,
});

const handler = fields({
  type: text,
  program: optional(program),
  typed: optional(text),
  description: optional(text),
  input_schema: optional(object),
  output_schema: optional(object),
  // Handlers of this SDK are of one kind.
  style: optional(text as Reader<"sync" | "async">),
});

/** The fields of `agent.start`. */
export const started = {
  agent: text,
  options,
  handlers: list(handler),
  on_message: optional(program),
  signals: optional(flag),
};

/** Milliseconds between two looks at whether probes are answered. */
const LOOK = 5;

/** Starts an agent. */
export async function start(stage: Stage, given: Of<typeof started>): Promise<object> {
  const agent = new Agent(given.options.agent_type, optionsOf(given.options));
  for (const { type, program: run, typed, description, ...schemas } of given.handlers) {
    if (run === undefined) {
      addTyped(agent, type, typed);
      continue;
    }
    const { input_schema: inputSchema, output_schema: outputSchema } = schemas;
    const handle = (input: unknown, context: Context): unknown => run(new TaskHandling(stage, context, input));
    agent.task(type, handle, { description, inputSchema, outputSchema });
  }
  if (given.on_message !== undefined) {
    agent.onMessage(messageHandler(stage, given.on_message));
  }
  stage.agents.add(given.agent, agent);
  if (given.signals === true) {
    // How it ended is told by `agent.wait`.
    agent.run().catch(() => undefined);
  } else {
    agent.start();
    if (given.options.health !== undefined) {
      await answersProbes(agent);
    }
  }
  return {};
}

/** Waits until it listens for probes. Throws when it can't: that ends it. */
async function answersProbes(agent: Agent): Promise<void> {
  while (agent.healthAddress === undefined) {
    await agent.waitAttached(LOOK);
  }
}

function optionsOf(given: ReturnType<typeof options>): AgentOptions {
  const { name, address, namespace, role, skills, tools, labels, resources, slots, token, health } = given;
  return {
    ...{ name, address, namespace, role, skills, tools, labels, resources, slots, token, health },
    buildId: given.build_id,
    drainTimeout: given.drain_timeout_ms,
    interceptors: interceptorsOf(given.interceptors),
  };
}

/** Counts how often each message is delivered to it. */
function messageHandler(stage: Stage, run: Program): (message: Message, context: MessageContext) => unknown {
  const deliveries = new Map<string, number>();
  return (message, context) => {
    const delivery = (deliveries.get(message.id) ?? 0) + 1;
    deliveries.set(message.id, delivery);
    return run(new MessageHandling(stage, context, message, delivery));
  };
}

/** How an agent stands. */
export function statusLine(agent: Agent): object {
  return { attached: agent.attached, agent_id: agent.agentId, session_epoch: agent.sessionEpoch };
}
