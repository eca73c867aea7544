// Scripts of the attach protocol: a session, the frames that it sends, the actions that it wants, and a clock.

import assert from "node:assert/strict";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { StatusError } from "../../src/errors.js";
import { timestamp } from "../../src/convert.js";
import { encode } from "../../src/payload.js";
import type { Action } from "../../src/session/actions.js";
import { ACCEPT_WITHIN } from "../../src/session/attempts.js";
import { Session } from "../../src/session/session.js";
import { parseAddresses } from "../../src/settings.js";
import {
  AgentProfileSchema,
  type AttachRequest,
  AttachResponseSchema,
  type Attempt,
  AttemptSchema,
  CancellationReason,
  ErrorReason,
  FailureSchema,
  type Hello,
  MessageSendSchema,
  ProgressSchema,
  ReceiptStatus,
  type Report,
  StepRecordSchema,
  TaskState,
} from "../../src/v1.js";

export const FEATURES = ["progress", "checkpoint", "slots", "drain", "steps", "children", "output"];
/** Milliseconds. */
export const LEASE = 9_000;

export function attempt(task: string, number = 1): Attempt {
  return create(AttemptSchema, { taskId: task, attempt: number, leaseToken: `token-${task}-${String(number)}` });
}

export function key(task: string): string {
  return `${task}/1`;
}

type Incoming = MessageInitShape<typeof AttachResponseSchema>["frame"];
type KindOf<K extends Action["kind"]> = Extract<Action, { kind: K }>;

interface ScriptOptions {
  readonly slots?: number;
  readonly addresses?: string;
  readonly types?: readonly string[];
  readonly takesMessages?: boolean;
}

/** One side of a conversation. `random` is always 1: jitter leaves the whole delay. */
export class Script {
  now = 100_000;
  readonly session: Session;

  constructor({ slots = 2, addresses = "http://a:1", types = ["greet"], takesMessages = false }: ScriptOptions = {}) {
    const handles = types.map((type) => ({ type }));
    this.session = new Session({
      namespace: "default",
      profile: create(AgentProfileSchema, { name: "agent-1", slots, handles }),
      addresses: parseAddresses(addresses),
      random: () => 1,
      drainTimeout: 30_000,
      instanceId: "i",
      takesMessages,
    });
  }

  /** All actions that are wanted now. */
  actions(): Action[] {
    return this.session.takeActions();
  }

  /** The actions of a kind that are wanted now; the others are dropped. */
  only<K extends Action["kind"]>(kind: K): KindOf<K>[] {
    return this.actions().filter((action): action is KindOf<K> => action.kind === kind);
  }

  /** All that the session wants to send now. */
  frames(): AttachRequest["frame"][] {
    const sent: AttachRequest["frame"][] = [];
    for (let next = this.session.nextFrame(this.now); next !== undefined; next = this.session.nextFrame(this.now)) {
      sent.push(next.frame);
      this.session.tick(this.now);
    }
    return sent;
  }

  /** Their kinds. */
  said(): (string | undefined)[] {
    return this.frames().map((frame) => frame.case);
  }

  /** The reports that the session wants to send now. */
  reports(): Report[] {
    return this.frames().flatMap((frame) => (frame.case === "reports" ? frame.value.reports : []));
  }

  /** The only one of them. */
  report(): Report {
    const reports = this.reports();
    assert.equal(reports.length, 1);
    return the(reports[0]);
  }

  later(milliseconds: number): void {
    this.now += milliseconds;
    this.session.tick(this.now);
  }

  /** Goes from detached to attached; gives the hello that was sent. */
  attach({ held = [] as Attempt[], features = FEATURES, epoch = 1n } = {}): Hello {
    if (this.session.state === "detached") {
      const due = this.session.tickAt();
      if (due === undefined) {
        this.session.start(this.now);
      } else {
        this.later(Math.max(0, due - this.now));
      }
    }
    const [frame, ...more] = this.frames();
    assert.ok(frame?.case === "hello" && more.length === 0);
    const lease = { seconds: BigInt(LEASE / 1_000) };
    this.receive({ case: "welcome", value: { agentId: "id", sessionEpoch: epoch, held, features, lease } });
    return frame.value;
  }

  receive(frame: Incoming): void {
    this.session.received(this.now, create(AttachResponseSchema, { frame: frame ?? { case: undefined } }));
  }

  heartbeat(): void {
    this.receive({ case: "heartbeat", value: {} });
  }

  assign(tasks: readonly string[], type = "greet"): void {
    const assignments = tasks.map((task) => ({ attempt: attempt(task), spec: { type } }));
    this.receive({ case: "assignments", value: { assignments } });
    this.now += ACCEPT_WITHIN;
  }

  receipt(
    report: Report,
    status: keyof typeof ReceiptStatus = "COMMITTED",
    reason: keyof typeof ErrorReason = "UNSPECIFIED",
    message = "",
    state: keyof typeof TaskState = "RUNNING",
  ): void {
    const { reportId, attempt: of } = report;
    const what = { status: ReceiptStatus[status], reason: ErrorReason[reason], state: TaskState[state] };
    const value = { reportId, attempt: the(of), message, ...what };
    this.receive({ case: "receipts", value: { receipts: [value] } });
  }

  /** The report is committed, and the task PAUSED. */
  paused(report: Report): void {
    this.receipt(report, "COMMITTED", "UNSPECIFIED", "", "PAUSED");
  }

  cancel(task: string, reason: keyof typeof CancellationReason): void {
    const cancellations = [{ attempt: attempt(task), reason: CancellationReason[reason] }];
    this.receive({ case: "cancellations", value: { cancellations } });
  }

  /** Attached, with these tasks running and their acceptance committed. */
  working(...tasks: readonly string[]): void {
    this.attach();
    this.assign(tasks);
    for (const report of this.reports()) {
      this.receipt(report);
    }
    this.actions();
  }

  complete(task: string, result: unknown = "done"): void {
    this.session.completed(this.now, key(task), encode(result, "result"));
  }

  fail(task: string, type = "Broken"): void {
    this.session.failed(this.now, key(task), create(FailureSchema, { type }));
  }

  checkpoint(task: string, value: unknown, ticket: number): void {
    this.session.checkpointed(key(task), encode(value, "checkpoint"), ticket);
  }

  progress(task: string, fraction: number): void {
    this.session.progressed(key(task), create(ProgressSchema, { fraction }));
  }

  step(task: string, name: string, ticket: number): void {
    this.session.stepped(key(task), create(StepRecordSchema, { name, result: encode("done", "result") }), ticket);
  }

  wait(task: string, child: string, ticket: number): void {
    this.waitForSome(task, [child], 1, ticket);
  }

  waitForSome(task: string, children: readonly string[], count: number, ticket: number): void {
    this.session.awaited(key(task), children, count, ticket);
  }

  waitNoMore(task: string, ticket: number): void {
    this.session.awaitedNoMore(this.now, key(task), ticket);
  }

  /** These tasks have ended. */
  ends(...tasks: readonly string[]): void {
    this.#end(TaskState.COMPLETED, tasks);
  }

  /** These tasks have failed. */
  fails(...tasks: readonly string[]): void {
    this.#end(TaskState.FAILED, tasks);
  }

  #end(state: TaskState, tasks: readonly string[]): void {
    this.receive({ case: "taskEnds", value: { ends: tasks.map((taskId) => ({ taskId, state, run: 1 })) } });
  }

  /** The attempt of a task has a slot again. */
  resumption(task: string, deadline?: Date): void {
    const at = deadline === undefined ? {} : { deadline: timestamp(deadline, "deadline") };
    this.receive({ case: "resumptions", value: { resumptions: [{ attempt: attempt(task), ...at }] } });
  }

  output(
    task: string,
    value: unknown,
    { isWhole = typeof value !== "string" && !(value instanceof Uint8Array) } = {},
  ): void {
    this.session.outputGiven(key(task), encode(value, "output"), isWhole);
  }

  send(requestId: string, ticket: number): void {
    this.session.send(create(MessageSendSchema, { requestId }), ticket);
  }

  drop(error?: StatusError): void {
    this.session.disconnected(this.now, error);
  }
}

export function kinds(reports: readonly Report[]): (string | undefined)[] {
  return reports.map((report) => report.kind.case);
}

/** What must be there. */
export function the<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}
