// What the SDK gave, as lines say it.

import type {
  AgentInfo,
  AssignmentCandidate,
  AssignmentChoice,
  AssignmentExplanation,
  ChildInfo,
  Claim,
  DependencyResult,
  Failure,
  Limit,
  LimitUse,
  Message,
  OutputChunk,
  Receipt,
  Task,
  TaskEvent,
  Workflow,
  WorkflowForecast,
} from "callboard";

import { lineOf } from "./values.js";

export function receiptLine({ taskId, state, run, existing }: Receipt): object {
  return { task_id: taskId, state, run, existing };
}

export function taskLine(task: Task): object {
  const { id, type, key, state, priority, run, attempt, agent, tags, phase, progress } = task;
  return {
    task_id: id,
    type,
    key,
    state,
    priority,
    run,
    attempt,
    attempts_used: task.attemptsUsed,
    agent,
    tags,
    phase,
    progress,
    cancel_requested: task.cancelRequested,
    failure: failureLine(task.failure),
    parent: task.parent?.taskId ?? null,
    paused_for: task.pausedFor ?? null,
    fallback: task.fallback,
  };
}

export function childLine({ name, occurrence, taskId, task, onParentEnd }: ChildInfo): object {
  return { name, occurrence, task_id: taskId, state: task?.state ?? null, on_parent_end: onParentEnd };
}

export function chunkLine({ offset, value, attempt }: OutputChunk): object {
  return { offset, value: lineOf(value), attempt };
}

function failureLine(failure: Failure | undefined): object | null {
  if (failure === undefined) {
    return null;
  }
  const { type, message, retryable, retryAfter, details, cause } = failure;
  return {
    type,
    message,
    retryable,
    retry_after_ms: retryAfter ?? null,
    details: lineOf(details),
    cause: failureLine(cause),
  };
}

export function eventLine({ taskId, sequence, type, state, run, attempt, agent, reason }: TaskEvent): object {
  return { task_id: taskId, sequence, type, state, run, attempt, agent, reason };
}

export function agentLine({ name, agentType, role, state, slots, cordoned, sessionEpoch }: AgentInfo): object {
  return { name, agent_type: agentType, role, state, slots, cordoned, session_epoch: sessionEpoch };
}

export function claimLine({ taskId, attempt, type, input, checkpoint }: Claim): object {
  return { task_id: taskId, attempt, type, input: lineOf(input), checkpoint: lineOf(checkpoint) };
}

export function messageLine({ id, sequence, to, agent, body, headers }: Message): object {
  return { message_id: id, sequence, to, from_agent: agent, body: lineOf(body), headers };
}

export function dependencyLine({ taskId, type, key, name, state, value }: DependencyResult): object {
  return { task_id: taskId, type, key, name, state, value: lineOf(value) };
}

export function workflowLine(workflow: Workflow): object {
  const { id, name, description, state, tasks, progress, tags, metadata } = workflow;
  return {
    workflow_id: id,
    name,
    description,
    state,
    tasks,
    open_tasks: workflow.openTasks,
    completed_tasks: workflow.completedTasks,
    failed_tasks: workflow.failedTasks,
    cancelled_tasks: workflow.cancelledTasks,
    skipped_tasks: workflow.skippedTasks,
    progress,
    cancel_requested: workflow.cancelRequested,
    held: workflow.held,
    tags,
    metadata,
  };
}

/** What is told of a task as one of its workflow's. */
type WorkflowTask = Pick<Task, "id" | "type" | "state" | "workflow" | "dependencies">;

export function workflowTaskLine({ id, type, state, workflow, dependencies }: WorkflowTask): object {
  return {
    name: workflow?.name ?? null,
    task_id: id,
    type,
    state,
    allow_failure: workflow?.allowFailure ?? null,
    weight: workflow?.weight ?? null,
    tasks_behind: workflow?.tasksBehind ?? null,
    depends_on: dependencies.map(({ taskId, name, condition, onFailure }) => {
      return { task_id: taskId, name, condition, on_failure: onFailure };
    }),
  };
}

export function forecastLine({ expectedEnd, criticalPath, unknownTypes }: WorkflowForecast): object {
  return {
    expected_end_ms: expectedEnd?.getTime() ?? null,
    critical_path: criticalPath.map(({ taskId, name, type, state, ...expected }) => ({
      task_id: taskId,
      name,
      type,
      state,
      expected_duration_ms: expected.expectedDuration ?? null,
      expected_start_ms: expected.expectedStart?.getTime() ?? null,
      expected_end_ms: expected.expectedEnd?.getTime() ?? null,
    })),
    unknown_types: unknownTypes,
  };
}

export function explanationLine({ taskId, waitingFor, ...rest }: AssignmentExplanation): object {
  const { state, agent, ahead, agents, fitting, candidates, limits, past } = rest;
  return {
    ...{ task_id: taskId, state, waiting_for: waitingFor, agent, ahead, agents, fitting },
    candidates: candidates.map(candidateLine),
    limits: limits.map(limitUseLine),
    past: past.map(choiceLine),
  };
}

function candidateLine(candidate: AssignmentCandidate): object {
  const { agent, fits, obstacles, score, success, idle, affinity, role } = candidate;
  return {
    ...{ agent, fits, score, success, idle, affinity, role },
    obstacles: obstacles.map(({ type, detail }) => ({ type, detail })),
  };
}

function limitUseLine({ key, limit, inUse, reached, nextAt }: LimitUse): object {
  return { key, limit: limitLine(limit), in_use: inUse, reached, next_at_ms: nextAt?.getTime() ?? null };
}

function choiceLine({ attempt, agent, claimed, score, compared, runnersUp }: AssignmentChoice): object {
  const others = runnersUp.map((one) => ({ agent: one.agent, score: one.score }));
  return { attempt, agent, claimed, score, compared, runners_up: others };
}

export function limitLine({ key, maxConcurrent, rate, ratePeriod }: Limit): object {
  return {
    key,
    max_concurrent: maxConcurrent ?? null,
    rate: rate ?? null,
    rate_period_ms: ratePeriod ?? null,
  };
}

/** What an iterable of the SDK's gives in all, each as a line. */
export async function lines<T>(items: AsyncIterable<T>, line: (item: T) => object): Promise<object[]> {
  const found: object[] = [];
  for await (const item of items) {
    found.push(line(item));
  }
  return found;
}
