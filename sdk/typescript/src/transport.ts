// Connections to servers, and calls over them with their retries.

import type { OutgoingHttpHeaders } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";

import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import type { Credentials } from "./credentials.js";
import { Duplex, type Listener } from "./duplex.js";
import { CallboardError, StatusCode, type StatusError, statusError } from "./errors.js";
import { type Random, Retries } from "./retry.js";
import type { Address } from "./settings.js";
import { fromTransport } from "./status.js";
import { unary } from "./unary.js";
import { VERSION } from "./version.js";

/** Messages up to 4 MiB are taken. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** After so long without a word a connection is asked whether it still is one, before a call goes over it. */
const PING_AFTER = 20_000;
const PING_WITHIN = 5_000;
/** What `grpc-timeout` can say in milliseconds: eight digits, more than a day. */
const LONGEST_TIMEOUT = 99_999_999;
const USER_AGENT = `callboard-typescript/${VERSION}`;

/** A connection to one server, opened when it is first needed. */
export class Connection {
  /** What streams are opened over. */
  readonly transport: Transport;
  readonly #manager: Http2SessionManager;

  constructor(address: Address, credentials: Credentials) {
    const pings = { pingIntervalMs: PING_AFTER, pingTimeoutMs: PING_WITHIN };
    const options = address.secure ? { ...credentials.tls } : {};
    this.#manager = new Http2SessionManager(address.origin, pings, options);
    this.transport = createGrpcTransport({
      baseUrl: address.origin,
      sessionManager: this.#manager,
      acceptCompression: [],
      readMaxBytes: MAX_MESSAGE,
    });
  }

  /** Makes a unary call. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    { authorization, timeout, signal }: CallParts,
  ): Promise<MessageShape<O>> {
    const headers = { ...grpcHeaders(authorization), "grpc-timeout": `${String(timeout)}m` };
    return unary(this.#manager, method, request, { headers, timeout, mostBytes: MAX_MESSAGE, signal });
  }

  /** Opens a bidirectional stream. */
  duplex(method: DescMethodBiDiStreaming, authorization: string | undefined, listener: Listener): Duplex {
    const path = `/${method.parent.typeName}/${method.name}`;
    return new Duplex(this.#manager, { path, headers: grpcHeaders(authorization), mostBytes: MAX_MESSAGE }, listener);
  }

  /** Closes it; calls and streams that are still under way fail. */
  close(): void {
    this.#manager.abort();
  }
}

/** What goes with every call and stream that is made over HTTP/2 directly. */
function grpcHeaders(authorization: string | undefined): OutgoingHttpHeaders {
  return {
    "content-type": "application/grpc+proto",
    te: "trailers",
    "user-agent": USER_AGENT,
    ...(authorization !== undefined && { authorization }),
  };
}

/** What goes with a stream of connect's transport. */
export function headersFor(authorization: string | undefined): Headers {
  const headers = new Headers({ "user-agent": USER_AGENT });
  if (authorization !== undefined) {
    headers.set("authorization", authorization);
  }
  return headers;
}

/** What differs from one try of a call to the next. */
export interface CallParts {
  readonly authorization: string | undefined;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/** A unary call, not yet made: each time that it is made it sends the same request. */
export type Call<T> = (connection: Connection, parts: CallParts) => Promise<T>;

/** A unary call: which method, which request, and how the answer is read. */
export function callOf<I extends DescMessage, O extends DescMessage, T>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  read: (answer: MessageShape<O>) => T,
): Call<T> {
  const message = create(method.input, request);
  return async (connection, parts) => read(await connection.unary<I, O>(method, message, parts));
}

/** A connection per address, and the address that is in use now. */
export class Connections {
  readonly credentials: Credentials;
  readonly #addresses: readonly [Address, ...Address[]];
  readonly #random: Random;
  readonly #open = new Map<Address, Connection>();
  readonly #closing: (() => void)[] = [];
  #current = 0;
  #closed = false;

  constructor(addresses: readonly [Address, ...Address[]], credentials: Credentials, random: Random = Math.random) {
    credentials.check(addresses);
    this.#addresses = addresses;
    this.credentials = credentials;
    this.#random = random;
  }

  /** The address that is in use now. */
  get address(): Address {
    return this.#addresses[this.#current] ?? this.#addresses[0];
  }

  /** Throws CallboardError when the client is closed. */
  throwIfClosed(): void {
    if (this.#closed) {
      throw new CallboardError("the client is closed: make another");
    }
  }

  /** Calls the function when the client is closed, before its connections are. */
  onClose(listener: () => void): void {
    this.#closing.push(listener);
  }

  /** The connection to it. Throws CallboardError when the client is closed. */
  connection(): Connection {
    this.throwIfClosed();
    const { address } = this;
    const open = this.#open.get(address) ?? new Connection(address, this.credentials);
    this.#open.set(address, open);
    return open;
  }

  /** Turns to the next address, unless another call did so meanwhile. */
  leave(address: Address): void {
    if (this.address === address) {
      this.#current = (this.#current + 1) % this.#addresses.length;
    }
  }

  /**
   * Makes a call, with retries until the timeout, in milliseconds; what is thrown then is the last status. When nobody
   * answered in that time, the next call begins at the next address. When the signal is aborted, its reason is thrown.
   */
  async unary<T>(call: Call<T>, timeout: number, signal?: AbortSignal): Promise<T> {
    const deadline = performance.now() + timeout;
    const retries = new Retries(deadline, this.#random);
    let said: StatusError | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const { address } = this;
      const authorization = this.credentials.authorization(address);
      const connection = this.connection();
      try {
        const left = Math.min(LONGEST_TIMEOUT, Math.max(1, Math.ceil(deadline - performance.now())));
        return await call(connection, { authorization, timeout: left, signal });
      } catch (thrown) {
        signal?.throwIfAborted();
        if (this.#closed) {
          throw statusError(StatusCode.CANCELLED, "the client was closed", { cause: thrown });
        }
        const error = fromTransport(thrown);
        if (this.credentials.isRenewed(error, authorization)) {
          continue;
        }
        const delay = retries.delay(error, performance.now());
        if (delay === undefined) {
          const isLate = error.code === StatusCode.DEADLINE_EXCEEDED;
          if (isLate) {
            this.leave(address);
          }
          // Why the tries before failed says more than that there was no time for the last one.
          throw isLate && said !== undefined ? said : error;
        }
        said = error;
        await sleepUntil(delay, signal);
        this.leave(address);
      }
    }
  }

  /** Closes all connections; calls that are still under way fail. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#closing) {
      listener();
    }
    for (const connection of this.#open.values()) {
      connection.close();
    }
    this.#open.clear();
  }
}

/** Waits so many milliseconds; throws the signal's reason when it is aborted meanwhile. */
export async function sleepUntil(delay: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delay, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
