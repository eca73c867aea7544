// The instructions of the driver.

import { Client, type OutputWatch } from "callboard";

import { start, started, statusLine } from "./agents.js";
import { CALLS } from "./calls.js";
import { Fault } from "./fault.js";
import { interceptors, interceptorsOf } from "./interceptors.js";
import { OutputWatching } from "./outputs.js";
import { fields, flag, number, type Of, optional, type Shape, text } from "./shapes.js";
import type { Stage } from "./stage.js";
import { Watching } from "./watches.js";

/** An instruction that is read, and can be carried out. */
type Carry = (stage: Stage) => Promise<object>;

/** Reads an instruction: all but `id` and `do`. */
type InstructionReader = (given: unknown, place: string) => Carry;

function instruction<S extends Shape>(
  shape: S,
  carry: (stage: Stage, given: Of<S>) => object | Promise<object>,
): InstructionReader {
  const read = fields(shape);
  return (given, place) => {
    const found = read(given, place);
    // An async function begins at once, and what it throws is its promise's.
    return async (stage) => carry(stage, found);
  };
}

const agent = { agent: text };
const patience = { timeout_ms: number };

const INSTRUCTIONS: ReadonlyMap<string, InstructionReader> = new Map([
  ["agent.start", instruction(started, start)],
  [
    "agent.attached",
    instruction({ ...agent, ...patience }, async (stage, given) => {
      const found = stage.agents.get(given.agent);
      await found.waitAttached(given.timeout_ms);
      return statusLine(found);
    }),
  ],
  ["agent.status", instruction(agent, (stage, given) => statusLine(stage.agents.get(given.agent)))],
  [
    "agent.health",
    instruction(agent, (stage, given) => ({ address: stage.agents.get(given.agent).healthAddress ?? null })),
  ],
  [
    "agent.drain",
    instruction(agent, (stage, given) => {
      stage.agents.get(given.agent).drain();
      return {};
    }),
  ],
  [
    "agent.stop",
    instruction(agent, async (stage, given) => {
      await stage.agents.get(given.agent).stop();
      return {};
    }),
  ],
  [
    "agent.wait",
    instruction({ ...agent, ...patience }, async (stage, given) => ({
      ended: await stage.agents.get(given.agent).wait(given.timeout_ms),
    })),
  ],
  [
    "gate.open",
    instruction({ gate: text }, (stage, given) => {
      stage.gates.open(given.gate);
      return {};
    }),
  ],
  [
    "client.open",
    instruction(
      {
        client: text,
        address: text,
        namespace: text,
        timeout_ms: optional(number),
        token: optional(text),
        interceptors,
      },
      (stage, { client, address, namespace, timeout_ms: timeout, token, interceptors: given }) => {
        const options = { address, namespace, timeout, token, interceptors: interceptorsOf(given) };
        stage.clients.add(client, new Client(options));
        return {};
      },
    ),
  ],
  [
    "watch.start",
    instruction(
      {
        client: text,
        watch: text,
        task_id: optional(text),
        cursor: optional(text),
        until_ended: optional(flag),
        mailbox: optional(text),
      },
      (stage, given) => {
        const client = stage.clients.get(given.client);
        const { task_id: taskId, cursor, until_ended: untilEnded, mailbox } = given;
        if (mailbox === undefined) {
          stage.watches.add(given.watch, Watching.ofEvents(client, taskId, { cursor, untilEnded }));
        } else if (taskId === undefined && cursor === undefined && untilEnded === undefined) {
          stage.watches.add(given.watch, Watching.ofMailbox(client, mailbox));
        } else {
          throw new Fault("watch.start: `mailbox` stands alone");
        }
        return {};
      },
    ),
  ],
  [
    "watch.wait",
    instruction({ watch: text, count: number, ...patience }, (stage, given) =>
      stage.watches.get(given.watch).wait(given.count, given.timeout_ms),
    ),
  ],
  [
    "output.start",
    instruction(
      { client: text, watch: text, task_id: text, run: optional(number), offset: optional(number) },
      (stage, given) => {
        const client = stage.clients.get(given.client);
        const { task_id: taskId, run, offset } = given;
        const begin = (signal: AbortSignal): OutputWatch => client.watchOutput(taskId, { run, offset, signal });
        stage.outputs.add(given.watch, new OutputWatching(begin));
        return {};
      },
    ),
  ],
  [
    "output.wait",
    instruction({ watch: text, bytes: number, ...patience }, (stage, given) =>
      stage.outputs.get(given.watch).wait(given.bytes, given.timeout_ms),
    ),
  ],
  ["output.stop", instruction({ watch: text }, (stage, given) => stage.outputs.get(given.watch).stop())],
  ["watch.stop", instruction({ watch: text }, (stage, given) => stage.watches.get(given.watch).stop())],
]);

/** Reads the instruction of this name. */
export function readInstruction(name: string, given: Readonly<Record<string, unknown>>): Carry {
  const read = INSTRUCTIONS.get(name);
  if (read !== undefined) {
    return read(given, name);
  }
  const readCall = CALLS.get(name);
  if (readCall === undefined) {
    throw new Fault(`there is no instruction \`${name}\``);
  }
  const { client, ...rest } = given;
  const named = text(client, `${name}.client`);
  const make = readCall(rest, name);
  return async (stage) => make(stage.clients.get(named), stage);
}
