// The handler whose schemas say its types: see DRIVER.md.

import type { Agent } from "callboard";
import { z } from "zod";

import { Fault } from "./fault.js";

const order = z.object({
  item: z.string(),
  count: z.int(),
  tags: z.array(z.string()),
  to: z.object({ city: z.string() }),
  note: z.string().nullish(),
});
const bill = z.object({ item: z.string(), count: z.int(), city: z.string() });

/** Has the agent handle a task type by the typed handler of this name. */
export function addTyped(agent: Agent, type: string, name: string | undefined): void {
  if (name !== "order") {
    throw new Fault(`the handler of ${type} has neither a program nor a type`);
  }
  agent.task(type, ({ item, count, to }) => ({ item, count, city: to.city }), { input: order, output: bill });
}
