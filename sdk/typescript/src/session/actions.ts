// What a session wants done: see session.ts.

import type { Assignment, TaskEnd } from "../_gen/callboard/v1/agent_pb.js";
import type { Message, MessageReceipt } from "../_gen/callboard/v1/message_pb.js";
import type { StatusError } from "../errors.js";
import type { Address } from "../settings.js";
import type { Key } from "./states.js";

/** Something to do now. */
export type Action =
  /** Open a stream to this address. */
  | { readonly kind: "connect"; readonly address: Address }
  /** Cut the stream; its end need not be told. */
  | { readonly kind: "cut" }
  /** Run the handler of this assignment. `hasSteps`: the server that gave it has said what is recorded. */
  | { readonly kind: "start"; readonly key: Key; readonly assignment: Assignment; readonly hasSteps: boolean }
  /** Cancel the handler of this attempt. `reported`: its outcome is still reported when it has ended. */
  | { readonly kind: "stop"; readonly key: Key; readonly reason: string; readonly reported: boolean }
  /** A checkpoint or step is committed, or, with an error, it isn't and never will be. */
  | ReportSettled
  /**
   * A wait is over, by these ends in the order in which they came, or, with an error, nothing more will be told of it; without
   * either they are to be asked for.
   */
  | {
      readonly kind: "awaitSettled";
      readonly ticket: number;
      readonly outcome: readonly TaskEnd[] | StatusError | undefined;
    }
  /** A wait is over by the ends of these tasks, while others have not ended; `awaitSettled` follows when the handler may go on. */
  | { readonly kind: "awaitDecided"; readonly ticket: number; readonly ended: readonly string[] }
  /** The handler that waited has ended: nobody is to be told. */
  | { readonly kind: "awaitDropped"; readonly ticket: number }
  /** The attempt times out at another time now. */
  | { readonly kind: "deadline"; readonly key: Key; readonly deadline: Date }
  /** Output of this weight doesn't wait any more. */
  | { readonly kind: "outputTaken"; readonly key: Key; readonly weight: number }
  /** The server takes no more output of the attempt. */
  | { readonly kind: "outputRefused"; readonly key: Key; readonly error: StatusError }
  /** Run the handler of this message. */
  | { readonly kind: "handle"; readonly message: Message }
  /** Cancel the handler of the message. */
  | { readonly kind: "stopHandling" }
  /** A message is committed, with its receipt, or it isn't and never will be, with an error. */
  | SendSettled
  /** The session is over: close the stream. With an error when trying again can't help. */
  | { readonly kind: "end"; readonly error: StatusError | undefined };

/** What became of a checkpoint or step. */
export interface ReportSettled {
  readonly kind: "reportSettled";
  readonly ticket: number;
  readonly error: StatusError | undefined;
}

/** What became of a message. */
export interface SendSettled {
  readonly kind: "sendSettled";
  readonly ticket: number;
  readonly outcome: MessageReceipt | StatusError;
}
