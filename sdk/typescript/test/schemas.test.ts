// Schemas of libraries as a handler's input and output: what is checked, what is told of them, and what the compiler knows.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { z } from "zod";

import { register, type Registered } from "../src/agent/handlers.js";
import {
  Agent,
  Client,
  type Handler,
  type HandlerOptions,
  type StandardIssue,
  type StandardSchema,
  TaskFailed,
} from "../src/index.js";
import { validated } from "../src/schema.js";
import { serve } from "./support/server.js";
import { agentOf, attached, drained, LONG } from "./support/waiting.js";

const Page = z.object({
  url: z.string(),
  tags: z.array(z.string()).default([]),
  depth: z.string().transform(Number).optional(),
});
const Summary = z.object({ words: z.number(), language: z.string().default("en") });

async function setUp(t: TestContext): Promise<{ client: Client; agent: Agent }> {
  const server = await serve(t);
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  return { client, agent: agentOf(t, server.address) };
}

async function failureOf(client: Client, type: string, input: unknown): Promise<[string, string, number]> {
  const task = await client.wait(await client.create(type, input), { timeout: LONG });
  const failed = new TaskFailed(task);
  return [task.failure?.type ?? "", task.failure?.message ?? failed.message, task.attempt];
}

/** A schema as a library may make it that knows no JSON Schema. */
function schemaOf<T>(validate: StandardSchemaV1.Props<unknown, T>["validate"]): StandardSchemaV1<unknown, T> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

function registered<I, O>(options: HandlerOptions<I, O>): { handler: Registered; warnings: string[] } {
  const warnings: string[] = [];
  const handler = register<I, O>(
    "t",
    () => undefined as O,
    options,
    (text) => warnings.push(text),
  );
  return { handler, warnings };
}

test("a handler is given what its schema makes of the input, and so is whoever waits for the result", async (t) => {
  const { client, agent } = await setUp(t);
  agent.task("summarize", ({ url, tags, depth = 0 }) => ({ words: url.length + tags.length + depth }), {
    input: Page,
    output: Summary,
  });
  agent.task("async", (page) => page.toUpperCase(), {
    input: z.string().refine((text) => Promise.resolve(text !== "bad")),
    output: z.string().transform((text) => Promise.resolve(text.length)),
  });
  await attached(agent);
  const result = await client.run("summarize", { url: "abc", depth: "4" }, { timeout: LONG });
  assert.deepEqual(result, { words: 7, language: "en" });
  assert.equal(await client.run("async", "good", { timeout: LONG }), 4);
  assert.equal((await failureOf(client, "async", "bad"))[0], "InvalidInput");
  const info = await client.agents.get(agent.name);
  const [handles] = info.proto.profile?.handles ?? [];
  const input = JSON.parse(handles?.inputSchema ?? "") as { properties: object; required: string[] };
  // What goes in, not what the handler is given: the default makes `tags` optional.
  assert.deepEqual([Object.keys(input.properties), input.required], [["url", "tags", "depth"], ["url"]]);
  const output = JSON.parse(handles?.outputSchema ?? "") as { required: string[] };
  assert.deepEqual(output.required, ["words", "language"]);
  await drained(agent);
});

test("what doesn't fit fails once, and the message says where", async (t) => {
  const { client, agent } = await setUp(t);
  let calls = 0;
  agent.task(
    "summarize",
    ({ url }) => {
      calls += 1;
      return { words: (url === "" ? 1 : url) as number };
    },
    { input: Page, output: Summary },
  );
  await attached(agent);
  const [type, message, attempts] = await failureOf(client, "summarize", { url: 1, tags: ["a", 2] });
  assert.deepEqual([type, attempts, calls], ["InvalidInput", 1, 0]);
  assert.match(message, /input doesn't fit its schema: url: Invalid input: .*; tags\[1\]: Invalid input: /);
  const [resultType, resultMessage, resultAttempts] = await failureOf(client, "summarize", { url: "text" });
  assert.deepEqual([resultType, resultAttempts, calls], ["InvalidResult", 1, 1]);
  assert.match(resultMessage, /^result doesn't fit its schema: words: Invalid input: /);
  assert.deepEqual(await client.run("summarize", { url: "" }, { timeout: LONG }), { words: 1, language: "en" });
  await drained(agent);
});

test("paths are as they are written, and not too many", async () => {
  const said = async (issues: readonly StandardIssue[]): Promise<string> => {
    const schema = schemaOf<string>(() => ({ issues }));
    return validated(schema, 1, "input").catch(String);
  };
  const path = ["user", { key: "tags" }, 0, "first name", Symbol("s"), "größe"];
  assert.equal(
    await said([{ message: "bad", path }, { message: "whole" }, { message: "none", path: [] }]),
    `TypeError: input doesn't fit its schema: user.tags[0]["first name"][Symbol(s)].größe: bad; whole; none`,
  );
  const many = await said(Array.from({ length: 1_000 }, (_, index) => ({ message: "bad", path: [index] })));
  assert.match(many, /\[19\]: bad; and 980 more$/);
});

test("a schema that can't be told is left out with a warning, and one that is given wins", () => {
  const told = registered({ input: z.string(), output: z.number() });
  assert.equal((JSON.parse(told.handler.wire.inputSchema) as { type: string }).type, "string");
  assert.deepEqual(told.warnings, []);

  const given = registered({ input: z.date(), inputSchema: { type: "integer" } });
  assert.deepEqual([given.handler.wire.inputSchema, given.warnings], ['{"type":"integer"}', []]);

  const none = registered({ input: schemaOf<string>((value) => ({ value: String(value) })) });
  assert.deepEqual([none.handler.wire.inputSchema, none.warnings], ["", []]);

  const untold = registered({ output: z.date() });
  assert.equal(untold.handler.wire.outputSchema, "");
  assert.match(untold.warnings.join(), /^the handler of "t" tells no JSON Schema of its output: Date /);

  const large = { description: "ä".repeat(32 * 1024) };
  const tooLarge = registered({ inputSchema: large, output: z.string().meta(large) });
  assert.deepEqual([tooLarge.handler.wire.inputSchema, tooLarge.handler.wire.outputSchema], ["", ""]);
  assert.equal(tooLarge.warnings.filter((text) => /of its (input|output): it has 65\d{3} bytes/.test(text)).length, 2);
});

test("schemas that are functions are schemas, and what is none is refused", async () => {
  const callable = Object.assign(
    () => undefined,
    schemaOf<string>((value) => ({ value: `${String(value)}!` })),
  );
  assert.equal(await registered({ input: callable }).handler.parseInput("a"), "a!");
  for (const wrong of [{ type: "object" }, null, "string", () => undefined]) {
    const schema = wrong as unknown as StandardSchema;
    assert.throws(
      () => registered({ input: schema }),
      /^TypeError: input of .*is not a Standard Schema: .*inputSchema/,
    );
    assert.throws(() => registered({ output: schema }), /^TypeError: output of .*outputSchema/);
  }
  assert.throws(
    () => registered({ input: Page, parse: (value: unknown) => Page.parse(value) }),
    /^TypeError: .*both input and parse/,
  );
});

test("the compiler knows a handler's types from its schemas", () => {
  const agent = new Agent("t", { address: "http://127.0.0.1:1" });
  agent.task(
    "fits",
    async (page) => {
      const tags: string[] = page.tags;
      // @ts-expect-error: the schema knows no such field
      const words = tags.length + Number(page.title);
      return Promise.resolve({ words });
    },
    { input: Page, output: Summary },
  );
  // @ts-expect-error: a result of another type
  agent.task("result", () => ({ words: "three" }), { output: Summary });
  // @ts-expect-error: a result that may be of another type
  agent.task("either", (n) => (n > 1 ? "many" : n), { input: z.number(), output: z.string() });
  // @ts-expect-error: an input of another type
  agent.task("input", (page: string) => page, { input: Page });
  // Handlers without schemas are as before.
  agent.task("annotated", (input: { n: number }) => input.n);
  agent.task("parsed", (input) => input.url, { parse: (value: unknown) => Page.parse(value) });
  // @ts-expect-error: an input is unknown until something is known of it
  agent.task("unknown", (input) => input.n);
  const named: Handler<number, string> = (input) => input.toFixed();
  agent.task("named", named, { input: z.number(), output: z.string() });
  // What the standard's own types say is a schema is one.
  const standard = (schema: StandardSchemaV1<number, string>): StandardSchema<number, string> => schema;
  assert.equal(typeof standard, "function");
});
