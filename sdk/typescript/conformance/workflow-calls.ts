// The instructions `client.…` on workflows.

import type { Receipt, WorkflowDependency, WorkflowState, WorkflowTask } from "callboard";

import { forecastLine, lines, receiptLine, workflowLine, workflowTaskLine } from "./answers.js";
import { call, type CallReader } from "./call.js";
import { fields, flag, list, number, optional, type Reader, text, texts } from "./shapes.js";
import { spec, terms } from "./spec.js";

const readDependency = fields({ task: text, ...terms });

/** A name, or what says more. */
function dependency(line: unknown, place: string): string | WorkflowDependency {
  if (typeof line === "string") {
    return line;
  }
  const { on_failure: onFailure, ...rest } = readDependency(line, place);
  return { ...rest, onFailure };
}

const readTask = fields({
  name: text,
  task: spec,
  depends_on: optional(list(dependency)),
  allow_failure: optional(flag),
  weight: optional(number),
});

/** Reads a task of a workflow. */
export function workflowTask(line: unknown, place: string): WorkflowTask {
  const { depends_on: dependsOn, allow_failure: allowFailure, ...rest } = readTask(line, place);
  return { ...rest, dependsOn, allowFailure };
}

const asked = fields({
  name: text,
  description: optional(text),
  tasks: list(workflowTask),
  tags: optional(list(text)),
  metadata: optional(texts),
  headers: optional(texts),
});

const workflow = { workflow_id: text };
const command = { ...workflow, request_id: optional(text) };

/** All of them. */
export const WORKFLOW_CALLS: readonly (readonly [name: string, reader: CallReader])[] = [
  [
    "client.create_workflow",
    call({ workflow: asked, request_id: optional(text) }, async (client, given) => {
      const { name, tasks, ...options } = given.workflow;
      const requestId = given.request_id;
      const { workflowId, receipts } = await client.workflows.create(name, tasks, { ...options, requestId });
      return { workflow_id: workflowId, receipts: receiptLines(receipts) };
    }),
  ],
  [
    "client.get_workflow",
    call(workflow, async (client, given) => workflowLine(await client.workflows.get(given.workflow_id))),
  ],
  [
    "client.list_workflows",
    call(
      {
        states: optional(list(text as Reader<WorkflowState>)),
        name: optional(text),
        page_size: optional(number),
      },
      async (client, { states, name, page_size: pageSize }) => ({
        workflows: await lines(client.workflows.list({ states, name, pageSize }), workflowLine),
      }),
    ),
  ],
  [
    "client.workflow_tasks",
    call({ ...workflow, page_size: optional(number) }, async (client, given) => ({
      tasks: await lines(client.workflows.tasks(given.workflow_id, { pageSize: given.page_size }), workflowTaskLine),
    })),
  ],
  [
    "client.wait_workflow",
    call({ ...workflow, timeout_ms: optional(number) }, async (client, given) =>
      workflowLine(await client.workflows.wait(given.workflow_id, { timeout: given.timeout_ms })),
    ),
  ],
  [
    "client.cancel_workflow",
    call({ ...command, reason: optional(text) }, async (client, given) => {
      const { workflow_id: workflowId, reason, request_id: requestId } = given;
      return workflowLine(await client.workflows.cancel(workflowId, reason, { requestId }));
    }),
  ],
  [
    "client.retry_workflow",
    call(command, async (client, given) =>
      workflowLine(await client.workflows.retry(given.workflow_id, { requestId: given.request_id })),
    ),
  ],
  [
    "client.add_workflow_tasks",
    call({ ...command, tasks: list(workflowTask) }, async (client, given) => {
      const options = { requestId: given.request_id };
      return { receipts: receiptLines(await client.workflows.add(given.workflow_id, given.tasks, options)) };
    }),
  ],
  [
    "client.hold_workflow",
    call({ ...command, reason: optional(text) }, async (client, given) => {
      const { workflow_id: workflowId, reason, request_id: requestId } = given;
      return workflowLine(await client.workflows.hold(workflowId, reason, { requestId }));
    }),
  ],
  [
    "client.release_workflow",
    call(command, async (client, given) =>
      workflowLine(await client.workflows.release(given.workflow_id, { requestId: given.request_id })),
    ),
  ],
  [
    "client.forecast_workflow",
    call(workflow, async (client, given) => forecastLine(await client.workflows.forecast(given.workflow_id))),
  ],
];

/** Receipts by the names of tasks. */
function receiptLines(receipts: Readonly<Record<string, Receipt>>): object {
  return Object.fromEntries(Object.entries(receipts).map(([name, receipt]) => [name, receiptLine(receipt)]));
}
