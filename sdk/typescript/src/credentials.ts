// Who we are to a server, and how we know that it is the right one: tokens and TLS. Nothing here shows a token.

import { readFileSync } from "node:fs";

import { StatusCode, type StatusError } from "./errors.js";
import type { Address, Environment } from "./settings.js";

/** Milliseconds after which a token file is read again: tokens are changed while programs run. */
export const REREAD = 10_000;

/** Who a client or agent is to the server, and how it knows the server. */
export interface CredentialOptions {
  /** What `callboard token create` prints. Default `CALLBOARD_TOKEN`. */
  readonly token?: string | undefined;
  /** A file with the token in its only line, read again when it changes. Default `CALLBOARD_TOKEN_FILE`. */
  readonly tokenFile?: string | undefined;
  /** A PEM file with the roots that the server's certificate is checked with. Default `CALLBOARD_CA`, else Node's. */
  readonly ca?: string | undefined;
  /** A PEM file with the client's certificate, used with `https://` alone. Default `CALLBOARD_CLIENT_CERT`. */
  readonly clientCert?: string | undefined;
  /** A PEM file with its private key. Default `CALLBOARD_CLIENT_KEY`. */
  readonly clientKey?: string | undefined;
  /** Send the token also over `http://` to other machines. Default `CALLBOARD_ALLOW_PLAINTEXT`, else false. */
  readonly allowPlaintext?: boolean | undefined;
}

/** What the files and variables said: it can be handed to another thread. */
export interface CredentialParts {
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly allowPlaintext: boolean;
  readonly tls: TlsParts;
}

/** PEM texts for TLS. */
export interface TlsParts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A token, where it comes from, and what TLS needs. */
export class Credentials {
  // Private fields are shown by nothing: not by inspect, not by JSON.
  readonly #parts: CredentialParts;
  readonly #now: () => number;
  #token: string | undefined;
  #readAt: number;

  constructor(parts: CredentialParts, now: () => number = () => performance.now()) {
    this.#parts = parts;
    this.#now = now;
    this.#token = parts.token;
    this.#readAt = now();
  }

  /** What is handed to another thread to make the same there, with the token as it is now. */
  get parts(): CredentialParts {
    return { ...this.#parts, token: this.#token };
  }

  /** What TLS needs. */
  get tls(): TlsParts {
    return this.#parts.tls;
  }

  /** Throws TypeError when an address must not have the token. */
  check(addresses: readonly Address[]): void {
    for (const address of addresses) {
      if (this.#token !== undefined && !this.#mayTell(address)) {
        throw new TypeError(
          `address ${JSON.stringify(address.url)} is http:// and not on this machine: the token could be read on the ` +
            "way; use https://, or say allowPlaintext (CALLBOARD_ALLOW_PLAINTEXT=true)",
        );
      }
    }
  }

  /** The `authorization` that goes with every call to an address; undefined when none does. */
  authorization(address: Address): string | undefined {
    const { tokenFile } = this.#parts;
    if (tokenFile !== undefined && this.#now() - this.#readAt >= REREAD) {
      this.#reread(tokenFile);
    }
    return this.#token === undefined || !this.#mayTell(address) ? undefined : `Bearer ${this.#token}`;
  }

  /** Whether a call that was refused may be made again: its token is no good any more, and the file has another. */
  isRenewed(error: StatusError, sent: string | undefined): boolean {
    const { tokenFile } = this.#parts;
    if (error.code !== StatusCode.UNAUTHENTICATED || tokenFile === undefined || sent === undefined) {
      return false;
    }
    this.#reread(tokenFile);
    return this.#token !== undefined && sent !== `Bearer ${this.#token}`;
  }

  /** Also asked of the endpoints that a server that drains sends its agents to. */
  #mayTell(address: Address): boolean {
    return address.secure || address.loopback || this.#parts.allowPlaintext;
  }

  #reread(file: string): void {
    this.#readAt = this.#now();
    try {
      this.#token = tokenOf(file);
    } catch {
      // It may just be being replaced. The server says when the old one is no good any more.
    }
  }
}

/**
 * From the options, else the environment. A token from either source, in whatever form, wins over the environment's.
 *
 * @throws TypeError, naming the option, when a file can't be read or options contradict each other.
 */
export function resolveCredentials(
  options: CredentialOptions,
  environment: Environment = process.env,
  now?: () => number,
): Credentials {
  const variable = (name: string): string | undefined => environment[name] || undefined;
  const [token, tokenFile] = tokenSource(options, variable);
  let { clientCert, clientKey } = options;
  if (clientCert === undefined && clientKey === undefined) {
    clientCert = variable("CALLBOARD_CLIENT_CERT");
    clientKey = variable("CALLBOARD_CLIENT_KEY");
  }
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    const missing = clientKey === undefined ? "clientKey" : "clientCert";
    throw new TypeError(`${missing} is missing: a client certificate and its key come together`);
  }
  const ca = options.ca ?? variable("CALLBOARD_CA");
  const tls = {
    ...(ca === undefined ? {} : { ca: read(ca, "ca") }),
    ...(clientCert === undefined ? {} : { cert: read(clientCert, "clientCert") }),
    ...(clientKey === undefined ? {} : { key: read(clientKey, "clientKey") }),
  };
  const allowPlaintext = options.allowPlaintext ?? flag(variable("CALLBOARD_ALLOW_PLAINTEXT"));
  const first = tokenFile === undefined ? token : tokenOf(tokenFile);
  return new Credentials({ token: first, tokenFile, allowPlaintext, tls }, now);
}

function tokenSource(
  options: CredentialOptions,
  variable: (name: string) => string | undefined,
): [token: string | undefined, tokenFile: string | undefined] {
  const { token, tokenFile } = options;
  if (token !== undefined && tokenFile !== undefined) {
    throw new TypeError("token and tokenFile are both given: give one of them");
  }
  if (token !== undefined || tokenFile !== undefined) {
    return [token === undefined ? undefined : checked(token, "token"), tokenFile];
  }
  const [set, setFile] = [variable("CALLBOARD_TOKEN"), variable("CALLBOARD_TOKEN_FILE")];
  if (set !== undefined && setFile !== undefined) {
    throw new TypeError("CALLBOARD_TOKEN and CALLBOARD_TOKEN_FILE are both set: set one of them");
  }
  return [set === undefined ? undefined : checked(set, "token"), setFile];
}

function flag(text: string | undefined): boolean {
  switch (text) {
    case undefined:
    case "false":
    case "0":
      return false;
    case "true":
    case "1":
      return true;
    default:
      throw new TypeError(`CALLBOARD_ALLOW_PLAINTEXT is ${JSON.stringify(text)}: set it to true or false`);
  }
}

function tokenOf(file: string): string {
  return checked(read(file, "tokenFile"), `tokenFile ${JSON.stringify(file)}`);
}

function checked(token: string, name: string): string {
  const trimmed = token.trim();
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new TypeError(`${name} holds no token: it must be one line, as \`callboard token create\` prints it`);
  }
  return trimmed;
}

function read(file: string, name: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new TypeError(`${name} ${JSON.stringify(file)} can't be read: ${why}`, { cause: error });
  }
}
