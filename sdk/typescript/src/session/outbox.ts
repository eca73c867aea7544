// Reports on their way: each is kept until its receipt, and sent again in its old order with its old id. Without any I/O.

import { toBinary } from "@bufbuild/protobuf";

import { type Receipt, ReceiptStatus, type Report, ReportSchema } from "../_gen/callboard/v1/agent_pb.js";
import { ErrorReason } from "../_gen/callboard/v1/error_pb.js";
import type { StatusError } from "../errors.js";
import { Backoff, type Random } from "../retry.js";
import type { ReportSettled } from "./actions.js";
import { leaseLost } from "./frames.js";
import { leavesAttempt, refused } from "./saved.js";
import { type Key, keyOf } from "./states.js";

/** Items in a frame at most. */
export const MAX_BATCH = 1_000;
/** A frame is at most 3 MiB; what stands around the items fits into the rest. */
export const MAX_BATCH_BYTES = 3 * 1024 * 1024 - 64 * 1024;
/** What stands around one item in a frame, at most. */
export const ITEM_OVERHEAD = 8;

/** A report that has no receipt yet. */
interface Kept {
  readonly key: Key;
  readonly report: Report;
  readonly size: number;
  /** Of whoever waits for it: of a checkpoint or step. */
  readonly ticket: number | undefined;
  readonly backoff: Backoff;
  inFlight: boolean;
  /** Not to be sent before: the server could not decide it, or it may turn out to be needless. */
  notBefore: number;
}

/** What a receipt made of its report. `refusedAlone`: the attempt goes on. */
export type Settled = "committed" | "refused" | "refusedAlone" | "retry";

type Kind = Report["kind"]["case"];

/** Reports in their order. At most `limit` of them wait before checkpoints and steps wait outside. */
export class Outbox {
  readonly #limit: number;
  readonly #random: Random;
  #lastId = 0n;
  readonly #kept = new Map<bigint, Kept>();
  readonly #of = new Map<Key, Map<bigint, Kept>>();
  /** How many of those kept are not in flight. */
  #waiting = 0;
  #outside: { readonly report: Report; readonly ticket: number }[] = [];
  #settled: ReportSettled[] = [];
  /** The newest report of an attempt that is committed, of any kind and of a pause, a resumption or an end. */
  readonly #committed = new Map<Key, Newest>();

  constructor(limit: number, random: Random) {
    this.#limit = limit;
    this.#random = random;
  }

  /** A report id that was never used before. */
  newId(): bigint {
    this.#lastId += 1n;
    return this.#lastId;
  }

  /** Keeps a report and sends it when it can, from that time on. Acceptances and ends always have room: slots bound them. */
  add(report: Report, { ticket, notBefore = 0 }: { ticket?: number; notBefore?: number } = {}): void {
    report.reportId = this.newId();
    const key = keyOf(report.attempt);
    const size = toBinary(ReportSchema, report).length + ITEM_OVERHEAD;
    const kept = { key, report, size, ticket, backoff: new Backoff(this.#random), inFlight: false, notBefore };
    this.#kept.set(report.reportId, kept);
    this.#waiting += 1;
    const siblings = this.#of.get(key);
    if (siblings === undefined) {
      this.#of.set(key, new Map([[report.reportId, kept]]));
    } else {
      siblings.set(report.reportId, kept);
    }
  }

  /** Keeps a checkpoint or step when there is room, else lets it wait outside, with whoever saves it. */
  addAwaited(report: Report, ticket: number): void {
    this.#outside.push({ report, ticket });
    this.#letIn();
  }

  /** Whether a report of this attempt has no receipt. */
  has(key: Key): boolean {
    return this.#of.has(key);
  }

  /** The report of this id, unless it has its receipt or never had to be kept. */
  find(reportId: bigint): Report | undefined {
    return this.#kept.get(reportId)?.report;
  }

  /** Whether every report has its receipt. */
  isEmpty(): boolean {
    return this.#kept.size === 0;
  }

  /**
   * The reports to send now, in one frame. An attempt's go out in their order: behind one that is to be repeated the
   * others wait, and it waits for the receipts of what was sent behind it, lest an old checkpoint replace a new one.
   */
  take(now: number): Report[] {
    const batch: Report[] = [];
    let size = 0;
    if (this.#waiting === 0) {
      return batch;
    }
    for (const kept of this.#kept.values()) {
      if (kept.inFlight || now < kept.notBefore || this.#waitsBehind(kept)) {
        continue;
      }
      if (batch.length === MAX_BATCH || (batch.length > 0 && size + kept.size > MAX_BATCH_BYTES)) {
        break;
      }
      this.#mark(kept, true);
      batch.push(kept.report);
      size += kept.size;
    }
    return batch;
  }

  /** When the next report becomes due, after `take` had none. */
  dueAt(): number | undefined {
    if (this.#waiting === 0) {
      return undefined;
    }
    let due: number | undefined;
    for (const kept of this.#kept.values()) {
      if (!kept.inFlight && !this.#waitsBehind(kept)) {
        due = Math.min(due ?? Infinity, kept.notBefore);
      }
    }
    return due;
  }

  /** What a receipt makes of its report; undefined when it means nothing. Progress isn't kept, but can be refused. */
  receipt(now: number, receipt: Receipt): Settled | undefined {
    const kept = this.#kept.get(receipt.reportId);
    switch (receipt.status) {
      case ReceiptStatus.REFUSED:
        return this.#refused(now, kept, receipt);
      case ReceiptStatus.COMMITTED:
        return kept && this.#committedNow(kept);
      case ReceiptStatus.RETRY:
        return kept && this.#retry(now, kept);
      default:
        return undefined;
    }
  }

  #refused(now: number, kept: Kept | undefined, receipt: Receipt): Settled {
    if (kept === undefined) {
      return "refused";
    }
    // Output behind output that has to be sent again stood behind a gap.
    if (receipt.reason === ErrorReason.INVALID_FIELD && this.#isBehindOutput(kept)) {
      return this.#retry(now, kept);
    }
    this.#settle(kept, refused(kept.report, receipt));
    return leavesAttempt(kept.report, receipt) ? "refusedAlone" : "refused";
  }

  #isBehindOutput({ key, report }: Kept): boolean {
    const siblings = [...(this.#of.get(key)?.values() ?? [])];
    const earlier = siblings.filter((other) => other.report.reportId < report.reportId);
    return report.kind.case === "output" && earlier.some((other) => other.report.kind.case === "output");
  }

  #committedNow(kept: Kept): Settled {
    const newest = this.#committed.get(kept.key) ?? { any: 0n, standing: 0n };
    const { reportId, kind } = kept.report;
    newest.any = reportId > newest.any ? reportId : newest.any;
    if (STANDINGS.includes(kind.case)) {
      newest.standing = reportId > newest.standing ? reportId : newest.standing;
    }
    this.#committed.set(kept.key, newest);
    this.#settle(kept, undefined);
    return "committed";
  }

  #retry(now: number, kept: Kept): Settled {
    if (isSuperseded(kept, this.#committed.get(kept.key))) {
      this.#settle(kept, undefined);
      return "committed";
    }
    this.#mark(kept, false);
    kept.notBefore = now + kept.backoff.delay();
    return "retry";
  }

  /** A new stream: what has no receipt is sent again at once. */
  sendAllAgain(): void {
    for (const kept of this.#kept.values()) {
      this.#mark(kept, false);
      kept.notBefore = 0;
    }
  }

  /** Forgets the checkpoints and steps of an attempt that wait outside. */
  dropWaiting(key: Key, why: string): void {
    if (this.#outside.length > 0) {
      this.#dropOutside((report) => keyOf(report.attempt) === key, leaseLost(why));
    }
  }

  /** Forgets all reports of a kind: the server that is attached takes none. */
  giveUpKind(kind: Kind, error: StatusError): void {
    this.#dropOutside((report) => report.kind.case === kind, error);
    this.#drop(
      [...this.#kept.values()].filter(({ report }) => report.kind.case === kind),
      error,
    );
  }

  /** Forgets an attempt's reports of a kind that are not on their way: they are not needed any more. */
  dropUnsent(key: Key, kind: Kind): void {
    const siblings = [...(this.#of.get(key)?.values() ?? [])];
    const meant = siblings.filter(({ inFlight, report }) => !inFlight && report.kind.case === kind);
    this.#drop(meant, undefined);
  }

  #drop(meant: readonly Kept[], error: StatusError | undefined): void {
    for (const kept of meant) {
      // One that was dropped may have taken others along.
      if (this.#kept.has(kept.report.reportId)) {
        this.#settle(kept, error);
      }
    }
  }

  #dropOutside(isMeant: (report: Report) => boolean, error: StatusError): void {
    for (const { ticket } of this.#outside.filter(({ report }) => isMeant(report))) {
      this.#settled.push({ kind: "reportSettled", ticket, error });
    }
    this.#outside = this.#outside.filter(({ report }) => !isMeant(report));
  }

  /** Forgets everything; nobody waits for it any longer. */
  giveUp(error: StatusError): void {
    for (const { ticket } of [...this.#kept.values(), ...this.#outside]) {
      if (ticket !== undefined) {
        this.#settled.push({ kind: "reportSettled", ticket, error });
      }
    }
    this.#kept.clear();
    this.#of.clear();
    this.#waiting = 0;
    this.#outside = [];
  }

  /** The checkpoints and steps that are decided, each with the error if it was refused. */
  takeSettled(): ReportSettled[] {
    const settled = this.#settled;
    this.#settled = [];
    return settled;
  }

  #mark(kept: Kept, inFlight: boolean): void {
    if (kept.inFlight !== inFlight) {
      kept.inFlight = inFlight;
      this.#waiting += inFlight ? -1 : 1;
    }
  }

  #letIn(): void {
    while (this.#kept.size < this.#limit) {
      const next = this.#outside.shift();
      if (next === undefined) {
        return;
      }
      this.add(next.report, { ticket: next.ticket });
    }
  }

  /** Whether another of its attempt is to be settled first: an earlier one that has to wait, a later one on its way. */
  #waitsBehind(kept: Kept): boolean {
    for (const [reportId, other] of this.#of.get(kept.key) ?? []) {
      if (reportId < kept.report.reportId && !other.inFlight && other.notBefore > 0) {
        return true;
      }
      if (reportId > kept.report.reportId && other.inFlight) {
        return true;
      }
    }
    return false;
  }

  #settle(kept: Kept, error: StatusError | undefined): void {
    this.#kept.delete(kept.report.reportId);
    this.#waiting -= kept.inFlight ? 0 : 1;
    const siblings = this.#of.get(kept.key);
    siblings?.delete(kept.report.reportId);
    if (kept.ticket !== undefined) {
      this.#settled.push({ kind: "reportSettled", ticket: kept.ticket, error });
    }
    const committed = this.#committed.get(kept.key);
    for (const other of [...(siblings?.values() ?? [])]) {
      if (!other.inFlight && isSuperseded(other, committed) && this.#kept.has(other.report.reportId)) {
        this.#settle(other, undefined);
      }
    }
    if (siblings === undefined || siblings.size === 0) {
      this.#of.delete(kept.key);
      this.#committed.delete(kept.key);
    }
    this.#letIn();
  }
}

/** The newest reports of an attempt that are committed. */
interface Newest {
  any: bigint;
  /** Of those that say how the attempt stands. */
  standing: bigint;
}

/** What says whether the attempt has a slot: the newest counts. */
const STANDINGS: readonly Kind[] = ["pause", "resume", "completed", "failed", "rejected"];

/**
 * Whether a newer report that is committed makes it needless. A checkpoint replaces those before it, and anything implies
 * that the attempt was accepted; steps and output stand for themselves.
 */
function isSuperseded({ report }: Kept, committed: Newest | undefined): boolean {
  const { any = 0n, standing = 0n } = committed ?? {};
  switch (report.kind.case) {
    case "step":
    case "output":
      return false;
    case "pause":
    case "resume":
      return report.reportId < standing;
    default:
      return report.reportId < any;
  }
}
