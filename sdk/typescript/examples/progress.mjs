// Progress as it comes, and a cancellation: the handler counts until it is told to stop.

import { setTimeout as sleep } from "node:timers/promises";

import { Agent, Client } from "callboard";

const agent = new Agent("counter");

agent.task("count", async (/** @type {number} */ most, context) => {
  for (let count = 0; count < most; count += 1) {
    context.progress(count / most, "executing", `${count} of ${most}`);
    await sleep(20, undefined, { signal: context.signal });
  }
});

agent.start();
const client = new Client();
const task = await client.create("count", 1_000);
for (let told = 0; told < 3;) {
  const { progressMessage } = await client.get(task);
  if (progressMessage !== "") {
    console.log(progressMessage);
    told += 1;
  }
  await sleep(200);
}
await client.cancel(task, "that is enough");
console.log((await client.wait(task)).state.toLowerCase());
agent.drain();
await agent.wait();
client.close();
