// Unary calls of gRPC over a connection's HTTP/2. The transport of `@connectrpc/connect-node` makes them too, through
// iterators, linked signals and web headers that cost several times as much as the call.

import { type ClientHttp2Stream, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";

import { type DescMethodUnary, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Http2SessionManager } from "@connectrpc/connect-node";

import { StatusCode, statusError } from "./errors.js";
import { framed, PREFIX } from "./framing.js";
import { broken, fromTrailers, fromTransport, unanswered } from "./status.js";

/** How a call is made. */
export interface UnaryOptions {
  readonly headers: OutgoingHttpHeaders;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  /** The largest answer in bytes. */
  readonly mostBytes: number;
  readonly signal: AbortSignal | undefined;
}

/** Makes a call once. Throws StatusError, or the signal's reason when it is aborted. */
export function unary<I extends DescMessage, O extends DescMessage>(
  http: Http2SessionManager,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
  options: UnaryOptions,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    const body = framed(toBinary(method.input, request));
    const call = new UnaryCall(http, options, (error, answer) => {
      if (error !== undefined) {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the signal's reason is the caller's
        reject(error);
        return;
      }
      try {
        resolve(fromBinary(method.output, answer));
      } catch (cause) {
        reject(statusError(StatusCode.INTERNAL, `the answer can't be read: ${String(cause)}`, { cause }));
      }
    });
    call.begin(`/${method.parent.typeName}/${method.name}`, body);
  });
}

/** What a call comes to: an error, or the bytes of its answer. */
type Done = (error: unknown, answer: Uint8Array) => void;

const NOTHING = new Uint8Array();

/** One call, until it is done. */
class UnaryCall {
  readonly #http: Http2SessionManager;
  readonly #options: UnaryOptions;
  readonly #late: NodeJS.Timeout;
  #done: Done | undefined;
  #stream: ClientHttp2Stream | undefined;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #status: number | undefined;

  constructor(http: Http2SessionManager, options: UnaryOptions, done: Done) {
    this.#http = http;
    this.#options = options;
    this.#done = done;
    const { signal, timeout } = options;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#late = setTimeout(() => {
      this.#fail(statusError(StatusCode.DEADLINE_EXCEEDED, `there was no answer for ${String(timeout)} ms`));
    }, timeout);
  }

  begin(path: string, body: Buffer): void {
    const { headers } = this.#options;
    this.#http.request("POST", path, { ...headers }, {}).then(
      (stream) => {
        this.#exchange(stream, body);
      },
      (error: unknown) => {
        this.#fail(fromTransport(error));
      },
    );
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#options.signal?.reason);
  };

  #exchange(stream: ClientHttp2Stream, body: Buffer): void {
    // It may have ended while the connection was opened.
    if (this.#done === undefined) {
      stream.on("error", () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    this.#stream = stream;
    stream.on("response", (headers) => {
      this.#status = headers[":status"];
      // Without a body there are no trailers but these.
      if (headers["grpc-status"] !== undefined) {
        this.#answered(headers);
      }
    });
    stream.on("data", (chunk: Buffer) => {
      this.#received(stream, chunk);
    });
    stream.on("trailers", (trailers: IncomingHttpHeaders) => {
      this.#answered(trailers);
    });
    stream.on("error", (error: Error) => {
      this.#fail(broken(error.message, error));
    });
    stream.on("close", () => {
      if (this.#done !== undefined) {
        this.#fail(unanswered(this.#status));
      }
    });
    stream.end(body);
  }

  #received(stream: ClientHttp2Stream, chunk: Buffer): void {
    this.#http.notifyResponseByteRead(stream);
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > this.#options.mostBytes + PREFIX) {
      const most = String(this.#options.mostBytes);
      this.#fail(statusError(StatusCode.RESOURCE_EXHAUSTED, `the answer has more than ${most} bytes`));
    }
  }

  #answered(trailers: IncomingHttpHeaders): void {
    const error = fromTrailers(trailers);
    if (error !== undefined) {
      this.#fail(error);
      return;
    }
    const [first = Buffer.alloc(0), ...more] = this.#chunks;
    const body = more.length === 0 ? first : Buffer.concat(this.#chunks);
    const isWhole = body.length >= PREFIX && body[0] === 0 && body.readUInt32BE(1) === body.length - PREFIX;
    if (isWhole) {
      // A copy, and no Buffer: bytes of a message are views of it, and may be kept for long.
      this.#finish(undefined, new Uint8Array(body.subarray(PREFIX)));
    } else {
      this.#fail(statusError(StatusCode.INTERNAL, "the answer is not one message of gRPC"));
    }
  }

  #fail(error: unknown): void {
    if (this.#done !== undefined) {
      this.#finish(error, NOTHING);
      this.#stream?.close(constants.NGHTTP2_CANCEL);
    }
  }

  #finish(error: unknown, answer: Uint8Array): void {
    const done = this.#done;
    this.#done = undefined;
    clearTimeout(this.#late);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    done?.(error, answer);
  }
}
