// A workflow with a fallback: a page is fetched, and summarized by a model that fails, so by another one; the report takes
// what there is of the two.

import { Agent, Client, TaskError } from "callboard";

const agent = new Agent("newsroom", { slots: 2 });

agent.task("fetch", (/** @type {string} */ url) => `all that ${url} says`);

agent.task("summarize-well", () => {
  throw new TaskError("the model is overloaded", { type: "Overloaded", retryable: false });
});

agent.task("summarize-briefly", (_, context) => `in short, ${context.dependency("fetch").value}`);

agent.task("report", (_, context) => {
  const summaries = [context.dependency("summary"), context.dependency("fallback")];
  return summaries.find(({ state }) => state === "COMPLETED")?.value;
});

agent.start();
const client = new Client();
const workflow = await client.workflows.create("news", [
  { name: "fetch", task: { type: "fetch", input: "callboard.dev" } },
  // It has a fallback: the workflow may complete without it.
  { name: "summary", task: { type: "summarize-well" }, dependsOn: ["fetch"], allowFailure: true },
  {
    name: "fallback",
    task: { type: "summarize-briefly" },
    dependsOn: ["fetch", { task: "summary", condition: "FAILED" }],
  },
  {
    name: "report",
    task: { type: "report" },
    dependsOn: [
      { task: "summary", condition: "ENDED" },
      { task: "fallback", condition: "ENDED" },
    ],
  },
]);
const ended = await client.workflows.wait(workflow);
for await (const task of client.workflows.tasks(workflow)) {
  console.log(`${task.workflow?.name}: ${task.state.toLowerCase()}`);
}
console.log(`${ended.name} ${ended.state.toLowerCase()}: ${await client.result(workflow.receipts.report)}`);
agent.drain();
await agent.wait();
client.close();
