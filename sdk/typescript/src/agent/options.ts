import type { ConnectionOptions } from "../client/options.js";
import type { Interceptor } from "../interceptors/interceptor.js";

/** Where an agent's log goes: the console is one. */
export interface Logger {
  /** What only somebody who looks for a fault wants to know. */
  debug(...what: unknown[]): void;
  /** What is as it should be. */
  info(...what: unknown[]): void;
  /** What may be a fault: an attempt that failed, a stream that broke. */
  warn(...what: unknown[]): void;
  /** What was given up. */
  error(...what: unknown[]): void;
}

/** What an agent is, beside its type and handlers. */
export interface AgentOptions extends ConnectionOptions {
  /** Its name, unique in its namespace. Default `CALLBOARD_AGENT_NAME`, else a unique one is made up. */
  readonly name?: string | undefined;
  /** Its role in the team: `supervisor`. At most 128 bytes. */
  readonly role?: string | undefined;
  /** What it can do. At most 128. */
  readonly skills?: readonly string[] | undefined;
  /** What it can use. At most 128. */
  readonly tools?: readonly string[] | undefined;
  /** Facts to be matched by a task's `affinity` and `antiAffinity`. At most 64. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /**
   * Amounts that it has of resources (`gpu`), by name; what is not named it has none of. Tasks that ask for some take it while
   * they hold a slot. At most 32.
   */
  readonly resources?: Readonly<Record<string, number>> | undefined;
  /** How many tasks it takes at once: 1 to 1,000. Default 1. */
  readonly slots?: number | undefined;
  /** The build of its program, to tell deployments apart. At most 128 bytes. */
  readonly buildId?: string | undefined;
  /**
   * Where it answers probes, as `host:port`: `GET /healthz` is 200 while its connection's thread goes on, `GET /readyz` is
   * 200 while it takes tasks. Port 0 is any free one. Default `CALLBOARD_HEALTH`, else nowhere, as with an empty string.
   */
  readonly health?: string | undefined;
  /** Milliseconds that running handlers may go on while the agent drains. Default 30,000. */
  readonly drainTimeout?: number | undefined;
  /** What stands around every task that it does, and that its handlers submit; the first is the outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Where its log goes. Default: warnings and errors to the console, the rest nowhere. */
  readonly logger?: Logger | undefined;
}

/** Says on the console what somebody should look at. */
export const quietLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (...what) => {
    console.warn(...what);
  },
  error: (...what) => {
    console.error(...what);
  },
};
