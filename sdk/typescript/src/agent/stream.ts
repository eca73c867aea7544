// A stream of an agent over the network, on a connection of its own: one that stalls must not stall another.

import { createClient } from "@connectrpc/connect";

import type { AttachResponse } from "../_gen/callboard/v1/agent_pb.js";
import { AgentService } from "../_gen/callboard/v1/agent_service_pb.js";
import type { Credentials } from "../credentials.js";
import { Connection, headersFor } from "../transport.js";
import type { Open, Wire } from "./driver.js";

/** Opens streams with these credentials. */
export function openStreams(credentials: Credentials): Open {
  return async function* open(wire: Wire): AsyncGenerator<AttachResponse, void, undefined> {
    const connection = new Connection(wire.address, credentials);
    try {
      const client = createClient(AgentService, connection.transport);
      const headers = headersFor(wire.authorization);
      yield* client.attach(wire.frames, { headers, signal: wire.signal });
    } finally {
      connection.close();
    }
  };
}
