// Handlers that wait for the ends of other tasks, their children: what is awaited on the stream, and which attempts need no
// slot meanwhile. See section 9 of `sdk/SPEC.md`. Without any I/O.

import {
  type Attempt as Lease,
  type Receipt,
  ReceiptStatus,
  type Report,
  type TaskEnd,
} from "../_gen/callboard/v1/agent_pb.js";
import { TaskState } from "../_gen/callboard/v1/task_pb.js";
import type { StatusError } from "../errors.js";
import type { Action } from "./actions.js";
import { type Frame, frameOf, leaseLost, noChildren, reportOf } from "./frames.js";
import type { Outbox } from "./outbox.js";
import { Quorum } from "./quorum.js";
import { type Key, keyOf } from "./states.js";

/** Ids in a frame at most. */
const MAX_IDS = 1_000;
/** How many ids may be awaited on a stream; the rest waits here. */
export const MOST_AWAITED = 10_000;
/** Milliseconds after which `resume` is sent again. */
const RESUME_EVERY = 1_000;

/** A wait for a task, or for some of several. */
interface Wait {
  readonly ticket: number;
  readonly of: Waiting;
  readonly quorum: Quorum;
}

/** An attempt that waits, or has waited. */
interface Waiting {
  readonly lease: Lease;
  /** Ends that came, by task, in that order. */
  readonly ends: Map<string, TaskEnd>;
  /** The waits under way, by ticket. */
  readonly open: Map<number, Wait>;
  /** Whether it has its slot, has given it up, or wants it back. */
  state: "running" | "paused" | "resuming";
  /** The waits that are over, and are told so when it has its slot again. */
  held: Wait[];
  /** The reports that say so. */
  pauseId: bigint;
  resumeId: bigint;
  /** When the last of them is repeated. */
  resumeAt: number;
}

/** All of them. What is to be done goes to `act`, what is to be reported into the outbox. */
export class Waits {
  readonly #outbox: Outbox;
  readonly #act: (action: Action) => void;
  readonly #waiting = new Map<Key, Waiting>();
  readonly #resuming = new Set<Waiting>();
  /** The waits under way for a task. */
  readonly #awaited = new Map<string, Set<Wait>>();
  /** Those of them that the server was not told on this stream, and those that it was and has not answered. */
  readonly #unsent = new Set<string>();
  readonly #sent = new Set<string>();

  constructor(outbox: Outbox, act: (action: Action) => void) {
    this.#outbox = outbox;
    this.#act = act;
  }

  /**
   * A handler waits until so many of these tasks have completed, or can't any more: for one of one, until that has ended.
   * `awaitSettled` with the ticket tells the ends that came by then, when the handler may go on.
   */
  begin(lease: Lease, taskIds: readonly string[], count: number, ticket: number): void {
    const waiting = this.#of(lease);
    const wait: Wait = { ticket, of: waiting, quorum: new Quorum(taskIds, count) };
    for (const end of waiting.ends.values()) {
      wait.quorum.take(end);
    }
    if (wait.quorum.isDecided) {
      this.#give(wait);
      return;
    }
    this.#open(wait);
    if (waiting.state !== "paused") {
      this.#giveHeld(waiting);
      waiting.state = "paused";
      waiting.pauseId = this.#report(waiting, "pause");
    }
  }

  /** Nobody waits under this ticket any longer. */
  giveUp(now: number, key: Key, ticket: number): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      return;
    }
    waiting.held = waiting.held.filter((held) => held.ticket !== ticket);
    const wait = waiting.open.get(ticket);
    if (wait !== undefined) {
      this.#close(wait);
    }
    this.#resumeIfAlone(now, waiting);
  }

  /** A task has ended, or there is none of this id. */
  ended(now: number, end: TaskEnd): void {
    const { taskId } = end;
    const waits = [...(this.#awaited.get(taskId) ?? [])];
    this.#awaited.delete(taskId);
    this.#unsent.delete(taskId);
    this.#sent.delete(taskId);
    for (const { of, quorum } of waits) {
      of.ends.set(taskId, end);
      quorum.take(end);
    }
    const over = waits.filter(({ quorum }) => quorum.isDecided);
    over.forEach((wait) => {
      this.#close(wait);
    });
    for (const wait of over) {
      if (wait.of.open.size > 0) {
        this.#give(wait);
      } else {
        this.#holdBack(wait);
        this.#resumeIfAlone(now, wait.of);
      }
    }
  }

  /** The server says that an attempt has a slot again. */
  resumed(key: Key): void {
    const waiting = this.#waiting.get(key);
    // Before the receipt of its pause it is about an earlier one.
    if (waiting?.state === "resuming" && this.#outbox.find(waiting.pauseId) === undefined) {
      this.#goOn(waiting);
    }
  }

  /** The receipt of a report came. */
  receipt(report: Report, receipt: Receipt): void {
    const waiting = this.#waiting.get(keyOf(report.attempt));
    const isResumed = receipt.status === ReceiptStatus.COMMITTED && receipt.state === TaskState.RUNNING;
    const isLatest = waiting !== undefined && receipt.reportId > waiting.pauseId;
    if (report.kind.case === "resume" && isResumed && isLatest && waiting.state === "resuming") {
      this.#goOn(waiting);
    }
  }

  /** Time passed: asks again for slots that were not given. */
  tick(now: number): void {
    for (const waiting of this.#resuming) {
      if (now >= waiting.resumeAt) {
        this.#askAgain(now, waiting);
      }
    }
  }

  /** When `tick` has something to do. */
  dueAt(): number | undefined {
    let due: number | undefined;
    for (const { resumeAt } of this.#resuming) {
      due = Math.min(due ?? Infinity, resumeAt);
    }
    return due;
  }

  /** A new stream, whose server knows of no ids. */
  sendAllAgain(now: number): void {
    this.#sent.clear();
    for (const taskId of this.#awaited.keys()) {
      this.#unsent.add(taskId);
    }
    for (const waiting of this.#resuming) {
      this.#askAgain(now, waiting);
    }
  }

  /** The next ids to tell the server, if there are any. */
  takeFrame(): Frame | undefined {
    const room = Math.min(MAX_IDS, MOST_AWAITED - this.#sent.size);
    const taskIds: string[] = [];
    for (const taskId of this.#unsent) {
      if (taskIds.length >= room) {
        break;
      }
      this.#unsent.delete(taskId);
      this.#sent.add(taskId);
      taskIds.push(taskId);
    }
    return taskIds.length > 0 ? frameOf({ case: "awaits", value: { taskIds } }) : undefined;
  }

  /** An attempt is lost: its waits are told so. */
  lose(key: Key, why: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      const error = leaseLost(why);
      for (const ticket of this.#allTickets(waiting)) {
        this.#settle(ticket, error);
      }
      this.#drop(waiting);
      this.#waiting.delete(key);
    }
  }

  /** The handler has ended, and whatever it left waiting with it. */
  forget(key: Key): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      for (const ticket of this.#allTickets(waiting)) {
        this.#act({ kind: "awaitDropped", ticket });
      }
      this.#drop(waiting);
      this.#waiting.delete(key);
    }
  }

  /** The server that is attached tells no ends, and knows no pauses: others are to be asked for them. */
  leaveToCalls(): void {
    for (const waiting of this.#waiting.values()) {
      for (const ticket of waiting.open.keys()) {
        this.#settle(ticket, undefined);
      }
      this.#giveHeld(waiting);
      this.#drop(waiting);
      waiting.state = "running";
    }
    this.#outbox.giveUpKind("pause", noChildren());
    this.#outbox.giveUpKind("resume", noChildren());
  }

  #of(lease: Lease): Waiting {
    const key = keyOf(lease);
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      const reports = { pauseId: 0n, resumeId: 0n, resumeAt: 0 };
      waiting = { lease, ends: new Map(), open: new Map(), state: "running", held: [], ...reports };
      this.#waiting.set(key, waiting);
    }
    return waiting;
  }

  #allTickets(waiting: Waiting): number[] {
    return [...waiting.open.keys(), ...waiting.held.map((held) => held.ticket)];
  }

  /** A wait is under way. */
  #open(wait: Wait): void {
    wait.of.open.set(wait.ticket, wait);
    for (const taskId of wait.quorum.missing) {
      const awaiting = this.#awaited.get(taskId);
      if (awaiting !== undefined) {
        awaiting.add(wait);
        continue;
      }
      this.#awaited.set(taskId, new Set([wait]));
      if (!this.#sent.has(taskId)) {
        this.#unsent.add(taskId);
      }
    }
  }

  /** It is no longer. */
  #close(wait: Wait): void {
    wait.of.open.delete(wait.ticket);
    for (const taskId of wait.quorum.missing) {
      const awaiting = this.#awaited.get(taskId);
      awaiting?.delete(wait);
      if (awaiting?.size === 0) {
        this.#awaited.delete(taskId);
        this.#unsent.delete(taskId);
      }
    }
  }

  /** Nothing is awaited of it any longer. */
  #drop(waiting: Waiting): void {
    for (const wait of waiting.open.values()) {
      this.#close(wait);
    }
    this.#resuming.delete(waiting);
  }

  /** It is told when the attempt has its slot again; what has not ended need not go on until then, and may hold that slot. */
  #holdBack(wait: Wait): void {
    wait.of.held.push(wait);
    const { missing, ends } = wait.quorum;
    if (missing.size > 0) {
      this.#act({ kind: "awaitDecided", ticket: wait.ticket, ended: ends.map(({ taskId }) => taskId) });
    }
  }

  #resumeIfAlone(now: number, waiting: Waiting): void {
    if (waiting.state === "paused" && waiting.open.size === 0) {
      waiting.state = "resuming";
      this.#resuming.add(waiting);
      this.#askAgain(now, waiting);
    }
  }

  /** Reports that it wants to go on, unless that has not even had its receipt. */
  #askAgain(now: number, waiting: Waiting): void {
    waiting.resumeAt = now + RESUME_EVERY;
    const isOnItsWay = this.#outbox.find(waiting.resumeId) !== undefined && waiting.resumeId > waiting.pauseId;
    if (!isOnItsWay) {
      waiting.resumeId = this.#report(waiting, "resume");
    }
  }

  #goOn(waiting: Waiting): void {
    waiting.state = "running";
    this.#giveHeld(waiting);
  }

  #giveHeld(waiting: Waiting): void {
    this.#resuming.delete(waiting);
    waiting.held.splice(0).forEach((wait) => {
      this.#give(wait);
    });
  }

  #report({ lease }: Waiting, kind: "pause" | "resume"): bigint {
    const report = reportOf(lease, { case: kind, value: {} });
    this.#outbox.add(report);
    return report.reportId;
  }

  #give({ ticket, quorum }: Wait): void {
    this.#settle(ticket, quorum.ends);
  }

  #settle(ticket: number, outcome: readonly TaskEnd[] | StatusError | undefined): void {
    this.#act({ kind: "awaitSettled", ticket, outcome });
  }
}
