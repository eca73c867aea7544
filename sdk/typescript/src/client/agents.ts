import { create } from "@bufbuild/protobuf";

import { type Agent as WireAgent, AgentSchema, AgentStateSchema } from "../_gen/callboard/v1/agent_pb.js";
import { AgentService } from "../_gen/callboard/v1/agent_service_pb.js";
import { enumNumber } from "../convert.js";
import { requestIdOr } from "../ids.js";
import { agentFrom, type AgentInfo, type AgentState } from "../models.js";
import { callOf } from "../transport.js";
import type { Caller } from "./caller.js";
import type { CallOptions, CommandOptions, PageOptions } from "./options.js";

/** Filters of a list of agents, combined by AND. */
export interface ListAgentsOptions extends PageOptions {
  /** In any of these states; none means all. */
  readonly states?: readonly AgentState[] | undefined;
  /** Of this agent type; empty means any. */
  readonly agentType?: string | undefined;
}

/** Looking after agents: `client.agents`. */
export class Agents {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Gives one agent. */
  get(name: string, options: CallOptions = {}): Promise<AgentInfo> {
    const request = { namespace: this.#caller.namespace, name };
    return this.#caller.make(
      callOf(AgentService.method.getAgent, request, (answer) => read(answer.agent)),
      options,
    );
  }

  /** Gives the agents by name; pages are fetched as needed. */
  list(options: ListAgentsOptions = {}): AsyncGenerator<AgentInfo, void, undefined> {
    const { namespace } = this.#caller;
    const { agentType = "", pageSize = 0 } = options;
    const states = (options.states ?? []).map((state) => enumNumber(AgentStateSchema, state, "AGENT_STATE_", "states"));
    return this.#caller.pages(
      (pageToken) =>
        callOf(AgentService.method.listAgents, { namespace, states, agentType, pageSize, pageToken }, (answer) => ({
          items: answer.agents.map(agentFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Gives an agent no new tasks; it keeps those that it has. */
  cordon(name: string, options: CommandOptions = {}): Promise<AgentInfo> {
    return this.#caller.make(
      callOf(AgentService.method.cordonAgent, this.#command(name, options), (answer) => read(answer.agent)),
      options,
    );
  }

  /** Ends a cordon. */
  uncordon(name: string, options: CommandOptions = {}): Promise<AgentInfo> {
    return this.#caller.make(
      callOf(AgentService.method.uncordonAgent, this.#command(name, options), (answer) => read(answer.agent)),
      options,
    );
  }

  /** Forgets an agent. Its session ends, and its tasks are requeued. */
  remove(name: string, options: CommandOptions = {}): Promise<void> {
    return this.#caller.make(
      callOf(AgentService.method.removeAgent, this.#command(name, options), () => undefined),
      options,
    );
  }

  #command(name: string, options: CommandOptions): { namespace: string; name: string; requestId: string } {
    return { namespace: this.#caller.namespace, name, requestId: requestIdOr(options.requestId) };
  }
}

function read(wire: WireAgent | undefined): AgentInfo {
  return agentFrom(wire ?? create(AgentSchema));
}
