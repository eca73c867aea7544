// A stream of an agent over the network, on a connection of its own: one that stalls must not stall another.

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { AttachRequestSchema, AttachResponseSchema } from "../_gen/callboard/v1/agent_pb.js";
import { AgentService } from "../_gen/callboard/v1/agent_service_pb.js";
import type { Credentials } from "../credentials.js";
import { Connection } from "../transport.js";
import type { Open } from "./driver.js";

/** Opens streams with these credentials. */
export function openStreams(credentials: Credentials): Open {
  return (address, authorization, listener) => {
    const connection = new Connection(address, credentials);
    const duplex = connection.duplex(AgentService.method.attach, authorization, {
      writable: () => {
        listener.writable();
      },
      opened: () => undefined,
      received: (message) => {
        listener.received(fromBinary(AttachResponseSchema, message));
      },
      ended: (error) => {
        connection.close();
        listener.ended(error);
      },
    });
    return {
      get isWritable() {
        return duplex.isWritable;
      },
      send: (frame) => {
        duplex.send(toBinary(AttachRequestSchema, frame));
      },
      end: () => {
        duplex.end();
      },
      cut: () => {
        duplex.cut();
        connection.close();
      },
    };
  };
}
