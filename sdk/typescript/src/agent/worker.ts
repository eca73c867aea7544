// The connection's thread: what `live.ts` starts. Heartbeats, receipts and reports go on here whatever a handler does.

import { parentPort, workerData } from "node:worker_threads";

import { fromBinary } from "@bufbuild/protobuf";

import { AgentProfileSchema } from "../_gen/callboard/v1/agent_pb.js";
import { Credentials } from "../credentials.js";
import { Session } from "../session/session.js";
import type { HostPort } from "../settings.js";
import { Driver } from "./driver.js";
import { HealthServer } from "./health.js";
import { Batcher, partsOf, type ToConnection, type ToHandlers, type WorkerData } from "./port.js";
import { openStreams } from "./stream.js";

if (parentPort === null) {
  throw new Error("this module is the entry of a worker thread: use `Agent`");
}
const port = parentPort;
const { profile, credentials: parts, health, ...options } = workerData as WorkerData;
const credentials = new Credentials(parts);
const session = new Session({ ...options, profile: fromBinary(AgentProfileSchema, profile), random: Math.random });
const outgoing = new Batcher<ToHandlers>((batch) => {
  port.postMessage(batch);
});
const driver = new Driver(
  session,
  (event) => {
    outgoing.add(event);
  },
  openStreams(credentials),
  credentials,
);

/** Attaches until the session ends; gives what is to be told of the end. */
async function attach(): Promise<ToHandlers> {
  port.on("message", (batch: readonly ToConnection[]) => {
    driver.heard(batch);
  });
  const error = await driver.run();
  return { kind: "ended", error: error === undefined ? undefined : partsOf(error) };
}

/** The same; answers probes from before it attaches until the end. */
async function attachProbed(at: HostPort): Promise<ToHandlers> {
  const probes = new HealthServer({
    readiness: () => session.readiness,
    warn: (text) => {
      outgoing.add({ kind: "log", level: "warn", text });
    },
  });
  try {
    outgoing.now({ kind: "listening", address: await probes.listen(at) });
  } catch (error) {
    return { kind: "listenFailed", why: error instanceof Error ? error.message : String(error) };
  }
  try {
    return await attach();
  } finally {
    await probes.close();
  }
}

outgoing.now(await (health === undefined ? attach() : attachProbed(health)));
port.close();
