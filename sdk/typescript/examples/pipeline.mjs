// A pipeline: each page is fetched by a task of its own, and a task that depends on them all counts their words.

import { Agent, Client } from "callboard";

const PAGES = new Map([
  ["one", "Hello, world"],
  ["two", "again"],
]);

const agent = new Agent("pipeline", { slots: 2 });

agent.task("fetch", (/** @type {string} */ page) => PAGES.get(page) ?? "");

agent.task("count", (_, context) => {
  const texts = context.dependencies.map((dependency) => String(dependency.value));
  const words = texts.flatMap((text) => text.split(" "));
  return `${words.length} words in ${texts.length} pages`;
});

agent.start();
const client = new Client();
const pages = await client.createAll([...PAGES.keys()].map((input) => ({ type: "fetch", input })));
console.log(await client.run("count", "", { dependsOn: pages }));
agent.drain();
await agent.wait();
client.close();
