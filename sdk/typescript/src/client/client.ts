import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { TaskSchema, PrioritySchema, type Task as WireTask, TaskStateSchema } from "../_gen/callboard/v1/task_pb.js";
import { TaskService, UpdateTaskRequestSchema } from "../_gen/callboard/v1/task_service_pb.js";
import { enumNumber, given, optionalTimestamp, stringList, timestamp } from "../convert.js";
import { resolveCredentials } from "../credentials.js";
import { type AssignmentExplanation, explanationFrom } from "../explanations.js";
import { requestIdOr } from "../ids.js";
import { type Interceptor, submitting, submittingAll, type SubmitNext } from "../interceptors/interceptor.js";
import {
  dependencyFrom,
  type DependencyResult,
  eventFrom,
  type Priority,
  type Receipt,
  receiptFrom,
  resultOf,
  Task,
  type TaskEvent,
  type TaskState,
} from "../models.js";
import { childFrom, type ChildInfo, type OutputChunk, type Step, stepFrom } from "../recorded.js";
import { DEFAULT_TIMEOUT, resolveAddresses, resolveNamespace } from "../settings.js";
import {
  dependenciesToWire,
  type DependsOn,
  specToWire,
  taskIdOf,
  type TaskOptions,
  type TaskRef,
  type TaskSpec,
} from "../spec.js";
import { type Call, callOf, Connections } from "../transport.js";
import { Admin } from "./admin.js";
import { Agents } from "./agents.js";
import { Caller } from "./caller.js";
import { createChildCall, type CreateChildOptions } from "./children.js";
import {
  type Claim,
  claimCall,
  type ClaimOptions,
  completeCall,
  type EndOptions,
  failCall,
  heartbeatCall,
  type HeartbeatOptions,
  type Held,
  type Lease,
} from "./claims.js";
import { Messages } from "./messages.js";
import { Namespaces } from "./namespaces.js";
import type { CallOptions, ClientOptions, CommandOptions, PageOptions, ResultOptions, WaitOptions } from "./options.js";
import { type OutputOptions, outputPage, OutputWatch, type OutputWatchOptions } from "./output.js";
import { RunStream } from "./run-stream.js";
import { MORE, run, wait } from "./waiting.js";
import { Watch, type WatchOptions } from "./watch.js";
import { Workflows } from "./workflows.js";

/** Filters of a list of tasks, combined by AND. */
export interface ListOptions extends PageOptions {
  /** Any of these states; none means all. */
  readonly states?: readonly TaskState[] | undefined;
  /** Of this type; empty means any. */
  readonly type?: string | undefined;
  /** With this agent now, or last. */
  readonly agent?: string | undefined;
  /** With this key. */
  readonly key?: string | undefined;
  /** With all of these tags. At most 8. */
  readonly tags?: readonly string[] | undefined;
  /** Created at or after this time. */
  readonly createdAfter?: Date | undefined;
  /** Created before this time. */
  readonly createdBefore?: Date | undefined;
  /** Whose id ends with these hexadecimal digits, hyphens left out. At least 6. */
  readonly idSuffix?: string | undefined;
}

/** Which steps. */
export interface StepListOptions extends PageOptions {
  /** Of this run, from 1. Default the latest. */
  readonly run?: number | undefined;
}

/** Which children. */
export interface ChildListOptions extends PageOptions {
  /** Of this run, from 1. Default the latest. */
  readonly run?: number | undefined;
}

/** What to change of a task. What is left out stays as it is. */
export interface TaskChanges {
  /** How urgent it is. */
  readonly priority?: Priority | undefined;
  /** The only agent that may have it; empty means any. */
  readonly assignee?: string | undefined;
  /** When it fails if it has not ended; null means never. */
  readonly deadline?: Date | null | undefined;
  /** All its tags. */
  readonly tags?: readonly string[] | undefined;
}

/**
 * Submits tasks, follows them and steers them. Every command carries a request id, so every call is safe to retry, and is
 * retried while the server is unavailable, for at most its timeout. Idle connections don't keep a program from ending.
 */
export class Client {
  /** Tasks that are created together and wait for each other. */
  readonly workflows: Workflows;
  /** Looking after agents. */
  readonly agents: Agents;
  /** Looking after namespaces. */
  readonly namespaces: Namespaces;
  /** Messages to agents. */
  readonly messages: Messages;
  /** The server process that answers. */
  readonly admin: Admin;
  readonly #caller: Caller;
  readonly #runs: RunStream;
  readonly #interceptors: readonly Interceptor[];
  readonly #isOwner: boolean;

  /**
   * Connects when it is first needed.
   *
   * @throws TypeError when an option or variable is wrong, or a token would go unencrypted to another machine.
   */
  constructor(options?: ClientOptions);
  /** @internal A client over an agent's connections, which end with the agent. */
  // eslint-disable-next-line @typescript-eslint/unified-signatures -- this one is not for users
  constructor(options: ClientOptions, connections: Connections);
  constructor(options: ClientOptions = {}, connections?: Connections) {
    const { timeout = DEFAULT_TIMEOUT } = options;
    const own = connections ?? new Connections(resolveAddresses(options.address), resolveCredentials(options));
    this.#isOwner = connections === undefined;
    this.#interceptors = [...(options.interceptors ?? [])];
    this.#caller = new Caller(own, resolveNamespace(options.namespace), timeout);
    this.#runs = new RunStream(this.#caller);
    this.workflows = new Workflows(this.#caller, this.#interceptors);
    this.agents = new Agents(this.#caller);
    this.namespaces = new Namespaces(this.#caller);
    this.messages = new Messages(this.#caller);
    this.admin = new Admin(this.#caller);
  }

  /** The namespace that its calls are made in. */
  get namespace(): string {
    return this.#caller.namespace;
  }

  /** Closes the connections; calls and watches that are under way end. */
  close(): void {
    if (this.#isOwner) {
      this.#caller.connections.close();
    }
  }

  /** Closes it, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Creates a task, or gives the live one that has its key. */
  async create(type: string, input: unknown = "", options: TaskOptions & CommandOptions = {}): Promise<Receipt> {
    const requestId = requestIdOr(options.requestId);
    return this.#submit({ ...options, type, input }, (spec) => {
      const request = { namespace: this.namespace, task: specToWire(spec), requestId };
      return this.#make(
        callOf(TaskService.method.createTask, request, (answer) => receiptFrom(answer.receipt)),
        options,
      );
    });
  }

  /** Creates up to 1,000 tasks, all or none. */
  async createAll(tasks: Iterable<TaskSpec>, options: CommandOptions = {}): Promise<Receipt[]> {
    const requestId = requestIdOr(options.requestId);
    const asked = Array.from(tasks, (task) => ({ task }));
    const receipts = await submittingAll(this.#interceptors, asked, (sent) => {
      const request = { namespace: this.namespace, tasks: sent.map(({ task }) => specToWire(task)), requestId };
      return this.#make(
        callOf(TaskService.method.batchCreateTasks, request, (answer) => answer.receipts.map(receiptFrom)),
        options,
      );
    });
    return [...receipts];
  }

  /**
   * Creates a task, waits for its end, and gives its result, decoded, or what `parse` makes of it. The timeout is for the
   * whole; none means for ever.
   *
   * @throws TaskFailed when it did not complete, DeadlineExceeded when the time is over before.
   */
  async run<T = unknown>(
    type: string,
    input: unknown = "",
    options: TaskOptions & ResultOptions<T> & Pick<CommandOptions, "requestId"> = {},
  ): Promise<NoInfer<T>> {
    const requestId = requestIdOr(options.requestId);
    return this.#submit({ ...options, type, input }, async (spec) =>
      resultOf(await run(this.#caller, this.#runs, spec, requestId, options), options),
    );
  }

  /** Gives a task with its input and result. */
  get(task: TaskRef, options: CallOptions = {}): Promise<Task> {
    const request = { namespace: this.namespace, taskId: taskIdOf(task) };
    return this.#make(
      callOf(TaskService.method.getTask, request, (answer) => taskFrom(answer.task)),
      options,
    );
  }

  /** Gives all tasks that fit all filters, newest first, without inputs and results; pages are fetched as needed. */
  list(options: ListOptions = {}): AsyncGenerator<Task, void, undefined> {
    const { type = "", agent = "", key = "", idSuffix = "", pageSize = 0 } = options;
    const filters = given({
      namespace: this.namespace,
      states: (options.states ?? []).map((state) => enumNumber(TaskStateSchema, state, "TASK_STATE_", "states")),
      type,
      agent,
      key,
      tags: stringList(options.tags, "tags"),
      createdAfter: optionalTimestamp(options.createdAfter, "createdAfter"),
      createdBefore: optionalTimestamp(options.createdBefore, "createdBefore"),
      idSuffix,
      pageSize,
    });
    return this.#caller.pages(
      (pageToken) =>
        callOf(TaskService.method.listTasks, { ...filters, pageToken }, (answer) => ({
          items: answer.tasks.map((task) => new Task(task)),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /**
   * Waits until a task has ended, however.
   *
   * @throws DeadlineExceeded when the time is over before.
   */
  wait(task: TaskRef, options: WaitOptions = {}): Promise<Task> {
    return wait(this.#caller, taskIdOf(task), options);
  }

  /**
   * Waits until a task has ended, and gives its result, decoded, or what `parse` makes of it.
   *
   * @throws TaskFailed when it did not complete, DeadlineExceeded when the time is over before.
   */
  async result<T = unknown>(task: TaskRef, options: ResultOptions<T> = {}): Promise<NoInfer<T>> {
    return resultOf(await this.wait(task, options), options);
  }

  /** Cancels a task. One that has ended is left as it is. */
  cancel(task: TaskRef, reason = "", options: CommandOptions = {}): Promise<Receipt> {
    const request = { ...this.#command(task, options), reason };
    return this.#make(
      callOf(TaskService.method.cancelTask, request, (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /** Opens the next run of a task that ended FAILED, CANCELLED or SKIPPED. */
  retry(task: TaskRef, options: CommandOptions = {}): Promise<Receipt> {
    return this.#make(
      callOf(TaskService.method.retryTask, this.#command(task, options), (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /** Keeps a WAITING or READY task from being assigned until it is released. */
  hold(task: TaskRef, reason = "", options: CommandOptions = {}): Promise<Receipt> {
    const request = { ...this.#command(task, options), reason };
    return this.#make(
      callOf(TaskService.method.holdTask, request, (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /** Ends a hold. */
  release(task: TaskRef, options: CommandOptions = {}): Promise<Receipt> {
    return this.#make(
      callOf(TaskService.method.releaseTask, this.#command(task, options), (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /**
   * Says who could have a task now, who could not and why, as placement sees it at this moment. Of a task that is READY that is
   * who gets it next; of any other, who would if it were.
   */
  explain(task: TaskRef, options: CallOptions = {}): Promise<AssignmentExplanation> {
    const request = { namespace: this.namespace, taskId: taskIdOf(task) };
    return this.#make(
      callOf(TaskService.method.explainAssignment, request, (answer) => explanationFrom(answer.explanation)),
      options,
    );
  }

  /** Changes what is given of a live task. */
  async update(task: TaskRef, changes: TaskChanges, options: CommandOptions = {}): Promise<Receipt> {
    const { priority, assignee, deadline, tags } = changes;
    const changed = Object.entries({ priority, assignee, deadline, tags }).filter(([, value]) => value !== undefined);
    const request: MessageInitShape<typeof UpdateTaskRequestSchema> = given({
      ...this.#command(task, options),
      priority: priority === undefined ? undefined : enumNumber(PrioritySchema, priority, "PRIORITY_", "priority"),
      assignee,
      deadline: deadline === undefined || deadline === null ? undefined : timestamp(deadline, "deadline"),
      tags: tags === undefined ? undefined : stringList(tags, "tags"),
      updateMask: { paths: changed.map(([name]) => name) },
    });
    return this.#make(
      callOf(TaskService.method.updateTask, request, (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /**
   * Makes a WAITING task wait for more, as its `dependsOn` would; all of it, or nothing.
   *
   * @throws FailedPrecondition when it doesn't wait any more: hold it, or its workflow, first. InvalidArgument when a task
   * would wait for itself.
   */
  async addDependencies(
    task: TaskRef,
    dependencies: readonly DependsOn[],
    options: CommandOptions = {},
  ): Promise<Receipt> {
    const added = dependenciesToWire(dependencies, "dependencies");
    const request = { ...this.#command(task, options), dependencies: added };
    return this.#make(
      callOf(TaskService.method.addDependencies, request, (answer) => receiptFrom(answer.receipt)),
      options,
    );
  }

  /** Gives the events of a task, oldest first; pages are fetched as needed. */
  history(task: TaskRef, options: PageOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    const request = { namespace: this.namespace, taskId: taskIdOf(task), pageSize: options.pageSize ?? 0 };
    return this.#caller.pages(
      (pageToken) =>
        callOf(TaskService.method.listTaskEvents, { ...request, pageToken }, (answer) => ({
          items: answer.events.map(eventFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Gives how the tasks ended that a task depends on, in the order of its dependencies. */
  dependencyResults(task: TaskRef, options: PageOptions = {}): AsyncGenerator<DependencyResult, void, undefined> {
    const request = { namespace: this.namespace, taskId: taskIdOf(task), pageSize: options.pageSize ?? 0 };
    return this.#caller.pages(
      (pageToken) =>
        callOf(TaskService.method.listDependencyResults, { ...request, pageToken }, (answer) => ({
          items: answer.results.map(dependencyFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Gives the steps that a run of a task recorded, in that order; pages are fetched as needed. */
  steps(task: TaskRef, options: StepListOptions = {}): AsyncGenerator<Step, void, undefined> {
    const { run = 0, pageSize = 0 } = options;
    const request = { namespace: this.namespace, taskId: taskIdOf(task), run, pageSize };
    return this.#caller.pages(
      (pageToken) =>
        callOf(TaskService.method.listSteps, { ...request, pageToken }, (answer) => ({
          items: answer.steps.map(stepFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Gives the children that a run of a task created, in that order; pages are fetched as needed. */
  children(task: TaskRef, options: ChildListOptions = {}): AsyncGenerator<ChildInfo, void, undefined> {
    const { run = 0, pageSize = 0 } = options;
    const request = { namespace: this.namespace, taskId: taskIdOf(task), run, pageSize };
    return this.#caller.pages(
      (pageToken) =>
        callOf(TaskService.method.listChildren, { ...request, pageToken }, (answer) => ({
          items: answer.children.map(childFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Gives what there is of a run's output, in its order; pages are fetched as needed. */
  output(task: TaskRef, options: OutputOptions = {}): AsyncGenerator<OutputChunk, void, undefined> {
    return this.#caller.pages(outputPage(this.namespace, taskIdOf(task), options), options);
  }

  /** Gives a run's output, and what comes, until the run has ended. */
  watchOutput(task: TaskRef, options: OutputWatchOptions = {}): OutputWatch {
    return new OutputWatch(this.#caller, taskIdOf(task), options);
  }

  /**
   * Gives events as they are committed: of a task from its first, of the namespace (without a task) from now, or behind a
   * cursor. With `untilEnded` it stops when the task has ended.
   */
  watch(task?: TaskRef, options: WatchOptions = {}): Watch {
    return new Watch(this.#caller, task === undefined ? "" : taskIdOf(task), options);
  }

  /** Leases tasks of these types to the agent of this name, waiting for one if there is none. */
  async claim(name: string, types: readonly string[], options: ClaimOptions = {}): Promise<Claim[]> {
    const call = claimCall(this.namespace, name, types, options);
    return this.#make(call, { ...options, timeout: options.timeout ?? (options.wait ?? 0) + MORE });
  }

  /** Extends the lease of a claimed task, and reports progress, a checkpoint and steps if given: all of it, or nothing. */
  async heartbeat(claim: Claim, options: HeartbeatOptions & CallOptions = {}): Promise<Lease> {
    return this.#make(heartbeatCall(this.namespace, claim, options), options);
  }

  /** Completes a claimed task, or one that nobody has. */
  async complete(task: Held, result: unknown = "", options: EndOptions = {}): Promise<Receipt> {
    return this.#make(completeCall(this.namespace, task, result, options), options);
  }

  /** Fails a claimed attempt, or a task that nobody has. A TaskError says just how; a string is its message. */
  async fail(task: Held, error: unknown, options: EndOptions = {}): Promise<Receipt> {
    return this.#make(failCall(this.namespace, task, error, options), options);
  }

  /**
   * Creates a child of a claimed task, or gives the one of this name and occurrence that its run has.
   *
   * @throws ResourceExhausted when the run has 1,000 children; AlreadyExists when the child that is there has another type;
   * FailedPrecondition when the claim is lost.
   */
  async createChild(
    parent: Claim,
    type: string,
    input: unknown = "",
    options: TaskOptions & CreateChildOptions = {},
  ): Promise<Receipt> {
    const keyed = { ...options, name: options.name ?? type, requestId: requestIdOr(options.requestId) };
    return this.#submit({ ...options, type, input }, (spec) =>
      this.#make(createChildCall(this.namespace, parent, spec, keyed), options),
    );
  }

  #submit<T>(spec: TaskSpec, last: SubmitNext<T>): Promise<T> {
    return submitting(this.#interceptors, last)(spec);
  }

  #make<T>(call: Call<T>, options: CallOptions): Promise<T> {
    return this.#caller.make(call, options);
  }

  #command(task: TaskRef, options: CommandOptions): { namespace: string; taskId: string; requestId: string } {
    return { namespace: this.namespace, taskId: taskIdOf(task), requestId: requestIdOr(options.requestId) };
  }
}

function taskFrom(wire: WireTask | undefined): Task {
  return new Task(wire ?? create(TaskSchema));
}
