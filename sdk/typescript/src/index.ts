/**
 * The TypeScript SDK of Callboard, a gRPC control plane for AI agents: submit tasks with {@link Client}, and attach agents
 * that do them with {@link Agent}. Lengths of time are milliseconds everywhere, times are Dates.
 *
 * @packageDocumentation
 */
export { Agent, type RunOptions } from "./agent/agent.js";
export { Child, type StartChildOptions } from "./agent/children.js";
export type { WaitChildrenOptions } from "./agent/ends.js";
export { Context, MessageContext, type SendOptions } from "./agent/context.js";
export type { Handler, HandlerOptions, MessageHandler } from "./agent/handlers.js";
export type { AgentOptions, Logger } from "./agent/options.js";
export type { StepOptions } from "./agent/steps.js";
export type { Admin, LogFilterChange } from "./client/admin.js";
export type { Agents, ListAgentsOptions } from "./client/agents.js";
export {
  Claim,
  type ClaimOptions,
  type EndOptions,
  type HeartbeatOptions,
  type Held,
  type Lease,
  type StepResult,
} from "./client/claims.js";
export type { ChildOptions, CreateChildOptions } from "./client/children.js";
export {
  type ChildListOptions,
  Client,
  type ListOptions,
  type StepListOptions,
  type TaskChanges,
} from "./client/client.js";
export type { Messages } from "./client/messages.js";
export type { Namespace, Namespaces, NamespaceSettings } from "./client/namespaces.js";
export type {
  CallOptions,
  ClientOptions,
  CommandOptions,
  ConnectionOptions,
  PageOptions,
  ResultOptions,
  WaitOptions,
} from "./client/options.js";
export { type OutputOptions, OutputWatch, type OutputWatchOptions } from "./client/output.js";
export { Watch, type WatchOptions } from "./client/watch.js";
export type { ListWorkflowsOptions, Workflows } from "./client/workflows.js";
export type { CredentialOptions } from "./credentials.js";
export type {
  Dependency,
  DependencyCondition,
  DependencyFailureAction,
  DependencyTerms,
  ResultComparison,
  ResultCondition,
  TaskDependency,
} from "./dependencies.js";
export {
  AlreadyExists,
  CallboardError,
  Cancelled,
  DeadlineExceeded,
  FailedPrecondition,
  type FieldViolation,
  InvalidArgument,
  NotFound,
  PermissionDenied,
  ResourceExhausted,
  StatusCode,
  type StatusDetails,
  StatusError,
  TaskError,
  type TaskErrorOptions,
  TaskFailed,
  Unavailable,
} from "./errors.js";
export type {
  AssignmentCandidate,
  AssignmentChoice,
  AssignmentExplanation,
  AssignmentObstacle,
  AssignmentObstacleType,
  AssignmentRunnerUp,
  LimitUse,
} from "./explanations.js";
export type { ForecastTask, WorkflowForecast } from "./forecast.js";
export type { HandleNext, Interceptor, SubmitNext } from "./interceptors/interceptor.js";
export { logging } from "./interceptors/logging.js";
export type { Limit } from "./limits.js";
export type { Message, MessageOptions, MessageReceipt } from "./messages.js";
export {
  type AgentInfo,
  type AgentState,
  type DependencyResult,
  type Failure,
  type Known,
  type Parent,
  type Priority,
  type Receipt,
  Task,
  type TaskEvent,
  type TaskState,
  type WorkflowLink,
} from "./models.js";
export type { ChildInfo, OutputChunk, ParentEndAction, Step } from "./recorded.js";
export {
  binaryPayload,
  decode,
  encode,
  MAX_CONTENT,
  type Payload,
  type PayloadOptions,
  textPayload,
} from "./payload.js";
export type { Demands, Fallback, Placement } from "./placement.js";
export type { StandardIssue, StandardResult, StandardSchema } from "./schema.js";
export type { DependsOn, RetryPolicy, TaskOptions, TaskRef, TaskSpec, Timeouts } from "./spec.js";
export { VERSION } from "./version.js";
export type {
  AddedTask,
  Workflow,
  WorkflowDependency,
  WorkflowOptions,
  WorkflowReceipt,
  WorkflowRef,
  WorkflowState,
  WorkflowTask,
} from "./workflows.js";
