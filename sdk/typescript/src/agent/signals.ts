// Signals that ask the program to end.

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Calls `first` at the first signal and `further` at each more, until the promise is settled; gives what it gives. */
export async function withSignals<T>(
  first: (signal: NodeJS.Signals) => void,
  further: () => void,
  promise: Promise<T>,
): Promise<T> {
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count === 1) {
      first(signal);
    } else {
      further();
    }
  };
  for (const signal of SIGNALS) {
    process.on(signal, onSignal);
  }
  try {
    return await promise;
  } finally {
    for (const signal of SIGNALS) {
      process.off(signal, onSignal);
    }
  }
}
