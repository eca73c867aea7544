// The agent's side of the attach protocol, without any I/O: see section 6 of `sdk/SPEC.md`.
//
// What happens is told to a `Session` (frames that came, handlers that ended, streams that broke, time that passed); what
// is to be done about it is asked of it: `takeActions()` for handlers and streams, `nextFrame()` for the next frame to
// send (`sendAt()` says when to ask again), `tickAt()` for when to call `tick()` again. Time and randomness are passed in,
// so that every test is a script. Times are milliseconds of the caller's monotonic clock.
//
// Frames are asked for one at a time, when the stream can take one: reports that wait meanwhile go out together, and
// nothing piles up behind a slow connection.

import { create } from "@bufbuild/protobuf";

import {
  type Assignment,
  type AttachRequest,
  AttachRequestSchema,
  type AttachResponse,
  type Progress,
  type Welcome,
} from "../_gen/callboard/v1/agent_pb.js";
import type { MessageSend } from "../_gen/callboard/v1/message_pb.js";
import type { Payload } from "../_gen/callboard/v1/payload_pb.js";
import type { StepRecord } from "../_gen/callboard/v1/step_pb.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";
import type { WireFailure } from "../failure.js";
import type { Action } from "./actions.js";
import { Attempts } from "./attempts.js";
import { earliest, type Frame, frameOf, leaseLost, noOutput, type ReportInit, rejection, reportOf } from "./frames.js";
import { type Feature, Link, type State } from "./link.js";
import { helloOf, type SessionOptions, unhandled } from "./identity.js";
import { Mail, noMessages } from "./mail.js";
import { Outbox } from "./outbox.js";
import { type Saved, SAVED, untaken } from "./saved.js";
import { Drain, type Key, keyOf } from "./states.js";

/** How long a drain waits for receipts once no handler runs. */
export const RECEIPTS_WITHIN = 5_000;

/** How ready an agent is for tasks. */
export type Readiness = "connecting" | "attached" | "draining" | "stopped";

/** The state machine. */
export class Session {
  readonly #options: SessionOptions;
  readonly #types: ReadonlySet<string>;
  readonly #link: Link;
  #drain: Drain | undefined;
  readonly #outbox: Outbox;
  readonly #attempts: Attempts;
  readonly #mail: Mail;
  #actions: Action[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#types = new Set(options.profile.handles.map((handler) => handler.type));
    this.#link = new Link(options.addresses, options.random);
    this.#outbox = new Outbox(Math.max(1, options.profile.slots) * 4, options.random);
    this.#attempts = new Attempts(this.#outbox, (action) => this.#actions.push(action));
    this.#mail = new Mail(options.random);
  }

  /** Where it is. */
  get state(): State {
    return this.#link.state;
  }

  /** How ready it is for tasks: only one that is attached, and doesn't drain, is given any. */
  get readiness(): Readiness {
    if (this.state === "stopped") {
      return "stopped";
    }
    if (this.#drain !== undefined) {
      return "draining";
    }
    return this.#link.isAttached ? "attached" : "connecting";
  }

  /** The agent's id; empty before the first welcome. */
  get agentId(): string {
    return this.#link.agentId;
  }

  /** The epoch of the latest session; 0 before the first welcome. */
  get epoch(): bigint {
    return this.#link.epoch;
  }

  /** Whether the server that is attached doesn't take such a thing. While detached nobody knows. */
  lacks(feature: Feature): boolean {
    return this.#link.lacks(feature);
  }

  /** The attempts whose handlers run. */
  running(): Key[] {
    return this.#attempts.running();
  }

  // What happens.

  /** Begins; does nothing when it was stopped before. */
  start(now: number): void {
    this.#link.begin(now);
    this.tick(now);
  }

  /** The stream ended or could not be opened; with its status unless that was OK. */
  disconnected(now: number, error: StatusError | undefined): void {
    if (this.state === "detached" || this.state === "stopped") {
      return;
    }
    if (error !== undefined && this.#link.isFinal(error)) {
      this.#end(error);
      return;
    }
    this.#detach(now);
    this.tick(now);
  }

  /** A frame came. */
  received(now: number, { frame }: AttachResponse): void {
    if (this.state !== "hello" && this.state !== "attached") {
      return;
    }
    this.#link.received(now);
    if (frame.case === "welcome") {
      this.#welcome(now, frame.value);
    } else if (this.#link.isAttached) {
      this.#attachedFrame(now, frame);
    }
    this.tick(now);
  }

  /** A handler ended with a result. */
  completed(now: number, key: Key, result: Payload): void {
    const isWanted = this.state !== "stopped";
    this.#attempts.ended(key, isWanted, (lease) => reportOf(lease, { case: "completed", value: { result } }));
    this.tick(now);
  }

  /** A handler ended with an error. */
  failed(now: number, key: Key, failure: WireFailure): void {
    const isWanted = this.state !== "stopped";
    this.#attempts.ended(key, isWanted, (lease) => reportOf(lease, { case: "failed", value: { failure } }));
    this.tick(now);
  }

  /** A handler told how far it is. The latest wins. */
  progressed(key: Key, progress: Progress): void {
    this.#attempts.progressed(key, progress);
  }

  /** A handler wants a checkpoint saved; `reportSettled` with the ticket tells what became of it. */
  checkpointed(key: Key, data: Payload, ticket: number): void {
    this.#save(key, { case: "checkpoint", value: { data } }, ticket);
  }

  /** A handler wants a step recorded; `reportSettled` with the ticket tells what became of it. */
  stepped(key: Key, record: StepRecord, ticket: number): void {
    this.#save(key, { case: "step", value: record }, ticket);
  }

  #save(key: Key, kind: ReportInit & { readonly case: Saved }, ticket: number): void {
    const attempt = this.#attempts.find(key);
    if (attempt === undefined || this.state === "stopped") {
      this.#actions.push({ kind: "reportSettled", ticket, error: leaseLost("the lease is lost") });
    } else if (this.#link.lacks(SAVED[kind.case])) {
      this.#actions.push({ kind: "reportSettled", ticket, error: untaken(kind.case) });
    } else {
      this.#attempts.outputs.flush(key);
      this.#outbox.addAwaited(reportOf(attempt.lease, kind), ticket);
    }
  }

  /**
   * A handler waits until so many of these tasks have completed, or can't any more: for one of one, until that has ended.
   * `awaitSettled` with the ticket tells it.
   */
  awaited(key: Key, taskIds: readonly string[], count: number, ticket: number): void {
    const attempt = this.#attempts.find(key);
    if (attempt === undefined || this.state === "stopped") {
      this.#actions.push({ kind: "awaitSettled", ticket, outcome: leaseLost("the lease is lost") });
    } else if (this.lacks("children")) {
      this.#actions.push({ kind: "awaitSettled", ticket, outcome: undefined });
    } else {
      this.#attempts.waits.begin(attempt.lease, taskIds, count, ticket);
    }
  }

  /** A handler waits no longer. */
  awaitedNoMore(now: number, key: Key, ticket: number): void {
    this.#attempts.waits.giveUp(now, key, ticket);
  }

  /** A handler gave output; `isWhole`: it is one chunk, and stays so. `outputTaken` tells when it waits no more. */
  outputGiven(key: Key, data: Payload, isWhole: boolean): void {
    const attempt = this.#attempts.find(key);
    if (attempt === undefined || this.state === "stopped") {
      this.#actions.push({ kind: "outputRefused", key, error: leaseLost("the lease is lost") });
    } else if (this.lacks("output")) {
      this.#actions.push({ kind: "outputRefused", key, error: noOutput() });
    } else {
      this.#attempts.outputs.give(attempt.lease, data, isWhole);
    }
  }

  /** A handler sends a message; `sendSettled` with the ticket tells what became of it. */
  send(send: MessageSend, ticket: number): void {
    if (this.state === "stopped") {
      const outcome = statusError(StatusCode.UNAVAILABLE, "the agent has stopped");
      this.#actions.push({ kind: "sendSettled", ticket, outcome });
    } else if (this.#link.lacks("messages")) {
      this.#actions.push({ kind: "sendSettled", ticket, outcome: noMessages() });
    } else {
      this.#mail.send(send, ticket);
    }
  }

  /**
   * The handler of a message has ended; `ok` when without an error. False when the message failed too often, and is
   * given up.
   */
  handled(now: number, messageId: string, ok: boolean): boolean {
    const kept = this.#mail.inbox.finish(now, messageId, ok);
    this.tick(now);
    return kept;
  }

  /** The agent takes nothing new and ends when what it has is done, or the time is over. */
  drain(now: number, timeout = this.#options.drainTimeout): void {
    if (this.#drain === undefined && this.state !== "stopped") {
      this.#drain = new Drain(now + timeout);
      this.tick(now);
    }
  }

  /** Ends at once; what was running is requeued by the server. */
  stop(): void {
    if (this.state !== "stopped") {
      this.#end(undefined);
    }
  }

  /** Time passed: does whatever is due. */
  tick(now: number): void {
    if (this.state === "stopped") {
      return;
    }
    if (this.#drain !== undefined) {
      this.#tickDrain(now, this.#drain);
    } else if (this.#options.takesMessages) {
      const message = this.#mail.inbox.start(now);
      if (message !== undefined) {
        this.#actions.push({ kind: "handle", message });
      }
    }
    if (this.#link.isAttached) {
      this.#attempts.waits.tick(now);
    }
    if (this.#link.isDue(now)) {
      this.#actions.push({ kind: "connect", address: this.#link.connect(now) });
    } else if (this.#link.isSilent(now)) {
      this.#actions.push({ kind: "cut" });
      this.#detach(now);
    }
  }

  // What is to be done.

  /** What to do now, in this order. */
  takeActions(): Action[] {
    const actions = [...this.#actions, ...this.#outbox.takeSettled(), ...this.#mail.takeSettled()];
    this.#actions = [];
    return actions;
  }

  /** The next frame to send, if there is one. Ask when the stream can take it: asking means sending. */
  nextFrame(now: number): AttachRequest | undefined {
    const frame = this.#nextFrame(now);
    if (frame === undefined) {
      return undefined;
    }
    this.#link.sent(now);
    return create(AttachRequestSchema, { frame });
  }

  /** When `tick` is due at the latest; undefined when only an event can change something. */
  tickAt(): number | undefined {
    if (this.state === "stopped") {
      return undefined;
    }
    const waiting = this.#drain === undefined ? this.#mail.inbox.startAt() : this.#drain.due();
    const resuming = this.#link.isAttached ? this.#attempts.waits.dueAt() : undefined;
    return earliest(this.#link.dueAt(), waiting, resuming);
  }

  /** When `nextFrame` has one at the latest, after it had none; undefined when only an event can bring one. */
  sendAt(): number | undefined {
    if (this.state !== "attached") {
      return undefined;
    }
    const progress = this.#link.lacks("progress") ? [] : this.#attempts.progressDueAt();
    const mail = this.#link.lacks("messages") ? [] : this.#mail.dueAt();
    const output = this.lacks("output") ? undefined : this.#attempts.outputs.dueAt();
    return earliest(this.#link.heartbeatAt(), this.#outbox.dueAt(), output, ...progress, ...mail);
  }

  // Streams.

  #detach(now: number): void {
    this.#link.detach(now);
    this.#attempts.dropAllProgress();
  }

  #serverDrains(now: number, endpoints: readonly string[]): void {
    this.#actions.push({ kind: "cut" });
    this.#link.leaveFor(now, endpoints);
    this.#attempts.dropAllProgress();
  }

  #end(error: StatusError | undefined): void {
    this.#link.stop();
    for (const attempt of this.#attempts.ours()) {
      this.#attempts.close(attempt, "the agent stops");
    }
    this.#outbox.giveUp(leaseLost("the agent stops"));
    this.#mail.giveUp();
    this.#stopHandling();
    this.#actions.push({ kind: "end", error });
  }

  // Frames that come.

  #attachedFrame(now: number, frame: AttachResponse["frame"]): void {
    switch (frame.case) {
      case "assignments":
        frame.value.assignments.forEach((assignment) => {
          this.#attempts.assign(now, assignment, this.#refusal(assignment), !this.lacks("steps"));
        });
        break;
      case "receipts":
        frame.value.receipts.forEach((receipt) => {
          this.#attempts.receipt(now, receipt);
        });
        break;
      case "cancellations":
        frame.value.cancellations.forEach((cancellation) => {
          this.#attempts.cancel(cancellation);
        });
        break;
      case "messages":
        if (this.#options.takesMessages) {
          this.#mail.deliver(frame.value.messages);
        }
        break;
      case "messageReceipts":
        this.#mail.receipts(now, frame.value);
        break;
      case "taskEnds":
        frame.value.ends.forEach((end) => {
          this.#attempts.waits.ended(now, end);
        });
        break;
      case "resumptions":
        frame.value.resumptions.forEach((resumption) => {
          this.#attempts.resumed(resumption);
        });
        break;
      case "drain":
        this.#serverDrains(now, frame.value.endpoints);
        break;
      default:
        // A heartbeat, or what a newer server says.
        break;
    }
  }

  #welcome(now: number, welcome: Welcome): void {
    if (this.state !== "hello") {
      return;
    }
    this.#link.welcome(now, welcome);
    const held = new Set(welcome.held.map(keyOf));
    for (const attempt of this.#attempts.ours().filter((one) => !held.has(one.key))) {
      this.#attempts.close(attempt, "the lease was lost while the agent was away");
    }
    this.#outbox.sendAllAgain();
    this.#attempts.waits.sendAllAgain(now);
    this.#mail.sendAllAgain(!this.#link.lacks("messages"));
    this.#giveUpUntaken();
    if (this.#drain !== undefined) {
      this.#drain.announced = this.#drain.closedSlots = false;
    }
  }

  /** What handlers gave or wait for while another server was attached, and this one doesn't take. */
  #giveUpUntaken(): void {
    for (const kind of ["checkpoint", "step"] as const) {
      if (this.#link.lacks(SAVED[kind])) {
        this.#outbox.giveUpKind(kind, untaken(kind));
      }
    }
    if (this.lacks("children")) {
      this.#attempts.waits.leaveToCalls();
    }
    if (this.lacks("output")) {
      this.#attempts.outputs.giveUp();
    }
  }

  #refusal(assignment: Assignment): string | undefined {
    if (this.#drain !== undefined) {
      return "drain";
    }
    return unhandled(this.#types, assignment);
  }

  // Drain.

  #tickDrain(now: number, drain: Drain): void {
    const ours = this.#attempts.ours();
    if (now >= drain.handlersUntil) {
      this.#stopHandling();
      for (const attempt of ours.splice(0)) {
        this.#attempts.close(attempt, "the agent stops");
        this.#outbox.add(rejection(attempt.lease, "drain"));
      }
    }
    if (ours.length > 0 || this.#mail.inbox.isRunning()) {
      return;
    }
    drain.receiptsUntil ??= now + RECEIPTS_WITHIN;
    // The server hears of the drain before the stream's end: it hands what it was just pushing to others at once.
    const isTold = drain.announced || this.state !== "attached";
    if ((isTold && this.#outbox.isEmpty() && this.#mail.isIdle) || now >= drain.receiptsUntil) {
      this.#end(undefined);
    }
  }

  #stopHandling(): void {
    if (this.#mail.inbox.isRunning()) {
      this.#mail.inbox.abort();
      this.#actions.push({ kind: "stopHandling" });
    }
  }

  // Frames that go.

  #nextFrame(now: number): Frame | undefined {
    if (this.state === "connecting") {
      this.#link.greet();
      return { case: "hello", value: helloOf(this.#options, this.#attempts.held(), this.#link.epoch) };
    }
    if (this.state !== "attached") {
      return undefined;
    }
    const frame =
      this.#drainFrame() ?? this.#attempts.waits.takeFrame() ?? this.#mailFrame(now) ?? this.#reportsFrame(now);
    if (frame !== undefined || now < this.#link.heartbeatAt()) {
      return frame;
    }
    return frameOf({ case: "heartbeat", value: {} });
  }

  /**
   * Says that the agent drains. The server ends the stream of an agent that has drained and has no attempt left: while a
   * message is being handled, or has no receipt, it is only told to give nothing more.
   */
  #drainFrame(): Frame | undefined {
    const drain = this.#drain;
    if (drain === undefined || drain.announced) {
      return undefined;
    }
    if (!this.#mail.isIdle && !this.#link.lacks("messages")) {
      if (drain.closedSlots || this.#link.lacks("slots")) {
        return undefined;
      }
      drain.closedSlots = true;
      return frameOf({ case: "slots", value: { slots: 0 } });
    }
    drain.announced = true;
    return this.#link.lacks("drain") ? undefined : frameOf({ case: "drain", value: {} });
  }

  #mailFrame(now: number): Frame | undefined {
    return this.#link.lacks("messages") ? undefined : this.#mail.takeFrame(now);
  }

  #reportsFrame(now: number): Frame | undefined {
    this.#attempts.outputs.collect(now);
    const progress = this.#link.lacks("progress") ? [] : this.#attempts.takeProgress(now);
    const reports = [...this.#outbox.take(now), ...progress];
    return reports.length > 0 ? frameOf({ case: "reports", value: { reports } }) : undefined;
  }
}
