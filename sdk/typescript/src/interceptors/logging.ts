import type { Context } from "../agent/context.js";
import type { Logger } from "../agent/options.js";
import { TaskError } from "../errors.js";
import type { HandleNext, Interceptor } from "./interceptor.js";

/**
 * An interceptor that says, to the console unless you give it a logger, when an attempt begins and when it ends: its task,
 * type, number, how it ended, and how many milliseconds that took. It never says what tasks hold: no inputs, results,
 * headers, or texts of errors.
 */
export function logging(logger: Pick<Logger, "info"> = console): Interceptor {
  return {
    async handle(context, input, next: HandleNext): Promise<unknown> {
      const attempt = `attempt ${String(context.attempt)} of task ${context.taskId} (${JSON.stringify(context.type)})`;
      logger.info(`callboard: ${attempt} begins`);
      const begun = performance.now();
      let how = "completed";
      try {
        return await next(input);
      } catch (error) {
        how = outcomeOf(context, error);
        throw error;
      } finally {
        logger.info(`callboard: ${attempt} ${how} after ${String(Math.round(performance.now() - begun))} ms`);
      }
    },
  };
}

function outcomeOf(context: Context, error: unknown): string {
  if (context.cancelled) {
    return "stopped";
  }
  const type = error instanceof TaskError ? error.type : error instanceof Error ? error.name : "Error";
  return `failed as ${JSON.stringify(type)}`;
}
