// What the parts of a client share: how calls are made.

import type { Call, Connections } from "../transport.js";
import type { CallOptions } from "./options.js";

/** A page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Gives the next page; empty on the last. */
  readonly nextPageToken: string;
}

/** Makes calls in a namespace. */
export class Caller {
  readonly connections: Connections;
  readonly namespace: string;
  /** Milliseconds that a call may take unless it says otherwise. */
  readonly timeout: number;

  constructor(connections: Connections, namespace: string, timeout: number) {
    this.connections = connections;
    this.namespace = namespace;
    this.timeout = timeout;
  }

  /** Makes a call. */
  make<T>(call: Call<T>, options: CallOptions): Promise<T> {
    return this.connections.unary(call, options.timeout ?? this.timeout, options.signal);
  }

  /** Gives what is on all pages; each is fetched when it is needed. */
  async *pages<T>(page: (token: string) => Call<Page<T>>, options: CallOptions): AsyncGenerator<T, void, undefined> {
    let token = "";
    do {
      const answer = await this.make(page(token), options);
      yield* answer.items;
      token = answer.nextPageToken;
    } while (token !== "");
  }
}
