// Output as it comes: the handler gives a story word by word, and a client watches it grow.

import { setTimeout as sleep } from "node:timers/promises";

import { Agent, Client } from "callboard";

const STORY = "Once upon a time an agent had nothing to do.";

const agent = new Agent("storyteller");

agent.task("tell", async (_, context) => {
  for (const word of STORY.match(/\S+\s*/g) ?? []) {
    await context.output(word);
    await sleep(20, undefined, { signal: context.signal });
  }
  return STORY.length;
});

agent.start();
const client = new Client();
const task = await client.create("tell");
for await (const chunk of client.watchOutput(task)) {
  process.stdout.write(String(chunk.value));
}
console.log(` (${await client.result(task)} characters)`);
agent.drain();
await agent.wait();
client.close();
