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
import { earliest } from "../session/frames.js";
import { HANDLER_FEATURES } from "../session/link.js";
import type { Session } from "../session/session.js";
import type { Address } from "../settings.js";
import { fromTransport } from "../status.js";
import { partsOf, type Status, type ToConnection, type ToHandlers, UNATTACHED } from "./port.js";

/** Milliseconds that the server has to end the stream when the agent has closed its side. */
const GOODBYE = 1_000;

/** A stream to a server. */
export interface Wire {
  /** Whether it can take a frame now. */
  readonly isWritable: boolean;
  /** Sends a frame; to be asked for only while it can take one. */
  send(frame: AttachRequest): void;
  /** Says that nothing more will be sent. */
  end(): void;
  /** Ends it at once. */
  cut(): void;
}

/** What a stream tells. */
export interface WireListener {
  /** It can take frames: once it is opened, and again whenever it could not. */
  writable(): void;
  /** A frame came. */
  received(frame: AttachResponse): void;
  /** It is over, with its status unless that is OK. Nothing is told behind it. */
  ended(error: StatusError | undefined): void;
}

/** Opens a stream. */
export type Open = (address: Address, authorization: string | undefined, listener: WireListener) => Wire;

/** The driver. */
export class Driver {
  readonly #session: Session;
  readonly #tell: (event: ToHandlers) => void;
  readonly #open: Open;
  readonly #credentials: Credentials;
  /** The stream that speaks for the session: one that was cut off is not it any more. */
  #wire: Wire | undefined;
  /** Told when it has ended by itself. */
  #onGone: (() => void) | undefined;
  #isDue = false;
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
    await this.#gone();
    this.#cut();
    return error;
  }

  /** Waits until the server has ended the stream, as far as it does so in time. */
  async #gone(): Promise<void> {
    if (this.#wire !== undefined) {
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, GOODBYE);
        this.#onGone = () => {
          clearTimeout(late);
          resolve();
        };
      });
    }
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
        session.completed(now, event.key, event.result);
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
        session.awaited(event.key, event.taskIds, event.count, event.ticket);
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
    this.#stir();
  }

  /** Sends what there is at the end of this turn of the event loop: what was told in it goes together. */
  #stir(): void {
    if (!this.#isDue) {
      this.#isDue = true;
      setImmediate(() => {
        this.#isDue = false;
        this.#send();
        this.#arm();
      });
    }
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
          const ends = outcome?.map((end) => toBinary(TaskEndSchema, end));
          this.#tell({ kind: "awaitSettled", ticket, ends });
        }
        break;
      }
      case "awaitDecided":
      case "awaitDropped":
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
    // What can't be sent now is asked for when the stream takes frames again.
    const sendAt = this.#wire?.isWritable === true ? this.#session.sendAt() : undefined;
    const at = earliest(this.#session.tickAt(), sendAt);
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
    const { authorization, refusal } = this.#authorize(address);
    if (refusal !== undefined) {
      setImmediate(() => {
        this.#lost(address, refusal);
      });
      return;
    }
    const isCurrent = (): boolean => this.#wire === wire;
    const wire = this.#open(address, authorization, {
      writable: () => {
        this.#stir();
      },
      received: (frame) => {
        if (isCurrent()) {
          this.#received(address, frame);
        }
      },
      ended: (error) => {
        // One that was cut off may end by itself before it notices: another has taken its place.
        if (isCurrent()) {
          this.#wire = undefined;
          this.#onGone?.();
          this.#lost(address, this.#explained(error, authorization));
        }
      },
    });
    this.#wire = wire;
  }

  /** What an address is told of who we are; a refusal when it must not know: a server that drains may have named it. */
  #authorize(address: Address): { readonly authorization?: string | undefined; readonly refusal?: StatusError } {
    try {
      this.#credentials.check([address]);
      return { authorization: this.#credentials.authorization(address) };
    } catch (thrown) {
      return { refusal: fromTransport(thrown) };
    }
  }

  #explained(error: StatusError | undefined, authorization: string | undefined): StatusError | undefined {
    if (error !== undefined && this.#credentials.isRenewed(error, authorization)) {
      return statusError(StatusCode.UNAVAILABLE, "the token was changed: attaching with the new one");
    }
    return error;
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

  /** Sends frames, each made when the stream can take it. */
  #send(): void {
    const wire = this.#wire;
    while (wire?.isWritable === true && this.#wire === wire) {
      const frame = this.#session.nextFrame(performance.now());
      if (frame === undefined) {
        break;
      }
      wire.send(frame);
      this.#happened((now) => {
        this.#session.tick(now);
      });
    }
    if (this.#session.state === "stopped") {
      wire?.end();
    }
  }

  #cut(): void {
    const wire = this.#wire;
    this.#wire = undefined;
    wire?.cut();
  }

  #log(level: "debug" | "info" | "warn" | "error", text: string): void {
    this.#tell({ kind: "log", level, text });
  }
}
