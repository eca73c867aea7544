// How many of some tasks are to complete, and whether that is settled. Without any I/O.

import type { TaskEnd } from "../_gen/callboard/v1/agent_pb.js";
import { TaskState } from "../_gen/callboard/v1/task_pb.js";

/** So many of these tasks are to complete. Of one of one, that is settled by its end, whatever that is. */
export class Quorum {
  /** The ends that came, in that order. */
  readonly ends: TaskEnd[] = [];
  readonly #count: number;
  readonly #missing: Set<string>;
  #completed = 0;

  constructor(taskIds: readonly string[], count: number) {
    this.#count = count;
    this.#missing = new Set(taskIds);
  }

  /** The tasks whose ends have not come. */
  get missing(): ReadonlySet<string> {
    return this.#missing;
  }

  /** Takes an end, if it is one of these tasks'. */
  take(end: TaskEnd): void {
    if (this.#missing.delete(end.taskId)) {
      this.ends.push(end);
      this.#completed += end.state === TaskState.COMPLETED ? 1 : 0;
    }
  }

  /** So many have completed. */
  get isReached(): boolean {
    return this.#completed >= this.#count;
  }

  /** So many have completed, or can't any more. */
  get isDecided(): boolean {
    return this.isReached || this.#completed + this.#missing.size < this.#count;
  }
}
