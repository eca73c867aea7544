//! Short words for tasks, agents and reports.

use super::{START, World};
use callboard_core::command::{Attached, Fence, MessageReceipt, Report};
use callboard_core::model::{
    Address, AgentId, AgentProfile, Amounts, ChildKey, Failure, Limit, MessageId, NewCheckpoint, NewChild,
    NewDependency, NewMessage, NewStep, NewTask, OnFailure, OnParentEnd, OutputBatch, Payload, Rate, Span, StepKey,
    TaskHandler, TaskId, TaskSpec, Timestamp,
};
use callboard_core::rejection::Rejection;
use callboard_core::{Command, Reply};
use std::sync::Arc;

/// A task of a type, with every default.
pub fn task(task_type: &str) -> NewTask {
    NewTask { input: Arc::new(Payload::text("input")), ..TaskSpec::of_type(task_type).into() }
}

/// With a change.
pub fn task_with(task_type: &str, change: impl FnOnce(&mut NewTask)) -> NewTask {
    let mut new = task(task_type);
    change(&mut new);
    new
}

/// That waits for others, and is skipped when one of them doesn't complete.
pub fn after(sources: &[TaskId]) -> NewTask {
    after_or(sources, OnFailure::Skip)
}

pub fn after_or(sources: &[TaskId], on_failure: OnFailure) -> NewTask {
    task_with("work", |new| {
        new.dependencies = sources.iter().map(|source| NewDependency::on(*source, on_failure)).collect()
    })
}

/// That begins at a time.
pub fn at(start: Timestamp) -> NewTask {
    task_with("work", |new| {
        new.start_at = Some(start);
        new.spec.start_at = Some(start);
    })
}

/// So many seconds behind the beginning of the world.
pub fn second(n: i64) -> Timestamp {
    START + Span::seconds(n)
}

/// An agent that takes any type.
pub fn profile(slots: u32) -> AgentProfile {
    profile_for(&["*"], slots)
}

pub fn profile_for(types: &[&str], slots: u32) -> AgentProfile {
    AgentProfile {
        agent_type: "worker".into(),
        slots,
        handles: types.iter().map(|task_type| TaskHandler::named(task_type)).collect(),
        ..AgentProfile::default()
    }
}

/// The same with so many gpus.
pub fn with_gpus(amount: f64, profile: AgentProfile) -> AgentProfile {
    AgentProfile { resources: [("gpu".to_owned(), amount)].into(), ..profile }
}

/// So many thousandths of a gpu.
pub fn some_gpu(parts: u64) -> Amounts {
    Amounts::of([("gpu".to_owned(), parts)])
}

/// So many at once.
pub fn at_once(key: &str, max: u32) -> Limit {
    Limit { key: key.into(), max_concurrent: Some(max), rate: None }
}

/// So many in so many seconds.
pub fn in_seconds(key: &str, count: u32, seconds: i64) -> Limit {
    Limit { key: key.into(), max_concurrent: None, rate: Some(Rate { count, period: Span::seconds(seconds) }) }
}

/// A task with limit keys.
pub fn limited(task_type: &str, keys: &[&str]) -> NewTask {
    task_with(task_type, |new| new.spec.limit_keys = keys.iter().map(|key| (*key).to_owned()).collect())
}

/// A completion.
pub fn completed(result: &str) -> Report {
    Report::Completed { result: Arc::new(Payload::text(result)), digest: digest(result) }
}

/// A failure that may be retried.
pub fn failed(kind: &str) -> Report {
    failed_with(failure(kind))
}

pub fn failed_with(failure: Failure) -> Report {
    let digest = digest(&failure.kind);
    Report::Failed { failure: Arc::new(failure), digest }
}

pub fn failure(kind: &str) -> Failure {
    Failure {
        kind: kind.into(),
        message: "it went wrong".into(),
        retryable: true,
        retry_after: None,
        details: None,
        cause: None,
    }
}

/// A hand-back.
pub fn rejected() -> Report {
    Report::Rejected { reason: "drain".into() }
}

/// Output that begins at an offset of its attempt.
pub fn output(offset: u64, chunks: &[&str]) -> OutputBatch {
    OutputBatch { offset, chunks: chunks.iter().map(|text| Arc::new(Payload::text(text))).collect() }
}

/// A child that is cancelled with its parent's run.
pub fn new_child(name: &str, occurrence: u32, task: NewTask) -> NewChild {
    NewChild { key: ChildKey { name: name.into(), occurrence }, task, on_parent_end: OnParentEnd::Cancel }
}

/// A step that is done.
pub fn step(name: &str, occurrence: u32, result: &str) -> NewStep {
    let key = StepKey { name: name.into(), occurrence };
    NewStep { key, result: Arc::new(Payload::text(result)), digest: digest(result) }
}

/// A checkpoint.
pub fn checkpoint(text: &str) -> NewCheckpoint {
    NewCheckpoint { data: Arc::new(Payload::text(text)), digest: digest(text) }
}

fn digest(text: &str) -> u64 {
    text.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// How an agent attaches.
pub struct Hello {
    pub name: &'static str,
    pub profile: AgentProfile,
    pub held: Vec<Fence>,
    pub previous_epoch: i64,
    pub instance: &'static str,
}

impl Hello {
    /// For the first time.
    pub fn new(name: &'static str, profile: AgentProfile) -> Self {
        Self { name, profile, held: Vec::new(), previous_epoch: 0, instance: "one" }
    }

    pub fn command(self) -> Command {
        Command::Attach {
            name: self.name.into(),
            profile: Arc::new(self.profile),
            held: self.held,
            previous_epoch: self.previous_epoch,
            instance: self.instance.into(),
        }
    }
}

/// A message that says something.
pub fn message(to: &str, text: &str) -> NewMessage {
    let payload = Arc::new(Payload::text(text));
    NewMessage { to: Address::Agent(to.into()), payload, headers: Default::default(), ttl: None }
}

impl World {
    /// Sends a message; by an agent's stream or by a call.
    pub fn send(&mut self, from: Option<&Attached>, message: NewMessage) -> Result<MessageReceipt, Rejection> {
        let from = from.map(|attached| (attached.agent, attached.epoch));
        match self.run(Command::SendMessage { from, message })?.reply {
            Reply::Sent(receipt) => Ok(receipt),
            other => panic!("a message is answered by its receipt: {other:?}"),
        }
    }

    /// Acknowledges messages by a call; says how many went.
    pub fn acknowledge(&mut self, agent: AgentId, messages: &[MessageId]) -> usize {
        let command = Command::AcknowledgeMessages { agent, epoch: None, messages: messages.to_vec() };
        match self.run(command).expect("never refused").reply {
            Reply::Taken(count) => count,
            other => panic!("an acknowledgement is answered by a count: {other:?}"),
        }
    }

    /// Attaches an agent that takes any type, and gives it what is ready.
    pub fn attach(&mut self, name: &'static str, slots: u32) -> Attached {
        self.attach_with(name, profile(slots))
    }

    pub fn attach_with(&mut self, name: &'static str, profile: AgentProfile) -> Attached {
        let attached = self.hello(Hello::new(name, profile)).expect("the agent is attached");
        self.dispatch();
        attached
    }

    /// Attaches without giving anything out.
    pub fn hello(&mut self, hello: Hello) -> Result<Attached, Rejection> {
        match self.run(hello.command())?.reply {
            Reply::Attached(attached) => Ok(attached),
            other => panic!("an attach is answered by a session: {other:?}"),
        }
    }

    pub fn break_session(&mut self, attached: &Attached) {
        self.run(Command::BreakSession { agent: attached.agent, epoch: attached.epoch }).expect("never refused");
    }

    pub fn end_session(&mut self, attached: &Attached) {
        let (agent, epoch) = (attached.agent, attached.epoch);
        self.run(Command::EndSession { agent, epoch, reason: "it was silent" }).expect("never refused");
    }

    /// Claims, as an agent that takes any type.
    pub fn claim(&mut self, name: &str, max: usize, lease: Span) -> Vec<Fence> {
        let profile = Arc::new(profile(100));
        self.try_claim(name, &profile, max, lease).expect("the claim is not refused")
    }

    pub fn try_claim(
        &mut self,
        name: &str,
        profile: &Arc<AgentProfile>,
        max: usize,
        lease: Span,
    ) -> Result<Vec<Fence>, Rejection> {
        let command = Command::Claim { name: name.into(), profile: profile.clone(), max, lease };
        match self.run(command)?.reply {
            Reply::Claimed(fences) => Ok(fences),
            other => panic!("a claim is answered by leases: {other:?}"),
        }
    }

    /// Creates a task, and has it given to an attached agent.
    pub fn start(&mut self, new: NewTask) -> TaskId {
        let id = self.create(new);
        self.dispatch();
        id
    }

    /// The same, and the agent accepts it.
    pub fn run_task(&mut self, new: NewTask) -> TaskId {
        let id = self.start(new);
        self.report(id, Report::Accepted).expect("the report is taken");
        id
    }

    /// Ends a task that nobody has, as it is to end.
    pub fn finish(&mut self, id: TaskId, report: callboard_core::command::DirectReport) {
        let command = Command::DirectReport { task: id, agent: "passer-by".into(), report };
        self.run(command).expect("the task is ready");
    }

    pub fn complete(&mut self, id: TaskId) {
        self.finish(id, callboard_core::command::DirectReport::Completed(Arc::new(Payload::text("result"))));
    }

    /// Fails a task for good.
    pub fn fail(&mut self, id: TaskId) {
        let failure = Failure { retryable: false, ..failure("Broken") };
        self.finish(id, callboard_core::command::DirectReport::Failed(Arc::new(failure)));
    }
}
