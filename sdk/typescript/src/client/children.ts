// Creating children of a claimed task by single calls.

import { AgentService } from "../_gen/callboard/v1/agent_service_pb.js";
import { ParentEndActionSchema } from "../_gen/callboard/v1/child_pb.js";
import { enumNumber } from "../convert.js";
import { requestIdOr } from "../ids.js";
import { type Receipt, receiptFrom } from "../models.js";
import type { ParentEndAction } from "../recorded.js";
import { specToWire, type TaskSpec } from "../spec.js";
import { type Call, callOf } from "../transport.js";
import { type Claim, leaseOf } from "./claims.js";
import type { CommandOptions } from "./options.js";

/** What a child may have beside what a task has. */
export interface ChildOptions {
  /** What the parent's run calls it: 1 to 128 bytes. Default its type. */
  readonly name?: string | undefined;
  /** What becomes of it when the parent's run ends. Default CANCEL. */
  readonly onParentEnd?: ParentEndAction | undefined;
}

/** What a child may have that is created by a single call. */
export interface CreateChildOptions extends ChildOptions, CommandOptions {
  /** How many children of this name the attempt began before it. Default 0. */
  readonly occurrence?: number | undefined;
}

/** @internal */
export function createChildCall(
  namespace: string,
  parent: Claim,
  task: TaskSpec,
  options: CreateChildOptions & { readonly name: string },
): Call<Receipt> {
  const { name, occurrence = 0, onParentEnd = "CANCEL", requestId } = options;
  const request = {
    namespace,
    parent: leaseOf(parent),
    name,
    occurrence,
    task: specToWire(task),
    onParentEnd: enumNumber(ParentEndActionSchema, onParentEnd, "PARENT_END_ACTION_", "onParentEnd"),
    requestId: requestIdOr(requestId),
  };
  return callOf(AgentService.method.createChild, request, (answer) => receiptFrom(answer.receipt));
}
