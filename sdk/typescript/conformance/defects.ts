// Planted defects: a copy of the package whose files are patched, so that it is the SDK itself that does wrong. The driver
// runs within the copy, where `callboard` is the copy.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";

/** One change of a file: what stands there once, and what stands there instead. */
interface Patch {
  /** In `dist`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Runs the connection on the handlers' thread: a worker that is none. */
const ONE_THREAD: readonly Patch[] = [
  {
    file: "agent/live.js",
    from: 'import { Worker } from "node:worker_threads";',
    to: `
      import { EventEmitter } from "node:events";
      import { MessageChannel } from "node:worker_threads";
      const threads = globalThis.callboardThreads = new Map();
      class Worker extends EventEmitter {
        constructor(url, { workerData }) {
          super();
          const { port1, port2 } = new MessageChannel();
          this.port = port1;
          port1.on("message", (batch) => this.emit("message", batch));
          const name = String(threads.size);
          threads.set(name, { parentPort: port2, workerData });
          import(url.href + "?thread=" + name).catch((error) => this.emit("error", error));
        }
        postMessage(batch) { this.port.postMessage(batch); }
      }`,
  },
  {
    file: "agent/worker.js",
    from: 'import { parentPort, workerData } from "node:worker_threads";',
    to: "const { parentPort, workerData } = globalThis.callboardThreads.get(new URL(import.meta.url).searchParams.get('thread'));",
  },
];

const DEFECTS: Readonly<Record<string, readonly Patch[]>> = {
  "heartbeat-on-handlers-thread": ONE_THREAD,
  "receipt-ignored": [
    {
      file: "session/outbox.js",
      from: "receipt(now, receipt) {",
      to: "receipt(now, receipt) { return undefined;",
    },
  ],
  "report-forgotten": [
    {
      file: "session/outbox.js",
      from: "has(key) {",
      to: "has(key) { return [...(this.#of.get(key)?.values() ?? [])].some((kept) => !kept.inFlight);",
    },
    {
      file: "session/outbox.js",
      from: "sendAllAgain() {",
      to: "sendAllAgain() { return;",
    },
  ],
  "cancellation-ignored": [
    {
      file: "agent/runner.js",
      from: "stop(key, reason) {",
      to: "stop(key, reason) { return;",
    },
  ],
  "assignment-run-twice": [
    {
      file: "session/attempts.js",
      from: "if (lease === undefined || this.#attempts.has(key)) {",
      to: "if (lease === undefined) {",
    },
  ],
  "child-key-per-attempt": [
    {
      file: "agent/children.js",
      from: "const occurrence = this.#begun.next(name);",
      to: "const occurrence = this.#begun.next(name) + this.#claim.attempt - 1;",
    },
  ],
  "slot-held-while-waiting": [
    {
      file: "session/waits.js",
      from: "#report({ lease }, kind) {",
      to: "#report({ lease }, kind) { if (kind === 'pause') { return 0n; }",
    },
  ],
  "runs-not-asked-again": [
    {
      file: "client/runs.js",
      from: "#sendAllAgain() {",
      to: "#sendAllAgain() { return;",
    },
  ],
  "silent-while-draining": [
    {
      file: "session/session.js",
      from: "earliest(this.#link.heartbeatAt(),",
      to: "earliest(this.#drain === undefined ? this.#link.heartbeatAt() : undefined,",
    },
    {
      file: "session/session.js",
      from: "now < this.#link.heartbeatAt()",
      to: "this.#drain !== undefined || now < this.#link.heartbeatAt()",
    },
  ],
  "no-reattach": [
    {
      file: "session/session.js",
      from: "disconnected(now, error) {",
      to: 'disconnected(now, error) { if (this.state !== "stopped") { this.#end(error); } return;',
    },
  ],
};

/** Their names. */
export const NAMES: readonly string[] = Object.keys(DEFECTS);

/** Whether there is a defect of this name. */
export function isDefect(name: string): boolean {
  return Object.hasOwn(DEFECTS, name);
}

/** Makes a copy with the defect, which is removed when the process ends; gives its `main.js`. */
export function plant(name: string): URL {
  // This file is `build/conformance/defects.js`. The copy is in `build`, from where its dependencies are found.
  const sdk = fileURLToPath(new URL("../../", import.meta.url));
  const copy = mkdtempSync(join(sdk, "build/defect-"));
  process.on("exit", () => {
    rmSync(copy, { recursive: true, force: true });
  });
  for (const part of ["package.json", "dist"]) {
    cpSync(join(sdk, part), join(copy, part), { recursive: true });
  }
  cpSync(fileURLToPath(new URL("./", import.meta.url)), join(copy, "conformance"), { recursive: true });
  for (const [path, text] of patched(name, join(copy, "dist"))) {
    writeFileSync(path, text);
  }
  return pathToFileURL(join(copy, "conformance/main.js"));
}

/** The files in `dist` that a defect changes, as they are to be. Throws when the SDK is not any more what it patches. */
export function patched(name: string, dist: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const { file, from, to } of DEFECTS[name] ?? []) {
    const path = join(dist, file);
    const [before, after, ...more] = (files.get(path) ?? readFileSync(path, "utf8")).split(from);
    if (before === undefined || after === undefined || more.length > 0) {
      throw new Error(`${name}: ${file} doesn't have ${JSON.stringify(from)} just once: the SDK has changed`);
    }
    files.set(path, before + to + after);
  }
  return files;
}
