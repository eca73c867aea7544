// Where to connect and under which name: options, the environment, defaults.

import { hostname } from "node:os";

/** Where a server is when nobody says otherwise. */
export const DEFAULT_ADDRESS = "http://127.0.0.1:7470";
/** Milliseconds that a call may take, retries included, when nobody says otherwise. */
export const DEFAULT_TIMEOUT = 30_000;

/** Variables of the environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One server to try. */
export interface Address {
  /** As it was given. */
  readonly url: string;
  /** Scheme, host and port: what the transport connects to. */
  readonly origin: string;
  /** Whether it is `https`. */
  readonly secure: boolean;
  /** Whether it is on this machine. */
  readonly loopback: boolean;
}

/** Parses a comma-separated list of URLs; throws TypeError that names the one that is wrong. */
export function parseAddresses(text: string): readonly [Address, ...Address[]] {
  const [first, ...rest] = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseAddress);
  if (first === undefined) {
    throw new TypeError(`address ${JSON.stringify(text)} is empty: give one like ${DEFAULT_ADDRESS}`);
  }
  return [first, ...rest];
}

/** Parses one URL. */
export function parseAddress(text: string): Address {
  const wrong = (fault: string): TypeError =>
    new TypeError(`address ${JSON.stringify(text)} ${fault}: give one like ${DEFAULT_ADDRESS}`);
  const scheme = /^([^:/?#]*):\/\//.exec(text)?.[1];
  if (scheme === undefined) {
    throw wrong("has no scheme");
  }
  if (!["http", "https"].includes(scheme.toLowerCase())) {
    throw wrong(`has the scheme ${JSON.stringify(scheme)}, not http or https`);
  }
  // URL makes something of nearly anything: a host of `http:///x`, say.
  if (/^[^:]*:\/\/([/?#]|$)/.test(text)) {
    throw wrong("has no host");
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong("is not a URL");
  }
  const bare = url.username === "" && url.password === "" && !text.includes("@");
  if (!bare || !["", "/"].includes(url.pathname) || url.search !== "" || url.hash !== "") {
    throw wrong("has more than scheme, host and port");
  }
  return { url: text, origin: url.origin, secure: url.protocol === "https:", loopback: isLoopback(url.hostname) };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** The addresses from the option, else the environment, else the default. */
export function resolveAddresses(
  option: string | undefined,
  environment: Environment = process.env,
): readonly [Address, ...Address[]] {
  return parseAddresses(first(option, environment["CALLBOARD_ADDRESS"], DEFAULT_ADDRESS));
}

/** The namespace from the option, else the environment, else `default`. */
export function resolveNamespace(option: string | undefined, environment: Environment = process.env): string {
  return first(option, environment["CALLBOARD_NAMESPACE"], "default");
}

/** Where something listens. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where an agent answers probes, from the option, else the environment; undefined when it does nowhere. */
export function resolveHealth(
  option: string | undefined,
  environment: Environment = process.env,
): HostPort | undefined {
  const text = first(option, environment["CALLBOARD_HEALTH"], "");
  return text === "" ? undefined : parseHostPort(text, "health");
}

/** Parses `host:port`; throws TypeError that names the field. */
function parseHostPort(text: string, field: string): HostPort {
  const [, bracketed, plain, digits] = /^(?:\[([\da-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new TypeError(`${field} ${JSON.stringify(text)} is not host:port: give one like 127.0.0.1:8080`);
  }
  return { host, port };
}

/** The agent's name from the option, else the environment, else one that no other agent has. */
export function resolveAgentName(
  option: string | undefined,
  agentType: string,
  randomHex: () => string,
  environment: Environment = process.env,
): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9._-]/g, "-");
  const suffix = `-${String(process.pid)}-${randomHex()}`;
  // Names are at most 128 characters; what makes this one unique stands at the end.
  const madeUp = `${agentType}-${host}`.slice(0, 128 - suffix.length) + suffix;
  return first(option, environment["CALLBOARD_AGENT_NAME"], madeUp);
}

/** An option that is given wins, even when empty; an empty variable counts as unset. */
function first(option: string | undefined, environment: string | undefined, otherwise: string): string {
  return option ?? (environment === undefined || environment === "" ? otherwise : environment);
}
