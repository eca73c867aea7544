// Waiting for tasks and workflows to end.

import type { TaskSpec as WireTaskSpec } from "../_gen/callboard/v1/task_pb.js";
import { TaskService } from "../_gen/callboard/v1/task_service_pb.js";
import { WorkflowService } from "../_gen/callboard/v1/workflow_service_pb.js";
import { duration } from "../convert.js";
import { DeadlineExceeded, StatusCode } from "../errors.js";
import { Task } from "../models.js";
import { Backoff } from "../retry.js";
import { specToWire, type TaskSpec } from "../spec.js";
import { type Call, callOf, sleepUntil } from "../transport.js";
import { type Workflow, workflowFrom } from "../workflows.js";
import type { Caller } from "./caller.js";
import type { WaitOptions } from "./options.js";
import type { RunStream } from "./run-stream.js";

/** Milliseconds that one call waits; waits that last longer are made of several. */
const WAIT = 30_000;
/** Milliseconds that a call may take beyond its wait. */
export const MORE = 30_000;

/** Waits until the task has ended; DeadlineExceeded when the timeout is over before. */
export function wait(caller: Caller, taskId: string, options: WaitOptions): Promise<Task> {
  return waitForTask(caller, taskId, deadlineOf(options), options.signal);
}

/** Creates a task and waits for its end: over the stream, or by calls where that can't be. */
export async function run(
  caller: Caller,
  stream: RunStream,
  spec: TaskSpec,
  requestId: string,
  options: WaitOptions,
): Promise<Task> {
  const deadline = deadlineOf(options);
  const task = specToWire(spec);
  const ended = await stream.run(requestId, task, deadline, options.signal);
  return ended === undefined ? runByCalls(caller, task, requestId, deadline, options.signal) : new Task(ended);
}

async function runByCalls(
  caller: Caller,
  spec: WireTaskSpec,
  requestId: string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Task> {
  const part = partOf(deadline);
  const request = { namespace: caller.namespace, task: spec, requestId, wait: duration(part, "timeout") };
  const call = callOf(TaskService.method.runTask, request, (answer) => taskOf(answer.task));
  const task = await caller.connections.unary(call, part + MORE, signal);
  return task.ended ? task : waitForTask(caller, task.id, deadline, signal);
}

/** What a call that waits answers. */
interface Waited<T> {
  /** What is waited for, as it is now. */
  readonly now: T;
  readonly ended: boolean;
}

function waitForTask(caller: Caller, taskId: string, deadline: number, signal: AbortSignal | undefined): Promise<Task> {
  const call = (part: number): Call<Waited<Task>> => {
    const request = { namespace: caller.namespace, taskId, wait: duration(part, "timeout") };
    return callOf(TaskService.method.waitTask, request, (answer) => {
      const task = taskOf(answer.task);
      return { now: task, ended: task.ended };
    });
  };
  const late = ({ state }: Task): string => `task ${taskId} had not ended in time: it is ${state}`;
  return waitUntil(caller, call, late, deadline, signal);
}

/** Waits until the workflow has ended; DeadlineExceeded when the timeout is over before. */
export function waitWorkflow(caller: Caller, workflowId: string, options: WaitOptions): Promise<Workflow> {
  const call = (part: number): Call<Waited<Workflow>> => {
    const request = { namespace: caller.namespace, workflowId, wait: duration(part, "timeout") };
    return callOf(WorkflowService.method.waitWorkflow, request, ({ workflow, ended }) => {
      return { now: workflowFrom(workflow), ended };
    });
  };
  const late = ({ tasks, openTasks }: Workflow): string =>
    `workflow ${workflowId} had not ended in time: of its ${String(tasks)} tasks ${String(openTasks)} are open`;
  return waitUntil(caller, call, late, deadlineOf(options), options.signal);
}

/** Makes a call that waits again and again until it answers that the end has come. */
async function waitUntil<T>(
  caller: Caller,
  call: (part: number) => Call<Waited<T>>,
  late: (now: T) => string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const backoff = new Backoff(Math.random);
  for (;;) {
    const part = partOf(deadline);
    const asked = performance.now();
    const found = await caller.connections.unary(call(part), part + MORE, signal);
    if (found.ended) {
      return found.now;
    }
    const now = performance.now();
    if (now >= deadline) {
      throw new DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, late(found.now));
    }
    if (now - asked < part / 2) {
      // A server that answers early, because it drains say, must not be asked in a tight loop.
      await sleepUntil(Math.min(backoff.delay(), partOf(deadline)), signal);
    } else {
      backoff.reset();
    }
  }
}

function taskOf(wire: Task["proto"] | undefined): Task {
  if (wire === undefined) {
    throw new TypeError("the server answered without a task");
  }
  return new Task(wire);
}

function deadlineOf({ timeout }: WaitOptions): number {
  return timeout === undefined ? Infinity : performance.now() + timeout;
}

function partOf(deadline: number): number {
  return Math.min(WAIT, Math.max(0, deadline - performance.now()));
}
