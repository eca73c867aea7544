// A server of `RunTasks` and `RunTask` that does just what its test wants.

import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { framed, Unframer } from "../../src/framing.js";
import {
  type RunTaskRequest,
  RunTaskRequestSchema,
  RunTaskResponseSchema,
  type RunTasksRequest,
  RunTasksRequestSchema,
  RunTasksResponseSchema,
  TaskOutcomeSchema,
  TaskState,
} from "../../src/v1.js";
import { Told } from "./waiting.js";

type OutcomeInit = MessageInitShape<typeof TaskOutcomeSchema>;

/** One stream of RunTasks. */
export class FakeStream {
  /** The frames that come. */
  readonly frames = new Told<RunTasksRequest>();
  /** What it was opened with. */
  readonly authorization: string | undefined;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, authorization: string | undefined) {
    this.#stream = stream;
    this.authorization = authorization;
    const unframer = new Unframer(4 * 1024 * 1024);
    stream.on("data", (chunk: Buffer) => {
      for (const message of unframer.push(chunk)) {
        this.frames.tell(fromBinary(RunTasksRequestSchema, message));
      }
    });
  }

  /** Takes it up. */
  open(): this {
    this.#stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    return this;
  }

  tell(...outcomes: readonly OutcomeInit[]): void {
    this.#stream.write(
      framed(toBinary(RunTasksResponseSchema, create(RunTasksResponseSchema, { outcomes: [...outcomes] }))),
    );
  }

  /** The tasks of these ids completed, each with its id as its result. */
  complete(...ids: readonly string[]): void {
    this.tell(
      ...ids.map((requestId) => ({ requestId, outcome: { case: "task", value: completed(requestId) } as const })),
    );
  }

  /** Ends it with a status; the first word if it was not taken up. */
  end(status: string): void {
    const trailers = { "grpc-status": status };
    if (this.#stream.headersSent) {
      this.#stream.on("wantTrailers", () => {
        this.#stream.sendTrailers(trailers);
      });
      this.#stream.end();
    } else {
      this.#stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
    }
  }

  /** Breaks it off. */
  reset(): void {
    this.#stream.close(2);
  }

  /** Waits until the client has ended or cut it. */
  async gone(): Promise<void> {
    if (!this.#stream.closed && !this.#stream.readableEnded) {
      await Promise.race([once(this.#stream, "close"), once(this.#stream, "end")]);
    }
  }
}

function completed(text: string): { state: TaskState; result: { content: { case: "text"; value: string } } } {
  return { state: TaskState.COMPLETED, result: { content: { case: "text", value: text } } };
}

/** The server. */
export class RunServer {
  /** The streams that are opened. */
  readonly streams = new Told<FakeStream>();
  /** The calls of RunTask; each is answered as `complete` does. */
  readonly calls = new Told<RunTaskRequest>();
  /** The methods of other calls: they get no answer. */
  readonly unanswered = new Told<string>();
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(server: Http2Server) {
    this.#server = server;
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      const method = headers[":path"]?.split("/").at(-1) ?? "";
      if (method === "RunTasks") {
        this.streams.tell(new FakeStream(stream, headers.authorization));
      } else if (method === "RunTask") {
        this.#call(stream);
      } else {
        this.unanswered.tell(method);
      }
    });
  }

  get address(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  #call(stream: ServerHttp2Stream): void {
    const unframer = new Unframer(4 * 1024 * 1024);
    stream.on("data", (chunk: Buffer) => {
      for (const message of unframer.push(chunk)) {
        const request = fromBinary(RunTaskRequestSchema, message);
        const answer = create(RunTaskResponseSchema, { task: completed(request.requestId), ended: true });
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => {
          stream.sendTrailers({ "grpc-status": "0" });
        });
        stream.end(framed(toBinary(RunTaskResponseSchema, answer)));
        this.calls.tell(request);
      }
    });
  }

  /** Breaks all connections off. */
  hangUp(): void {
    for (const session of this.#sessions) {
      session.destroy();
    }
  }

  close(): void {
    this.hangUp();
    this.#server.close();
  }
}

/** Starts one; it ends with the test. */
export async function runServer(t: TestContext): Promise<RunServer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const fake = new RunServer(server);
  t.after(() => {
    fake.close();
  });
  return fake;
}
