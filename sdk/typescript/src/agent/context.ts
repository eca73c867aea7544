import type { Assignment, Progress } from "../_gen/callboard/v1/agent_pb.js";
import type { MessageSend } from "../_gen/callboard/v1/message_pb.js";
import type { Client } from "../client/client.js";
import { progressOf } from "../client/claims.js";
import type { ResultOptions } from "../client/options.js";
import { date } from "../convert.js";
import { type MessageOptions, type MessageReceipt, messageSend } from "../messages.js";
import { type DependencyResult, type Task, type WorkflowLink, workflowLinkFrom } from "../models.js";
import { decode, encode, type Payload, textPayload } from "../payload.js";
import { orCancelled } from "./cancelled.js";
import type { Child, Children, StartChildOptions } from "./children.js";
import type { WaitChildrenOptions } from "./ends.js";
import type { Output } from "./output.js";
import type { StepOptions, Steps } from "./steps.js";
import type { Stop } from "./stop.js";

/** How a handler reaches the server. @internal */
export interface Link {
  /** A client of the agent's server and namespace. */
  readonly client: Client;
  /** Sends a message; resolves when it is committed. */
  send(send: MessageSend): Promise<MessageReceipt>;
}

/** What carries the reports of one handler. @internal */
export interface Reporter extends Link {
  /** Tells how far the handler is. */
  progress(progress: Progress): void;
  /** Saves a checkpoint; resolves when it is committed. */
  checkpoint(data: Payload): Promise<void>;
}

/** What a message may have beside its body when a handler sends it. */
export interface SendOptions extends MessageOptions {
  /** Makes a repetition by a later attempt safe: at most 128 characters, remembered for 24 h. Made up unless given. */
  readonly requestId?: string | undefined;
}

/** What the contexts of both kinds of handlers have. */
class HandlerContext {
  readonly #link: Link;
  readonly #stop: Stop;

  /** @internal */
  constructor(link: Link, stop: Stop) {
    this.#link = link;
    this.#stop = stop;
  }

  /** Aborted once the handler is to stop; its reason is a {@link Cancelled}. Pass it on to all that takes a signal. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether the handler is to stop. */
  get cancelled(): boolean {
    return this.#stop.isAsked;
  }

  /** A client of the agent's server and namespace, as the agent's principal. It ends with the agent. */
  get client(): Client {
    return this.#link.client;
  }

  /**
   * Sends a message as this agent; it is durable when this resolves. Throws {@link Cancelled} when the handler is to stop.
   *
   * @throws NotFound when the recipient is unknown, ResourceExhausted when its mailbox is full.
   */
  async send(to: string, body: unknown = "", options: SendOptions = {}): Promise<MessageReceipt> {
    this.signal.throwIfAborted();
    return orCancelled(this.signal, this.#link.send(messageSend(to, body, options)));
  }
}

/** What a handler says, and how. @internal */
export interface Voice {
  readonly reporter: Reporter;
  readonly steps: Steps;
  readonly children: Children;
  readonly output: Output;
}

/** What a handler gets besides its input. */
export class Context extends HandlerContext {
  /** The task. */
  readonly taskId: string;
  /** The attempt's number; goes on rising across runs. */
  readonly attempt: number;
  /** The run that the attempt belongs to. */
  readonly run: number;
  /** How many attempts of this run were used up before this one. */
  readonly attemptsUsed: number;
  /** The namespace. */
  readonly namespace: string;
  /** The agent's name. */
  readonly agent: string;
  /** The task type. */
  readonly type: string;
  /** What the task is about, for people. */
  readonly description: string;
  /** What is carried to every attempt and child: trace context. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the application keeps with the task. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The input as it came. */
  readonly payload: Payload;
  /** What workflow the task is of, if it is of one: `client.workflows` takes it, to add tasks, say. */
  readonly workflow: WorkflowLink | undefined;
  /** How the tasks ended that this one depends on, in order. */
  readonly dependencies: readonly DependencyResult[];
  readonly #checkpoint: Payload | undefined;
  readonly #voice: Voice;
  #deadline: Date | undefined;

  /** @internal */
  constructor(
    assignment: Assignment,
    agent: string,
    dependencies: readonly DependencyResult[],
    voice: Voice,
    stop: Stop,
  ) {
    super(voice.reporter, stop);
    const { spec, attempt } = assignment;
    this.taskId = attempt?.taskId ?? "";
    this.attempt = attempt?.attempt ?? 0;
    this.run = assignment.run;
    this.attemptsUsed = assignment.attemptsUsed;
    this.namespace = assignment.namespace;
    this.agent = agent;
    this.type = spec?.type ?? "";
    this.description = spec?.description ?? "";
    this.headers = spec?.headers ?? {};
    this.metadata = spec?.metadata ?? {};
    this.#deadline = date(assignment.deadline);
    this.payload = spec?.input ?? textPayload("");
    this.workflow = workflowLinkFrom(assignment.workflow);
    this.dependencies = dependencies;
    this.#checkpoint = assignment.checkpoint;
    this.#voice = voice;
  }

  /** When the attempt times out. Time in which it waits for children doesn't count: then it comes later. */
  get deadline(): Date | undefined {
    return this.#deadline;
  }

  /** @internal */
  set deadline(deadline: Date | undefined) {
    this.#deadline = deadline;
  }

  /**
   * How the task ended that this one depends on by this name.
   *
   * @throws RangeError, naming those that there are, when none is called so.
   */
  dependency(name: string): DependencyResult {
    const named = this.dependencies.filter((one) => one.name !== "");
    const found = named.find((one) => one.name === name);
    if (found === undefined) {
      const names = named.map((one) => JSON.stringify(one.name)).join(", ");
      const known = names === "" ? "none has a name" : `there are ${names}`;
      throw new RangeError(`no dependency is called ${JSON.stringify(name)}: ${known}`);
    }
    return found;
  }

  /** What the last attempt saved, decoded; undefined if it saved nothing. */
  get checkpoint(): unknown {
    return this.#checkpoint === undefined ? undefined : decode(this.#checkpoint);
  }

  /**
   * Tells how far the work is: a fraction from 0 to 1, a phase (`reasoning`, `executing`, `validating`, or any short word
   * of at most 128 bytes), a message for people. Never waits; at most ten a second are sent, the latest wins.
   *
   * @throws RangeError when the fraction or the phase would be refused.
   */
  progress(fraction?: number, phase = "", message = ""): void {
    this.#voice.reporter.progress(progressOf(fraction, phase, message));
  }

  /**
   * Saves what the next attempt is to begin from; resolves when it is committed. Throws {@link Cancelled} when the handler
   * is to stop, for then it isn't needed any more.
   *
   * @throws InvalidArgument when the value can't be sent, FailedPrecondition when the server refuses it.
   */
  async saveCheckpoint(value: unknown): Promise<void> {
    this.signal.throwIfAborted();
    return orCancelled(this.signal, this.#voice.reporter.checkpoint(encode(value, "checkpoint")));
  }

  /**
   * Does a part of the work once for all attempts of the run, as far as that can be: calls the function, has what it
   * returned, or resolved to, recorded, and resolves to that when it is committed. An attempt that comes to the same step
   * later, because this one crashed, say, is given the result, and the function isn't called.
   *
   * A step is told from others by its name, of 1 to 128 bytes, and by how many steps of that name the attempt began
   * before: a loop may use one name, while its steps begin in the same order in every attempt. Steps of one attempt may run
   * beside each other, but not within each other. What is given back is what was recorded: a Date comes as a string, say.
   * Whoever changes what a step gives changes its name.
   *
   * What the function throws is thrown, and nothing is recorded. A function whose result was not recorded any more before a
   * crash is called again. A handler that is to stop may go on with steps while it has its lease.
   *
   * @throws InvalidArgument when the name or the result can't be sent, or the step begins within another; ResourceExhausted
   * when the run has 1,000 steps, or 16 MiB of their results; AlreadyExists when another result is recorded;
   * FailedPrecondition when the attempt is lost, or the server takes no steps; CallboardError when the recorded result can't
   * be read; and what calls throw, when what is recorded has to be fetched.
   */
  step<T>(name: string, work: () => T | Promise<T>, options: StepOptions<T> = {}): Promise<T> {
    return this.#voice.steps.run(name, work, options.parse);
  }

  /**
   * Creates a task of this run, a child, with the options of `client.create`; resolves when that is committed. An attempt
   * that comes to the same child later is given the one that is there. A child is told from others by its name, which is
   * its type unless `name` says another, and by how many children of that name the attempt began before: as steps are.
   *
   * When the run ends, children that have not are cancelled, unless `onParentEnd` is `DETACH`.
   *
   * @throws InvalidArgument when the name or the input can't be sent, or the child begins within a step; ResourceExhausted
   * when the run has 1,000 children; AlreadyExists when the child that is there has another type; FailedPrecondition when
   * the attempt is lost, or the server takes no children.
   */
  startChild(type: string, input: unknown = "", options: StartChildOptions = {}): Promise<Child> {
    return this.#voice.children.start(type, input, options);
  }

  /**
   * Creates a child, waits for its end, and gives its result, decoded, or what `parse` makes of it: {@link startChild} and
   * `result` in one. The attempt has no slot while it waits, so that its agent can do the child.
   *
   * @throws TaskFailed when it did not complete; and what the two throw.
   */
  async runChild<T = unknown>(
    type: string,
    input: unknown = "",
    options: StartChildOptions & ResultOptions<T> = {},
  ): Promise<NoInfer<T>> {
    const { timeout, signal, parse, ...spec } = options;
    const child = await this.startChild(type, input, spec);
    return child.result({ timeout, signal, parse });
  }

  /**
   * Waits until `count` of these children have completed, all of them unless you say how many, and gives the tasks of those
   * that have by then, in the order in which they were given. The attempt has no slot meanwhile. What becomes of those that
   * have not ended says `rest`, also when this throws because too many ended badly; when it throws because the time is over,
   * the signal is aborted or the handler is to stop, they go on, and may be waited for again.
   *
   * @throws TaskFailed, of the first of them that ended badly, as soon as so many can't complete any more, or NotFound when that
   * one was forgotten; InvalidArgument when `count` is below 1 or above the number of children, or a child stands there twice;
   * what `child.wait` throws; and, with a `rest` of CANCEL, what `client.cancel` throws.
   */
  waitChildren(children: Iterable<Child>, options: WaitChildrenOptions = {}): Promise<Task[]> {
    return this.#voice.children.ends.ofSome([...children], options);
  }

  /**
   * Gives a piece of output, which is kept and which others can watch while the handler works: tokens, lines of a log,
   * partial results. Text and bytes are joined and divided as fits; who reads them joins the pieces. Resolves at once,
   * unless 1 MiB waits to be sent: wait for it. Throws {@link Cancelled} when the handler is to stop.
   *
   * @throws InvalidArgument when the value can't be sent: text and bytes have at most 1 MiB, others 64 KiB;
   * ResourceExhausted when the run's output is at its limit; FailedPrecondition when the server takes no output.
   */
  async output(value: unknown): Promise<void> {
    this.signal.throwIfAborted();
    return orCancelled(this.signal, this.#voice.output.give(value));
  }
}

/** What a message handler gets besides the message. */
export class MessageContext extends HandlerContext {}
