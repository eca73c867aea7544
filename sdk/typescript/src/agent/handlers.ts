// Handlers: what they are, and what the agent says of them.

import { create } from "@bufbuild/protobuf";

import { type TaskHandler, TaskHandlerSchema } from "../_gen/callboard/v1/agent_pb.js";
import type { Message } from "../messages.js";
import { isStandardSchema, jsonSchemaOf, type Side, type StandardSchema, validated } from "../schema.js";
import type { Context, MessageContext } from "./context.js";

/** Does tasks of a type: what it returns, or resolves to, is the result; what it throws fails the attempt. */
export type Handler<I = unknown, O = unknown> = (input: I, context: Context) => O | PromiseLike<O>;

/** Handles messages: one is acknowledged when it returned, or resolved. */
export type MessageHandler = (message: Message, context: MessageContext) => unknown;

/** What a handler says of itself. */
export interface HandlerOptions<I = unknown, O = unknown> {
  /** What it does, for people. At most 1 KiB. */
  readonly description?: string | undefined;
  /**
   * A schema of a library (zod 4, Valibot, ArkType) for the input: the handler takes what it makes of it. An input that
   * doesn't fit fails the task with `InvalidInput`, which is not retried.
   */
  readonly input?: StandardSchema<unknown, I> | undefined;
  /**
   * The same for what the handler returns: what the schema makes of that is the result. One that doesn't fit fails the task
   * with `InvalidResult`, which is not retried.
   */
  readonly output?: StandardSchema<O, unknown> | undefined;
  /** JSON Schema of the input, shown to people. At most 64 KiB. Default what the library of `input` gives. */
  readonly inputSchema?: object | undefined;
  /** JSON Schema of the result, shown to people. At most 64 KiB. Default what the library of `output` gives. */
  readonly outputSchema?: object | undefined;
  /**
   * Makes what the handler takes of the decoded input, where there is no schema for `input`. What it throws fails the task
   * with `InvalidInput`, which is not retried. Without either the handler is trusted to know what it is given.
   */
  readonly parse?: ((value: unknown) => I) | undefined;
}

/** A handler that is registered. */
export interface Registered {
  readonly handler: Handler<never>;
  /** Makes what the handler takes of the decoded input, or throws. */
  readonly parseInput: (value: unknown) => unknown;
  /** Makes the result of what the handler gave, or throws. */
  readonly parseResult: (value: unknown) => unknown;
  readonly wire: TaskHandler;
}

/** The most bytes of a JSON Schema. */
const MAX_SCHEMA = 64 * 1024;

/**
 * Registers a handler; `warn` is told of what is left out of what is said of it. Throws TypeError when the type is empty, the
 * handler is none, or a schema is none.
 */
export function register<I, O>(
  type: string,
  handler: Handler<I, O>,
  options: HandlerOptions<I, O>,
  warn: (text: string) => void,
): Registered {
  if (type === "") {
    throw new TypeError('the task type is empty: name the kind of work, or "*" for any');
  }
  const whose = `the handler of ${JSON.stringify(type)}`;
  if (typeof handler !== "function") {
    throw new TypeError(`${whose} is not a function of (input, context)`);
  }
  const { description = "", input, output, inputSchema, outputSchema, parse } = options;
  if (input !== undefined && parse !== undefined) {
    throw new TypeError(`${whose} has both input and parse: give one of them`);
  }
  checkSchema(whose, "input", input);
  checkSchema(whose, "output", output);
  const cannot = (side: Side, why: string): void => {
    warn(`${whose} tells no JSON Schema of its ${side}: ${why}`);
  };
  return {
    handler,
    parseInput: input === undefined ? (parse ?? unchanged) : (value) => validated(input, value, "input"),
    parseResult: output === undefined ? unchanged : (value) => validated(output, value, "result"),
    wire: create(TaskHandlerSchema, {
      type,
      description,
      inputSchema: schemaText("input", inputSchema, input, cannot),
      outputSchema: schemaText("output", outputSchema, output, cannot),
    }),
  };
}

function unchanged(value: unknown): unknown {
  return value;
}

function checkSchema(whose: string, side: Side, schema: unknown): void {
  if (schema !== undefined && !isStandardSchema(schema)) {
    const instead = `give one of zod 4, Valibot or ArkType, say; a JSON Schema is given as ${side}Schema`;
    throw new TypeError(`${side} of ${whose} is not a Standard Schema: ${instead}`);
  }
}

/** The JSON Schema that is given, else the library's, as text; empty when there is none, or it can't be told. */
function schemaText(
  side: Side,
  given: object | undefined,
  schema: StandardSchema | undefined,
  cannot: (side: Side, why: string) => void,
): string {
  const text = given === undefined ? librarysText(side, schema, cannot) : JSON.stringify(given);
  const size = Buffer.byteLength(text);
  if (size > MAX_SCHEMA) {
    cannot(side, `it has ${String(size)} bytes, more than ${String(MAX_SCHEMA)}`);
    return "";
  }
  return text;
}

function librarysText(
  side: Side,
  schema: StandardSchema | undefined,
  cannot: (side: Side, why: string) => void,
): string {
  try {
    const described = schema === undefined ? undefined : jsonSchemaOf(schema, side);
    return described === undefined ? "" : JSON.stringify(described);
  } catch (error) {
    // A library can't describe everything that it can check. The handler works without.
    cannot(side, error instanceof Error ? error.message : String(error));
    return "";
  }
}
