import type { TaskReceipt } from "../_gen/callboard/v1/task_pb.js";
import { WorkflowService } from "../_gen/callboard/v1/workflow_service_pb.js";
import { given, optionalTimestamp } from "../convert.js";
import { InvalidArgument, StatusCode } from "../errors.js";
import { forecastFrom, type WorkflowForecast } from "../forecast.js";
import { requestIdOr } from "../ids.js";
import { type Interceptor, submittingAll } from "../interceptors/interceptor.js";
import { type Receipt, receiptFrom, Task } from "../models.js";
import { callOf } from "../transport.js";
import {
  type AddedTask,
  type Workflow,
  workflowFrom,
  workflowIdOf,
  type WorkflowOptions,
  type WorkflowReceipt,
  type WorkflowRef,
  type WorkflowState,
  workflowStateNumber,
  type WorkflowTask,
  workflowTasksToWire,
  workflowToWire,
} from "../workflows.js";
import type { Caller } from "./caller.js";
import type { CallOptions, CommandOptions, PageOptions, WaitOptions } from "./options.js";
import { waitWorkflow } from "./waiting.js";

/** Filters of a list of workflows, combined by AND. */
export interface ListWorkflowsOptions extends PageOptions {
  /** In any of these states; none means all. */
  readonly states?: readonly WorkflowState[] | undefined;
  /** Of this name; empty means any. */
  readonly name?: string | undefined;
  /** Created at or after this time. */
  readonly createdAfter?: Date | undefined;
  /** Created before this time. */
  readonly createdBefore?: Date | undefined;
  /** Whose id ends with these hexadecimal digits, hyphens left out. At least 6. */
  readonly idSuffix?: string | undefined;
}

/** Tasks that are created together and wait for each other: `client.workflows`. */
export class Workflows {
  readonly #caller: Caller;
  readonly #interceptors: readonly Interceptor[];

  /** @internal */
  constructor(caller: Caller, interceptors: readonly Interceptor[]) {
    this.#caller = caller;
    this.#interceptors = interceptors;
  }

  /**
   * Creates a workflow of 1 to 10,000 tasks, together at most 3 MiB, all or none. They stand in any order; they have at most
   * 50,000 dependencies on each other, no more than 1,000 of them behind each other, and no cycle.
   *
   * @throws InvalidArgument, with all that is wrong; also when an interceptor answers for a task by itself.
   */
  async create<Name extends string>(
    name: string,
    tasks: readonly WorkflowTask<Name>[],
    options: WorkflowOptions & CommandOptions = {},
  ): Promise<WorkflowReceipt<Name>> {
    const { namespace } = this.#caller;
    const requestId = requestIdOr(options.requestId);
    let workflowId = "";
    const receipts = await this.#submit<Name, WorkflowTask<Name>>(tasks, async (sent) => {
      const workflow = workflowToWire(name, sent, options);
      const created = await this.#caller.make(
        callOf(WorkflowService.method.createWorkflow, { namespace, workflow, requestId }, (answer) => answer),
        options,
      );
      ({ workflowId } = created);
      return created.receipts;
    });
    return { workflowId, receipts };
  }

  /**
   * Adds 1 to 10,000 tasks to a workflow that runs, all or none, under the limits of `create`; gives their receipts by their
   * names. They may depend on each other and on any of its tasks, also on those that have ended. A handler does so by
   * `context.client` and `context.workflow`.
   *
   * @throws InvalidArgument, with all that is wrong; also when an interceptor answers for a task by itself. FailedPrecondition
   * when the workflow has ended, or is being cancelled.
   */
  add<Name extends string>(
    workflow: WorkflowRef,
    tasks: readonly AddedTask<Name>[],
    options: CommandOptions = {},
  ): Promise<Readonly<Record<Name, Receipt>>> {
    const command = this.#command(workflow, options);
    return this.#submit<Name, AddedTask<Name>>(tasks, (sent) => {
      const request = { ...command, tasks: workflowTasksToWire(sent) };
      return this.#caller.make(
        callOf(WorkflowService.method.addWorkflowTasks, request, (answer) => answer.receipts),
        options,
      );
    });
  }

  /** Sends all of the tasks through the interceptors; gives their receipts by their names. */
  async #submit<Name extends string, T extends AddedTask<Name>>(
    tasks: readonly T[],
    send: (tasks: readonly T[]) => Promise<readonly TaskReceipt[]>,
  ): Promise<Record<Name, Receipt>> {
    let sends = 0;
    const receipts = await submittingAll(this.#interceptors, tasks, async (sent) => {
      if (sent.length < tasks.length) {
        throw notAll();
      }
      const answered = await send(sent);
      sends += 1;
      return answered.map(receiptFrom);
    });
    if (sends === 0) {
      // No interceptor let its task through.
      throw notAll();
    }
    return Object.fromEntries(tasks.map(({ name }, index) => [name, receipts[index]])) as Record<Name, Receipt>;
  }

  /** Gives one workflow. */
  get(workflow: WorkflowRef, options: CallOptions = {}): Promise<Workflow> {
    const request = { namespace: this.#caller.namespace, workflowId: workflowIdOf(workflow) };
    return this.#caller.make(
      callOf(WorkflowService.method.getWorkflow, request, (answer) => workflowFrom(answer.workflow)),
      options,
    );
  }

  /** Gives the workflows that fit all filters, newest first; pages are fetched as needed. */
  list(options: ListWorkflowsOptions = {}): AsyncGenerator<Workflow, void, undefined> {
    const { name = "", idSuffix = "", pageSize = 0 } = options;
    const filters = given({
      namespace: this.#caller.namespace,
      states: (options.states ?? []).map((state) => workflowStateNumber(state, "states")),
      name,
      createdAfter: optionalTimestamp(options.createdAfter, "createdAfter"),
      createdBefore: optionalTimestamp(options.createdBefore, "createdBefore"),
      idSuffix,
      pageSize,
    });
    return this.#caller.pages(
      (pageToken) =>
        callOf(WorkflowService.method.listWorkflows, { ...filters, pageToken }, (answer) => ({
          items: answer.workflows.map(workflowFrom),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /**
   * Gives the tasks of a workflow, without inputs and results: each behind those that it waits for, and children at the end.
   * `workflow` of each says what it is called, `dependencies` what it waits for. Pages are fetched as needed.
   */
  tasks(workflow: WorkflowRef, options: PageOptions = {}): AsyncGenerator<Task, void, undefined> {
    const { pageSize = 0 } = options;
    const request = { namespace: this.#caller.namespace, workflowId: workflowIdOf(workflow), pageSize };
    return this.#caller.pages(
      (pageToken) =>
        callOf(WorkflowService.method.listWorkflowTasks, { ...request, pageToken }, (answer) => ({
          items: answer.tasks.map((task) => new Task(task)),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /**
   * Waits until a workflow has ended, however: its state tells.
   *
   * @throws DeadlineExceeded when the time is over before.
   */
  wait(workflow: WorkflowRef, options: WaitOptions = {}): Promise<Workflow> {
    return waitWorkflow(this.#caller, workflowIdOf(workflow), options);
  }

  /** Cancels all tasks of a workflow that have not ended. One that has ended is left as it is. */
  cancel(workflow: WorkflowRef, reason = "", options: CommandOptions = {}): Promise<Workflow> {
    const request = { ...this.#command(workflow, options), reason };
    return this.#caller.make(
      callOf(WorkflowService.method.cancelWorkflow, request, (answer) => workflowFrom(answer.workflow)),
      options,
    );
  }

  /**
   * Retries a workflow from what failed: each task that FAILED or was CANCELLED and may not, and what was SKIPPED because of
   * it, gets its next run. What completed is kept, and so is a task whose deadline has passed.
   *
   * @throws FailedPrecondition when there is no such task, or the workflow is being cancelled.
   */
  retry(workflow: WorkflowRef, options: CommandOptions = {}): Promise<Workflow> {
    const request = this.#command(workflow, options);
    return this.#caller.make(
      callOf(WorkflowService.method.retryWorkflow, request, (answer) => workflowFrom(answer.workflow)),
      options,
    );
  }

  /**
   * Holds a workflow: none of its tasks that are WAITING or READY is given out, nor are those that are added. What agents have
   * goes on, with its retries and children. One that is held is left as it is.
   *
   * @throws FailedPrecondition when it has ended, or is being cancelled or retried.
   */
  hold(workflow: WorkflowRef, reason = "", options: CommandOptions = {}): Promise<Workflow> {
    const request = { ...this.#command(workflow, options), reason };
    return this.#caller.make(
      callOf(WorkflowService.method.holdWorkflow, request, (answer) => workflowFrom(answer.workflow)),
      options,
    );
  }

  /** Ends the hold of a workflow, and of all its tasks that are held, also of those that were held by themselves. */
  release(workflow: WorkflowRef, options: CommandOptions = {}): Promise<Workflow> {
    const request = this.#command(workflow, options);
    return this.#caller.make(
      callOf(WorkflowService.method.releaseWorkflow, request, (answer) => workflowFrom(answer.workflow)),
      options,
    );
  }

  /**
   * Says when a workflow is expected to end, and which tasks its end waits for.
   *
   * @throws ResourceExhausted for one of more than 20,000 tasks.
   */
  forecast(workflow: WorkflowRef, options: CallOptions = {}): Promise<WorkflowForecast> {
    const request = { namespace: this.#caller.namespace, workflowId: workflowIdOf(workflow) };
    return this.#caller.make(
      callOf(WorkflowService.method.forecastWorkflow, request, (answer) => forecastFrom(answer.forecast)),
      options,
    );
  }

  #command(workflow: WorkflowRef, options: CommandOptions): WorkflowCommand {
    const { namespace } = this.#caller;
    return { namespace, workflowId: workflowIdOf(workflow), requestId: requestIdOr(options.requestId) };
  }
}

function notAll(): InvalidArgument {
  const message = "an interceptor answered for a task of a workflow by itself: all of them are created, or none";
  const violations = [{ field: "interceptors", description: message }];
  return new InvalidArgument(StatusCode.INVALID_ARGUMENT, message, { reason: "INVALID_FIELD", violations });
}

/** What every command on a workflow says. */
interface WorkflowCommand {
  readonly namespace: string;
  readonly workflowId: string;
  readonly requestId: string;
}
