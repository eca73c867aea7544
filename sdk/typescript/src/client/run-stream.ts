// Carries out what `runs.ts` decides: moves frames over streams of `RunTasks`, and keeps the time.

import type { Task as WireTask, TaskSpec as WireTaskSpec } from "../_gen/callboard/v1/task_pb.js";
import { TaskService } from "../_gen/callboard/v1/task_service_pb.js";
import type { Duplex } from "../duplex.js";
import { StatusCode, type StatusError, statusError } from "../errors.js";
import { isRetryable } from "../retry.js";
import type { Address } from "../settings.js";
import type { Connections } from "../transport.js";
import { decodeFrame, encodeRun } from "./run-frames.js";
import { type Outcome, Runs, type Told } from "./runs.js";

/** Characters of a request id at most. A frame with a longer one would be refused whole. */
const MOST_ID = 128;
/** Bytes of a run at most, so that its frame is less than 3 MiB. */
const MOST_RUN = 3 * 1024 * 1024 - 1024;
/** Milliseconds that the server has to end a stream when we have ended our side. */
const GOODBYE = 1_000;

/** What a stream is made from. */
export interface RunStreamOptions {
  readonly connections: Connections;
  readonly namespace: string;
  /** Milliseconds that no stream can be opened before runs fail. */
  readonly timeout: number;
}

/** A stream that is open, or being opened. */
interface Current {
  readonly duplex: Duplex;
  readonly address: Address;
}

/** The stream over which a client has tasks run: opened when it is first needed, and again when it breaks. */
export class RunStream {
  readonly #connections: Connections;
  readonly #runs: Runs<WireTask>;
  #current: Current | undefined;
  /** The latest stream whose server knows of none. */
  #unsupported: Current | undefined;
  #isDue = false;
  #timer: { readonly at: number; readonly handle: NodeJS.Timeout } | undefined;

  constructor({ connections, namespace, timeout }: RunStreamOptions) {
    this.#connections = connections;
    this.#runs = new Runs({ namespace, timeout, random: Math.random });
    connections.onClose(() => {
      this.#close();
    });
  }

  /**
   * Creates a task and waits for its end; undefined when it is for calls to do. What a frame would be refused for they do,
   * too: then it is refused alone.
   */
  async run(
    requestId: string,
    spec: WireTaskSpec,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<WireTask | undefined> {
    signal?.throwIfAborted();
    this.#connections.throwIfClosed();
    const isNamed = requestId !== "" && requestId.length <= MOST_ID && !this.#runs.has(requestId);
    if (!isNamed || this.#isUnsupported()) {
      return undefined;
    }
    const bytes = encodeRun(requestId, spec);
    return bytes.length > MOST_RUN ? undefined : this.#ask(requestId, bytes, deadline, signal);
  }

  #ask(
    requestId: string,
    bytes: Uint8Array,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<WireTask | undefined> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#runs.giveUp(performance.now(), requestId);
        this.#stir();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the signal's reason is the caller's
        reject(signal?.reason);
      };
      const settle = (outcome: Outcome<WireTask>): void => {
        signal?.removeEventListener("abort", giveUp);
        if (outcome.kind === "failed") {
          reject(outcome.error);
        } else {
          resolve(outcome.kind === "ended" ? outcome.task : undefined);
        }
      };
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#runs.ask({ requestId, bytes, deadline, settle });
      this.#stir();
    });
  }

  /** Whether the server that is in use now is known to have no such stream, as far as its connection is still the same. */
  #isUnsupported(): boolean {
    const { address, duplex } = this.#unsupported ?? {};
    return address === this.#connections.address && duplex?.isConnected === true;
  }

  /** Does what is due at the end of this turn of the event loop: what is asked in it goes out together. */
  #stir(): void {
    if (!this.#isDue) {
      this.#isDue = true;
      setImmediate(() => {
        this.#isDue = false;
        this.#turn();
      });
    }
  }

  #turn(): void {
    const now = performance.now();
    switch (this.#runs.tick(now)) {
      case "open":
        this.#open();
        break;
      case "end":
        this.#end();
        break;
      case "cut":
        this.#cut();
        break;
      case undefined:
        break;
    }
    this.#send();
    this.#arm();
  }

  #send(): void {
    const duplex = this.#current?.duplex;
    while (duplex?.isWritable === true) {
      const frame = this.#runs.nextFrame();
      if (frame === undefined) {
        return;
      }
      duplex.send(frame);
    }
  }

  /** Sees to it that there is a turn when something is due. While nothing is asked, the program may end before. */
  #arm(): void {
    const at = this.#runs.dueAt();
    if (at !== undefined && (this.#timer === undefined || at < this.#timer.at)) {
      clearTimeout(this.#timer?.handle);
      const ring = (): void => {
        this.#timer = undefined;
        this.#turn();
      };
      this.#timer = { at, handle: setTimeout(ring, Math.max(0, at - performance.now())) };
    }
    if (this.#runs.isBusy) {
      this.#timer?.handle.ref();
    } else {
      this.#timer?.handle.unref();
      this.#current?.duplex.unref();
    }
  }

  // The stream.

  #open(): void {
    const { address, credentials } = this.#connections;
    const authorization = credentials.authorization(address);
    const isCurrent = (): boolean => this.#current?.duplex === duplex;
    const duplex = this.#connections.connection().duplex(TaskService.method.runTasks, authorization, {
      writable: () => {
        if (isCurrent()) {
          // The timer keeps the program from ending while there is something to wait for.
          duplex.unref();
          this.#stir();
        }
      },
      opened: () => {
        if (isCurrent()) {
          this.#runs.opened(performance.now());
        }
      },
      received: (message) => {
        if (isCurrent()) {
          this.#received(decodeFrame(message), authorization);
        }
      },
      ended: (error) => {
        if (isCurrent()) {
          this.#ended(error ?? statusError(StatusCode.UNAVAILABLE, "the server ended the stream"), authorization);
        }
      },
    });
    this.#current = { duplex, address };
  }

  /** Takes outcomes. A run that is refused for a token that was changed since goes again with the new one: over another stream. */
  #received(told: readonly Told<WireTask>[], authorization: string | undefined): void {
    const now = performance.now();
    const refusal = told.map(unauthenticated).find((error) => error !== undefined);
    if (refusal !== undefined && this.#connections.credentials.isRenewed(refusal, authorization)) {
      this.#runs.received(
        now,
        told.filter((one) => unauthenticated(one) === undefined),
      );
      const left = this.#current;
      this.#current = undefined;
      left?.duplex.cut();
      this.#runs.broken(now, refusal, true);
    } else {
      this.#runs.received(now, told);
    }
    this.#stir();
  }

  #ended(error: StatusError, authorization: string | undefined): void {
    const now = performance.now();
    const ended = this.#current;
    this.#current = undefined;
    if (error.code === StatusCode.UNIMPLEMENTED) {
      this.#unsupported = ended;
      this.#runs.unsupported(now);
    } else if (this.#connections.credentials.isRenewed(error, authorization)) {
      this.#runs.broken(now, error, true);
    } else {
      this.#runs.broken(now, error);
      if (ended !== undefined && isRetryable(error)) {
        this.#connections.leave(ended.address);
      }
    }
    this.#stir();
  }

  #end(): void {
    const ended = this.#current;
    this.#current = undefined;
    ended?.duplex.end();
    setTimeout(() => {
      ended?.duplex.cut();
    }, GOODBYE).unref();
  }

  #cut(): void {
    const cut = this.#current;
    this.#current = undefined;
    if (cut !== undefined) {
      cut.duplex.cut();
      this.#connections.leave(cut.address);
    }
  }

  #close(): void {
    this.#current?.duplex.cut();
    this.#current = undefined;
    this.#runs.closed(performance.now(), statusError(StatusCode.CANCELLED, "the client was closed"));
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
  }
}

/** Why a run was refused, if that is for who asked. */
function unauthenticated({ outcome }: Told<WireTask>): StatusError | undefined {
  return outcome.kind === "failed" && outcome.error.code === StatusCode.UNAUTHENTICATED ? outcome.error : undefined;
}
