// The package as users get it: packed, installed into an empty directory, and what its documents show works there as printed,
// against a real server.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { Client, TaskError, VERSION } from "../src/index.js";
import { directory, environment, REPOSITORY, serve } from "./support/server.js";
import { agentOf, attached, drained } from "./support/waiting.js";

const SDK = join(REPOSITORY, "sdk/typescript");
const run = promisify(execFile);
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** The JavaScript blocks of a document, in their order. */
function blocks(document: string): string[] {
  const text = readFileSync(join(REPOSITORY, document), "utf8");
  return [...text.matchAll(/^```js\n(.*?)^```/gms)].map((match) => match[1] ?? "");
}

test("the package installs into an empty directory, and its documents work there", async (t) => {
  const [packed, place] = [directory(t), directory(t)];
  // `npm test` has built it. To build it again here would take `dist` away from tests that run beside this one.
  await run(npm, ["pack", "--ignore-scripts", "--pack-destination", packed], { cwd: SDK });
  writeFileSync(join(place, "package.json"), '{ "private": true }');
  const archive = join(packed, `callboard-${VERSION}.tgz`);
  await run(npm, ["install", "--prefer-offline", "--no-audit", "--no-fund", archive], { cwd: place });
  const server = await serve(t);
  const env = { ...environment, CALLBOARD_ADDRESS: server.address };
  let scripts = 0;
  const write = (script: string): string => {
    scripts += 1;
    const file = join(place, `script-${String(scripts)}.mjs`);
    writeFileSync(file, script);
    return file;
  };
  const client = new Client({ address: server.address });
  t.after(() => {
    client.close();
  });
  const documented = blocks("sdk/typescript/README.md");
  const [agent = "", submit = "", review = "", dependent = "", workflow = ""] = documented;
  const limiting = documented.find((block) => block.includes("limitKeys:")) ?? "";
  const failing = documented.find((block) => block.includes("new TaskError(")) ?? "";
  const example = readFileSync(join(SDK, "examples/hello.mjs"), "utf8");
  for (const script of [agent, example]) {
    const running = spawn(process.execPath, [write(script)], { env, stdio: ["ignore", "inherit", "inherit"] });
    t.after(() => running.kill("SIGKILL"));
    const exit = once(running, "exit");
    const { stdout, stderr } = await run(process.execPath, [write(submit)], { env });
    assert.deepEqual([stdout, stderr], ["Hello, Ada!\n", ""]);
    running.kill("SIGTERM");
    if (process.platform !== "win32") {
      assert.deepEqual(await exit, [0, null]);
    }
  }
  const reviewer = agentOf(t, server.address, { name: "ann", skills: ["python"], slots: 2 });
  reviewer.task("analyse", (input: { file: string }) => input.file);
  reviewer.task("review", (_, context) => `reviewed ${String(context.dependencies[0]?.value)}`);
  await attached(reviewer);
  const { stdout } = await run(process.execPath, [write(review)], { env });
  const lines = stdout.trim().split("\n");
  assert.match(lines[0] ?? "", /^1 CREATED/);
  assert.deepEqual(lines.at(-1), "reviewed main.py");
  await drained(reviewer);
  const newsroom = agentOf(t, server.address, { slots: 2 });
  newsroom.task("review", (input: { file: string }) => ({ ...input, score: 0.9 }));
  newsroom.task("publish", (_, context) => `published ${(context.dependencies[0]?.value as { file: string }).file}`);
  newsroom.task("clean-up", () => null);
  await attached(newsroom);
  const published = await run(process.execPath, [write(dependent)], { env });
  assert.deepEqual([published.stdout, published.stderr], ["published main.py\n", ""]);
  await drained(newsroom);
  const pipeline = agentOf(t, server.address);
  pipeline.task("fetch", (input: string) => input);
  pipeline.task("summarize", () => {
    throw new TaskError("the model is gone", { retryable: false });
  });
  pipeline.task("extract", (_, context) => `extract of ${String(context.dependency("page").value)}`);
  pipeline.task("report", (_, context) => context.dependencies.find(({ state }) => state === "COMPLETED")?.value);
  await attached(pipeline);
  const reported = await run(process.execPath, [write(workflow)], { env });
  const told = "COMPLETED 1\nextract of https://callboard.dev\n";
  assert.deepEqual([reported.stdout, reported.stderr], [told, ""]);
  await drained(pipeline);
  await assert.rejects(run(process.execPath, [write(failing)], { env }), /the repository is private/);
  await run(process.execPath, [write(limiting)], { env });
  const { settings } = await client.namespaces.get("default");
  assert.deepEqual(
    settings.limits?.map(({ key, maxConcurrent, rate, ratePeriod }) => [key, maxConcurrent, rate, ratePeriod]),
    [["model/large", 4, undefined, undefined], ["tenant/*", undefined, 60, 60_000]], // prettier-ignore
  );
  // What the package says of its types is what its users' compiler reads.
  writeFileSync(
    join(place, "typed.mts"),
    `import { Agent, Client, type Context, type Interceptor, type Receipt } from "callboard";
     import { PayloadSchema } from "callboard/v1";
     const agent = new Agent("a", { slots: 2 });
     agent.task("t", async (input: { n: number }, context: Context) => { await context.saveCheckpoint(1); return context.step("n", () => input.n); });
     agent.task("u", async (input: string[], context) => { await context.output("o"); const [first] = await context.waitChildren([await context.startChild("t")], { count: 1, rest: "CANCEL" }); void first?.result(); return context.runChild("t", input, { parse: Number }); });
     const marks: Interceptor = { submit: (spec, next) => next({ ...spec, headers: { mark: "1" } }), handle: (_, input, next) => next(input) };
     new Agent("b", { interceptors: [marks] });
     const n: Promise<number> = new Client().run("t", { n: 1 }, { parse: Number });
     // @ts-expect-error: a result is unknown until it is parsed
     const s: string = await new Client().run("t");
     const { workflows } = new Client();
     const w = await workflows.create("w", [
       { name: "a", task: { type: "t" } },
       { name: "b", task: { type: "t" }, dependsOn: ["a", { task: "a", condition: "FAILED" }] },
     ]);
     const r: Receipt = w.receipts.b;
     // @ts-expect-error: the workflow has no task of this name
     void w.receipts.c;
     // @ts-expect-error: nor may one depend on it
     await workflows.create("w", [{ name: "a", task: { type: "t" }, dependsOn: ["c"] }]);
     const added = await workflows.add(w, [{ name: "d", task: { type: "t", fallbacks: [{ after: 1, role: "lead" }] }, dependsOn: ["a", "anything"] }]);
     void added.d;
     // @ts-expect-error: no task of this name was added
     void added.a;
     await workflows.create("w", ["a", "b"].map((name) => ({ name, task: { type: "t" }, dependsOn: [s] })));
     export { n, s, r, PayloadSchema };`,
  );
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];
  await run(process.execPath, [join(SDK, "node_modules/typescript/bin/tsc"), ...options, "typed.mts"], { cwd: place });
});

test("the examples that end by themselves say what they do", async (t) => {
  const server = await serve(t);
  const env = { ...environment, CALLBOARD_ADDRESS: server.address };
  const quiet = /^$/;
  for (const [name, expected, logged = quiet] of [
    ["pipeline", "3 words in 2 pages\n"],
    ["progress", "cancelled\n"],
    [
      "supervisor",
      "We know all about owls and all about bees. (ann agrees, bob agrees)\nresearch 0: completed\nresearch 1: completed\nsummarize 0: completed\nreview 0: completed\nreview 1: completed\nreview 2: cancelled\n",
    ],
    [
      "workflow",
      "fetch: completed\nsummary: failed\nfallback: completed\nreport: completed\nnews completed: in short, all that callboard.dev says\n",
      // What failed on purpose, and nothing else.
      /^callboard: attempt \S+ failed: TaskError: the model is overloaded\n {4}at [^]*\n}\n$/,
    ],
    ["streaming", "Once upon a time an agent had nothing to do. (44 characters)\n"],
  ] as const) {
    const { stdout, stderr } = await run(process.execPath, [join(SDK, `examples/${name}.mjs`)], { env });
    assert.ok(stdout.endsWith(expected), stdout);
    assert.match(stderr, logged);
  }
});

test("the version is the package's", () => {
  const manifest = JSON.parse(readFileSync(join(SDK, "package.json"), "utf8")) as { version: string };
  assert.equal(VERSION, manifest.version);
});

test("every RPC is called, and has its line in the specification", () => {
  const protos = ["admin", "agent", "message", "namespace", "task", "workflow"].map((name) =>
    readFileSync(join(REPOSITORY, `proto/callboard/v1/${name}_service.proto`), "utf8"),
  );
  const rpcs = protos.flatMap((text) => [...text.matchAll(/^ {2}rpc (\w+)\(/gm)].map((match) => match[1] ?? ""));
  assert.ok(rpcs.length > 30);
  const files = readdirSync(join(SDK, "src/client"));
  const sources = files.map((name) => readFileSync(join(SDK, "src/client", name), "utf8")).join("\n");
  const called = new Set(sources.match(/(?<=\.method\.|client\.)\w+/g));
  const missing = rpcs.filter((rpc) => !called.has(rpc.charAt(0).toLowerCase() + rpc.slice(1)));
  // What an agent's stream is made of.
  assert.deepEqual(missing, ["Attach"]);
});
