// Which agents may have a task and which should, as callers ask for it.

import type { MessageInitShape } from "@bufbuild/protobuf";

import type { RequirementsSchema } from "./_gen/callboard/v1/task_pb.js";
import { duration, stringList } from "./convert.js";

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
