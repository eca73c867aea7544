// Handlers: what they are, and what the agent says of them.

import { create } from "@bufbuild/protobuf";

import { type TaskHandler, TaskHandlerSchema } from "../_gen/callboard/v1/agent_pb.js";
import type { Message } from "../messages.js";
import type { Context, MessageContext } from "./context.js";

/** Does tasks of a type: what it returns, or resolves to, is the result; what it throws fails the attempt. */
export type Handler<I = unknown> = (input: I, context: Context) => unknown;

/** Handles messages: one is acknowledged when it returned, or resolved. */
export type MessageHandler = (message: Message, context: MessageContext) => unknown;

/** What a handler says of itself. */
export interface HandlerOptions<I> {
  /** What it does, for people. At most 1 KiB. */
  readonly description?: string | undefined;
  /** JSON Schema of the input, shown to people. At most 64 KiB. */
  readonly inputSchema?: object | undefined;
  /** JSON Schema of the result, shown to people. At most 64 KiB. */
  readonly outputSchema?: object | undefined;
  /**
   * Makes what the handler takes of the decoded input: a schema's `parse`, say. What it throws fails the task with
   * `InvalidInput`, which is not retried. Without it the handler is trusted to know what it is given.
   */
  readonly parse?: ((value: unknown) => I) | undefined;
}

/** A handler that is registered. */
export interface Registered {
  readonly handler: Handler<never>;
  readonly parse: (value: unknown) => unknown;
  readonly wire: TaskHandler;
}

/** Registers a handler. Throws TypeError when the type is empty or the handler is none. */
export function register<I>(type: string, handler: Handler<I>, options: HandlerOptions<I>): Registered {
  if (type === "") {
    throw new TypeError('the task type is empty: name the kind of work, or "*" for any');
  }
  if (typeof handler !== "function") {
    throw new TypeError(`the handler of ${JSON.stringify(type)} is not a function of (input, context)`);
  }
  const { description = "", inputSchema, outputSchema, parse = (value: unknown) => value } = options;
  const schemas = { inputSchema: textOf(inputSchema), outputSchema: textOf(outputSchema) };
  return { handler, parse, wire: create(TaskHandlerSchema, { type, description, ...schemas }) };
}

function textOf(schema: object | undefined): string {
  return schema === undefined ? "" : JSON.stringify(schema);
}
