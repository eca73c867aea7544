// An agent of the TypeScript SDK in a process of its own, to be killed: see crew.rs, which names the SDK's folder.
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const { CREW_AGENT: name, CREW_DIARY: diary, CREW_SDK: sdk } = process.env;
const { Agent, TaskError } = await import(pathToFileURL(sdk).href);

// One write of a line to a file opened for appending: it is whole, or not there.
const note = (what, context) => appendFileSync(diary, `${what} ${context.taskId} ${context.attempt} ${name}\n`);

const agent = new Agent("crew", { name, slots: 2 });

agent.task("load.sdk", async (input, context) => {
  note("begin", context);
  await sleep(input.millis);
  if (context.run === 1 && context.attempt <= input.failures) {
    note("AskedToFail", context);
    throw new TaskError("as asked", { type: "AskedToFail" });
  }
  note("completed", context);
  return `${context.taskId} attempt ${context.attempt} by ${name}`;
});

agent.task("crew.poison", (_, context) => {
  note("begin", context);
  process.kill(process.pid, "SIGKILL");
});

await agent.run();
