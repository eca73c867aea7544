// The driver as a process: instructions on standard input, answers on standard output.

import { Driver } from "./driver.js";
import { writeJson } from "./json.js";
import { linesOf } from "./lines.js";

/** Milliseconds in which the agents have to end once standard input has. */
const GOODBYE = 4_000;

/** Serves until standard input ends. */
export async function main(): Promise<never> {
  const driver = new Driver((line) => {
    process.stdout.write(`${writeJson(line)}\n`);
  });
  driver.begin();
  for await (const line of linesOf(process.stdin)) {
    void driver.take(line);
  }
  // Handlers may go on as long as they like.
  setTimeout(() => process.exit(0), GOODBYE);
  await driver.end();
  process.exit(0);
}
