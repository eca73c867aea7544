// One call of a handler: what a program can look at, and what it has seen.

import type { Child, Client, Context, Message, MessageContext, Payload, WorkflowLink } from "callboard";

import { dependencyLine } from "./answers.js";
import { Fault } from "./fault.js";
import type { Stage } from "./stage.js";
import { lineOf } from "./values.js";

/** What both kinds of handlers have. */
export abstract class Handling {
  readonly stage: Stage;
  readonly context: Context | MessageContext;
  /** What the handler was given, decoded. */
  abstract readonly input: unknown;
  /** The same as it came. */
  abstract readonly payload: Payload | undefined;
  /** What `see` and `call` gathered, by name. */
  readonly seen: Record<string, unknown> = {};
  /** What is counted: attempts, or how often this message was delivered. */
  abstract readonly counted: "attempt" | "delivery";
  /** Which of them this is. */
  abstract readonly number: number;
  /** What tells this call from others, in observations. */
  abstract readonly identity: Readonly<Record<string, unknown>>;
  /** What the context tells, by the names that `see` knows. */
  protected abstract readonly views: Readonly<Record<string, () => unknown>>;

  constructor(stage: Stage, context: Context | MessageContext) {
    this.stage = stage;
    this.context = context;
  }

  get signal(): AbortSignal {
    return this.context.signal;
  }

  get client(): Client {
    return this.context.client;
  }

  /** Puts what the context tells under this name into what was seen. */
  see(name: string): void {
    const view = Object.hasOwn(this.views, name) ? this.views[name] : undefined;
    if (view === undefined) {
      throw new Fault(`see: there is no \`${name}\` here`);
    }
    this.seen[name] = lineOf(view());
  }
}

/** A call of a task's handler. */
export class TaskHandling extends Handling {
  readonly input: unknown;
  readonly payload: Payload;
  declare readonly context: Context;
  readonly counted = "attempt";
  readonly number: number;
  readonly identity: Readonly<Record<string, unknown>>;
  readonly #children = new Map<string, Child>();

  constructor(stage: Stage, context: Context, input: unknown) {
    super(stage, context);
    this.input = input;
    this.payload = context.payload;
    this.number = context.attempt;
    this.identity = { task_id: context.taskId, attempt: context.attempt };
  }

  /** Keeps a child that was started, under a name. */
  keep(name: string, child: Child): void {
    this.#children.set(name, child);
  }

  /** The children that were kept under these names. */
  kept(names: readonly string[]): Child[] {
    return names.map((name) => {
      const child = this.#children.get(name);
      if (child === undefined) {
        throw new Fault(`no child \`${name}\` was kept`);
      }
      return child;
    });
  }

  protected readonly views = {
    task_id: (): unknown => this.context.taskId,
    attempt: (): unknown => this.context.attempt,
    run: (): unknown => this.context.run,
    attempts_used: (): unknown => this.context.attemptsUsed,
    type: (): unknown => this.context.type,
    namespace: (): unknown => this.context.namespace,
    headers: (): unknown => this.context.headers,
    metadata: (): unknown => this.context.metadata,
    deadline_at_ms: (): unknown => this.context.deadline?.getTime(),
    input: (): unknown => this.input,
    checkpoint: (): unknown => this.context.checkpoint,
    dependencies: (): unknown => this.context.dependencies.map(dependencyLine),
    workflow: (): unknown => workflowLine(this.context.workflow),
    cancelled: (): unknown => this.context.cancelled,
  };
}

function workflowLine(link: WorkflowLink | undefined): object | null {
  return link === undefined ? null : { workflow_id: link.workflowId, name: link.name };
}

/** A call of the handler of messages. */
export class MessageHandling extends Handling {
  readonly message: Message;
  readonly counted = "delivery";
  readonly input: unknown;
  readonly payload: Payload | undefined;
  readonly number: number;
  readonly identity: Readonly<Record<string, unknown>>;

  constructor(stage: Stage, context: MessageContext, message: Message, delivery: number) {
    super(stage, context);
    this.message = message;
    this.input = message.body;
    this.payload = message.payload;
    this.number = delivery;
    this.identity = { message_id: message.id, delivery };
  }

  protected readonly views = {
    message_id: (): unknown => this.message.id,
    sequence: (): unknown => this.message.sequence,
    from_agent: (): unknown => this.message.agent,
    principal: (): unknown => this.message.principal,
    headers: (): unknown => this.message.headers,
    body: (): unknown => this.message.body,
  };
}
