// What calls answer. Times are Dates, lengths of time are milliseconds, states and types are names without their prefix: a
// value that is newer than this SDK shows as its number.

import { type Agent as WireAgent, AgentStateSchema } from "./_gen/callboard/v1/agent_pb.js";
import { type Event as WireEvent, EventTypeSchema } from "./_gen/callboard/v1/event_pb.js";
import type { Failure as WireFailure, Payload } from "./_gen/callboard/v1/payload_pb.js";
import {
  type ParentLink,
  PauseReason,
  PauseReasonSchema,
  PrioritySchema,
  Priority as WirePriority,
  type Task as WireTask,
  type TaskReceipt,
  TaskState as WireTaskState,
  TaskStateSchema,
  WaitReasonSchema,
  type WorkflowLink as WireWorkflowLink,
} from "./_gen/callboard/v1/task_pb.js";
import type { DependencyResult as WireDependencyResult } from "./_gen/callboard/v1/task_service_pb.js";
import { date, enumName, milliseconds } from "./convert.js";
import type { ResultOptions } from "./client/options.js";
import { type TaskDependency, taskDependencyFrom } from "./dependencies.js";
import { TaskFailed } from "./errors.js";
import { decode } from "./payload.js";

/** A name that this SDK knows, or the number of one that is newer. */
export type Known<T extends string> = T | (string & Record<never, never>);

/** Where a task is in its life. */
export type TaskState = Known<
  "WAITING" | "READY" | "ASSIGNED" | "RUNNING" | "PAUSED" | "COMPLETED" | "FAILED" | "CANCELLED" | "SKIPPED"
>;

/** How urgent a task is. */
export type Priority = "LOW" | "NORMAL" | "HIGH" | "URGENT" | "CRITICAL";

/** Whether and how an agent is attached. */
export type AgentState = Known<"ATTACHED" | "RECONNECTING" | "DRAINING" | "DETACHED" | "CLAIMING">;

const ENDED: readonly WireTaskState[] = [
  WireTaskState.COMPLETED,
  WireTaskState.FAILED,
  WireTaskState.CANCELLED,
  WireTaskState.SKIPPED,
];

/** @internal */
export function taskStateFrom(state: WireTaskState): TaskState {
  return enumName(TaskStateSchema, state, "TASK_STATE_");
}

/** How a task, or one attempt of it, failed. */
export interface Failure {
  /** A short name that programs can act on. */
  readonly type: string;
  /** What happened, for people. */
  readonly message: string;
  /** Whether another attempt may succeed. */
  readonly retryable: boolean;
  /** The least delay before the next attempt, in milliseconds. */
  readonly retryAfter: number | undefined;
  /** Anything else about the failure, decoded; undefined when there is nothing. */
  readonly details: unknown;
  /** What caused it. */
  readonly cause: Failure | undefined;
}

/** @internal */
export function failureFrom(wire: WireFailure | undefined): Failure | undefined {
  if (wire === undefined) {
    return undefined;
  }
  const { type, message, retryable = true, details } = wire;
  return {
    type,
    message,
    retryable,
    retryAfter: wire.retryAfter === undefined ? undefined : milliseconds(wire.retryAfter),
    get details(): unknown {
      return details === undefined ? undefined : decode(details);
    },
    cause: failureFrom(wire.cause),
  };
}

/** What a command did to a task: the same when the command is repeated with its request id. */
export interface Receipt {
  /** The task. */
  readonly taskId: string;
  /** Its state after the command. */
  readonly state: TaskState;
  /** Its run after the command. */
  readonly run: number;
  /** Its version after the command. */
  readonly version: number;
  /** The task existed: its key was taken, and the policy is USE_EXISTING. */
  readonly existing: boolean;
}

/** @internal */
export function receiptFrom(wire: TaskReceipt | undefined): Receipt {
  return {
    taskId: wire?.taskId ?? "",
    state: taskStateFrom(wire?.state ?? WireTaskState.UNSPECIFIED),
    run: wire?.run ?? 0,
    version: Number(wire?.version ?? 0),
    existing: wire?.existing ?? false,
  };
}

/** Whose child a task is. */
export interface Parent {
  /** The parent. */
  readonly taskId: string;
  /** The run of the parent that created it. */
  readonly run: number;
  /** What the parent's handler calls it. */
  readonly name: string;
  /** How many children of this name the parent's attempt began before it. */
  readonly occurrence: number;
  /** How deep it stands: 1 for the child of a task that has no parent. */
  readonly depth: number;
}

function parentFrom(wire: ParentLink | undefined): Parent | undefined {
  if (wire === undefined) {
    return undefined;
  }
  const { taskId, run, name, occurrence, depth } = wire;
  return { taskId, run, name, occurrence, depth };
}

/** What workflow a task is of. */
export interface WorkflowLink {
  /** The workflow. */
  readonly workflowId: string;
  /** What the task is called there; empty for a child of one of its tasks, which has no name there. */
  readonly name: string;
  /** The workflow may complete although this task failed. Of a child it always may: its parent tells. */
  readonly allowFailure: boolean;
  /** How much of the workflow's work it is; 0 for a child. */
  readonly weight: number;
  /**
   * How many tasks of the workflow stand behind it, one after the other, on the longest path, as it was created; at most 60
   * are counted. Of two that are READY at a time, the one with more goes first.
   */
  readonly tasksBehind: number;
}

/** @internal */
export function workflowLinkFrom(wire: WireWorkflowLink | undefined): WorkflowLink | undefined {
  if (wire === undefined) {
    return undefined;
  }
  const { workflowId, name, allowFailure, weight, tasksBehind } = wire;
  return { workflowId, name, allowFailure, weight, tasksBehind };
}

/** A task as it is now. `proto` has what is not listed here. */
export class Task {
  /** The task as it came. */
  readonly proto: WireTask;
  /** Its id, a UUIDv7. */
  readonly id: string;
  /** Its namespace. */
  readonly namespace: string;
  /** The kind of work. */
  readonly type: string;
  /** What it is about, for people. */
  readonly description: string;
  /** The caller's own id for it; empty if it has none. */
  readonly key: string;
  /** Where it is in its life. */
  readonly state: TaskState;
  /** What a WAITING task waits for, most binding first. */
  readonly waitingFor: readonly string[];
  /** The run: 1, and one more for each retry by hand. */
  readonly run: number;
  /** The number of the latest attempt; 0 before the first. */
  readonly attempt: number;
  /** Attempts of this run that count against the most that it may have. */
  readonly attemptsUsed: number;
  /** The name of the agent that has it, or had it last. */
  readonly agent: string;
  /** How urgent it is. */
  readonly priority: Known<Priority>;
  /** To find it by. */
  readonly tags: readonly string[];
  /** What an application keeps with it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is carried to every attempt and child: trace context. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the handler says it is doing. */
  readonly phase: string;
  /** How much is done, 0 to 1, as the handler says. */
  readonly progress: number;
  /** What the handler last said with its progress. */
  readonly progressMessage: string;
  /** A cancellation was asked for; the outcome will be CANCELLED. */
  readonly cancelRequested: boolean;
  /** Whose child it is, if it is one. */
  readonly parent: Parent | undefined;
  /** What workflow it is of, if it is of one. */
  readonly workflow: WorkflowLink | undefined;
  /** What it waits for, or has waited for. Only `get` and `workflows.tasks` answer with it. */
  readonly dependencies: readonly TaskDependency[];
  /** Which fallback of its requirements this run has come to: 1 is the first; 0: its own requirements count. */
  readonly fallback: number;
  /** Why it is PAUSED: its handler waits for `CHILDREN`, or for a `SLOT`; undefined when it isn't. */
  readonly pausedFor: Known<"CHILDREN" | "SLOT"> | undefined;
  /** How it, or its last attempt, failed. */
  readonly failure: Failure | undefined;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** When its latest attempt was accepted. */
  readonly startedAt: Date | undefined;
  /** When it ended. */
  readonly endedAt: Date | undefined;
  /** The principal that created it. */
  readonly createdBy: string;
  /** Rises with every change. */
  readonly version: number;

  /** @internal */
  constructor(wire: WireTask) {
    const { spec } = wire;
    this.proto = wire;
    this.id = wire.id;
    this.namespace = wire.namespace;
    this.type = spec?.type ?? "";
    this.description = spec?.description ?? "";
    this.key = spec?.key ?? "";
    this.state = taskStateFrom(wire.state);
    this.waitingFor = wire.waitingFor.map((reason) => enumName(WaitReasonSchema, reason, "WAIT_REASON_"));
    this.run = wire.run;
    this.attempt = wire.attempt;
    this.attemptsUsed = wire.attemptsUsed;
    this.agent = wire.agent;
    this.priority = enumName(PrioritySchema, spec?.priority || WirePriority.NORMAL, "PRIORITY_");
    this.tags = spec?.tags ?? [];
    this.metadata = spec?.metadata ?? {};
    this.headers = spec?.headers ?? {};
    this.phase = wire.phase;
    this.progress = wire.progress;
    this.progressMessage = wire.progressMessage;
    this.cancelRequested = wire.cancelRequested;
    this.parent = parentFrom(wire.parent);
    this.workflow = workflowLinkFrom(wire.workflow);
    this.dependencies = spec?.dependencies.map(taskDependencyFrom) ?? [];
    this.fallback = wire.fallback;
    this.pausedFor =
      wire.pausedFor === PauseReason.UNSPECIFIED
        ? undefined
        : enumName(PauseReasonSchema, wire.pausedFor, "PAUSE_REASON_");
    this.failure = failureFrom(wire.failure);
    this.createdAt = date(wire.createdAt);
    this.startedAt = date(wire.startedAt);
    this.endedAt = date(wire.endedAt);
    this.createdBy = wire.createdBy;
    this.version = Number(wire.version);
  }

  /** Whether it is in its final state for this run. */
  get ended(): boolean {
    return ENDED.includes(this.proto.state);
  }

  /** Its input, decoded. Only `get` answers with it. */
  get input(): unknown {
    return decode(this.proto.spec?.input);
  }

  /**
   * What it gave, decoded. Not answered by `list`.
   *
   * @throws TaskFailed unless it completed.
   */
  result(): unknown {
    if (this.proto.state !== WireTaskState.COMPLETED) {
      throw new TaskFailed(this);
    }
    return decode(this.proto.result);
  }
}

/** @internal What a task gave, or what the options make of it. */
export function resultOf<T>(task: Task, options: Pick<ResultOptions<T>, "parse">): T {
  const value = task.result();
  return options.parse === undefined ? (value as T) : options.parse(value);
}

/** An immutable fact about a task. */
export interface TaskEvent {
  /** The task. */
  readonly taskId: string;
  /** 1, 2, 3, … within the task, without gaps. */
  readonly sequence: number;
  /** What happened: `CREATED`, `STARTED`, `COMPLETED`, … */
  readonly type: string;
  /** The task's state after it. */
  readonly state: TaskState;
  /** When it was decided, by the server's clock. */
  readonly at: Date | undefined;
  /** Who caused it: a principal, or `system`. */
  readonly principal: string;
  /** The run that it belongs to. */
  readonly run: number;
  /** The attempt that it is about; 0 when none. */
  readonly attempt: number;
  /** The agent that it is about, by name. */
  readonly agent: string;
  /** Why, for people. */
  readonly reason: string;
  /** How the attempt or task failed. */
  readonly failure: Failure | undefined;
  /** When what was scheduled will be. */
  readonly scheduledAt: Date | undefined;
  /** The name of the step that was recorded; empty when none was. */
  readonly step: string;
  /** Its occurrence. */
  readonly stepOccurrence: number;
  /** The id of the child that was created; empty when none was. */
  readonly child: string;
}

/** @internal */
export function eventFrom(wire: WireEvent): TaskEvent {
  const { taskId, principal, run, attempt, agent, reason, step, stepOccurrence, child } = wire;
  return {
    taskId,
    sequence: Number(wire.sequence),
    type: enumName(EventTypeSchema, wire.type, "EVENT_TYPE_"),
    state: taskStateFrom(wire.state),
    at: date(wire.at),
    principal,
    run,
    attempt,
    agent,
    reason,
    failure: failureFrom(wire.failure),
    scheduledAt: date(wire.scheduledAt),
    step,
    stepOccurrence,
    child,
  };
}

/** How a task that another depends on ended. */
export interface DependencyResult {
  /** Its id. */
  readonly taskId: string;
  /** Its type. */
  readonly type: string;
  /** Its key; empty if it has none. */
  readonly key: string;
  /** What the dependent calls it; empty if it has no name. */
  readonly name: string;
  /** Its state. */
  readonly state: TaskState;
  /** What it gave, as it came. */
  readonly payload: Payload | undefined;
  /** What it gave, decoded; undefined unless it completed. */
  readonly value: unknown;
  /** How it failed. */
  readonly failure: Failure | undefined;
}

/** @internal */
export function dependencyFrom(wire: WireDependencyResult): DependencyResult {
  const { taskId, type, key, name, result } = wire;
  return {
    taskId,
    type,
    key,
    name,
    state: taskStateFrom(wire.state),
    payload: result,
    get value(): unknown {
      return wire.state === WireTaskState.COMPLETED ? decode(result) : undefined;
    },
    failure: failureFrom(wire.failure),
  };
}

/** An agent as it is now. `proto` has what is not listed here. */
export interface AgentInfo {
  /** The agent as it came. */
  readonly proto: WireAgent;
  /** Its id, a UUIDv7. */
  readonly id: string;
  /** Its namespace. */
  readonly namespace: string;
  /** Its name, unique in its namespace. */
  readonly name: string;
  /** What kind of agent it is. */
  readonly agentType: string;
  /** Its role in the team. */
  readonly role: string;
  /** What it can do. */
  readonly skills: readonly string[];
  /** What it can use. */
  readonly tools: readonly string[];
  /** Facts to be matched by a task's affinity. */
  readonly labels: Readonly<Record<string, string>>;
  /** How many tasks it takes at once. */
  readonly slots: number;
  /** The task types that it handles. */
  readonly handles: readonly string[];
  /** Whether and how it is attached. */
  readonly state: AgentState;
  /** Gets no new tasks until it is uncordoned. */
  readonly cordoned: boolean;
  /** Tasks that are leased to it now. */
  readonly leasedTasks: number;
  /** Attempts that it completed. */
  readonly completedAttempts: number;
  /** Attempts that it failed, timed out on or lost. */
  readonly failedAttempts: number;
  /** When its latest session began. */
  readonly attachedAt: Date | undefined;
  /** The epoch of its latest session; rises with each. */
  readonly sessionEpoch: number;
  /** Whom it belongs to. */
  readonly principal: string;
  /** Rises with every change. */
  readonly version: number;
}

/** @internal */
export function agentFrom(wire: WireAgent): AgentInfo {
  const { profile } = wire;
  return {
    proto: wire,
    id: wire.id,
    namespace: wire.namespace,
    name: profile?.name ?? "",
    agentType: profile?.agentType ?? "",
    role: profile?.role ?? "",
    skills: profile?.skills ?? [],
    tools: profile?.tools ?? [],
    labels: profile?.labels ?? {},
    slots: profile?.slots ?? 0,
    handles: profile?.handles.map((handler) => handler.type) ?? [],
    state: enumName(AgentStateSchema, wire.state, "AGENT_STATE_"),
    cordoned: wire.cordoned,
    leasedTasks: wire.leasedTasks,
    completedAttempts: Number(wire.completedAttempts),
    failedAttempts: Number(wire.failedAttempts),
    attachedAt: date(wire.attachedAt),
    sessionEpoch: Number(wire.sessionEpoch),
    principal: wire.principal,
    version: Number(wire.version),
  };
}
