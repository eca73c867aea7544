// Which agents may have a task and which should: as callers ask for it, and as the server explains it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type AssignmentCandidate as WireCandidate,
  type AssignmentExplanation as WireExplanation,
  AssignmentExplanationSchema,
  AssignmentObstacleTypeSchema,
} from "./_gen/callboard/v1/assignment_pb.js";
import { WaitReasonSchema, type RequirementsSchema } from "./_gen/callboard/v1/task_pb.js";
import { duration, enumName, stringList } from "./convert.js";
import { type Known, type TaskState, taskStateFrom } from "./models.js";

/** What an agent must have to be given a task. */
export interface Demands {
  /** Skills that the agent must all have. At most 32. */
  readonly skills?: readonly string[] | undefined;
  /** Tools that the agent must all have. At most 32. */
  readonly tools?: readonly string[] | undefined;
  /** The role that the agent must have. */
  readonly role?: string | undefined;
  /** The only agent that may have it, by name. */
  readonly assignee?: string | undefined;
}

/**
 * What is asked for instead when nobody has taken a task for some time: it takes the place of all of `skills`, `tools`, `role`
 * and `assignee`, so that what is left out is not asked for any more. What a run has fallen back to stays for the run.
 */
export interface Fallback extends Demands {
  /** Milliseconds that the task is READY before this counts, from when it became READY: 1 to ten years. */
  readonly after: number;
}

/** The options of a task that say which agents may have it (the first five and `resources`), and which should. */
export interface Placement extends Demands {
  /** The agent that should have it, by name. */
  readonly preferredAgent?: string | undefined;
  /** Labels that the agent should have. At most 16. */
  readonly affinity?: Readonly<Record<string, string>> | undefined;
  /** Labels that the agent should not have. At most 16. */
  readonly antiAffinity?: Readonly<Record<string, string>> | undefined;
  /**
   * Amounts of resources (`gpu`), by name, that the task takes of its agent's while it holds a slot: more than 0, at most 32. An
   * agent that says it has less of one never gets the task.
   */
  readonly resources?: Readonly<Record<string, number>> | undefined;
  /** Names of dependencies: the agent that had one of them should have this task, too. At most 16. */
  readonly near?: readonly string[] | undefined;
  /** Names of dependencies whose agents should not have it: to have a work reviewed by another. At most 16. */
  readonly apart?: readonly string[] | undefined;
  /** What is asked for instead when nobody has taken it for some time. At most 8, each `after` longer than the one before. */
  readonly fallbacks?: readonly Fallback[] | undefined;
}

/** @internal `at` stands before the names of options in errors. */
export function placementToWire(spec: Placement, at: string): MessageInitShape<typeof RequirementsSchema> {
  return {
    ...demandsToWire(spec, at),
    preferredAgent: spec.preferredAgent ?? "",
    affinity: { ...spec.affinity },
    antiAffinity: { ...spec.antiAffinity },
    resources: { ...spec.resources },
    near: stringList(spec.near, `${at}near`),
    apart: stringList(spec.apart, `${at}apart`),
    fallbacks: (spec.fallbacks ?? []).map((fallback, index) => {
      const field = `${at}fallbacks[${String(index)}].`;
      return { ...demandsToWire(fallback, field), after: duration(fallback.after, `${field}after`) };
    }),
  };
}

function demandsToWire({ skills, tools, role = "", assignee = "" }: Demands, at: string): WireDemands {
  return { skills: stringList(skills, `${at}skills`), tools: stringList(tools, `${at}tools`), role, assignee };
}

interface WireDemands {
  readonly skills: string[];
  readonly tools: string[];
  readonly role: string;
  readonly assignee: string;
}

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
>;

/** Something that keeps an agent from having a task. */
export interface AssignmentObstacle {
  /** What kind. */
  readonly type: AssignmentObstacleType;
  /** What exactly, for people: the skill that it lacks. */
  readonly detail: string;
}

/** @internal */
export function explanationFrom(wire: WireExplanation | undefined): AssignmentExplanation {
  const { taskId, state, waitingFor, agent, ahead, agents, fitting, candidates } =
    wire ?? create(AssignmentExplanationSchema);
  return {
    taskId,
    state: taskStateFrom(state),
    waitingFor: waitingFor.map((reason) => enumName(WaitReasonSchema, reason, "WAIT_REASON_")),
    agent,
    ahead,
    agents,
    fitting,
    candidates: candidates.map(candidateFrom),
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
