// Bidirectional streams of gRPC over a connection's HTTP/2, message by message: each is given to a function when it comes,
// and the stream says when it can take another. Iterators with their promises cost several times as much as a message.

import {
  type ClientHttp2Stream,
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from "node:http2";

import type { Http2SessionManager } from "@connectrpc/connect-node";

import { StatusCode, StatusError, statusError } from "./errors.js";
import { framed, Unframer } from "./framing.js";
import { broken, fromTrailers, fromTransport, unanswered } from "./status.js";

/** How a stream is opened. */
export interface DuplexOptions {
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  /** The largest message in bytes that is taken. */
  readonly mostBytes: number;
}

/** What a stream tells. */
export interface Listener {
  /** It can take messages: once it is opened, and again whenever it could not. */
  writable(): void;
  /** The server has taken it up. */
  opened(): void;
  /** A message came. */
  received(message: Uint8Array): void;
  /** It is over, with its status unless that is OK. Nothing is told behind it, also not when it was cut. */
  ended(error: StatusError | undefined): void;
}

/** One stream. */
export class Duplex {
  readonly #http: Http2SessionManager;
  readonly #unframer: Unframer;
  /** Until it is over. */
  #listener: Listener | undefined;
  #stream: ClientHttp2Stream | undefined;
  #session: Http2Session | undefined;
  #isWritable = false;
  #status: number | undefined;

  constructor(http: Http2SessionManager, { path, headers, mostBytes }: DuplexOptions, listener: Listener) {
    this.#http = http;
    this.#unframer = new Unframer(mostBytes);
    this.#listener = listener;
    http.request("POST", path, { ...headers }, {}).then(
      (stream) => {
        this.#exchange(stream);
      },
      (error: unknown) => {
        this.#finish(fromTransport(error));
      },
    );
  }

  /** Whether it can take a message now. */
  get isWritable(): boolean {
    return this.#isWritable;
  }

  /** Whether the connection that it was opened over still takes streams. */
  get isConnected(): boolean {
    return this.#session !== undefined && !this.#session.closed && !this.#session.destroyed;
  }

  /** Sends a message; to be asked for only while it can take one. */
  send(message: Uint8Array): void {
    this.#isWritable = this.#stream?.write(framed(message)) ?? false;
  }

  /** Says that nothing more will be sent. */
  end(): void {
    this.#isWritable = false;
    this.#stream?.end();
  }

  /** Ends it at once; nothing is told any more. */
  cut(): void {
    this.#listener = undefined;
    this.#isWritable = false;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  /** Its connection doesn't keep the program from ending: whoever waits for something must have a timer that does. */
  unref(): void {
    this.#session?.unref();
  }

  #exchange(stream: ClientHttp2Stream): void {
    // It may have been cut while the connection was opened.
    if (this.#listener === undefined) {
      stream.on("error", () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    this.#stream = stream;
    this.#session = stream.session;
    guard(stream.session);
    stream.on("response", (headers) => {
      this.#answered(headers);
    });
    stream.on("data", (chunk: Buffer) => {
      this.#read(stream, chunk);
    });
    stream.on("trailers", (trailers: IncomingHttpHeaders) => {
      this.#finish(fromTrailers(trailers));
    });
    stream.on("drain", () => {
      this.#takes();
    });
    stream.on("error", (error: Error) => {
      this.#finish(broken(error.message, error));
    });
    stream.on("close", () => {
      this.#finish(unanswered(this.#status));
    });
    this.#takes();
  }

  #takes(): void {
    this.#isWritable = this.#listener !== undefined;
    this.#listener?.writable();
  }

  #answered(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    this.#status = headers[":status"];
    if (headers["grpc-status"] !== undefined) {
      // Without a body there are no trailers but these.
      this.#finish(fromTrailers(headers));
    } else if (this.#status === 200) {
      this.#listener?.opened();
    }
  }

  #read(stream: ClientHttp2Stream, chunk: Buffer): void {
    this.#http.notifyResponseByteRead(stream);
    try {
      for (const message of this.#unframer.push(chunk)) {
        this.#listener?.received(message);
      }
    } catch (thrown) {
      this.#finish(thrown instanceof StatusError ? thrown : unreadable(thrown));
      stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  #finish(error: StatusError | undefined): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#isWritable = false;
    listener?.ended(error);
  }
}

/** Connections that say nothing that nobody listens to. */
const guarded = new WeakSet<Http2Session>();

/**
 * A connection that breaks tells its streams first, and then says so itself. Who closes it when a stream has ended takes all
 * other listeners away, and an error without one would end the program.
 */
function guard(session: Http2Session | undefined): void {
  if (session !== undefined && !guarded.has(session)) {
    guarded.add(session);
    session.on("error", () => undefined);
  }
}

function unreadable(cause: unknown): StatusError {
  return statusError(StatusCode.INTERNAL, `what the server says can't be read: ${String(cause)}`, { cause });
}
