// Waiting for what a test expects, with a limit.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Agent, type AgentOptions, type Logger } from "../../src/index.js";

/** Milliseconds that anything may take, on a slow machine that does much else. */
export const LONG = 20_000;

let numbers = 0;

/** A name that no other test uses. */
export function unique(name: string): string {
  numbers += 1;
  return `${name}-${String(process.pid)}-${String(numbers)}`;
}

/** Looks again and again until there is something. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = performance.now() + LONG;
  while (performance.now() < deadline) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) {
      return found;
    }
    await sleep(10);
  }
  throw new Error(`waited ${String(LONG)} ms in vain for ${what}`);
}

/** What a handler tells its test. */
export class Told<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;

  tell(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  async next(): Promise<T> {
    const late = setTimeout(() => this.#wake?.(), LONG);
    if (this.#items.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    clearTimeout(late);
    const [item] = this.#items.splice(0, 1);
    if (item === undefined) {
      throw new Error(`waited ${String(LONG)} ms in vain to be told`);
    }
    return item;
  }

  async some(count: number): Promise<T[]> {
    const items: T[] = [];
    while (items.length < count) {
      items.push(await this.next());
    }
    return items;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }
}

/** A logger that keeps what it is told. */
export class Log implements Logger {
  readonly lines: string[] = [];
  debug = (...what: unknown[]): void => void this.lines.push(what.map(String).join(" "));
  info = this.debug;
  warn = this.debug;
  error = this.debug;
}

/** An agent of a server, which is stopped with the test. */
export function agentOf(t: Pick<TestContext, "after">, address: string, options: AgentOptions = {}): Agent {
  const agent = new Agent("test", { address, logger: new Log(), name: unique("agent"), ...options });
  t.after(async () => {
    await stopped(agent);
  });
  return agent;
}

async function stopped(agent: Agent): Promise<void> {
  try {
    await agent.stop();
  } catch {
    // It never started, or has ended with an error, which was its test's to look at.
  }
}

/** Starts an agent and waits until it is attached. */
export async function attached(agent: Agent): Promise<Agent> {
  agent.start();
  assert.ok(await agent.waitAttached(LONG));
  return agent;
}

/** Drains agents and waits for their ends. */
export async function drained(...agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) {
    agent.drain();
  }
  for (const agent of agents) {
    assert.ok(await agent.wait(LONG));
  }
}

/** A promise, and what settles it. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** All that an iterable gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}
