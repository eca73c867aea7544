//! Rows to test with.

use callboard_core::Settings;
use callboard_core::model::task::{ClaimLease, Closed, ClosedBy, Progress, TaskState, Waiting};
use callboard_core::model::{
    Agent, AgentId, AgentProfile, Amounts, ChildKey, Edge, Event, EventKind, Failure, Fallback, Lane, LaneId, LaneKey,
    LastCheckpoint, Lease, LeaseToken, Link, Namespace, NamespaceId, NamespaceSettings, ParentLink, Pause, Payload,
    Priority, Requirements, RetryPolicy, Session, Span, StateName, Task, TaskHandler, TaskId, TaskSpec, Terms,
    Timeouts, Timestamp, WorkflowId, WorkflowLink,
};
use callboard_core::working_set::{ChangeSet, Changed, ChangedTask, PayloadValue, PayloadWrite, Rows, TaskRef, Want};
use callboard_store::{Result, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// The namespace of the samples.
pub const NAMESPACE: NamespaceId = NamespaceId(7);
/// Another.
pub const OTHER: NamespaceId = NamespaceId(8);
/// Text that stores get wrong: NUL, an emoji of several code points, a combining accent, quotes, a line end, a lone BOM.
pub const TEXT: &str = "a\0b 👩‍👩‍👧 e\u{301} '\"\\ \r\n\u{feff}\u{10ffff} %_";

/// A store, and what is done to it all the time.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it is saved with.
    pub settings: Settings,
    in_one_go: AtomicBool,
}

impl Fixture {
    /// Around an empty store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, settings: Settings::default(), in_one_go: AtomicBool::new(true) }
    }

    /// One transaction that saves: in steps, or in one go, by turns.
    pub async fn try_save(&self, changes: ChangeSet) -> Result<()> {
        let mut transaction = self.store.begin().await.unwrap();
        if self.in_one_go.fetch_xor(true, Ordering::Relaxed) {
            return transaction.save_and_commit(&changes, &self.settings).await;
        }
        match transaction.save(&changes, &self.settings).await {
            Ok(()) => transaction.commit().await,
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }

    /// One transaction that saves, and must.
    pub async fn save(&self, changes: ChangeSet) {
        self.try_save(changes).await.unwrap();
    }

    /// One transaction that loads. Rows come sorted, tasks once each.
    pub async fn load(&self, want: Want) -> Rows {
        let mut transaction = self.store.begin().await.unwrap();
        let rows = transaction.load(&want).await.unwrap();
        transaction.roll_back().await;
        sorted(rows)
    }

    /// A task as it is loaded.
    pub async fn task(&self, id: TaskId) -> Option<Task> {
        let rows = self.load(Want { tasks: [(NAMESPACE, id)].into(), ..Want::default() }).await;
        rows.tasks.into_iter().next()
    }
}

/// Rows in one order, so that stores can be compared; each task and edge once.
pub fn sorted(mut rows: Rows) -> Rows {
    rows.namespaces.sort_by_key(|row| row.id);
    rows.tasks.sort_by_key(|row| (row.namespace, row.id));
    rows.tasks.dedup_by_key(|row| (row.namespace, row.id));
    rows.agents.sort_by_key(|row| (row.namespace, row.id));
    rows.agents.dedup_by_key(|row| (row.namespace, row.id));
    rows.leases.sort();
    rows.keys.sort();
    rows.requests.sort_by(|a, b| a.key.cmp(&b.key));
    rows.edges.sort_by_key(|row| (row.namespace, row.target, row.ordinal, row.source));
    rows.edges.dedup();
    rows.lanes.sort_by_key(|row| (row.namespace, row.id));
    rows.lanes_in_use.sort();
    rows.live_counts.retain(|(_, count)| *count > 0);
    rows.live_counts.sort();
    rows.ready.retain(|(_, count)| *count > 0);
    rows.ready.sort();
    rows.ready_locked.sort();
    rows.steps.sort();
    rows.step_totals.retain(|(_, totals)| totals.count > 0);
    rows.step_totals.sort_by_key(|(run, _)| *run);
    rows
}

/// A task's id.
pub fn task_id(n: u32) -> TaskId {
    TaskId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

/// An agent's id.
pub fn agent_id(n: u32) -> AgentId {
    AgentId(Uuid::from_u128(0x0191_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

/// A time, in seconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

/// A spec with nothing special in it.
pub fn spec() -> TaskSpec {
    TaskSpec::of_type("research")
}

/// A task that has been ready since a second of its own.
pub fn task(n: u32) -> Task {
    task_with(n, spec())
}

/// A ready task with a spec.
pub fn task_with(n: u32, spec: TaskSpec) -> Task {
    Task {
        namespace: NAMESPACE,
        id: task_id(n),
        lane: LaneKey::of(&spec).id(),
        spec: Arc::new(spec),
        state: TaskState::Ready { since: at(i64::from(n)) },
        run: 1,
        run_opened_at: at(i64::from(n)),
        attempt: 0,
        attempts_used: 0,
        lost_in_row: 0,
        handed_back: 0,
        avoid: None,
        failed_at: None,
        fallback: 0,
        fallbacks_anew: None,
        dependency_agents: Default::default(),
        agent_name: None,
        progress: Progress::default(),
        closed: None,
        has_checkpoint: false,
        last_checkpoint: None,
        dependencies: 0,
        has_dependents: false,
        has_children: false,
        releasing: false,
        created_by: "anonymous".into(),
        created_at: at(i64::from(n)),
        started_at: None,
        last_event: 1,
        version: 1,
        input: None,
    }
}

/// A task in another state, at its next version.
pub fn step(task: &Task, state: TaskState) -> Task {
    Task { state, version: task.version + 1, ..task.clone() }
}

/// The lease of an agent.
pub fn lease(agent: u32) -> Lease {
    Lease { agent: agent_id(agent), epoch: 1, token: LeaseToken(u128::MAX - 5), assigned_at: at(50), claim: None }
}

/// Leased to an agent.
pub fn running(agent: u32) -> TaskState {
    TaskState::Running { lease: lease(agent), heard_at: at(60), cancelling: None }
}

/// The same, and its handler waits; or wants to go on since then.
pub fn paused(agent: u32, resuming: Option<Timestamp>) -> TaskState {
    let cancelling = None;
    TaskState::Paused { lease: lease(agent), cancelling, pause: Pause { since: at(61), resuming } }
}

/// A task with something in every field.
pub fn full_task(n: u32) -> Task {
    let spec = TaskSpec {
        task_type: TEXT.into(),
        description: TEXT.repeat(50),
        key: Some(format!("{TEXT}{n}")),
        requirements: Requirements {
            skills: ["rust".into(), TEXT.into()].into(),
            tools: ["".into()].into(),
            role: Some(TEXT.into()),
            assignee: Some(TEXT.into()),
            preferred_agent: Some(TEXT.into()),
            affinity: [(TEXT.into(), TEXT.into())].into(),
            fallbacks: vec![
                Fallback {
                    after: Span(1),
                    skills: [TEXT.into()].into(),
                    tools: ["".into()].into(),
                    role: Some(TEXT.into()),
                    assignee: Some(TEXT.into()),
                },
                Fallback { after: Span(i64::MAX), ..Fallback::default() },
            ],
            anti_affinity: [(TEXT.into(), "".into())].into(),
            resources: Amounts::of([(TEXT.into(), u64::MAX), ("gpu".into(), 1)]),
            near: [TEXT.into(), "plan".into()].into(),
            apart: ["".into()].into(),
        },
        priority: Priority::Critical,
        retry_policy: RetryPolicy {
            max_attempts: u32::MAX,
            initial_backoff: Span(1),
            multiplier: 1.1,
            max_backoff: Span(i64::MAX),
            non_retryable_types: [TEXT.into()].into(),
        },
        timeouts: Timeouts {
            schedule_to_start: Some(Span(i64::MAX)),
            start_to_close: Span(i64::MAX),
            schedule_to_close: Some(Span(1)),
            heartbeat: Some(Span(0)),
        },
        deadline: Some(Timestamp(i64::MAX)),
        start_at: Some(Timestamp(i64::MIN)),
        tags: [TEXT.into(), "".into(), "b".into()].into(),
        metadata: [(TEXT.into(), TEXT.into()), ("".into(), "".into())].into(),
        headers: [("traceparent".into(), TEXT.into())].into(),
        fairness_key: Some(TEXT.into()),
        limit_keys: [TEXT.into(), "openai".into()].into(),
        parent: Some(Box::new(ParentLink {
            task: task_id(u32::MAX),
            run: u32::MAX,
            key: ChildKey { name: TEXT.into(), occurrence: u32::MAX },
            depth: u32::MAX,
        })),
        workflow: Some(Box::new(WorkflowLink {
            workflow: WorkflowId(Uuid::from_u128(u128::MAX)),
            name: Some(TEXT.into()),
            allow_failure: true,
            weight: u32::MAX,
            tasks_behind: u32::MAX,
        })),
    };
    Task {
        state: TaskState::Running {
            lease: Lease {
                epoch: i64::MAX,
                token: LeaseToken(u128::MAX),
                claim: Some(ClaimLease { until: Timestamp(i64::MAX), span: Span(i64::MAX) }),
                ..lease(3)
            },
            heard_at: Timestamp(i64::MIN),
            cancelling: Some(callboard_core::model::task::Cancelling { since: Timestamp(-1), reason: TEXT.into() }),
        },
        run: u32::MAX,
        run_opened_at: Timestamp(i64::MIN),
        attempt: u32::MAX,
        attempts_used: u32::MAX,
        lost_in_row: u32::MAX,
        handed_back: u32::MAX,
        avoid: Some(agent_id(u32::MAX)),
        failed_at: Some(agent_id(u32::MAX - 1)),
        fallback: u32::MAX,
        fallbacks_anew: Some(Timestamp(i64::MIN)),
        dependency_agents: [(TEXT.into(), TEXT.into()), ("".into(), "ann".into())].into(),
        agent_name: Some(TEXT.into()),
        progress: Progress { fraction: 0.1 + 0.2, phase: TEXT.into(), message: TEXT.into() },
        closed: Some(Closed { attempt: 9, token: LeaseToken(0), by: ClosedBy::HandBack, digest: u64::MAX }),
        has_checkpoint: true,
        last_checkpoint: Some(LastCheckpoint { attempt: u32::MAX, digest: u64::MAX }),
        dependencies: u32::MAX,
        has_dependents: true,
        has_children: true,
        releasing: true,
        created_by: TEXT.into(),
        created_at: Timestamp(i64::MIN),
        started_at: Some(Timestamp(i64::MAX)),
        last_event: i64::MAX,
        version: 1,
        ..task_with(n, spec)
    }
}

/// A waiting state with something in every field.
pub fn waiting() -> TaskState {
    let not_before = Some(callboard_core::model::NotBefore::Retry(at(99)));
    TaskState::Waiting(Waiting { unmet: 3, held: true, not_before })
}

/// Ended with a result.
pub fn completed(seconds: i64) -> TaskState {
    TaskState::Completed { at: at(seconds) }
}

/// A new task's change, with an input of its own.
pub fn new(task: &Task) -> ChangedTask {
    let input = Arc::new(Payload::text(&task.id.to_string()));
    ChangedTask { row: task.clone(), expected: 0, spec_changed: true, input: Some(input) }
}

/// The change of a task from the version before.
pub fn changed(task: &Task) -> ChangedTask {
    ChangedTask { row: task.clone(), expected: task.version - 1, spec_changed: false, input: None }
}

/// Changes of tasks alone.
pub fn tasks(tasks: impl IntoIterator<Item = ChangedTask>) -> ChangeSet {
    ChangeSet { tasks: tasks.into_iter().collect(), ..ChangeSet::default() }
}

/// New tasks.
pub fn new_tasks<'a>(rows: impl IntoIterator<Item = &'a Task>) -> ChangeSet {
    tasks(rows.into_iter().map(new))
}

/// A payload write.
pub fn write(task: TaskRef, value: PayloadValue) -> PayloadWrite {
    PayloadWrite { namespace: task.0, task: task.1, value }
}

/// A failure with something in every field, `depth` causes deep.
pub fn failure(depth: usize) -> Failure {
    Failure {
        kind: TEXT.into(),
        message: TEXT.into(),
        retryable: depth.is_multiple_of(2),
        retry_after: Some(Span(i64::MAX)),
        details: Some(Payload::text(TEXT)),
        cause: (depth > 0).then(|| Box::new(failure(depth - 1))),
    }
}

/// A namespace.
pub fn namespace(id: i64, name: &str) -> Namespace {
    Namespace {
        id: NamespaceId(id),
        name: name.into(),
        settings: NamespaceSettings::default(),
        created_at: Timestamp(id),
        version: 1,
    }
}

/// An agent without a session.
pub fn agent(n: u32, name: &str) -> Agent {
    Agent {
        namespace: NAMESPACE,
        id: agent_id(n),
        name: name.into(),
        profile: Arc::new(AgentProfile {
            agent_type: "researcher".into(),
            slots: 4,
            handles: vec![TaskHandler::named("research")],
            ..AgentProfile::default()
        }),
        principal: "anonymous".into(),
        cordoned: false,
        epoch: 1,
        session: None,
        completed: 0,
        failed: 0,
        created_at: at(1),
        attached_at: at(2),
        detached_at: None,
        version: 1,
    }
}

/// A session by a stream.
pub fn session() -> Session {
    Session { link: Link::Stream { replica: "r1".into() }, instance: "pid 7".into(), draining: false }
}

/// Changes of new agents.
pub fn new_agents<'a>(rows: impl IntoIterator<Item = &'a Agent>) -> ChangeSet {
    let agents = rows.into_iter().map(|row| Changed { row: row.clone(), expected: 0 }).collect();
    ChangeSet { agents, ..ChangeSet::default() }
}

/// The lane of a task type.
pub fn lane(task_type: &str) -> Lane {
    let key = LaneKey::of(&TaskSpec { task_type: task_type.into(), ..spec() });
    Lane { namespace: NAMESPACE, id: key.id(), key }
}

/// The lane of the plain tasks.
pub fn plain_lane() -> LaneId {
    lane("research").id
}

/// An edge that is not resolved.
pub fn edge(source: u32, target: u32, ordinal: u32) -> Edge {
    Edge {
        namespace: NAMESPACE,
        source: task_id(source),
        target: task_id(target),
        ordinal,
        terms: Terms::default(),
        resolved: false,
    }
}

/// An event of a task.
pub fn event(task: u32, sequence: i64) -> Event {
    Event {
        namespace: NAMESPACE,
        task: task_id(task),
        sequence,
        at: at(sequence),
        principal: "anonymous".into(),
        state: StateName::Ready,
        run: 1,
        attempt: 0,
        kind: EventKind::Ready,
    }
}
