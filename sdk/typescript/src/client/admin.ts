import { AdminService } from "../_gen/callboard/v1/admin_service_pb.js";
import { callOf } from "../transport.js";
import type { Caller } from "./caller.js";
import type { CallOptions } from "./options.js";

/** The filter of a server's log, before and after it was set. */
export interface LogFilterChange {
  /** What it was. When the call had to be repeated it may be the new one already. */
  readonly previous: string;
  /** What it is now. */
  readonly filter: string;
}

/** The server process that answers: `client.admin`. For principals with all namespaces. */
export class Admin {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Gives the filter of the server's log. */
  logFilter(options: CallOptions = {}): Promise<string> {
    return this.#caller.make(
      callOf(AdminService.method.getLogFilter, {}, (answer) => answer.filter),
      options,
    );
  }

  /**
   * Sets the filter of the server's log, until that server ends: `info,callboard_engine=debug`.
   *
   * @throws InvalidArgument when it can't be read; then the log stays as it was.
   */
  setLogFilter(filter: string, options: CallOptions = {}): Promise<LogFilterChange> {
    return this.#caller.make(
      callOf(AdminService.method.setLogFilter, { filter }, (answer) => ({
        previous: answer.previous,
        filter: answer.filter,
      })),
      options,
    );
  }
}
