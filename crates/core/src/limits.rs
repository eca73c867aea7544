//! Sizes and counts that are the same everywhere, so that both sides of a wire can rely on them.

use crate::model::Span;

/// The largest payload: its content, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// Inputs up to this size, in bytes, stay in memory with their task, as long as that does; others are read when it is assigned.
pub const SMALL_INPUT: usize = 4 << 10;
/// The most tasks in one batch.
pub const MAX_BATCH: usize = 1_000;
/// The most dependencies of a task.
pub const MAX_DEPENDENCIES: usize = 1_000;
/// The most conditions on results in a command: their results are read to decide it.
pub const MAX_RESULT_CONDITIONS: usize = 1_000;
/// The largest result that conditions look at, in bytes; a larger one has no value to them.
pub const MAX_CONDITION_RESULT: usize = 64 << 10;
/// The longest JSON Pointer of a condition, in bytes.
pub const MAX_POINTER: usize = 1 << 10;
/// The longest value that a condition compares with, in bytes.
pub const MAX_COMPARED: usize = 4 << 10;
/// The most tasks of a workflow that are created at once.
pub const MAX_PLAN_TASKS: usize = 10_000;
/// The most dependencies among them.
pub const MAX_PLAN_DEPENDENCIES: usize = 50_000;
/// The most tasks of a workflow that others are added to.
pub const MAX_WORKFLOW_TASKS: u32 = 1_000_000;
/// The greatest weight of a task in its workflow.
pub const MAX_WEIGHT: u32 = 1_000_000;
/// The most of them behind each other.
pub const MAX_PLAN_DEPTH: usize = 1_000;
/// The most tasks behind a task of a workflow that are counted.
pub const MAX_TASKS_BEHIND: u32 = 60;
/// The most fallbacks of a task's requirements.
pub const MAX_FALLBACKS: usize = 8;
/// The longest name of a task type or agent, in bytes.
pub const MAX_NAME: usize = 128;
/// The longest skill, tool, role, tag or label, in bytes.
pub const MAX_WORD: usize = 128;
/// The longest key of a task, in bytes.
pub const MAX_KEY: usize = 256;
/// The longest description, in bytes.
pub const MAX_DESCRIPTION: usize = 4 << 10;
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 1 << 10;
/// The longest request id, in characters.
pub const MAX_REQUEST_ID: usize = 128;
/// The longest failure message that is kept, in bytes.
pub const MAX_FAILURE_MESSAGE: usize = 16 << 10;
/// How deep causes of a failure are kept.
pub const MAX_FAILURE_DEPTH: usize = 8;
/// The longest time that a timeout may be: ten years.
pub const MAX_TIMEOUT: Span = Span::seconds(10 * 366 * 86_400);
/// The longest delay: a day.
pub const MAX_DELAY: Span = Span::seconds(86_400);
/// The most bytes of JSON Schema that an agent may bring, over all task types that it handles.
pub const MAX_PROFILE: usize = 2 << 20;
/// The most slots of an agent.
pub const MAX_SLOTS: u32 = 1_000;
/// The most steps that a run records.
pub const MAX_STEPS: u32 = 1_000;
/// The most bytes of results that a run's steps have.
pub const MAX_STEP_BYTES: u64 = 16 << 20;
/// The longest name of a step, in bytes.
pub const MAX_STEP_NAME: usize = 128;
/// The most children that a run creates.
pub const MAX_CHILDREN: u32 = 1_000;
/// How deep children stand below a task that is nobody's child.
pub const MAX_CHILD_DEPTH: u32 = 32;
/// The longest name of a child, in bytes.
pub const MAX_CHILD_NAME: usize = 128;
/// The most headers of a task.
pub const MAX_HEADERS: usize = 32;
/// The most bytes that a task's headers have.
pub const MAX_HEADER_BYTES: usize = 8 << 10;
/// The most steps that one heartbeat of a claimed task records.
pub const MAX_HEARTBEAT_STEPS: usize = 100;
/// The most bytes of output that a run has, over all its attempts.
pub const MAX_OUTPUT_BYTES: u64 = 16 << 20;
/// The most chunks that it has.
pub const MAX_OUTPUT_CHUNKS: u32 = 50_000;
/// The largest chunk: its content, in bytes.
pub const MAX_CHUNK: usize = 64 << 10;
/// The most bytes of a chunk's metadata: with as many chunks as there may be, it must not be much more than their content.
pub const MAX_CHUNK_METADATA: usize = 1 << 10;
/// The most chunks that are given at once.
pub const MAX_BATCH_CHUNKS: usize = 64;
/// The most bytes that those have.
pub const MAX_BATCH_OUTPUT: usize = 1 << 20;
/// The most reports in a frame.
pub const MAX_REPORTS: usize = 1_000;
/// The most tasks that a frame awaits the ends of.
pub const MAX_AWAITS: usize = 1_000;
/// The most tasks whose ends a stream awaits at once.
pub const MAX_AWAITED: usize = 10_000;
/// The largest result that is told with an end, in bytes; a larger one is fetched.
pub const MAX_END_RESULT: usize = 64 << 10;
/// The most tasks in a claim.
pub const MAX_CLAIM: usize = 100;
/// The most messages that are sent or acknowledged in a frame, and acknowledged in a call.
pub const MAX_MESSAGES: usize = 1_000;
/// The longest time that a message may wait: 30 days.
pub const MAX_MESSAGE_TTL: Span = Span::seconds(30 * 86_400);
/// The most messages that are delivered to a stream without an acknowledgement, when its agent doesn't say.
pub const DEFAULT_MESSAGE_WINDOW: u32 = 32;
/// The most that an agent may say.
pub const MAX_MESSAGE_WINDOW: u32 = 100;
/// The largest page.
pub const MAX_PAGE: usize = 1_000;
/// The page when the caller doesn't say.
pub const DEFAULT_PAGE: usize = 100;
/// The most of a resource that a task takes.
pub const MAX_AMOUNT: f64 = 1e12;
/// The most resources that a task takes, or an agent has.
pub const MAX_RESOURCES: usize = 32;
/// The most limit keys of a task.
pub const MAX_LIMIT_KEYS: usize = 4;
/// The most limits of a namespace.
pub const MAX_LIMITS: usize = 1_000;
/// The most that a limit allows.
pub const MAX_LIMIT: u32 = 1_000_000;
/// The longest time that a rate is for.
pub const MAX_RATE_PERIOD: Span = Span::seconds(86_400);
/// The most dependencies that a task names to be near to their agents, and the most to be apart from them.
pub const MAX_NEIGHBOURS: usize = 16;
