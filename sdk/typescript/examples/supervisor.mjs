// A supervisor: it splits its work into children, which its own agent does in its only slot, and puts their results together.

import { Agent, Client } from "callboard";

const agent = new Agent("supervisor", { slots: 1 });

agent.task("report", async (/** @type {string[]} */ topics, context) => {
  const research = await Promise.all(topics.map((topic) => context.startChild("research", topic)));
  const found = await Promise.all(research.map((child) => child.result({ parse: String })));
  return context.runChild("summarize", found);
});

agent.task("research", (/** @type {string} */ topic) => `all about ${topic}`);
agent.task("summarize", (/** @type {string[]} */ found) => `We know ${found.join(" and ")}.`);

agent.start();
const client = new Client();
const task = await client.create("report", ["owls", "bees"]);
console.log(await client.result(task));
for await (const child of client.children(task)) {
  console.log(`${child.name} ${child.occurrence}: ${child.task?.state.toLowerCase()}`);
}
agent.drain();
await agent.wait();
client.close();
