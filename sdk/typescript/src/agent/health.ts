// Where an agent answers probes, over HTTP/1.1. It listens on the connection's thread: what it says of that thread is true
// because it says it, and no handler keeps it from saying so.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { Readiness } from "../session/session.js";
import type { HostPort } from "../settings.js";

/** Milliseconds that a request may take to come in. */
const REQUEST_WITHIN = 5_000;
/** Connections at once; more are closed unheard. */
const MAX_CONNECTIONS = 64;
/** Bytes of a request's headers. */
const MAX_HEADERS = 8 * 1024;

/** What a health server is made from. */
export interface HealthOptions {
  /** How ready the agent is now. */
  readonly readiness: () => Readiness;
  /** Is told of connections that could not be accepted. */
  readonly warn: (text: string) => void;
  /** Milliseconds that a request may take to come in. Default 5,000. */
  readonly requestWithin?: number | undefined;
}

/** The server of `/healthz` and `/readyz`. */
export class HealthServer {
  readonly #server: Server;
  readonly #warn: (text: string) => void;

  constructor({ readiness, warn, requestWithin = REQUEST_WITHIN }: HealthOptions) {
    this.#warn = warn;
    const limits = {
      headersTimeout: requestWithin,
      requestTimeout: requestWithin,
      // How often those two are looked after: every 30 s unless said.
      connectionsCheckingInterval: requestWithin / 5,
      maxHeaderSize: MAX_HEADERS,
    };
    this.#server = createServer(limits, (request, response) => {
      answer(request, response, readiness);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Listens; gives where, as `host:port`. Throws what keeps it from that. */
  async listen({ host, port }: HostPort): Promise<string> {
    // In a cluster, too, each agent has an address of its own.
    this.#server.listen({ host, port, exclusive: true });
    await once(this.#server, "listening");
    this.#server.on("error", (error) => {
      this.#warn(`a probe could not be answered: ${error.message}`);
    });
    const { address, family, port: bound } = this.#server.address() as AddressInfo;
    return `${family === "IPv6" ? `[${address}]` : address}:${String(bound)}`;
  }

  /** Listens no more, and closes what is open. */
  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function answer(request: IncomingMessage, response: ServerResponse, readiness: () => Readiness): void {
  const [path] = (request.url ?? "").split("?");
  if (path !== "/healthz" && path !== "/readyz") {
    say(response, 404, "");
  } else if (request.method !== "GET") {
    response.setHeader("allow", "GET");
    say(response, 405, "");
  } else if (path === "/healthz") {
    say(response, 200, "ok");
  } else {
    const word = readiness();
    say(response, word === "attached" ? 200 : 503, word);
  }
}

function say(response: ServerResponse, status: number, word: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.setHeader("connection", "close");
  response.end(word);
}
