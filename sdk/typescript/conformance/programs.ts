// Programs: what handlers do, as data. A program is read when its agent is started, so that a fault in it shows then.

import { setTimeout as sleep } from "node:timers/promises";

import { Cancelled, type ParentEndAction, TaskError } from "callboard";

import { CALLS } from "./calls.js";
import { errorLine } from "./errors.js";
import { Fault } from "./fault.js";
import { type Handling, MessageHandling, TaskHandling } from "./handling.js";
import {
  fields,
  flag,
  list,
  number,
  object,
  type Of,
  optional,
  type Reader,
  type Shape,
  text,
  texts,
} from "./shapes.js";
import { spec } from "./spec.js";
import { lineOf, value } from "./values.js";

/** Ends a handler with a result. */
class Returned {
  readonly value: unknown;

  constructor(result: unknown) {
    this.value = result;
  }
}

/** The ordinary error of handlers. */
export class ConformanceError extends Error {}

/** Does one thing; what it throws ends the handler, and so does a `Returned`. */
type Act = (handling: Handling) => unknown;

/** What reads an op's fields: all but `op`, `attempt` and `delivery`. */
type OpReader = Reader<Act>;

function op<S extends Shape>(shape: S, act: (handling: Handling, given: Of<S>) => unknown): OpReader {
  const read = fields(shape);
  return (given, place) => {
    const found = read(given, place);
    return (handling) => act(handling, found);
  };
}

/** The same for handlers of tasks alone. */
function taskOp<S extends Shape>(shape: S, act: (handling: TaskHandling, given: Of<S>) => unknown): OpReader {
  return op(shape, (handling, given) => {
    if (!(handling instanceof TaskHandling)) {
      throw new Fault("this op is for handlers of tasks");
    }
    return act(handling, given);
  });
}

const OPS: ReadonlyMap<string, OpReader> = new Map([
  ["return", op({ value }, (_, given) => new Returned(given.value))],
  ["return_input", op({}, (handling) => new Returned(handling.input))],
  ["return_payload", op({}, (handling) => new Returned(handling.payload))],
  ["return_seen", op({}, (handling) => new Returned(handling.seen))],
  [
    "see",
    op({ what: list(text) }, (handling, given) => {
      for (const name of given.what) {
        handling.see(name);
      }
    }),
  ],
  ["call", callOp],
  ["step", stepOp],
  ["child", childOp],
  ["join", joinOp],
  ["wait_children", waitChildrenOp],
  [
    "output",
    taskOp({ value, times: optional(number), catch: optional(flag) }, async ({ context, seen }, given) => {
      await caught(seen, "output", given.catch, async () => {
        for (let time = 0; time < (given.times ?? 1); time += 1) {
          await context.output(numbered(given.value, time));
        }
      });
    }),
  ],
  [
    "fail",
    op(
      {
        message: text,
        type: optional(text),
        retryable: optional(flag),
        retry_after_ms: optional(number),
        details: optional(value),
      },
      (_, { message, type, retryable, retry_after_ms: retryAfter, details }) => {
        throw new TaskError(message, { type, retryable, retryAfter, details });
      },
    ),
  ],
  ["raise", op({ message: text, cause: optional(text) }, (_, given) => raise(given.message, given.cause))],
  ["panic", op({ message: text }, (_, given) => raise(given.message, undefined))],
  [
    "gate",
    op({ gate: text, ignore_cancellation: optional(flag) }, async (handling, given) => {
      const { stage, identity, signal } = handling;
      stage.say({ saw: "gate", gate: given.gate, ...identity });
      await stage.gates.pass(given.gate, given.ignore_cancellation === true ? undefined : signal);
    }),
  ],
  [
    "await_cancelled",
    op({}, async ({ signal }) => {
      await new Promise<void>((resolve) => {
        if (signal.aborted) {
          resolve();
        }
        signal.addEventListener(
          "abort",
          () => {
            resolve();
          },
          { once: true },
        );
      });
    }),
  ],
  [
    "cancelled",
    op({}, ({ signal }) => {
      signal.throwIfAborted();
      throw new Cancelled("the handler stops as if it were told to");
    }),
  ],
  [
    "sleep",
    op({ ms: number }, async ({ signal }, given) => {
      try {
        await sleep(given.ms, undefined, { signal });
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    }),
  ],
  [
    "burn",
    op({ ms: number }, (_, given) => {
      const until = performance.now() + given.ms;
      while (performance.now() < until);
    }),
  ],
  [
    "block",
    op({ ms: number }, (_, given) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, given.ms);
    }),
  ],
  [
    "checkpoint",
    taskOp({ value }, async ({ context }, given) => {
      await context.saveCheckpoint(given.value);
    }),
  ],
  [
    "progress",
    taskOp(
      { fraction: optional(number), phase: optional(text), message: optional(text) },
      ({ context }, { fraction, phase, message }) => {
        context.progress(fraction, phase, message);
      },
    ),
  ],
  [
    "send",
    op(
      {
        to: text,
        body: value,
        headers: optional(texts),
        ttl_ms: optional(number),
        request_id: optional(text),
      },
      async ({ context }, { to, body, headers, ttl_ms: ttl, request_id: requestId }) => {
        await context.send(to, body, { headers, ttl, requestId });
      },
    ),
  ],
  [
    "reply",
    op({}, async (handling) => {
      if (!(handling instanceof MessageHandling)) {
        throw new Fault("reply: this is no handler of messages");
      }
      const { agent, body, headers } = handling.message;
      await handling.context.send(agent, body, { headers });
    }),
  ],
]);

/** A program that is read: gives the handler's result. */
export type Program = (handling: Handling) => Promise<unknown>;

/** Reads a program. */
export function program(line: unknown, place: string): Program {
  const acts = list(oneOp)(line, place);
  return async (handling) => {
    for (const act of acts) {
      // Awaited only if there is something to wait for: what comes next is to begin at once.
      const given = act(handling);
      const done: unknown = given instanceof Promise ? await given : given;
      if (done instanceof Returned) {
        return done.value;
      }
    }
    return null;
  };
}

function oneOp(line: unknown, place: string): Act {
  const { op: name, attempt, delivery, ...rest } = object(line, place);
  const read = OPS.get(text(name, `${place}.op`));
  if (read === undefined) {
    throw new Fault(`${place}: there is no op \`${String(name)}\``);
  }
  const act = read(rest, `${place} ${String(name)}`);
  const only = { attempt: guard(attempt, `${place}.attempt`), delivery: guard(delivery, `${place}.delivery`) };
  return (handling) => {
    const { [handling.counted]: wanted, ...others } = only;
    if (Object.values(others).some((other) => other !== undefined)) {
      throw new Fault(`${String(name)}: this handler has ${handling.counted} in its place`);
    }
    return wanted === undefined || wanted === handling.number ? act(handling) : undefined;
  };
}

const guard = optional(number);

const readCall = fields({ as: text, call: object });

function callOp(line: unknown, place: string): Act {
  const { as, call } = readCall(line, place);
  const { do: name, ...given } = call;
  const read = CALLS.get(text(name, `${place}.call.do`));
  if (read === undefined) {
    throw new Fault(`${place}: there is no call \`${String(name)}\``);
  }
  const make = read(given, `${place} ${String(name)}`);
  return async (handling) => {
    try {
      handling.seen[as] = { ok: await make(handling.client, handling.stage) };
    } catch (error) {
      if (error instanceof Fault) {
        throw error;
      }
      handling.seen[as] = { error: errorLine(error) };
    }
  };
}

const readStep = fields({ name: text, as: text, program, catch: optional(flag) });

function stepOp(line: unknown, place: string): Act {
  const { name, as, program: work, ...given } = readStep(line, place);
  return async (handling) => {
    if (!(handling instanceof TaskHandling)) {
      throw new Fault("step: this is no handler of tasks");
    }
    const { seen, context } = handling;
    await caught(seen, as, given.catch, async () => {
      seen[as] = lineOf(await context.step(name, () => work(handling)));
    });
  };
}

const readChild = fields({
  task: spec,
  as: text,
  name: optional(text),
  on_parent_end: optional(text as Reader<ParentEndAction>),
  keep: optional(flag),
  catch: optional(flag),
});

function childOp(line: unknown, place: string): Act {
  const { task, as, name, on_parent_end: onParentEnd, keep, catch: isCaught } = readChild(line, place);
  const { type, input, ...rest } = task;
  const options = { ...rest, name, onParentEnd };
  return async (handling) => {
    if (!(handling instanceof TaskHandling)) {
      throw new Fault("child: this is no handler of tasks");
    }
    const { seen, context } = handling;
    await caught(seen, as, isCaught, async () => {
      if (keep === true) {
        const child = await context.startChild(type, input, options);
        handling.keep(as, child);
        seen[as] = { task_id: child.id, existing: child.existing };
      } else {
        seen[as] = lineOf(await context.runChild(type, input, options));
      }
    });
  };
}

const readJoin = fields({ children: list(text), as: text, catch: optional(flag) });

function joinOp(line: unknown, place: string): Act {
  const { children, as, catch: isCaught } = readJoin(line, place);
  return async (handling) => {
    if (!(handling instanceof TaskHandling)) {
      throw new Fault("join: this is no handler of tasks");
    }
    const { seen } = handling;
    await caught(seen, as, isCaught, async () => {
      const results = await Promise.all(handling.kept(children).map((child) => child.result()));
      seen[as] = results.map(lineOf);
    });
  };
}

const readWait = fields({
  children: list(text),
  as: text,
  count: optional(number),
  rest: optional(text as Reader<"KEEP" | "CANCEL">),
  catch: optional(flag),
});

function waitChildrenOp(line: unknown, place: string): Act {
  const { children: names, as, catch: isCaught, ...options } = readWait(line, place);
  return async (handling) => {
    if (!(handling instanceof TaskHandling)) {
      throw new Fault("wait_children: this is no handler of tasks");
    }
    const { seen, context } = handling;
    await caught(seen, as, isCaught, async () => {
      const children = handling.kept(names);
      const nameOf = new Map(children.map(({ id }, index) => [id, names[index]]));
      seen[as] = (await context.waitChildren(children, options)).map(({ id }) => nameOf.get(id));
    });
  };
}

/** Does something; what it throws is put into what was seen, if the op says so. */
async function caught(
  seen: Record<string, unknown>,
  as: string,
  isCaught: boolean | undefined,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isCaught !== true || error instanceof Fault) {
      throw error;
    }
    seen[as] = { error: errorLine(error) };
  }
}

/** A text with the number of the time where it says `{n}`; anything else as it is. */
function numbered(given: unknown, time: number): unknown {
  return typeof given === "string" ? given.replaceAll("{n}", String(time)) : given;
}

function raise(message: string, cause: string | undefined): never {
  throw new ConformanceError(message, cause === undefined ? undefined : { cause: new ConformanceError(cause) });
}
