// An agent that greets. Ask it: `await new Client().run("greet", { name: "Ada" })`.

import { Agent } from "callboard";

const agent = new Agent("greeter");

agent.task("greet", (/** @type {{ name: string }} */ input, context) => {
  context.progress(0.5, "executing");
  return `Hello, ${input.name}!`;
});

await agent.run();
