// A SPEC: the task that is asked for.

import type { Dependency, Fallback, Limit, Priority, ResultCondition, TaskSpec } from "callboard";

import { fields, flag, list, number, numbers, optional, type Reader, text, texts, time } from "./shapes.js";
import { value } from "./values.js";

/** How a task must end that another waits for. */
export const terms = {
  on_failure: optional(text as Reader<Dependency["onFailure"]>),
  condition: optional(text as Reader<Dependency["condition"]>),
  result: optional(
    fields({
      pointer: optional(text),
      comparison: text as Reader<ResultCondition["comparison"]>,
      value: optional(value),
    }),
  ),
};

const readDependency = fields({ task_id: text, ...terms, name: optional(text) });

/** Reads a task to wait for. */
export function dependency(line: unknown, place: string): Dependency {
  const { task_id: taskId, on_failure: onFailure, ...rest } = readDependency(line, place);
  return { taskId, onFailure, ...rest };
}

const readLimit = fields({
  key: text,
  max_concurrent: optional(number),
  rate: optional(number),
  rate_period_ms: optional(number),
});

/** Reads a limit of a namespace. */
export function limit(line: unknown, place: string): Limit {
  const { key, max_concurrent: maxConcurrent, rate, rate_period_ms: ratePeriod } = readLimit(line, place);
  return { key, maxConcurrent, rate, ratePeriod };
}

const readFallback = fields({
  after_ms: number,
  skills: optional(list(text)),
  tools: optional(list(text)),
  role: optional(text),
  assignee: optional(text),
});

function fallback(line: unknown, place: string): Fallback {
  const { after_ms: after, ...demands } = readFallback(line, place);
  return { after, ...demands };
}

const readSpec = fields({
  type: text,
  input: optional(value),
  description: optional(text),
  key: optional(text),
  key_conflict: optional(text as Reader<"USE_EXISTING" | "FAIL" | "REPLACE">),
  skills: optional(list(text)),
  tools: optional(list(text)),
  role: optional(text),
  assignee: optional(text),
  preferred_agent: optional(text),
  affinity: optional(texts),
  anti_affinity: optional(texts),
  resources: optional(numbers),
  near: optional(list(text)),
  apart: optional(list(text)),
  fallbacks: optional(list(fallback)),
  fairness_key: optional(text),
  limit_keys: optional(list(text)),
  priority: optional(text as Reader<Priority>),
  depends_on: optional(list(dependency)),
  max_attempts: optional(number),
  initial_backoff_ms: optional(number),
  multiplier: optional(number),
  max_backoff_ms: optional(number),
  non_retryable_types: optional(list(text)),
  schedule_to_start_ms: optional(number),
  start_to_close_ms: optional(number),
  schedule_to_close_ms: optional(number),
  heartbeat_ms: optional(number),
  deadline_at_ms: optional(time),
  start_at_ms: optional(time),
  hold: optional(flag),
  tags: optional(list(text)),
  metadata: optional(texts),
  headers: optional(texts),
});

/** Reads a SPEC. */
export function spec(line: unknown, place: string): TaskSpec {
  const given = readSpec(line, place);
  const { type, input, description, key, skills, tools, role, assignee, affinity, priority } = given;
  const { resources, near, apart, fallbacks, hold, tags, metadata, headers } = given;
  const retry = {
    maxAttempts: given.max_attempts,
    initialBackoff: given.initial_backoff_ms,
    multiplier: given.multiplier,
    maxBackoff: given.max_backoff_ms,
    nonRetryableTypes: given.non_retryable_types,
  };
  const timeouts = {
    scheduleToStart: given.schedule_to_start_ms,
    startToClose: given.start_to_close_ms,
    scheduleToClose: given.schedule_to_close_ms,
    heartbeat: given.heartbeat_ms,
  };
  return {
    ...{ type, input, description, key, skills, tools, role, assignee, affinity, priority },
    ...{ resources, near, apart, fallbacks, hold, tags, metadata, headers },
    keyConflict: given.key_conflict,
    preferredAgent: given.preferred_agent,
    antiAffinity: given.anti_affinity,
    fairnessKey: given.fairness_key,
    limitKeys: given.limit_keys,
    dependsOn: given.depends_on,
    retry: ifAny(retry),
    timeouts: ifAny(timeouts),
    deadline: given.deadline_at_ms,
    startAt: given.start_at_ms,
  };
}

/** The options, unless none of them is given. */
function ifAny<T extends object>(options: T): T | undefined {
  return Object.values(options).some((one) => one !== undefined) ? options : undefined;
}
