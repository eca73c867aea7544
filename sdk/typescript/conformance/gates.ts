// Gates, at which handlers wait until the runner opens them. One that was opened stays open.

/** All gates, those that nobody asked for yet included. */
export class Gates {
  readonly #gates = new Map<string, Gate>();

  open(name: string): void {
    this.#gate(name).open();
  }

  /** Waits until the gate is open; when the signal is aborted before, its reason is thrown. */
  async pass(name: string, signal: AbortSignal | undefined): Promise<void> {
    const { opened } = this.#gate(name);
    await (signal === undefined ? opened : Promise.race([opened, aborted(signal)]));
  }

  #gate(name: string): Gate {
    const gate = this.#gates.get(name) ?? new Gate();
    this.#gates.set(name, gate);
    return gate;
  }
}

class Gate {
  open!: () => void;
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

/** Rejects with the signal's reason once it is aborted. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is the SDK's, whatever it is
      reject(signal.reason);
    };
    if (signal.aborted) {
      stop();
    }
    signal.addEventListener("abort", stop, { once: true });
  });
}
