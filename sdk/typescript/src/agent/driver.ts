// Drives one session until its end: gives it its events, and does what it asks for. It runs on the connection's thread, and
// knows neither that thread nor the network: both are passed in.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import {
  AssignmentSchema,
  type AttachRequest,
  type AttachResponse,
  ProgressSchema,
  TaskEndSchema,
} from "../_gen/callboard/v1/agent_pb.js";
import { MessageReceiptSchema, MessageSchema, MessageSendSchema } from "../_gen/callboard/v1/message_pb.js";
import { FailureSchema, PayloadSchema } from "../_gen/callboard/v1/payload_pb.js";
import { StepRecordSchema } from "../_gen/callboard/v1/step_pb.js";
import type { Credentials } from "../credentials.js";
import { StatusCode, StatusError, statusError } from "../errors.js";
import type { Action } from "../session/actions.js";
import { HANDLER_FEATURES } from "../session/link.js";
import type { Session } from "../session/session.js";
import type { Address } from "../settings.js";
import { fromTransport } from "../status.js";
import { partsOf, type Status, type ToConnection, type ToHandlers, UNATTACHED } from "./port.js";

/** Milliseconds that the server has to end the stream when the agent has closed its side. */
const GOODBYE = 1_000;

/** A stream to a server. */
export interface Wire {
  readonly address: Address;
  readonly authorization: string | undefined;
  /** What goes; each is taken when the stream can take it. */
  readonly frames: AsyncIterable<AttachRequest>;
  /** Cuts it. */
  readonly signal: AbortSignal;
}

/** Opens a stream, and gives what comes. */
export type Open = (wire: Wire) => AsyncIterable<AttachResponse>;

/** One stream, as far as the driver knows it. */
interface Stream {
  readonly abort: AbortController;
  /** Done when it has ended. */
  ended: Promise<void>;
}

/** The driver. */
export class Driver {
  readonly #session: Session;
  readonly #tell: (event: ToHandlers) => void;
  readonly #open: Open;
  readonly #credentials: Credentials;
  readonly #bell = new Bell();
  /** The stream that speaks for the session: one that was cut off is not it any more. */
  #stream: Stream | undefined;
  #timer: { readonly at: number; readonly handle: NodeJS.Timeout } | undefined;
  #status = UNATTACHED;
  #finish!: (error: StatusError | undefined) => void;
  readonly #finished: Promise<StatusError | undefined>;

  constructor(session: Session, tell: (event: ToHandlers) => void, open: Open, credentials: Credentials) {
    this.#session = session;
    this.#tell = tell;
    this.#open = open;
    this.#credentials = credentials;
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Attaches, again and again, until the session ends; gives the error if trying again can't help. */
  async run(): Promise<StatusError | undefined> {
    this.#happened((now) => {
      this.#session.start(now);
    });
    const error = await this.#finished;
    clearTimeout(this.#timer?.handle);
    const goodbye = new Bell();
    void this.#stream?.ended.then(() => {
      goodbye.ring();
    });
    if (this.#stream !== undefined) {
      await goodbye.wait(GOODBYE);
    }
    this.#cut();
    return error;
  }

  /** The handlers say something. */
  heard(batch: readonly ToConnection[]): void {
    this.#happened((now) => {
      for (const event of batch) {
        this.#apply(now, event);
      }
    });
  }

  #apply(now: number, event: ToConnection): void {
    const session = this.#session;
    switch (event.kind) {
      case "completed":
        session.completed(now, event.key, fromBinary(PayloadSchema, event.result));
        break;
      case "failed":
        session.failed(now, event.key, fromBinary(FailureSchema, event.failure));
        break;
      case "progress":
        session.progressed(event.key, fromBinary(ProgressSchema, event.progress));
        break;
      case "checkpoint":
        session.checkpointed(event.key, fromBinary(PayloadSchema, event.data), event.ticket);
        break;
      case "step":
        session.stepped(event.key, fromBinary(StepRecordSchema, event.record), event.ticket);
        break;
      case "await":
        session.awaited(event.key, event.taskId, event.ticket);
        break;
      case "awaitNoMore":
        session.awaitedNoMore(now, event.key, event.ticket);
        break;
      case "output":
        session.outputGiven(event.key, fromBinary(PayloadSchema, event.data), event.isWhole);
        break;
      case "send":
        session.send(fromBinary(MessageSendSchema, event.send), event.ticket);
        break;
      case "handled":
        if (!session.handled(now, event.messageId, event.ok)) {
          this.#log("error", `message ${event.messageId} failed too often, and is given up`);
        }
        break;
      case "drain":
        session.drain(now, event.timeout);
        break;
      case "stop":
        session.stop();
        break;
    }
  }

  /** Tells the session of something, with the time, and does what it wants done about it. */
  #happened(event: (now: number) => void): void {
    event(performance.now());
    for (let actions = this.#session.takeActions(); actions.length > 0; actions = this.#session.takeActions()) {
      for (const action of actions) {
        this.#perform(action);
      }
    }
    this.#tellStatus();
    this.#arm();
    this.#bell.ring();
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case "connect":
        this.#log("debug", `attaching to ${action.address.url}`);
        this.#attach(action.address);
        break;
      case "cut":
        this.#cut();
        break;
      case "start": {
        const { kind, key, hasSteps } = action;
        this.#tell({ kind, key, assignment: toBinary(AssignmentSchema, action.assignment), hasSteps });
        break;
      }
      case "stop":
        this.#tell({ kind: "stop", key: action.key, reason: action.reason });
        break;
      case "handle":
        this.#tell({ kind: "handle", message: toBinary(MessageSchema, action.message) });
        break;
      case "stopHandling":
        this.#tell({ kind: "stopHandling" });
        break;
      case "reportSettled": {
        const error = action.error === undefined ? undefined : partsOf(action.error);
        this.#tell({ kind: "reportSettled", ticket: action.ticket, error });
        break;
      }
      case "awaitSettled": {
        const { ticket, outcome } = action;
        if (outcome instanceof StatusError) {
          this.#tell({ kind: "awaitRefused", ticket, error: partsOf(outcome) });
        } else {
          const end = outcome === undefined ? undefined : toBinary(TaskEndSchema, outcome);
          this.#tell({ kind: "awaitSettled", ticket, end });
        }
        break;
      }
      case "deadline":
      case "outputTaken":
        this.#tell(action);
        break;
      case "outputRefused":
        this.#tell({ kind: "outputRefused", key: action.key, error: partsOf(action.error) });
        break;
      case "sendSettled": {
        const { ticket, outcome } = action;
        if (outcome instanceof StatusError) {
          this.#tell({ kind: "sendRefused", ticket, error: partsOf(outcome) });
        } else {
          const receipt = toBinary(MessageReceiptSchema, create(MessageReceiptSchema, outcome));
          this.#tell({ kind: "sendSettled", ticket, receipt });
        }
        break;
      }
      case "end":
        this.#finish(action.error);
        break;
    }
  }

  #tellStatus(): void {
    const { agentId } = this.#session;
    const attached = this.#session.state === "attached";
    const epoch = Number(this.#session.epoch);
    const before = this.#status;
    // With each welcome the epoch is another: what the server takes changes with that alone.
    if (attached !== before.attached || epoch !== before.epoch || agentId !== before.agentId) {
      const lacks = HANDLER_FEATURES.filter((feature) => this.#session.lacks(feature));
      const status: Status = { attached, agentId, epoch, lacks };
      this.#status = status;
      this.#tell({ kind: "status", status });
    }
  }

  /** Sees to it that the session is asked again when something is due. A timer that comes too early does no harm. */
  #arm(): void {
    const at = this.#session.tickAt();
    if (at === undefined || (this.#timer !== undefined && this.#timer.at <= at)) {
      return;
    }
    clearTimeout(this.#timer?.handle);
    const ring = (): void => {
      this.#timer = undefined;
      this.#happened((now) => {
        this.#session.tick(now);
      });
    };
    this.#timer = { at, handle: setTimeout(ring, Math.max(0, at - performance.now())) };
  }

  #attach(address: Address): void {
    const stream: Stream = { abort: new AbortController(), ended: Promise.resolve() };
    this.#stream = stream;
    stream.ended = this.#exchange(stream, address);
  }

  async #exchange(stream: Stream, address: Address): Promise<void> {
    const authorization = this.#credentials.authorization(address);
    let error: StatusError | undefined;
    try {
      // A server that drains may have named it.
      this.#credentials.check([address]);
      const wire = { address, authorization, frames: this.#frames(stream), signal: stream.abort.signal };
      for await (const frame of this.#open(wire)) {
        if (this.#stream !== stream) {
          break;
        }
        this.#received(address, frame);
      }
    } catch (thrown) {
      error = fromTransport(thrown);
      if (this.#credentials.isRenewed(error, authorization)) {
        error = statusError(StatusCode.UNAVAILABLE, "the token was changed: attaching with the new one");
      }
    }
    stream.abort.abort();
    // One that was cut off may end by itself before it notices: another has taken its place.
    if (this.#stream === stream) {
      this.#stream = undefined;
      this.#lost(address, error);
    }
  }

  #received(address: Address, frame: AttachResponse): void {
    this.#happened((now) => {
      this.#session.received(now, frame);
    });
    if (frame.frame.case === "welcome") {
      this.#log("info", `attached to ${address.url}, epoch ${String(this.#session.epoch)}`);
    }
  }

  #lost(address: Address, error: StatusError | undefined): void {
    if (this.#session.state !== "stopped") {
      this.#log("warn", `the stream to ${address.url} ended: ${error?.toString() ?? "the server closed it"}`);
    }
    this.#happened((now) => {
      this.#session.disconnected(now, error);
    });
  }

  /** What goes over a stream, each frame made when the stream can take it. */
  async *#frames(stream: Stream): AsyncGenerator<AttachRequest, void, undefined> {
    // What one that was cut off took would be lost with it.
    while (this.#stream === stream) {
      const now = performance.now();
      const frame = this.#session.nextFrame(now);
      if (frame !== undefined) {
        yield frame;
        this.#happened((later) => {
          this.#session.tick(later);
        });
      } else if (this.#session.state === "stopped") {
        return;
      } else {
        const at = this.#session.sendAt();
        await this.#bell.wait(at === undefined ? undefined : Math.max(0, at - now));
      }
    }
  }

  #cut(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.abort.abort();
    // Its frames wait for the bell.
    this.#bell.ring();
  }

  #log(level: "debug" | "info" | "warn" | "error", text: string): void {
    this.#tell({ kind: "log", level, text });
  }
}

/** Wakes all that wait for it. */
class Bell {
  #waiting: (() => void)[] = [];

  ring(): void {
    const waiting = this.#waiting;
    if (waiting.length > 0) {
      this.#waiting = [];
      for (const wake of waiting) {
        wake();
      }
    }
  }

  /** Waits for the next ring, at most so many milliseconds. */
  wait(timeout: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = timeout === undefined ? undefined : setTimeout(resolve, timeout);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
