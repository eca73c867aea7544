//! What there is. States carry their data, so that an illegal state can't be written down.

pub mod agent;
pub mod checkpoint;
pub mod child;
pub mod chosen;
pub mod condition;
pub mod edge;
pub mod event;
pub mod fallback;
pub mod id;
pub mod lane;
pub mod limit;
pub mod message;
pub mod namespace;
pub mod output;
pub mod pause;
pub mod payload;
mod rank;
pub mod request;
pub mod resources;
pub mod spec;
pub mod step;
pub mod task;
pub mod time;
pub mod workflow;

pub use agent::{Agent, AgentProfile, Link, Session, TaskHandler};
pub use checkpoint::{LastCheckpoint, NewCheckpoint};
pub use child::{ChildKey, NewChild, OnParentEnd, ParentLink, TaskChild};
pub use chosen::{Chosen, KeptScore, RunnerUp};
pub use condition::{Condition, JsonText, Outcome, ResultCondition, Test};
pub use edge::{Edge, NewDependency, OnFailure, Terms};
pub use event::{Event, EventKind};
pub use fallback::Fallback;
pub use id::{AgentId, LaneId, LeaseToken, MessageId, NamespaceId, TaskId, WorkflowId};
pub use lane::{Lane, LaneKey};
pub use limit::{Limit, LimitUse, Limits, Rate};
pub use message::{Address, Mailbox, Message, MessageStub, NewMessage, Sender};
pub use namespace::{Namespace, NamespaceSettings};
pub use output::{OutputBatch, OutputChunk, OutputTotals};
pub use pause::{Pause, PauseTurn, Slot};
pub use payload::{Content, Failure, Payload};
pub use request::{RequestKey, RequestRecord};
pub use resources::Amounts;
pub use spec::{KeyConflict, NewTask, Priority, Requirements, RetryPolicy, TaskSpec, Timeouts};
pub use step::{NewStep, StepKey, StepTotals, TaskStep};
pub use task::{Closed, ClosedBy, Lease, NotBefore, Progress, StateName, Task, TaskState, WaitReason, Waiting};
pub use time::{Span, Timestamp};
pub use workflow::{
    AddedTasks, Behind, Errand, Held, NewWorkflow, NewWorkflowTask, Round, Tally, Walk, Workflow, WorkflowLink,
    WorkflowSpec, WorkflowState, WorkflowTask,
};
