// A supervisor: it splits its work into children, which its own agent does, puts their results together, and is content when two
// of three reviewers have had their say: the third is told to stop.

import { setTimeout as sleep } from "node:timers/promises";

import { Agent, Client } from "callboard";

const agent = new Agent("supervisor", { slots: 2 });

agent.task("report", async (/** @type {string[]} */ topics, context) => {
  const research = [];
  for (const topic of topics) {
    research.push(await context.startChild("research", topic));
  }
  const found = await Promise.all(research.map((child) => child.result({ parse: String })));
  const summary = await context.runChild("summarize", found, { parse: String });
  const reviews = [];
  for (const reviewer of ["ann", "bob", "eve"]) {
    reviews.push(await context.startChild("review", { reviewer, summary }));
  }
  const done = await context.waitChildren(reviews, { count: 2, rest: "CANCEL" });
  return `${summary} (${done.map((review) => review.result()).join(", ")})`;
});

agent.task("research", (/** @type {string} */ topic) => `all about ${topic}`);
agent.task("summarize", (/** @type {string[]} */ found) => `We know ${found.join(" and ")}.`);

agent.task("review", async (/** @type {{ reviewer: string }} */ { reviewer }, { signal }) => {
  if (reviewer === "eve") {
    // She takes her time.
    await sleep(60_000, undefined, { signal });
  }
  return `${reviewer} agrees`;
});

agent.start();
const client = new Client();
const task = await client.create("report", ["owls", "bees"]);
console.log(await client.result(task));
for await (const child of client.children(task)) {
  const { state } = await client.wait(child.taskId);
  console.log(`${child.name} ${child.occurrence}: ${state.toLowerCase()}`);
}
agent.drain();
await agent.wait();
client.close();
