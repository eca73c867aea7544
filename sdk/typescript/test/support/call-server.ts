// A server of unary calls that answers what its test says, and keeps what it was asked.

import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import {
  create,
  type DescMethodUnary,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";

import { framed, Unframer } from "../../src/framing.js";

/** The server. */
export class CallServer {
  readonly address: string;
  readonly #answers = new Map<string, (stream: ServerHttp2Stream, request: Uint8Array) => void>();

  constructor(address: string) {
    this.address = address;
  }

  /** Answers a method so from now on; gives what it is asked. */
  on<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    answer: MessageInitShape<O>,
  ): MessageShape<I>[] {
    const asked: MessageShape<I>[] = [];
    this.#answers.set(`/${method.parent.typeName}/${method.name}`, (stream, request) => {
      asked.push(fromBinary(method.input, request));
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => {
        stream.sendTrailers({ "grpc-status": "0" });
      });
      stream.end(framed(toBinary(method.output, create(method.output, answer))));
    });
    return asked;
  }

  /** @internal */
  take(stream: ServerHttp2Stream, path: string): void {
    const answer = this.#answers.get(path);
    if (answer === undefined) {
      const trailers = { "grpc-status": "12", "grpc-message": `the test answers no ${path}` };
      stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
      return;
    }
    const unframer = new Unframer(4 * 1024 * 1024);
    stream.on("data", (chunk: Buffer) => {
      for (const message of unframer.push(chunk)) {
        answer(stream, message);
      }
    });
  }
}

/** Starts one; it ends with the test. */
export async function callServer(t: TestContext): Promise<CallServer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const calls = new CallServer(`http://127.0.0.1:${String(port)}`);
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    calls.take(stream, headers[":path"] ?? "");
  });
  t.after(() => {
    server.close();
  });
  return calls;
}
