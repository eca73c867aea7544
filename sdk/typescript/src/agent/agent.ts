import { randomBytes, randomUUID } from "node:crypto";

import { create, toBinary } from "@bufbuild/protobuf";

import { type AgentProfile, AgentProfileSchema } from "../_gen/callboard/v1/agent_pb.js";
import { stringList } from "../convert.js";
import { type Credentials, resolveCredentials } from "../credentials.js";
import type { Interceptor } from "../interceptors/interceptor.js";
import {
  type Address,
  type HostPort,
  resolveAddresses,
  resolveAgentName,
  resolveHealth,
  resolveNamespace,
} from "../settings.js";
import { Connections } from "../transport.js";
import { VERSION } from "../version.js";
import { type Handler, type HandlerOptions, type MessageHandler, register, type Registered } from "./handlers.js";
import { Live } from "./live.js";
import { type AgentOptions, type Logger, quietLogger } from "./options.js";
import { withSignals } from "./signals.js";

/** How an agent is run. */
export interface RunOptions {
  /** Whether SIGTERM and SIGINT drain the agent, and a second one ends it at once. Default true. */
  readonly handleSignals?: boolean | undefined;
}

/**
 * An agent: give it handlers with `task`, then `run` it.
 *
 * Handlers run on the thread that made the agent. Its connection lives on a thread of its own: a handler may block the event
 * loop or burn its processor, and keeps its lease.
 */
export class Agent {
  /** Its name, unique in its namespace. */
  readonly name: string;
  /** Its namespace. */
  readonly namespace: string;
  readonly #addresses: readonly [Address, ...Address[]];
  readonly #credentials: Credentials;
  readonly #drainTimeout: number;
  readonly #health: HostPort | undefined;
  readonly #interceptors: readonly Interceptor[];
  readonly #logger: Logger;
  readonly #profile: AgentProfile;
  readonly #handlers = new Map<string, Registered>();
  #onMessage: MessageHandler | undefined;
  #live: Live | undefined;

  /**
   * Describes an agent of a type, `agent` unless said.
   *
   * @throws TypeError or RangeError when an option or variable is wrong, or a token would go unencrypted to another machine.
   */
  constructor(agentType = "agent", options: AgentOptions = {}) {
    const { slots = 1, role = "", buildId = "", drainTimeout = 30_000, logger = quietLogger } = options;
    if (!Number.isInteger(slots) || slots < 1 || slots > 1_000) {
      throw new RangeError(`slots is ${String(slots)}: give 1 to 1,000`);
    }
    if (!(drainTimeout >= 0)) {
      throw new RangeError(`drainTimeout is ${String(drainTimeout)}: give milliseconds, 0 or more`);
    }
    const type = agentType || "agent";
    this.name = resolveAgentName(options.name, type, () => randomBytes(2).toString("hex"));
    this.namespace = resolveNamespace(options.namespace);
    this.#addresses = resolveAddresses(options.address);
    this.#credentials = resolveCredentials(options);
    this.#credentials.check(this.#addresses);
    this.#drainTimeout = drainTimeout;
    this.#health = resolveHealth(options.health);
    this.#interceptors = [...(options.interceptors ?? [])];
    this.#logger = logger;
    this.#profile = create(AgentProfileSchema, {
      name: this.name,
      agentType: type,
      role,
      skills: stringList(options.skills, "skills"),
      tools: stringList(options.tools, "tools"),
      labels: { ...options.labels },
      resources: { ...options.resources },
      slots,
      sdk: "typescript",
      sdkVersion: VERSION,
      buildId,
    });
  }

  /**
   * Registers the handler of a task type; `*` takes any that no other handler takes. What the handler returns, or resolves
   * to, is the result; what it throws fails the attempt. Its types are those of the schemas `input` and `output`, if given.
   *
   * @throws TypeError when the type has a handler already, the agent has started, or an option is wrong.
   */
  task<I = unknown, O = unknown>(
    type: string,
    handler: Handler<I, NoInfer<O>>,
    options: HandlerOptions<I, O> = {},
  ): this {
    this.#checkNotStarted();
    if (this.#handlers.has(type)) {
      throw new TypeError(`the task type ${JSON.stringify(type)} has a handler already`);
    }
    const warn = (text: string): void => {
      this.#logger.warn(`callboard: ${text}`);
    };
    this.#handlers.set(type, register(type, handler, options, warn));
    return this;
  }

  /**
   * Registers the handler of the messages in the agent's mailbox; `context.send` answers. Messages are handled one at a time,
   * in their order. One is acknowledged when its handler returned, or resolved; when it threw, it comes again after a while,
   * five times in all, and later ones of its sender wait. It may also come again after a crash: deduplicate by `message.id`
   * what must not happen twice.
   *
   * @throws TypeError when there is one already, or the agent has started.
   */
  onMessage(handler: MessageHandler): this {
    this.#checkNotStarted();
    if (this.#onMessage !== undefined) {
      throw new TypeError("the agent has a handler of messages already");
    }
    this.#onMessage = handler;
    return this;
  }

  /**
   * Runs the agent until it is drained or stopped. SIGTERM and SIGINT drain it, a second one ends it at once.
   *
   * @throws StatusError when the server won't have it and trying again can't help; CallboardError, before anything else,
   * when `health` can't be listened at.
   */
  async run(options: RunOptions = {}): Promise<void> {
    this.start();
    const live = this.#started();
    const ended = this.wait();
    if (options.handleSignals === false) {
      await ended;
      return;
    }
    const first = (signal: NodeJS.Signals): void => {
      this.#logger.info(`callboard: draining: got ${signal}`);
      live.drain(undefined);
    };
    const further = (): void => {
      live.stop();
    };
    await withSignals(first, further, ended);
  }

  /**
   * Starts the agent and returns. An agent starts once; it keeps the program from ending until it has ended. `waitAttached`
   * and `wait` tell what it ended with: also when `health` can't be listened at, for then it doesn't attach.
   *
   * @throws TypeError when it has no handlers, or has started already.
   */
  start(): void {
    if (this.#live !== undefined) {
      throw new TypeError("the agent has started already: make another");
    }
    if (this.#handlers.size === 0) {
      throw new TypeError("the agent has no handlers: add one with agent.task(type, handler)");
    }
    this.#profile.handles = [...this.#handlers.values()].map((registered) => registered.wire);
    this.#live = new Live({
      data: {
        namespace: this.namespace,
        profile: toBinary(AgentProfileSchema, this.#profile),
        addresses: this.#addresses,
        drainTimeout: this.#drainTimeout,
        // The same each time that this agent attaches: it tells an agent that comes back from another program.
        instanceId: randomUUID(),
        takesMessages: this.#onMessage !== undefined,
        credentials: this.#credentials.parts,
        health: this.#health,
      },
      handlers: this.#handlers,
      onMessage: this.#onMessage,
      connections: new Connections(this.#addresses, this.#credentials),
      interceptors: this.#interceptors,
      agent: this.name,
      logger: this.#logger,
    });
  }

  /** Whether its stream is open now. */
  get attached(): boolean {
    return this.#live?.status.attached ?? false;
  }

  /** Where it answers probes, as `host:port`: from before it attaches until it has ended, with the `health` option. */
  get healthAddress(): string | undefined {
    return this.#live?.healthAddress;
  }

  /** Its id; empty before it was first attached. */
  get agentId(): string {
    return this.#live?.status.agentId ?? "";
  }

  /** The epoch of its latest session; 0 before it was first attached. */
  get sessionEpoch(): number {
    return this.#live?.status.epoch ?? 0;
  }

  /**
   * Waits until its stream is open, so many milliseconds or for ever; false when the time is over before, or it has ended.
   *
   * @throws StatusError or another CallboardError: what ended the agent, if an error did.
   */
  async waitAttached(timeout?: number): Promise<boolean> {
    const live = this.#started();
    await live.until(() => live.status.attached || live.outcome !== undefined, timeout);
    if (live.outcome?.error !== undefined) {
      throw live.outcome.error;
    }
    return live.status.attached;
  }

  /**
   * Takes nothing new and ends when what runs is done; what still runs after so many milliseconds (`drainTimeout` unless said)
   * is handed back. Returns at once: `wait` waits for the end.
   */
  drain(timeout?: number): void {
    this.#started().drain(timeout);
  }

  /** Ends at once, and resolves when it has. The server gives what was running to others. */
  async stop(): Promise<void> {
    this.#started().stop();
    await this.wait();
  }

  /**
   * Waits for the end, so many milliseconds or for ever; false when the time is over before.
   *
   * @throws StatusError or another CallboardError: what ended the agent, if an error did.
   */
  async wait(timeout?: number): Promise<boolean> {
    const live = this.#started();
    const hasEnded = await live.until(() => live.outcome !== undefined, timeout);
    if (live.outcome?.error !== undefined) {
      throw live.outcome.error;
    }
    return hasEnded;
  }

  #checkNotStarted(): void {
    if (this.#live !== undefined) {
      throw new TypeError("the agent has started: register all handlers before");
    }
  }

  #started(): Live {
    if (this.#live === undefined) {
      throw new TypeError("the agent has not started: call start() or run()");
    }
    return this.#live;
  }
}
