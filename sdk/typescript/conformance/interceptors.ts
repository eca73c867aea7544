// Interceptors of agents and clients, as instructions describe them.

import type { Interceptor } from "callboard";

import { fields, flag, list, type Of, optional, text, texts } from "./shapes.js";

const interceptor = {
  name: text,
  submit: optional(fields({ headers: texts })),
  handle: optional(flag),
};

/** Reads a list of them. */
export const interceptors = optional(list(fields(interceptor)));

/** Makes them. */
export function interceptorsOf(given: ReturnType<typeof interceptors>): readonly Interceptor[] | undefined {
  return given?.map(interceptorOf);
}

function interceptorOf({ name, submit, handle }: Of<typeof interceptor>): Interceptor {
  return {
    ...(submit !== undefined && {
      submit: (spec, next) => {
        const headers = { ...spec.headers, ...submit.headers };
        const path = headers["x-path"];
        return next({ ...spec, headers: { ...headers, "x-path": path === undefined ? name : `${path},${name}` } });
      },
    }),
    ...(handle === true && { handle: async (_, input, next) => withName(await next(input), name) }),
  };
}

/** The result with a name more in the list `path`, if it is an object. */
function withName(result: unknown, name: string): unknown {
  const isObject = typeof result === "object" && result !== null && !Array.isArray(result);
  if (!isObject || result instanceof Uint8Array) {
    return result;
  }
  const path: unknown = "path" in result ? result.path : undefined;
  return { ...result, path: [...(Array.isArray(path) ? (path as readonly unknown[]) : []), name] };
}
