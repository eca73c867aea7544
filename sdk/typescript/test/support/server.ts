// A real `callboard serve`, on a port and in a directory of its own, and the identities that it reads.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** The repository. */
export const REPOSITORY = fileURLToPath(new URL("../../../../../", import.meta.url));
/** Milliseconds that a server may take to listen. */
const PATIENCE = 30_000;

/** The environment without a developer's own settings, such as the address of a server. */
export const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("CALLBOARD_") && name !== "RUST_LOG"),
);
const named = process.env["CALLBOARD_BIN"];
for (const name of Object.keys(process.env).filter((one) => one.startsWith("CALLBOARD_"))) {
  Reflect.deleteProperty(process.env, name);
}

/** The `callboard` binary: the one that CALLBOARD_BIN names, or the repository's, brought up to date. */
function findCallboard(): string {
  if (named === undefined || named === "") {
    execFileSync("cargo", ["build", "--quiet", "--package", "callboard-cli"], { cwd: REPOSITORY, stdio: "inherit" });
    const target = process.env["CARGO_TARGET_DIR"] ?? join(REPOSITORY, "target");
    return join(target, "debug", process.platform === "win32" ? "callboard.exe" : "callboard");
  }
  if (!existsSync(named)) {
    throw new Error(`CALLBOARD_BIN: ${named} is not a file; build it, or unset the variable`);
  }
  return named;
}

let callboard: string | undefined;

/** A directory that is removed with the test, or whatever cleans up after itself. */
export function directory(t: Pick<TestContext, "after">): string {
  const path = mkdtempSync(join(tmpdir(), "callboard-test-"));
  t.after(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

/** A server process. */
export class Server {
  readonly #directory: string;
  readonly #arguments: readonly string[];
  #process: ChildProcess | undefined;
  #port = "0";
  address = "";

  constructor(directory: string, args: readonly string[]) {
    this.#directory = directory;
    this.#arguments = args;
  }

  /** Starts it, on the same port and file as before, and waits until it listens. */
  async start(): Promise<void> {
    callboard ??= findCallboard();
    const database = `sqlite://${join(this.#directory, "callboard.db")}`;
    const log = openSync(join(this.#directory, "server.log"), "a");
    const listen = `127.0.0.1:${this.#port}`;
    const started = spawn(callboard, ["serve", "--listen", listen, "--database", database, ...this.#arguments], {
      cwd: this.#directory,
      env: environment,
      stdio: ["ignore", "pipe", log],
    });
    closeSync(log);
    this.#process = started;
    const said = await this.#firstLine(started);
    if (!said.startsWith("listening on ")) {
      started.kill("SIGKILL");
      throw new Error(`the server said ${JSON.stringify(said)}, not where it listens; its log:\n${this.log()}`);
    }
    this.address = said.replace("listening on ", "");
    this.#port = this.address.split(":").at(-1) ?? "0";
  }

  async #firstLine(started: ChildProcess): Promise<string> {
    if (started.stdout === null) {
      throw new Error("the server has no output");
    }
    const late = setTimeout(() => started.kill("SIGKILL"), PATIENCE);
    const lines = createInterface({ input: started.stdout });
    try {
      for await (const line of lines) {
        return line.trim();
      }
      return "";
    } finally {
      clearTimeout(late);
    }
  }

  /** Ends it at once. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Asks it to end, and waits until it has. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running?.exitCode === null && running.signalCode === null) {
      const exit = once(running, "exit");
      running.kill(signal);
      await exit;
    }
  }

  /** What it has logged. */
  log(): string {
    return readFileSync(join(this.#directory, "server.log"), "utf8");
  }
}

/** Starts a server with the arguments given; it ends with the test. */
export async function serve(t: Pick<TestContext, "after">, ...args: readonly string[]): Promise<Server> {
  const server = new Server(directory(t), args);
  t.after(() => server.stop());
  await server.start();
  return server;
}

let tokens = 0;

/** An identity file; a server that reads it takes what changes without a restart. */
export class Identities {
  readonly path: string;
  readonly #entries = new Map<string, string>();

  constructor(t: TestContext) {
    this.path = join(directory(t), "identities.toml");
    this.#write();
  }

  /** Adds a token, which is unique, and gives it. */
  token(principal: string, roles: readonly string[], namespaces: readonly string[] | string = ["default"]): string {
    tokens += 1;
    const token = `callboard_${String(tokens).padStart(43, "0")}`;
    const digest = createHash("sha256").update(token).digest("hex");
    this.#add(token, "token", principal, `sha256 = "${digest}"`, roles, namespaces);
    return token;
  }

  /** Adds a client certificate by one of its names. */
  certificate(principal: string, name: string, roles: readonly string[]): void {
    this.#add(name, "certificate", principal, `name = ${JSON.stringify(name)}`, roles, ["default"]);
  }

  /** Removes a token, or a certificate by its name. */
  revoke(entry: string): void {
    this.#entries.delete(entry);
    this.#write();
  }

  #add(
    entry: string,
    kind: string,
    principal: string,
    what: string,
    roles: readonly string[],
    namespaces: readonly string[] | string,
  ): void {
    // Strings and lists of JSON are the same in TOML.
    const lines = [`[[${kind}]]`, `principal = ${JSON.stringify(principal)}`, what];
    lines.push(`roles = ${JSON.stringify(roles)}`, `namespaces = ${JSON.stringify(namespaces)}`);
    this.#entries.set(entry, lines.join("\n"));
    this.#write();
  }

  #write(): void {
    // As programs should: nobody reads half of it.
    writeFileSync(`${this.path}.new`, `${[...this.#entries.values()].join("\n\n")}\n`);
    renameSync(`${this.path}.new`, this.path);
  }
}
