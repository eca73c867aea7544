// Unary calls over HTTP/2, to a server that answers as no good one does.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";

import { resolveCredentials } from "../src/credentials.js";
import { StatusCode, type StatusError } from "../src/errors.js";
import { NotFound, Unavailable } from "../src/index.js";
import { parseAddress } from "../src/settings.js";
import { Connection } from "../src/transport.js";
import { GetTaskRequestSchema, GetTaskResponseSchema, TaskService } from "../src/v1.js";
import { gate } from "./support/waiting.js";

const OK = { "grpc-status": "0" };

/** What a server answers with: its call is made. */
type Answer = (stream: ServerHttp2Stream) => void;

/** Makes a call to a server that answers so. */
async function call(
  t: TestContext,
  answer: Answer,
  { timeout = 10_000, signal }: { timeout?: number; signal?: AbortSignal } = {},
): Promise<string> {
  const server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.resume();
    answer(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const address = parseAddress(`http://127.0.0.1:${String(port)}`);
  const connection = new Connection(address, resolveCredentials({}));
  t.after(() => {
    connection.close();
    server.close();
  });
  const request = create(GetTaskRequestSchema, { taskId: "t" });
  const parts = { authorization: undefined, timeout, signal };
  const found = await connection.unary(TaskService.method.getTask, request, parts);
  return found.task?.id ?? "";
}

function framed(bytes: Uint8Array, { compressed = 0, length = bytes.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(compressed, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, bytes]);
}

const TASK = toBinary(GetTaskResponseSchema, create(GetTaskResponseSchema, { task: { id: "the task" } }));

/** An answer of these bytes with these trailers. */
function whole(body: Buffer, trailers: Record<string, string> = OK, pieces = body.length): Answer {
  return (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => {
      stream.sendTrailers(trailers);
    });
    for (let at = 0; at < body.length; at += pieces) {
      stream.write(body.subarray(at, at + pieces));
    }
    stream.end();
  };
}

async function refused(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (error) {
    return error as StatusError;
  }
  throw new Error("it was answered");
}

test("an answer is read, also when it comes in pieces", async (t) => {
  assert.equal(await call(t, whole(framed(TASK))), "the task");
  assert.equal(await call(t, whole(framed(TASK), OK, 1)), "the task");
});

test("a status is the error, with what its details tell, in trailers or in their place", async (t) => {
  const text = (field: number, value: string | Uint8Array): Buffer => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([(field << 3) | 2, bytes.length]), bytes]);
  };
  const info = Buffer.concat([text(1, "ERROR_REASON_TASK_NOT_FOUND"), text(2, "callboard.dev")]);
  const any = Buffer.concat([text(1, "type.googleapis.com/google.rpc.ErrorInfo"), text(2, info)]);
  const status = Buffer.concat([Buffer.from([8, 5]), text(2, "no"), text(3, any)]);
  const details = status.toString("base64").replace(/=+$/, "");
  const trailers = { "grpc-status": "5", "grpc-message": "no %E2%82%AC here", "grpc-status-details-bin": details };
  const alone: Answer = (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
  };
  for (const answer of [whole(Buffer.alloc(0), trailers), alone]) {
    const error = await refused(call(t, answer));
    assert.ok(error instanceof NotFound);
    assert.deepEqual([error.message, error.reason], ["no € here", "TASK_NOT_FOUND"]);
  }
  const odd = await refused(call(t, whole(Buffer.alloc(0), { "grpc-status": "99", "grpc-message": "100%" })));
  assert.deepEqual([odd.code, odd.message], [StatusCode.UNKNOWN, "100%"]);
});

test("without a whole answer the connection broke", async (t) => {
  const answers: Answer[] = [
    (stream) => {
      stream.close(2);
    },
    (stream) => {
      stream.session?.destroy();
    },
    (stream) => {
      stream.respond({ ":status": 200 });
      stream.end(framed(TASK));
    },
    (stream) => {
      stream.respond({ ":status": 503 }, { endStream: true });
    },
  ];
  for (const answer of answers) {
    assert.ok((await refused(call(t, answer))) instanceof Unavailable);
  }
  const missing = await refused(call(t, (stream) => { stream.respond({ ":status": 404 }, { endStream: true }); })); // prettier-ignore
  assert.equal(missing.code, StatusCode.UNIMPLEMENTED);
});

test("what is not one message is no answer, and neither is one that is too large", async (t) => {
  const bodies = [
    Buffer.alloc(0),
    framed(TASK, { compressed: 1 }),
    framed(TASK, { length: TASK.length + 1 }),
    Buffer.concat([framed(TASK), framed(TASK)]),
    framed(new Uint8Array([0xff])),
  ];
  for (const body of bodies) {
    assert.equal((await refused(call(t, whole(body)))).code, StatusCode.INTERNAL);
  }
  const large = await refused(call(t, whole(framed(new Uint8Array(4 * 1024 * 1024 + 1)))));
  assert.equal(large.code, StatusCode.RESOURCE_EXHAUSTED);
});

test("a call ends with its time and with its signal, and the server is told", async (t) => {
  const told = [gate(), gate()];
  const late = await refused(call(t, (stream) => stream.on("close", () => told[0]?.open()), { timeout: 50 }));
  assert.equal(late.code, StatusCode.DEADLINE_EXCEEDED);
  await told[0]?.opened;
  const abort = new AbortController();
  const stopped = call(
    t,
    (stream) => {
      stream.on("close", () => told[1]?.open());
      abort.abort(new RangeError("enough"));
    },
    { signal: abort.signal },
  );
  await assert.rejects(stopped, RangeError);
  await told[1]?.opened;
});
