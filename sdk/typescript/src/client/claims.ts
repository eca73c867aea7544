// Claiming tasks by unary calls, for programs that are agents only now and then.

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Assignment,
  AttemptSchema,
  type Attempt as WireAttempt,
  type Progress,
  ProgressSchema,
} from "../_gen/callboard/v1/agent_pb.js";
import {
  AgentService,
  ClaimTasksRequestSchema,
  HeartbeatTaskRequestSchema,
} from "../_gen/callboard/v1/agent_service_pb.js";
import { cut, date, duration, given, optionalDuration, stringList } from "../convert.js";
import { TaskError } from "../errors.js";
import { failureOf } from "../failure.js";
import { requestIdOr } from "../ids.js";
import {
  dependencyFrom,
  type DependencyResult,
  type Receipt,
  receiptFrom,
  type WorkflowLink,
  workflowLinkFrom,
} from "../models.js";
import { type Step, stepFrom } from "../recorded.js";
import { decode, encode } from "../payload.js";
import { taskIdOf, type TaskRef } from "../spec.js";
import { type Call, callOf } from "../transport.js";
import { VERSION } from "../version.js";
import type { CommandOptions } from "./options.js";

/** A task that is leased to you. */
export class Claim {
  /** The assignment as it came. */
  readonly proto: Assignment;
  /** The task. */
  readonly taskId: string;
  /** The attempt's number. */
  readonly attempt: number;
  /** The run that the attempt belongs to. */
  readonly run: number;
  /** How many attempts of this run were used up before this one. */
  readonly attemptsUsed: number;
  /** The kind of work. */
  readonly type: string;
  /** What the task is about, for people. */
  readonly description: string;
  /** What workflow it is of, if it is of one. */
  readonly workflow: WorkflowLink | undefined;
  /** How the dependencies ended. With `dependenciesTruncated`, ask `client.dependencyResults` for all. */
  readonly dependencies: readonly DependencyResult[];
  /** Some results did not fit. */
  readonly dependenciesTruncated: boolean;
  /** Steps that earlier attempts of the run recorded, as many as fit. */
  readonly steps: readonly Step[];
  /** How many there are. When `steps` has fewer, ask `client.steps` for all. */
  readonly stepCount: number;
  /** When the attempt times out. */
  readonly deadline: Date | undefined;
  /** When the lease ends. */
  readonly leaseExpiresAt: Date | undefined;

  /** @internal */
  constructor(wire: Assignment) {
    this.proto = wire;
    this.taskId = wire.attempt?.taskId ?? "";
    this.attempt = wire.attempt?.attempt ?? 0;
    this.run = wire.run;
    this.attemptsUsed = wire.attemptsUsed;
    this.type = wire.spec?.type ?? "";
    this.description = wire.spec?.description ?? "";
    this.workflow = workflowLinkFrom(wire.workflow);
    this.dependencies = wire.dependencies.map(dependencyFrom);
    this.dependenciesTruncated = wire.dependenciesTruncated;
    this.steps = wire.steps.map(stepFrom);
    this.stepCount = wire.stepCount;
    this.deadline = date(wire.deadline);
    this.leaseExpiresAt = date(wire.leaseExpiresAt);
  }

  /** The input, decoded. */
  get input(): unknown {
    return decode(this.proto.spec?.input);
  }

  /** What the last attempt saved, decoded; undefined if it saved nothing. */
  get checkpoint(): unknown {
    return this.proto.checkpoint === undefined ? undefined : decode(this.proto.checkpoint);
  }
}

/** A lease, extended. */
export interface Lease {
  /** When it ends. */
  readonly expiresAt: Date | undefined;
  /** The task's cancellation was asked for: stop, and report within 30 s. */
  readonly cancelRequested: boolean;
}

/** A claim, or a task that nobody has: then it is claimed and ended in one commit. */
export type Held = Claim | TaskRef;

/** Who claims, and what. */
export interface ClaimOptions extends CommandOptions {
  /** What kind of agent it is. Default `agent`. */
  readonly agentType?: string | undefined;
  /** Its role in the team. */
  readonly role?: string | undefined;
  /** What it can do. */
  readonly skills?: readonly string[] | undefined;
  /** What it can use. */
  readonly tools?: readonly string[] | undefined;
  /** Facts to be matched by a task's `affinity` and `antiAffinity`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Amounts that it has of resources, by name: what tasks ask for is taken of them while they are claimed. */
  readonly resources?: Readonly<Record<string, number>> | undefined;
  /** The build of its program. */
  readonly buildId?: string | undefined;
  /** How many tasks it may hold in all: 1 to 1,000. Default 1. */
  readonly slots?: number | undefined;
  /** How many tasks to claim at most: 1 to 100. Default 1. */
  readonly maxTasks?: number | undefined;
  /** Milliseconds that each is leased: 1 s to 24 h. Default 60 s. */
  readonly lease?: number | undefined;
  /** Milliseconds to wait when there is none: at most 60 s. Default 0. */
  readonly wait?: number | undefined;
}

/** A step that is done: later attempts of the run are given its result. */
export interface StepResult {
  /** What you call it: 1 to 128 bytes. */
  readonly name: string;
  /** How many steps of this name the attempt began before it. Default 0. */
  readonly occurrence?: number | undefined;
  /** What it gave; becomes a payload. */
  readonly result: unknown;
}

/** What a heartbeat says beside that the claim is still worked on. */
export interface HeartbeatOptions {
  /** Milliseconds from now that the lease is to last: 1 s to 24 h. Default what was claimed. */
  readonly lease?: number | undefined;
  /** How much is done, 0 to 1. */
  readonly progress?: number | undefined;
  /** `reasoning`, `executing`, `validating`, or any short word of at most 128 bytes. */
  readonly phase?: string | undefined;
  /** For people. At most 1 KiB; longer ones are cut. */
  readonly message?: string | undefined;
  /** What the next attempt is to begin from. */
  readonly checkpoint?: unknown;
  /** Steps that are done: at most 100, together at most 3 MiB. */
  readonly steps?: readonly StepResult[] | undefined;
}

/** What ends a task that nobody has. */
export interface EndOptions extends CommandOptions {
  /** Who did it, by agent name, when nobody had it. Default the principal. */
  readonly agent?: string | undefined;
}

/** @internal */
export function claimCall(
  namespace: string,
  name: string,
  types: readonly string[],
  options: ClaimOptions,
): Call<Claim[]> {
  const { agentType = "agent", role = "", buildId = "", slots = 1, maxTasks = 1, wait = 0 } = options;
  const profile = {
    name,
    agentType,
    role,
    skills: stringList(options.skills, "skills"),
    tools: stringList(options.tools, "tools"),
    labels: { ...options.labels },
    resources: { ...options.resources },
    buildId,
    slots,
    handles: stringList(types, "types").map((type) => ({ type })),
    sdk: "typescript",
    sdkVersion: VERSION,
  };
  const request: MessageInitShape<typeof ClaimTasksRequestSchema> = given({
    namespace,
    profile,
    maxTasks,
    lease: optionalDuration(options.lease, "lease"),
    wait: duration(wait, "wait"),
    requestId: requestIdOr(options.requestId),
  });
  return callOf(AgentService.method.claimTasks, request, (answer) => answer.assignments.map((one) => new Claim(one)));
}

/** @internal */
export function heartbeatCall(namespace: string, claim: Claim, options: HeartbeatOptions): Call<Lease> {
  const { progress, phase = "", message = "", checkpoint, steps = [] } = options;
  const tells = progress !== undefined || phase !== "" || message !== "";
  const request: MessageInitShape<typeof HeartbeatTaskRequestSchema> = given({
    namespace,
    attempt: leaseOf(claim),
    lease: optionalDuration(options.lease, "lease"),
    progress: tells ? progressOf(progress, phase, message) : undefined,
    checkpoint: checkpoint === undefined ? undefined : encode(checkpoint, "checkpoint"),
    steps: steps.map(({ name, occurrence = 0, result }, index) => ({
      name,
      occurrence,
      result: encode(result, `steps[${String(index)}].result`),
    })),
  });
  return callOf(AgentService.method.heartbeatTask, request, (answer) => ({
    expiresAt: date(answer.leaseExpiresAt),
    cancelRequested: answer.cancelRequested,
  }));
}

/** @internal */
export function completeCall(namespace: string, held: Held, result: unknown, options: EndOptions): Call<Receipt> {
  const { agent = "", requestId } = options;
  const request = { namespace, attempt: leaseOf(held), result: encode(result, "result"), agent };
  return callOf(AgentService.method.completeTask, { ...request, requestId: requestIdOr(requestId) }, (answer) =>
    receiptFrom(answer.receipt),
  );
}

/** @internal */
export function failCall(namespace: string, held: Held, error: unknown, options: EndOptions): Call<Receipt> {
  const { agent = "", requestId } = options;
  const failure = failureOf(typeof error === "string" ? new TaskError(error) : error);
  const request = { namespace, attempt: leaseOf(held), failure, agent, requestId: requestIdOr(requestId) };
  return callOf(AgentService.method.failTask, request, (answer) => receiptFrom(answer.receipt));
}

/** @internal A progress report. What the server would refuse is refused here, where it can be seen. */
export function progressOf(fraction: number | undefined, phase: string, message: string): Progress {
  if (fraction !== undefined && !(fraction >= 0 && fraction <= 1)) {
    throw new RangeError(`fraction ${String(fraction)} is not between 0 and 1`);
  }
  if (Buffer.byteLength(phase) > 128) {
    throw new RangeError("phase is longer than 128 bytes: choose a short word, and use message for the rest");
  }
  return create(ProgressSchema, given({ fraction, phase, message: cut(message, 1_024) }));
}

/** @internal */
export function leaseOf(held: Held): WireAttempt {
  if (held instanceof Claim) {
    return held.proto.attempt ?? create(AttemptSchema);
  }
  return create(AttemptSchema, { taskId: taskIdOf(held) });
}
