// The instructions `client.…`: calls by a client, the driver's own or the context's of a handler.

import {
  type AgentState,
  type Client,
  type CommandOptions,
  type Held,
  type Priority,
  TaskError,
  type TaskSpec,
  type TaskState,
  type WaitOptions,
} from "callboard";

import {
  agentLine,
  childLine,
  chunkLine,
  claimLine,
  dependencyLine,
  eventLine,
  explanationLine,
  limitLine,
  lines,
  messageLine,
  receiptLine,
  taskLine,
} from "./answers.js";
import { call, type CallReader } from "./call.js";
import { errorLine } from "./errors.js";
import { flag, list, number, optional, orNull, type Reader, text, texts, time } from "./shapes.js";
import { dependency, limit, spec } from "./spec.js";
import type { Stage } from "./stage.js";
import { lineOf, value } from "./values.js";
import { WORKFLOW_CALLS } from "./workflow-calls.js";

const task = { task_id: text };
const command = { task_id: text, request_id: optional(text) };
const name = { name: text };
const held = { task_id: text, attempt: optional(number), agent: optional(text), request_id: optional(text) };

/** All of them. */
export const CALLS: ReadonlyMap<string, CallReader> = new Map([
  [
    "client.close",
    call({}, (client) => {
      client.close();
      return Promise.resolve({});
    }),
  ],
  [
    "client.create",
    call({ task: spec, request_id: optional(text) }, async (client, given) => {
      const { type, input, ...options } = given.task;
      return receiptLine(await client.create(type, input, { ...options, requestId: given.request_id }));
    }),
  ],
  [
    "client.create_all",
    call({ tasks: list(spec), request_id: optional(text) }, async (client, given) => {
      const receipts = await client.createAll(given.tasks, { requestId: given.request_id });
      return { receipts: receipts.map(receiptLine) };
    }),
  ],
  [
    "client.run",
    call(
      { task: spec, request_id: optional(text), timeout_ms: optional(number), give_up: optional(text) },
      async (client, given, stage) => {
        const { request_id: requestId, timeout_ms: timeout, give_up: gate } = given;
        return unlessGivenUp(stage, gate, (signal) => run(client, given.task, { requestId, timeout, signal }));
      },
    ),
  ],
  [
    "client.run_all",
    call({ tasks: list(spec), timeout_ms: optional(number) }, async (client, { tasks, timeout_ms: timeout }) => ({
      outcomes: await Promise.all(
        tasks.map((task) => run(client, task, { timeout }).catch((error: unknown) => ({ error: errorLine(error) }))),
      ),
    })),
  ],
  ["client.get", call(task, async (client, given) => taskLine(await client.get(given.task_id)))],
  [
    "client.list",
    call(
      {
        states: optional(list(text as Reader<TaskState>)),
        type: optional(text),
        agent: optional(text),
        key: optional(text),
        tags: optional(list(text)),
        page_size: optional(number),
      },
      async (client, { page_size: pageSize, ...filters }) => ({
        tasks: await lines(client.list({ ...filters, pageSize }), taskLine),
      }),
    ),
  ],
  [
    "client.wait",
    call({ ...task, timeout_ms: optional(number) }, async (client, given) =>
      taskLine(await client.wait(given.task_id, { timeout: given.timeout_ms })),
    ),
  ],
  [
    "client.result",
    call({ ...task, timeout_ms: optional(number) }, async (client, given) => ({
      value: lineOf(await client.result(given.task_id, { timeout: given.timeout_ms })),
    })),
  ],
  [
    "client.history",
    call(task, async (client, given) => ({ events: await lines(client.history(given.task_id), eventLine) })),
  ],
  [
    "client.dependency_results",
    call(task, async (client, given) => ({
      dependencies: await lines(client.dependencyResults(given.task_id), dependencyLine),
    })),
  ],
  [
    "client.children",
    call({ ...task, run: optional(number) }, async (client, given) => ({
      children: await lines(client.children(given.task_id, { run: given.run }), childLine),
    })),
  ],
  [
    "client.output",
    call(
      { ...task, run: optional(number), offset: optional(number), page_size: optional(number) },
      async (client, { task_id: taskId, run, offset, page_size: pageSize }) => ({
        chunks: await lines(client.output(taskId, { run, offset, pageSize }), chunkLine),
      }),
    ),
  ],
  [
    "client.cancel",
    call({ ...command, reason: optional(text) }, async (client, given) =>
      receiptLine(await client.cancel(given.task_id, given.reason, { requestId: given.request_id })),
    ),
  ],
  [
    "client.hold",
    call({ ...command, reason: optional(text) }, async (client, given) =>
      receiptLine(await client.hold(given.task_id, given.reason, { requestId: given.request_id })),
    ),
  ],
  [
    "client.retry",
    call(command, async (client, given) =>
      receiptLine(await client.retry(given.task_id, { requestId: given.request_id })),
    ),
  ],
  [
    "client.release",
    call(command, async (client, given) =>
      receiptLine(await client.release(given.task_id, { requestId: given.request_id })),
    ),
  ],
  [
    "client.add_dependencies",
    call({ ...command, dependencies: list(dependency) }, async (client, given) => {
      const options = { requestId: given.request_id };
      return receiptLine(await client.addDependencies(given.task_id, given.dependencies, options));
    }),
  ],
  [
    "client.set_limits",
    call({ limits: list(limit) }, async (client, { limits }) => {
      const { settings } = await client.namespaces.update(client.namespace, { limits });
      return { limits: settings.limits?.map(limitLine) ?? [] };
    }),
  ],
  ["client.explain", call(task, async (client, given) => explanationLine(await client.explain(given.task_id)))],
  [
    "client.update",
    call(
      {
        ...command,
        priority: optional(text as Reader<Priority>),
        assignee: optional(text),
        tags: optional(list(text)),
        deadline_at_ms: optional(orNull(time)),
      },
      async (client, given) => {
        const { priority, assignee, tags, deadline_at_ms: deadline } = given;
        const changes = { priority, assignee, tags, deadline };
        return receiptLine(await client.update(given.task_id, changes, { requestId: given.request_id }));
      },
    ),
  ],
  [
    "client.claim",
    call(
      {
        ...name,
        types: list(text),
        slots: optional(number),
        max_tasks: optional(number),
        lease_ms: optional(number),
        wait_ms: optional(number),
        skills: optional(list(text)),
      },
      async (client, given, stage) => {
        const { slots, max_tasks: maxTasks, lease_ms: lease, wait_ms: wait, skills } = given;
        const claims = await client.claim(given.name, given.types, { slots, maxTasks, lease, wait, skills });
        for (const claim of claims) {
          stage.claims.put(claimName(claim.taskId, claim.attempt), claim);
        }
        return { claims: claims.map(claimLine) };
      },
    ),
  ],
  [
    "client.heartbeat",
    call(
      {
        ...task,
        attempt: number,
        lease_ms: optional(number),
        fraction: optional(number),
        phase: optional(text),
        message: optional(text),
        checkpoint: optional(value),
      },
      async (client, given, stage) => {
        const { lease_ms: lease, fraction: progress, phase, message, checkpoint } = given;
        const claim = stage.claims.get(claimName(given.task_id, given.attempt));
        const extended = await client.heartbeat(claim, { lease, progress, phase, message, checkpoint });
        return { cancel_requested: extended.cancelRequested };
      },
    ),
  ],
  [
    "client.complete",
    call({ ...held, result: value }, async (client, given, stage) => {
      const { agent, request_id: requestId } = given;
      return receiptLine(await client.complete(heldBy(stage, given), given.result, { agent, requestId }));
    }),
  ],
  [
    "client.fail",
    call(
      {
        ...held,
        message: text,
        type: optional(text),
        retryable: optional(flag),
        retry_after_ms: optional(number),
        details: optional(value),
      },
      async (client, given, stage) => {
        const { type, retryable, retry_after_ms: retryAfter, details, agent, request_id: requestId } = given;
        const error = new TaskError(given.message, { type, retryable, retryAfter, details });
        return receiptLine(await client.fail(heldBy(stage, given), error, { agent, requestId }));
      },
    ),
  ],
  ...WORKFLOW_CALLS,
  ["client.get_agent", call(name, async (client, given) => agentLine(await client.agents.get(given.name)))],
  ["client.cordon", call(name, async (client, given) => agentLine(await client.agents.cordon(given.name)))],
  ["client.uncordon", call(name, async (client, given) => agentLine(await client.agents.uncordon(given.name)))],
  [
    "client.list_agents",
    call(
      { states: optional(list(text as Reader<AgentState>)), agent_type: optional(text), page_size: optional(number) },
      async (client, { states, agent_type: agentType, page_size: pageSize }) => ({
        agents: await lines(client.agents.list({ states, agentType, pageSize }), agentLine),
      }),
    ),
  ],
  [
    "client.remove_agent",
    call(name, async (client, given) => {
      await client.agents.remove(given.name);
      return {};
    }),
  ],
  [
    "client.send_message",
    call(
      {
        to: text,
        body: value,
        headers: optional(texts),
        ttl_ms: optional(number),
        request_id: optional(text),
      },
      async (client, { to, body, headers, ttl_ms: ttl, request_id: requestId }) => {
        const { messageId, sequence } = await client.messages.send(to, body, { headers, ttl, requestId });
        return { message_id: messageId, sequence };
      },
    ),
  ],
  [
    "client.list_messages",
    call({ agent: text }, async (client, given) => ({
      messages: await lines(client.messages.list(given.agent), messageLine),
    })),
  ],
  [
    "client.acknowledge_messages",
    call({ agent: text, message_ids: list(text) }, async (client, given) => ({
      acknowledged: await client.messages.acknowledge(given.agent, given.message_ids),
    })),
  ],
]);

async function run(client: Client, task: TaskSpec, given: WaitOptions & CommandOptions): Promise<object> {
  const { type, input, ...options } = task;
  return { value: lineOf(await client.run(type, input, { ...options, ...given })) };
}

/** Aborts what is under way when the gate opens first. */
async function unlessGivenUp(
  stage: Stage,
  gate: string | undefined,
  begin: (signal: AbortSignal | undefined) => Promise<object>,
): Promise<object> {
  if (gate === undefined) {
    return begin(undefined);
  }
  const abort = new AbortController();
  const given = { given_up: true };
  const giveUp = async (): Promise<object> => {
    await stage.gates.pass(gate, undefined);
    abort.abort(given);
    return given;
  };
  // What was given up rejects with what it was aborted with: it is not the call's error.
  const running = begin(abort.signal).catch((error: unknown) => {
    if (error === given) {
      return given;
    }
    throw error;
  });
  return Promise.race([running, giveUp()]);
}

function claimName(taskId: string, attempt: number): string {
  return `${taskId}/${String(attempt)}`;
}

/** The claim, or the task that nobody has. */
function heldBy(stage: Stage, given: { readonly task_id: string; readonly attempt: number | undefined }): Held {
  const { task_id: taskId, attempt } = given;
  return attempt === undefined ? taskId : stage.claims.get(claimName(taskId, attempt));
}
