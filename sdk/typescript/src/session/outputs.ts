// What handlers give as output, until it is in a report, and what becomes of those reports. See section 10 of `sdk/SPEC.md`.
// Without any I/O.

import { type Attempt as Lease, type Receipt, ReceiptStatus, type Report } from "../_gen/callboard/v1/agent_pb.js";
import { ErrorReason } from "../_gen/callboard/v1/error_pb.js";
import type { Payload } from "../_gen/callboard/v1/payload_pb.js";
import type { StatusError } from "../errors.js";
import type { Action } from "./actions.js";
import { Chunks } from "./chunks.js";
import { earliest, noOutput, reportOf } from "./frames.js";
import type { Outbox } from "./outbox.js";
import { refused } from "./saved.js";
import { type Key, keyOf } from "./states.js";

/** Milliseconds between two reports of an attempt's output. */
export const OUTPUT_EVERY = 50;

/** What an attempt gave. */
interface Given {
  readonly lease: Lease;
  /** What was not reported. */
  chunks: Chunks;
  /** Bytes of content that were: the offset of the next report. */
  reported: number;
  lastId: bigint;
  /** No report is made before, unless another report of the attempt needs it to be. */
  notBefore: number;
  /** The server takes no more of it. */
  refused: boolean;
}

/** The output of all attempts. What is to be done goes to `act`, what is to be reported into the outbox. */
export class Outputs {
  readonly #outbox: Outbox;
  readonly #act: (action: Action) => void;
  readonly #given = new Map<Key, Given>();

  constructor(outbox: Outbox, act: (action: Action) => void) {
    this.#outbox = outbox;
    this.#act = act;
  }

  /** A handler gave text or bytes, which may be divided and joined, or something else, which may not (`isWhole`). */
  give(lease: Lease, data: Payload, isWhole: boolean): void {
    const given = this.#of(lease);
    if (!given.refused) {
      given.chunks.add(data, isWhole);
    }
  }

  /** What may be reported now goes into the outbox. */
  collect(now: number): void {
    for (const given of this.#given.values()) {
      if (now >= (this.#dueAtOf(given) ?? Infinity)) {
        this.#report(given);
        given.notBefore = now + OUTPUT_EVERY;
      }
    }
  }

  /** When `collect` has something to do; undefined when only a receipt or a handler can bring it. */
  dueAt(): number | undefined {
    return earliest(...[...this.#given.values()].map((given) => this.#dueAtOf(given)));
  }

  /** All that the attempt gave goes ahead of what is reported next. */
  flush(key: Key): void {
    const given = this.#given.get(key);
    while (given?.chunks.isEmpty === false) {
      this.#report(given);
    }
  }

  /** The receipt of a report came. One that says that there is no room for more ends the attempt's output. */
  receipt(report: Report, receipt: Receipt): void {
    const given = this.#given.get(keyOf(report.attempt));
    const isFull = receipt.status === ReceiptStatus.REFUSED && receipt.reason === ErrorReason.LIMIT_REACHED;
    if (given !== undefined && report.kind.case === "output" && isFull) {
      this.#refuse(given, refused(report, receipt));
    }
  }

  /** Whether the server takes no more of this attempt. */
  isRefused(key: Key): boolean {
    return this.#given.get(key)?.refused ?? false;
  }

  /** The attempt has ended or is lost. */
  forget(key: Key): void {
    this.#given.delete(key);
  }

  /** The server that is attached takes none. What was given is gone, and more behind it would leave a gap. */
  giveUp(): void {
    for (const given of this.#given.values()) {
      this.#refuse(given, noOutput());
    }
    this.#outbox.giveUpKind("output", noOutput());
  }

  #of(lease: Lease): Given {
    const key = keyOf(lease);
    let given = this.#given.get(key);
    if (given === undefined) {
      given = { lease, chunks: new Chunks(), reported: 0, lastId: 0n, notBefore: 0, refused: false };
      this.#given.set(key, given);
    }
    return given;
  }

  #dueAtOf({ chunks, lastId, notBefore }: Given): number | undefined {
    const isOnItsWay = this.#outbox.find(lastId) !== undefined;
    return chunks.isEmpty || isOnItsWay ? undefined : notBefore;
  }

  #report(given: Given): void {
    const { chunks, bytes, weight } = given.chunks.take();
    const report = reportOf(given.lease, { case: "output", value: { offset: BigInt(given.reported), chunks } });
    this.#outbox.add(report);
    given.lastId = report.reportId;
    given.reported += bytes;
    this.#act({ kind: "outputTaken", key: keyOf(given.lease), weight });
  }

  #refuse(given: Given, error: StatusError): void {
    const key = keyOf(given.lease);
    given.refused = true;
    given.chunks = new Chunks();
    this.#outbox.dropUnsent(key, "output");
    this.#act({ kind: "outputRefused", key, error });
  }
}
