// Who could have a task, what keeps the others from it, and who was chosen before: as the server explains it.

import { create } from "@bufbuild/protobuf";

import {
  type AssignmentCandidate as WireCandidate,
  type AssignmentChoice as WireChoice,
  type AssignmentExplanation as WireExplanation,
  AssignmentExplanationSchema,
  AssignmentObstacleTypeSchema,
  type LimitUse as WireLimitUse,
} from "./_gen/callboard/v1/assignment_pb.js";
import { LimitSchema } from "./_gen/callboard/v1/namespace_service_pb.js";
import { WaitReasonSchema } from "./_gen/callboard/v1/task_pb.js";
import { date, enumName } from "./convert.js";
import { type Limit, limitFrom } from "./limits.js";
import { type Known, type TaskState, taskStateFrom } from "./models.js";

/** Who could have a task, who could not, and why, at this moment. */
export interface AssignmentExplanation {
  /** The task. */
  readonly taskId: string;
  /** Where it is in its life: only a READY one is given to anybody. */
  readonly state: TaskState;
  /** What a WAITING task waits for, most binding first. */
  readonly waitingFor: readonly string[];
  /** The agent that has it, or had it last. */
  readonly agent: string;
  /** How many READY tasks that ask for the same are given out before it: at most 1,000 are counted. 0 unless it is READY. */
  readonly ahead: number;
  /** How many agents the namespace knows, attached or not. */
  readonly agents: number;
  /** How many of them fit: could have it, at some time. */
  readonly fitting: number;
  /**
   * Those that could have it now, best first; then those that fit, and can't have it now; then those that don't fit, each by
   * name. At most 100.
   */
  readonly candidates: readonly AssignmentCandidate[];
  /** The limits that it is under: those of its `limitKeys` that have one. */
  readonly limits: readonly LimitUse[];
  /** Who it was given to, and who else could have had it: the latest 20 assignments, oldest first. */
  readonly past: readonly AssignmentChoice[];
}

/** An agent and a task. */
export interface AssignmentCandidate {
  /** The agent, by name. */
  readonly agent: string;
  /** It could have the task, at some time. */
  readonly fits: boolean;
  /** What keeps it from having the task now, the most lasting first; empty for one that could have it now. */
  readonly obstacles: readonly AssignmentObstacle[];
  /** How good it is for the task, 0 to 1: the sum of the four below, each times its weight. Only of agents that fit. */
  readonly score: number;
  /** The share of its attempts that it completed. Weight 0.4. */
  readonly success: number;
  /** The share of its slots that is free. Weight 0.3. */
  readonly idle: number;
  /** The share of the task's wishes (`affinity`, `antiAffinity`, `near`, `apart`) that it meets; 1 if there are none. Weight 0.25. */
  readonly affinity: number;
  /** 1 if the task asks for its role, or it has none, else 0: specialists are kept for what needs them. Weight 0.05. */
  readonly role: number;
}

/** What keeps an agent from having a task. */
export type AssignmentObstacleType = Known<
  // With one of these it doesn't fit.
  | "TASK_TYPE"
  | "ASSIGNEE"
  | "ROLE"
  | "SKILL"
  | "TOOL"
  | "RESOURCE"
  // With one of these it can't have the task now.
  | "DETACHED"
  | "CORDONED"
  | "DRAINING"
  | "CLAIMS"
  | "SLOTS"
  | "RESOURCE_TAKEN"
  | "PREFERRED"
  | "FAILED_THERE"
  | "LIMIT"
>;

/** Something that keeps an agent from having a task. */
export interface AssignmentObstacle {
  /** What kind. */
  readonly type: AssignmentObstacleType;
  /** What exactly, for people: the skill that it lacks. */
  readonly detail: string;
}

/** What of a limit is used. */
export interface LimitUse {
  /** The limit key of the task. */
  readonly key: string;
  /** The limit that counts for it. */
  readonly limit: Limit;
  /** How many tasks with the key hold a slot. */
  readonly inUse: number;
  /** The limit keeps the task from being given to anybody now. */
  readonly reached: boolean;
  /** When the rate lets the next task through; undefined when it does now, or when there is no rate. */
  readonly nextAt: Date | undefined;
}

/** An assignment, as it was chosen. */
export interface AssignmentChoice {
  /** The attempt. */
  readonly attempt: number;
  /** When. */
  readonly at: Date | undefined;
  /** The agent that was given the task, by name. */
  readonly agent: string;
  /**
   * It claimed the task, so that there was nobody to choose from: what follows is empty. (Also where a server that doesn't
   * keep choices chose.)
   */
  readonly claimed: boolean;
  /** Its score then. */
  readonly score: number;
  /** How many agents that could have had it were compared, itself included. */
  readonly compared: number;
  /** The best of the others, best first: at most 3. */
  readonly runnersUp: readonly AssignmentRunnerUp[];
}

/** An agent that could have had a task that another was given. */
export interface AssignmentRunnerUp {
  /** The agent, by name. */
  readonly agent: string;
  /**
   * Its score then. A higher one than that of who was chosen: the task preferred the other, or its last attempt had failed
   * here.
   */
  readonly score: number;
}

/** @internal */
export function explanationFrom(wire: WireExplanation | undefined): AssignmentExplanation {
  const { taskId, state, waitingFor, ...rest } = wire ?? create(AssignmentExplanationSchema);
  const { agent, ahead, agents, fitting, candidates, limits, past } = rest;
  return {
    taskId,
    state: taskStateFrom(state),
    waitingFor: waitingFor.map((reason) => enumName(WaitReasonSchema, reason, "WAIT_REASON_")),
    agent,
    ahead,
    agents,
    fitting,
    candidates: candidates.map(candidateFrom),
    limits: limits.map(limitUseFrom),
    past: past.map(choiceFrom),
  };
}

function candidateFrom({
  agent,
  fits,
  obstacles,
  score,
  success,
  idle,
  affinity,
  role,
}: WireCandidate): AssignmentCandidate {
  const named = obstacles.map(({ type, detail }) => {
    return { type: enumName(AssignmentObstacleTypeSchema, type, "ASSIGNMENT_OBSTACLE_TYPE_"), detail };
  });
  return { agent, fits, obstacles: named, score, success, idle, affinity, role };
}

function limitUseFrom({ key, limit, inUse, reached, nextAt }: WireLimitUse): LimitUse {
  return { key, limit: limitFrom(limit ?? create(LimitSchema)), inUse, reached, nextAt: date(nextAt) };
}

function choiceFrom({ attempt, at, agent, claimed, score, compared, runnersUp }: WireChoice): AssignmentChoice {
  const others = runnersUp.map((one) => ({ agent: one.agent, score: one.score }));
  return { attempt, at: date(at), agent, claimed, score, compared, runnersUp: others };
}
