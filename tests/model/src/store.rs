//! The store: real rows for the real rules.
//!
//! For each command the rows are made of the state, the command is decided on them, and the rows that it changed are read back.
//! Times, versions and texts are the same in every row: rules compare times with `now` alone, and `now` is passed in (see
//! [`Timer`]). What is read back must give the same row again when it is stored: a rule that wrote a field which the state has no
//! room for stops the check, it is not passed over.

use crate::rows::{AgentNo, AgentRow, By, Closed, Fence, Lease, Registration, Session, TaskRow, TaskState};
use crate::state::{Said, Store};
use callboard_core::command::{self, Reporter};
use callboard_core::dispatch::Board;
use callboard_core::model::task::Cancelling;
use callboard_core::model::{
    self, Agent, AgentId, AgentProfile, Failure, Lane, LaneKey, LeaseToken, Link, Namespace, NamespaceId, NotBefore,
    Payload, Progress, RetryPolicy, Span, Task, TaskHandler, TaskId, TaskSpec, Timestamp, Waiting,
};
use callboard_core::planted::{Bug, Planted};
use callboard_core::{
    Command, Context, Decision, Effect, Entropy, Envelope, Outcome, Rejection, Rows, Settings, Want, WorkingSet, decide,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use uuid::Uuid;

/// The time of every row, and of every command but timers.
const NOON: Timestamp = Timestamp(1_750_000_000_000_000);
/// Ids of tasks and agents count from here. Tokens are smaller.
const TASKS: u128 = 0x70;
const AGENTS: u128 = 0xA0;

/// Which time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// None in particular.
    None,
    /// An assignment was to be accepted by now.
    Accept,
    /// The delay before the next attempt is over.
    Retry,
    /// An agent was to have stopped by now.
    Stop,
}

/// What never changes, and what decides.
#[derive(Clone, Debug)]
pub struct Rules {
    settings: Settings,
    namespace: Namespace,
    lane: Lane,
    spec: Arc<TaskSpec>,
    profile: Arc<AgentProfile>,
    agents: Vec<Arc<str>>,
    /// What was seen on the way, in any run: a check that never sees the thing says nothing of it.
    pub seen: Arc<Seen>,
}

/// What was seen in any run.
#[derive(Debug, Default)]
pub struct Seen(AtomicU8);

impl Seen {
    /// An attempt went on in another session of its agent.
    pub const KEPT: u8 = 1;
    /// A session of a dead replica was adopted.
    pub const ADOPTED: u8 = 2;

    /// It was seen.
    pub fn note(&self, what: u8) {
        self.0.fetch_or(what, Ordering::Relaxed);
    }

    /// Whether it was.
    pub fn has(&self, what: u8) -> bool {
        self.0.load(Ordering::Relaxed) & what == what
    }
}

/// What a command did to the store, and what follows.
#[derive(Debug)]
pub struct Committed {
    /// The store behind it.
    pub store: Store,
    /// The answer and the effects, or why it was refused.
    pub result: Result<Outcome, Rejection>,
}

/// The next token, and no jitter.
struct Minted(u8);

impl Entropy for Minted {
    fn bits(&mut self) -> u128 {
        u128::from(self.0)
    }
}

impl Rules {
    /// The rules for so many agents and attempts, with guards taken out.
    pub fn new(agents: u8, max_attempts: u8, bugs: &[Bug]) -> Self {
        let planted = bugs.iter().fold(Planted::default(), |planted, bug| planted.with(*bug));
        // Small limits end tasks soon; that they end is what counts here.
        let settings = Settings { hand_back_limit: 3, poison_limit: 3, planted, ..Settings::default() };
        let namespace = Namespace {
            id: NamespaceId(1),
            name: "default".into(),
            settings: Default::default(),
            created_at: NOON,
            version: 1,
        };
        let spec = spec(max_attempts);
        let key = LaneKey::of(&spec);
        let profile = AgentProfile {
            agent_type: "worker".into(),
            slots: 1,
            handles: vec![TaskHandler::named("*")],
            ..AgentProfile::default()
        };
        Self {
            settings,
            lane: Lane { namespace: namespace.id, id: key.id(), key },
            namespace,
            spec: Arc::new(spec),
            profile: Arc::new(profile),
            agents: (0..agents).map(|agent| format!("agent {agent}").into()).collect(),
            seen: Arc::default(),
        }
    }

    /// Whether a guard is taken out.
    pub fn has(&self, bug: Bug) -> bool {
        self.settings.planted.has(bug)
    }

    /// An agent attaches at a replica.
    pub fn attach(&self, agent: AgentNo, instance: u8, previous: u8, held: &[Fence]) -> Command {
        Command::Attach {
            name: self.agents[usize::from(agent)].clone(),
            profile: self.profile.clone(),
            held: held.iter().map(|fence| fence.real()).collect(),
            previous_epoch: i64::from(previous),
            instance: format!("{instance}"),
        }
    }

    /// Decides a command, and commits what it did.
    pub fn commit(&self, store: &Store, replica: Registration, timer: Timer, command: Command) -> Committed {
        let replica = registration(replica);
        self.run(store, (&replica, &mut Board::default()), timer, command)
    }

    /// Gives ready tasks to one agent of a replica: which of its agents gets one is left open, so that all choices are tried.
    pub fn dispatch(&self, store: &Store, replica: Registration, agent: AgentNo) -> Committed {
        let mut board = Board::default();
        board.set_agent(&self.agent(agent, store.agents[usize::from(agent)]));
        let command = Command::Dispatch { lanes: vec![(self.namespace.id, self.lane.id)] };
        self.run(store, (&registration(replica), &mut board), Timer::None, command)
    }

    /// Whether a report by a unary call would be taken.
    pub fn would_take(&self, store: &Store, fence: Fence) -> bool {
        let report = said(fence, Said::Ended(By::Completion));
        let command = Command::Report { fence: fence.real(), reporter: Reporter::Token, report };
        self.commit(store, 0, Timer::None, command).result.is_ok()
    }

    fn run(&self, store: &Store, (replica, board): (&str, &mut Board), timer: Timer, command: Command) -> Committed {
        let mut ws = self.load(store);
        let minted: u8 = store.tasks.iter().map(|task| task.attempt).sum();
        let mut entropy = Minted(minted + 1);
        let now = match timer {
            Timer::None => NOON,
            Timer::Accept => NOON + self.settings.accept_within,
            Timer::Retry => NOON + Span::seconds(60),
            Timer::Stop => NOON + self.settings.cancel_grace,
        };
        let mut cx = Context {
            now,
            grace_until: NOON,
            replica,
            all_current: true,
            entropy: &mut entropy,
            settings: &self.settings,
            board,
        };
        let envelope =
            Envelope { namespace: self.namespace.name.clone(), principal: "model".into(), request: None, command };
        match decide(&mut ws, &envelope, &mut cx) {
            Decision::Done(outcome) => Committed { store: self.save(store, &mut ws), result: Ok(outcome) },
            Decision::Rejected(rejection) => Committed { store: store.clone(), result: Err(rejection) },
            Decision::NeedMore(want) => unreachable!("every row was loaded, and yet it wants {want:?}"),
        }
    }

    fn load(&self, store: &Store) -> WorkingSet {
        let namespace = self.namespace.id;
        let tasks: Vec<Task> = (0..).zip(&store.tasks).map(|(task, row)| self.task(task, *row)).collect();
        let agents: Vec<Agent> = (0..).zip(&store.agents).map(|(agent, row)| self.agent(agent, *row)).collect();
        let want = Want {
            all_namespaces: true,
            tasks: tasks.iter().map(|task| (namespace, task.id)).collect(),
            agents: agents.iter().map(|agent| (namespace, agent.name.clone())).collect(),
            agents_by_id: agents.iter().map(|agent| (namespace, agent.id)).collect(),
            lanes: [namespace].into(),
            ready: [((namespace, self.lane.id), 100)].into(),
            ..Want::default()
        };
        let rows = Rows {
            namespaces: vec![self.namespace.clone()],
            tasks,
            agents,
            lanes: vec![self.lane.clone()],
            ..Rows::default()
        };
        let mut ws = WorkingSet::default();
        ws.absorb(&want, rows);
        ws
    }

    fn save(&self, store: &Store, ws: &mut WorkingSet) -> Store {
        let mut store = store.clone();
        let changes = ws.changes();
        for changed in changes.tasks {
            let number = task_number(changed.row.id);
            let row = read_task(&changed.row);
            assert_eq!(self.task(number, row), plain_task(changed.row), "the state has no room for what a rule wrote");
            store.tasks[usize::from(number)] = row;
        }
        for changed in changes.agents {
            let number = agent_number(changed.row.id);
            let row = read_agent(&changed.row);
            assert_eq!(
                self.agent(number, row),
                plain_agent(changed.row),
                "the state has no room for what a rule wrote"
            );
            store.agents[usize::from(number)] = row;
        }
        store
    }

    fn task(&self, number: u8, row: TaskRow) -> Task {
        let lease = |lease: Lease| model::Lease {
            agent: agent_id(lease.agent),
            epoch: i64::from(lease.epoch),
            token: LeaseToken(u128::from(lease.token)),
            assigned_at: NOON,
            claim: None,
        };
        let state = match row.state {
            TaskState::Waiting => model::TaskState::Waiting(Waiting {
                not_before: Some(NotBefore::Retry(NOON + Span::seconds(1))),
                ..Waiting::default()
            }),
            TaskState::Ready => model::TaskState::Ready { since: NOON },
            TaskState::Assigned(held) => model::TaskState::Assigned { lease: lease(held), ready_since: NOON },
            TaskState::Running(held) => {
                model::TaskState::Running { lease: lease(held), heard_at: NOON, cancelling: None }
            }
            TaskState::Stopping(held) => {
                let cancelling = Some(Cancelling { since: NOON, reason: String::new() });
                model::TaskState::Running { lease: lease(held), heard_at: NOON, cancelling }
            }
            TaskState::Completed => model::TaskState::Completed { at: NOON },
            TaskState::Failed => model::TaskState::Failed { at: NOON },
            TaskState::Cancelled => model::TaskState::Cancelled { at: NOON },
        };
        Task {
            namespace: self.namespace.id,
            id: TaskId(Uuid::from_u128(TASKS + u128::from(number))),
            spec: self.spec.clone(),
            lane: self.lane.id,
            state,
            run: 1,
            run_opened_at: NOON,
            attempt: row.attempt.into(),
            attempts_used: row.used.into(),
            lost_in_row: row.lost.into(),
            handed_back: row.handed_back.into(),
            avoid: row.avoid.map(agent_id),
            failed_at: None,
            fallback: 0,
            fallbacks_anew: None,
            dependency_agents: Default::default(),
            agent_name: None,
            progress: Progress::default(),
            closed: row.closed.map(|closed| model::Closed {
                attempt: closed.attempt.into(),
                token: LeaseToken(closed.token.into()),
                by: closed.by.kind(),
                digest: digest(closed.attempt.into(), closed.by),
            }),
            has_checkpoint: false,
            last_checkpoint: None,
            dependencies: 0,
            has_dependents: false,
            has_children: false,
            releasing: false,
            created_by: "model".into(),
            created_at: NOON,
            started_at: None,
            last_event: 1,
            version: 1,
            input: None,
        }
    }

    fn agent(&self, number: u8, row: AgentRow) -> Agent {
        let session = row.session.map(|session| model::Session {
            link: match session.broken {
                false => Link::Stream { replica: registration(session.at) },
                true => Link::Broken { replica: registration(session.at), since: NOON },
            },
            instance: format!("{}", session.instance),
            draining: false,
        });
        Agent {
            namespace: self.namespace.id,
            id: agent_id(number),
            name: self.agents[usize::from(number)].clone(),
            profile: self.profile.clone(),
            principal: "model".into(),
            cordoned: false,
            epoch: row.epoch.into(),
            session,
            completed: 0,
            failed: 0,
            created_at: NOON,
            attached_at: NOON,
            detached_at: None,
            version: 1,
        }
    }
}

impl Fence {
    /// As the rules have it.
    pub fn real(self) -> command::Fence {
        command::Fence {
            task: TaskId(Uuid::from_u128(TASKS + u128::from(self.task))),
            attempt: self.attempt.into(),
            token: LeaseToken(self.token.into()),
        }
    }

    /// As the state has it.
    pub fn read(fence: command::Fence) -> Self {
        Self { task: task_number(fence.task), attempt: small(fence.attempt), token: small(fence.token.0) }
    }
}

/// The attempts that a command assigned, each with its agent and the session.
pub fn assigned(outcome: &Outcome) -> impl Iterator<Item = (AgentNo, u8, Fence)> + '_ {
    outcome.effects.iter().filter_map(|effect| {
        let Effect::Assign { agent, epoch, task } = effect else { return None };
        let token = task.state.lease()?.token;
        let fence = command::Fence { task: task.id, attempt: task.attempt, token };
        Some((agent_number(*agent), small(*epoch), Fence::read(fence)))
    })
}

/// What an agent reports of an attempt.
pub fn said(fence: Fence, said: Said) -> command::Report {
    match said {
        Said::Accepted => command::Report::Accepted,
        Said::Ended(By::Completion) => command::Report::Completed {
            result: Arc::new(Payload::text("done")),
            digest: digest(fence.attempt.into(), By::Completion),
        },
        Said::Ended(By::Failure) => command::Report::Failed {
            failure: Arc::new(Failure {
                kind: "Flaky".into(),
                message: String::new(),
                retryable: true,
                retry_after: None,
                details: None,
                cause: None,
            }),
            digest: digest(fence.attempt.into(), By::Failure),
        },
    }
}

/// An agent's id.
pub fn agent_id(agent: AgentNo) -> AgentId {
    AgentId(Uuid::from_u128(AGENTS + u128::from(agent)))
}

/// A task's id.
pub fn task_id(task: u8) -> TaskId {
    TaskId(Uuid::from_u128(TASKS + u128::from(task)))
}

/// The name of a registration.
pub fn registration(number: Registration) -> String {
    format!("replica {number}")
}

fn spec(max_attempts: u8) -> TaskSpec {
    TaskSpec {
        retry_policy: RetryPolicy { max_attempts: max_attempts.into(), ..RetryPolicy::default() },
        ..TaskSpec::of_type("work")
    }
}

fn digest(attempt: u64, by: By) -> u64 {
    attempt * 2 + u64::from(by == By::Failure)
}

fn read_task(task: &Task) -> TaskRow {
    let lease = |lease: &model::Lease| Lease {
        agent: agent_number(lease.agent),
        epoch: small(lease.epoch),
        token: small(lease.token.0),
    };
    let state = match &task.state {
        model::TaskState::Waiting(_) => TaskState::Waiting,
        model::TaskState::Ready { .. } => TaskState::Ready,
        model::TaskState::Assigned { lease: held, .. } => TaskState::Assigned(lease(held)),
        model::TaskState::Running { lease: held, cancelling: None, .. } => TaskState::Running(lease(held)),
        model::TaskState::Running { lease: held, .. } => TaskState::Stopping(lease(held)),
        model::TaskState::Completed { .. } => TaskState::Completed,
        model::TaskState::Failed { .. } => TaskState::Failed,
        model::TaskState::Cancelled { .. } => TaskState::Cancelled,
        model::TaskState::Skipped { .. } => unreachable!("nothing depends on anything here"),
        model::TaskState::Paused { .. } => unreachable!("no handler waits for children here"),
    };
    TaskRow {
        state,
        attempt: small(task.attempt),
        used: small(task.attempts_used),
        lost: small(task.lost_in_row),
        handed_back: small(task.handed_back),
        avoid: task.avoid.map(agent_number),
        closed: task.closed.as_ref().map(|closed| Closed {
            attempt: small(closed.attempt),
            token: small(closed.token.0),
            by: match closed.by {
                model::ClosedBy::Completion => By::Completion,
                model::ClosedBy::Failure => By::Failure,
                model::ClosedBy::HandBack => unreachable!("no agent hands anything back here"),
            },
        }),
    }
}

fn read_agent(agent: &Agent) -> AgentRow {
    let session = agent.session.as_ref().map(|session| {
        let at = session.link.replica().and_then(|replica| replica.strip_prefix("replica ")?.parse().ok());
        Session {
            at: at.unwrap_or_else(|| unreachable!("every session here is a stream's")),
            broken: matches!(session.link, Link::Broken { .. }),
            instance: session.instance.parse().unwrap_or_default(),
        }
    });
    AgentRow { epoch: small(agent.epoch), session }
}

/// Without times, versions and what only people read; and without the agent at which it failed last, since here a task is given to
/// each agent that may have it.
fn plain_task(mut task: Task) -> Task {
    task.state = match task.state {
        model::TaskState::Waiting(waiting) => {
            let not_before = waiting.not_before.map(|_| NotBefore::Retry(NOON + Span::seconds(1)));
            model::TaskState::Waiting(Waiting { not_before, ..waiting })
        }
        model::TaskState::Ready { .. } => model::TaskState::Ready { since: NOON },
        model::TaskState::Assigned { lease, .. } => model::TaskState::Assigned { lease, ready_since: NOON },
        model::TaskState::Running { lease, cancelling, .. } => {
            let cancelling = cancelling.map(|_| Cancelling { since: NOON, reason: String::new() });
            model::TaskState::Running { lease, heard_at: NOON, cancelling }
        }
        paused @ model::TaskState::Paused { .. } => paused,
        model::TaskState::Completed { .. } => model::TaskState::Completed { at: NOON },
        model::TaskState::Failed { .. } => model::TaskState::Failed { at: NOON },
        model::TaskState::Cancelled { .. } => model::TaskState::Cancelled { at: NOON },
        model::TaskState::Skipped { .. } => model::TaskState::Skipped { at: NOON },
    };
    Task { agent_name: None, failed_at: None, started_at: None, last_event: 1, version: 1, ..task }
}

fn plain_agent(mut agent: Agent) -> Agent {
    if let Some(model::Session { link: Link::Broken { since, .. }, .. }) = &mut agent.session {
        *since = NOON;
    }
    Agent { completed: 0, failed: 0, attached_at: NOON, detached_at: None, version: 1, ..agent }
}

fn task_number(task: TaskId) -> u8 {
    small(task.0.as_u128() - TASKS)
}

fn agent_number(agent: AgentId) -> AgentNo {
    small(agent.0.as_u128() - AGENTS)
}

fn small<T: TryInto<u8>>(number: T) -> u8 {
    number.try_into().unwrap_or_else(|_| unreachable!("numbers here are small"))
}
