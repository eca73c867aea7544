// How many durable no-op tasks a second this SDK does, client and agent in a process each, and how long one takes:
//
//   node benchmarks/throughput.mjs agent --slots 64
//   node benchmarks/throughput.mjs client --tasks 20000 --in-flight 64 --idle 200
//
// Both find the server by CALLBOARD_ADDRESS. The client prints one line of JSON.

import { parseArgs } from "node:util";

import { Agent, Client } from "callboard";

/** The task type of both. */
const TYPE = "noop";
/** Tasks that are done before any are counted: connections are open then, and the code is compiled. */
const WARM_UP = 2_000;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    slots: { type: "string", default: "64" },
    tasks: { type: "string", default: "20000" },
    "in-flight": { type: "string", default: "64" },
    idle: { type: "string", default: "200" },
  },
});

switch (positionals.join(" ")) {
  case "agent":
    await new Agent("throughput", { slots: Number(values.slots) }).task(TYPE, () => null).run();
    break;
  case "client":
    await measure(Number(values.tasks), Number(values["in-flight"]), Number(values.idle));
    break;
  default:
    console.error("usage: throughput.mjs agent|client [--slots N] [--tasks N] [--in-flight N] [--idle N]");
    process.exitCode = 2;
}

/**
 * @param {number} tasks
 * @param {number} inFlight
 * @param {number} idle
 */
async function measure(tasks, inFlight, idle) {
  const client = new Client();
  await together(client, WARM_UP, inFlight);
  const began = performance.now();
  await together(client, tasks, inFlight);
  const seconds = (performance.now() - began) / 1_000;
  const times = await oneByOne(client, idle);
  const result = {
    sdk: "typescript",
    tasks_per_second: Math.round(tasks / seconds),
    idle_p50_ms: quantile(times, 0.5),
    idle_p99_ms: quantile(times, 0.99),
    tasks,
    in_flight: inFlight,
  };
  console.log(JSON.stringify(result));
  client.close();
}

/**
 * Runs so many tasks, so many at a time.
 *
 * @param {Client} client
 * @param {number} tasks
 * @param {number} inFlight
 */
async function together(client, tasks, inFlight) {
  let left = tasks;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      await client.run(TYPE, null);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
}

/**
 * Runs so many tasks one at a time; gives how many milliseconds each took, sorted.
 *
 * @param {Client} client
 * @param {number} tasks
 */
async function oneByOne(client, tasks) {
  const times = [];
  for (let task = 0; task < tasks; task += 1) {
    const began = performance.now();
    await client.run(TYPE, null);
    times.push(performance.now() - began);
  }
  return times.sort((one, other) => one - other);
}

/**
 * @param {number[]} sorted
 * @param {number} part
 */
function quantile(sorted, part) {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
  return Math.round(value * 1_000) / 1_000;
}
