import { Cancelled } from "../errors.js";

/** What the promise gives, or the signal's reason when that is first. */
export function orCancelled<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(signal.reason instanceof Error ? signal.reason : new Cancelled("the handler is to stop"));
    };
    signal.addEventListener("abort", stop, { once: true });
    const done = (): void => {
      signal.removeEventListener("abort", stop);
    };
    promise.then(resolve, reject).finally(done);
  });
}
