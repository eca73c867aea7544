import type { CredentialOptions } from "../credentials.js";
import type { Interceptor } from "../interceptors/interceptor.js";

/** Where a client or agent connects, and as whom. */
export interface ConnectionOptions extends CredentialOptions {
  /** Comma-separated `http://` or `https://` URLs, tried in turn. Default `CALLBOARD_ADDRESS`, else `http://127.0.0.1:7470`. */
  readonly address?: string | undefined;
  /** The namespace. Default `CALLBOARD_NAMESPACE`, else `default`. */
  readonly namespace?: string | undefined;
}

/** How a client is made. */
export interface ClientOptions extends ConnectionOptions {
  /** Milliseconds that a call may take, retries included, unless it says otherwise. Default 30,000. */
  readonly timeout?: number | undefined;
  /** What stands around every task that it submits; the first is the outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
}

/** What every call takes. */
export interface CallOptions {
  /** Milliseconds that the call may take, retries included. Default the client's. */
  readonly timeout?: number | undefined;
  /** Ends the call when it is aborted: its reason is thrown. What the server has done by then stays done. */
  readonly signal?: AbortSignal | undefined;
}

/** What every command takes. */
export interface CommandOptions extends CallOptions {
  /** Makes a repetition by your program safe: at most 128 characters, remembered for 24 h. Made up unless given. */
  readonly requestId?: string | undefined;
}

/** What calls take that wait for a task: their timeout is for the whole; none means for ever. */
export interface WaitOptions {
  /** Milliseconds to wait in all. Default for ever. */
  readonly timeout?: number | undefined;
  /** Ends the waiting when it is aborted: its reason is thrown. The task goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** What calls take that give a result. */
export interface ResultOptions<T> extends WaitOptions {
  /** Makes what you want of the decoded result: a schema's `parse`, say. What it throws is thrown. */
  readonly parse?: ((value: unknown) => T) | undefined;
}

/** What calls take that give many things, page by page. */
export interface PageOptions extends CallOptions {
  /** How many are fetched at once: at most 1,000. Default 100. The timeout is for each page. */
  readonly pageSize?: number | undefined;
}
