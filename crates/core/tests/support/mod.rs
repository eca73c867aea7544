//! A world to try the rules in: rows, a clock, agents. It does what an engine does with a working set: load, decide, save,
//! committed, effects.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod flows;
pub mod make;
pub mod table;

use callboard_core::command::Fence;
use callboard_core::command::{LaneLeft, Report, Reporter, RequestToken, TaskReceipt};
use callboard_core::decide::MOST_ROUNDS;
use callboard_core::dispatch::{Board, Explanation, Looked, Restraint, explain};
use callboard_core::entropy::Seeded;
use callboard_core::model::{
    Agent, AgentId, Amounts, Event, EventKind, LaneKey, Limit, LimitUse, Namespace, NamespaceId, NamespaceSettings,
    NewTask, PauseTurn, Slot, Span, StateName, Task, TaskId, Timestamp,
};
use callboard_core::rejection::{Reason, Rejection};
use callboard_core::working_set::{LaneRef, WorkingSet};
use callboard_core::{Command, Context, Decision, Effect, Envelope, Outcome, Reply, Settings, decide};
use std::collections::BTreeSet;
use std::sync::Arc;
use table::Tables;

/// When every world begins: 2025-06-15T15:06:40Z.
pub const START: Timestamp = Timestamp(1_750_000_000_000_000);

/// What the engine does with its rows between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It alone writes: rows stay.
    Exclusive,
    /// Others write too: rows are forgotten after each commit.
    Shared,
    /// It alone writes, and has hardly any memory.
    Tiny,
}

/// Every mode.
pub const MODES: [Mode; 3] = [Mode::Exclusive, Mode::Shared, Mode::Tiny];

/// Runs a test in every mode.
pub fn in_every_mode(test: impl Fn(World)) {
    for mode in MODES {
        test(World::new(mode));
    }
}

/// A command with the times of its decision.
#[derive(Clone, Debug)]
pub struct Logged {
    pub now: Timestamp,
    pub grace_until: Timestamp,
    pub envelope: Envelope,
}

/// The world.
pub struct World {
    pub mode: Mode,
    /// The replica that decides.
    pub replica: &'static str,
    /// Whether every replica knows what this version knows.
    pub all_current: bool,
    pub now: Timestamp,
    pub grace_until: Timestamp,
    pub settings: Settings,
    pub tables: Tables,
    /// Every effect since the beginning, or since a test cleared it.
    pub effects: Vec<Effect>,
    pub board: Board,
    /// Commands so far: the seed of each, so that a command that is decided twice draws the same numbers.
    pub commands: u64,
    /// Every command with its times, to be run again elsewhere.
    pub log: Vec<Logged>,
    /// What each command was answered; of dispatches, only that they were done.
    pub told: Vec<Result<Reply, Reason>>,
    /// How often a command had to wait for rows.
    pub loads: usize,
    /// Looks at the rows before and behind every command.
    pub watch: Option<fn(&Tables, &Tables)>,
    ws: WorkingSet,
    lanes: BTreeSet<LaneRef>,
    look_again: Vec<(Timestamp, LaneRef)>,
    /// What another replica has made of the tables right behind our look for requests.
    pub committed_behind_requests: Option<Tables>,
}

impl World {
    pub fn new(mode: Mode) -> Self {
        let mut tables = Tables::default();
        let default = Namespace {
            id: NamespaceId(1),
            name: "default".into(),
            settings: NamespaceSettings::default(),
            created_at: START,
            version: 1,
        };
        tables.namespaces.insert("default".into(), default);
        Self {
            mode,
            replica: "replica",
            all_current: true,
            now: START,
            grace_until: START,
            settings: Settings::default(),
            tables,
            effects: Vec::new(),
            board: Board::default(),
            commands: 0,
            log: Vec::new(),
            told: Vec::new(),
            loads: 0,
            watch: None,
            ws: WorkingSet::default(),
            lanes: BTreeSet::new(),
            look_again: Vec::new(),
            committed_behind_requests: None,
        }
    }

    /// Runs a command of principal `tester` in `default`.
    pub fn run(&mut self, command: Command) -> Result<Outcome, Rejection> {
        self.run_as(envelope(command))
    }

    /// Runs a command: load, decide, save, committed. What is refused must change nothing.
    pub fn run_as(&mut self, envelope: Envelope) -> Result<Outcome, Rejection> {
        let before = self.watch.map(|_| self.tables.clone());
        let result = self.decide(&envelope);
        if result.is_err() {
            assert!(self.ws.changes().is_empty(), "a refused command changes nothing");
        }
        self.commit();
        if let (Some(watch), Some(before)) = (self.watch, before) {
            watch(&before, &self.tables);
        }
        if let Ok(outcome) = &result {
            self.carry_out(&outcome.effects);
        }
        result
    }

    /// Runs commands in one commit, as a batch does.
    pub fn run_batch(&mut self, envelopes: &[Envelope]) -> Vec<Result<Outcome, Rejection>> {
        let results: Vec<_> = envelopes.iter().map(|envelope| self.decide(envelope)).collect();
        self.commit();
        for outcome in results.iter().flatten() {
            self.carry_out(&outcome.effects);
        }
        results
    }

    /// Decides a command, loading what it wants; the changes stay in the working set.
    pub fn decide(&mut self, envelope: &Envelope) -> Result<Outcome, Rejection> {
        self.log.push(Logged { now: self.now, grace_until: self.grace_until, envelope: envelope.clone() });
        let result = self.decide_with_rows(envelope);
        self.told.push(match &result {
            // What is left of lanes is told as far as it is known, which memory decides.
            Ok(Outcome { reply: Reply::Dispatched(_), .. }) => Ok(Reply::Done),
            Ok(outcome) => Ok(outcome.reply.clone()),
            Err(rejection) => Err(rejection.reason),
        });
        result
    }

    fn decide_with_rows(&mut self, envelope: &Envelope) -> Result<Outcome, Rejection> {
        self.commands += 1;
        for _ in 0..MOST_ROUNDS {
            let mut entropy = Seeded(self.commands.wrapping_mul(0x5851_F42D_4C95_7F2D));
            let mut cx = Context {
                now: self.now,
                grace_until: self.grace_until,
                replica: self.replica,
                all_current: self.all_current,
                entropy: &mut entropy,
                settings: &self.settings,
                board: &mut self.board,
            };
            match decide(&mut self.ws, envelope, &mut cx) {
                Decision::Done(outcome) => return Ok(outcome),
                Decision::Rejected(rejection) => return Err(rejection),
                Decision::NeedMore(want) => {
                    assert!(!want.is_empty(), "a command wants nothing, and stops");
                    self.loads += 1;
                    let mut rows = self.tables.load(&want);
                    if self.mode != Mode::Shared {
                        self.tables.read_ahead(&want, &mut rows);
                    }
                    self.ws.absorb(&want, rows);
                    if !want.requests.is_empty()
                        && let Some(tables) = self.committed_behind_requests.take()
                    {
                        self.tables = tables;
                    }
                }
            }
        }
        panic!("a command kept asking for more rows: {envelope:?}");
    }

    /// As the engine does before almost every batch: ids of requests that are not here are taken to be new.
    pub fn expect_new_requests(&mut self) {
        self.ws.expect_new_requests();
    }

    /// As a server that was started again: nothing is known but what is in the tables.
    pub fn start_anew(&mut self) {
        self.ws.reset();
    }

    /// Saves what was decided.
    pub fn commit(&mut self) {
        let changes = self.ws.changes();
        self.tables.save(changes);
        self.ws.committed();
        match self.mode {
            Mode::Exclusive => {}
            Mode::Shared => self.ws.forget_rows(),
            Mode::Tiny => {
                self.ws.trim(0, 0);
                self.ws.trim_agents(0);
            }
        }
    }

    /// Whether memory that keeps so many bytes of tasks still has this one.
    pub fn keeps_within(&mut self, bytes: usize, task: TaskId) -> bool {
        self.ws.trim(usize::MAX, bytes);
        self.ws.loaded_task(task).is_some()
    }

    /// Does what a commit is followed by.
    pub fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::LaneReady { namespace, lane } => {
                    self.lanes.insert((*namespace, *lane));
                }
                Effect::SlotFreed { agent } => self.lanes.extend(self.board.lanes_of(*agent)),
                Effect::LimitFreed { namespace, key } => {
                    self.lanes.extend(self.board.lanes_under(&(*namespace, key.clone())));
                }
                Effect::LimitsChanged { namespace } => self.lanes.extend(self.board.lanes_under_limits(*namespace)),
                Effect::SessionChanged { agent } => self.put_on_board(*agent),
                _ => {}
            }
        }
        self.effects.extend_from_slice(effects);
    }

    fn put_on_board(&mut self, id: AgentId) {
        match self.tables.agents.get(&id).filter(|agent| agent.takes_pushes()) {
            Some(agent) => {
                self.board.set_agent(agent);
                self.lanes.extend(self.tables.ready_lanes());
            }
            None => self.board.remove_agent(id),
        }
    }

    /// Gives out what became ready, until nothing more goes. Says what is left of the lanes looked at.
    pub fn dispatch(&mut self) -> Vec<LaneLeft> {
        let mut lanes: Vec<LaneRef> = std::mem::take(&mut self.lanes).into_iter().collect();
        let mut all = Vec::new();
        while !lanes.is_empty() {
            let outcome = self.run(Command::Dispatch { lanes: lanes.clone() }).expect("a dispatch is never refused");
            let Reply::Dispatched(left) = outcome.reply else { panic!("a dispatch tells what is left") };
            let look_again = left.iter().filter_map(|left| Some((left.look_again_at?, (left.namespace, left.lane))));
            self.look_again.extend(look_again);
            all = left;
            if !outcome.effects.iter().any(|effect| matches!(effect, Effect::Assign { .. })) {
                break;
            }
            lanes.extend(std::mem::take(&mut self.lanes));
        }
        all
    }

    /// Wakes every task whose time has come. A wake that changes nothing and leaves the task due would spin for ever.
    pub fn wake_due(&mut self) {
        for _ in 0..10_000 {
            let due = self.due();
            if due.is_empty() {
                return;
            }
            let pending = |w: &Self| w.tables.edges.values().filter(|edge| !edge.resolved).count();
            let mut idle = true;
            for id in due {
                let before = (self.tables.tasks[&id].version, pending(self));
                self.run(Command::Wake { task: id }).expect("a wake is never refused");
                idle &= (self.tables.tasks[&id].version, pending(self)) == before;
            }
            if idle {
                assert!(self.now < self.grace_until, "tasks are due, and waking them does nothing: {:?}", self.due());
                return;
            }
        }
        panic!("waking never ends: {:?}", self.due());
    }

    fn due(&self) -> Vec<TaskId> {
        let is_due = |task: &&Task| task.wake_at(&self.settings).is_some_and(|at| at <= self.now);
        self.tables.tasks.values().filter(is_due).map(|task| task.id).collect()
    }

    /// Lets time pass without anybody looking.
    pub fn sleep(&mut self, span: Span) {
        self.now = self.now + span;
    }

    /// Lets time pass, with everything done at its time: wakes, head starts, dispatch.
    pub fn pass(&mut self, span: Span) {
        let until = self.now + span;
        loop {
            self.settle();
            let wakes = self.tables.tasks.values().filter_map(|task| task.wake_at(&self.settings));
            let looks = self.look_again.iter().map(|(at, _)| *at);
            let next = wakes.chain(looks).chain([self.grace_until]).filter(|at| *at > self.now).min();
            match next.filter(|at| *at <= until) {
                Some(next) => self.now = next,
                None => break,
            }
        }
        self.now = until;
        self.settle();
    }

    /// Lets a task's delay pass, and has it given to an agent.
    pub fn pass_delay(&mut self, task: TaskId) {
        if self.state(task) == StateName::Waiting {
            let at = self.waiting(task).not_before.expect("a delay").at();
            self.pass(at.since(self.now));
        }
        self.dispatch();
    }

    /// Wakes what is due, and gives out what is ready.
    pub fn settle(&mut self) {
        self.wake_due();
        let now = self.now;
        let (over, rest) = std::mem::take(&mut self.look_again).into_iter().partition(|(at, _)| *at <= now);
        self.look_again = rest;
        self.lanes.extend(Vec::into_iter(over).map(|(_, lane): (Timestamp, LaneRef)| lane));
        self.dispatch();
    }

    /// Creates one task.
    pub fn create(&mut self, new: NewTask) -> TaskId {
        self.try_create(new).expect("the task is created").task
    }

    pub fn try_create(&mut self, new: NewTask) -> Result<TaskReceipt, Rejection> {
        self.run(Command::CreateTasks { tasks: vec![new] }).map(|outcome| receipt(&outcome))
    }

    pub fn cancel(&mut self, task: TaskId) {
        self.run(Command::CancelTask { task, reason: "not wanted".into() }).expect("a cancellation is never refused");
    }

    /// What the current holder of a task reports, over its stream.
    pub fn report(&mut self, task: TaskId, report: Report) -> Result<StateName, Rejection> {
        self.report_as(self.fence(task), self.holder(task), report)
    }

    pub fn report_as(&mut self, fence: Fence, reporter: Reporter, report: Report) -> Result<StateName, Rejection> {
        let outcome = self.run(Command::Report { fence, reporter, report })?;
        match outcome.reply {
            Reply::Reported(state) => Ok(state),
            Reply::Tasks(receipts) => Ok(receipts[0].state),
            other => panic!("a report is answered by {other:?}"),
        }
    }

    /// A command that must be refused, and must leave every row as it is.
    pub fn refused(&mut self, command: Command) -> Reason {
        self.refused_as(envelope(command))
    }

    pub fn refused_as(&mut self, envelope: Envelope) -> Reason {
        let before = self.tables.clone();
        let text = format!("{:?}", envelope.command);
        let rejection = self.run_as(envelope).expect_err(&format!("must be refused: {text}"));
        assert!(self.tables == before, "refused, and yet something changed: {text}");
        assert!(!rejection.message.is_empty());
        rejection.reason
    }

    pub fn task(&self, task: TaskId) -> &Task {
        &self.tables.tasks[&task]
    }

    pub fn state(&self, task: TaskId) -> StateName {
        self.task(task).state.name()
    }

    /// What a waiting task waits for.
    pub fn waiting(&self, task: TaskId) -> callboard_core::model::Waiting {
        match &self.task(task).state {
            callboard_core::model::TaskState::Waiting(waiting) => waiting.clone(),
            other => panic!("the task is {}", other.name().as_str()),
        }
    }

    pub fn agent(&self, name: &str) -> &Agent {
        self.tables.agent(name).expect("the agent is known")
    }

    /// The lease of a task, as its holder knows it.
    pub fn fence(&self, task: TaskId) -> Fence {
        let row = self.task(task);
        let lease = row.state.lease().expect("an agent has the task");
        Fence { task, attempt: row.attempt, token: lease.token }
    }

    pub fn holder(&self, task: TaskId) -> Reporter {
        let lease = self.task(task).state.lease().expect("an agent has the task");
        Reporter::Session { agent: lease.agent, epoch: lease.epoch }
    }

    /// The name of the agent that has a task, if one has.
    pub fn has(&self, task: TaskId) -> Option<String> {
        let row = self.task(task);
        row.state.lease().map(|_| row.agent_name.as_deref().unwrap_or_default().to_owned())
    }

    pub fn events(&self, task: TaskId) -> &[Event] {
        &self.tables.events[&task]
    }

    /// The history of a task, in one line.
    pub fn history(&self, task: TaskId) -> String {
        self.events(task).iter().map(|event| kind_name(&event.kind)).collect::<Vec<_>>().join(" ")
    }

    /// The type of the failure that is kept with a task.
    pub fn failure(&self, task: TaskId) -> String {
        match self.tables.payloads.get(&(task, "failure")) {
            Some(callboard_core::working_set::PayloadValue::Failure(failure)) => failure.kind.clone(),
            _ => String::new(),
        }
    }

    /// The effects since the last look.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Who could have a task, as the rows say.
    pub fn explain(&self, task: TaskId) -> Explanation {
        let looked = self.tables.agents.values().map(|agent| {
            let has_slot = |task: &&Task| task.state.slot().is_some_and(|(_, slot)| slot != Slot::Free);
            let (mut used, mut taken) = (0, Amounts::default());
            for task in self.tables.leased_to(agent.id).filter(has_slot) {
                used += 1;
                taken.add(&task.spec.requirements.resources);
            }
            Looked { agent: agent.clone(), used, taken }
        });
        let looked: Vec<Looked> = looked.collect();
        let limits = self.restraints(self.task(task));
        explain(self.task(task), &looked, &limits, self.now, self.settings.preferred_head_start)
    }

    /// The limits that a task is under, as the rows say.
    fn restraints(&self, task: &Task) -> Vec<Restraint> {
        let limits = &self.tables.namespaces["default"].settings.limits;
        let restraint = |key: &String| {
            let at = (task.namespace, Arc::from(key.as_str()));
            let used = self.tables.limits.get(&at).cloned();
            Some(Restraint { limit: limits.of(key)?.clone(), used: used.unwrap_or_else(|| LimitUse::none(at.0, at.1)) })
        };
        task.spec.limit_keys.iter().filter_map(restraint).collect()
    }

    /// The namespace has these limits, and all other settings as they are.
    pub fn limit(&mut self, limits: &[Limit]) {
        let mut settings = self.tables.namespaces["default"].settings.clone();
        settings.limits = limits.iter().cloned().collect();
        self.run(Command::UpdateNamespace { settings }).expect("the settings are taken");
    }

    pub fn lane_of(&self, task: TaskId) -> LaneRef {
        let row = self.task(task);
        assert_eq!(row.lane, LaneKey::in_force(&row.spec, row.fallback).id());
        (row.namespace, row.lane)
    }
}

/// A command of principal `tester` in `default`.
pub fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "tester".into(), request: None, command }
}

/// The same with a request id and a digest.
pub fn with_request(command: Command, id: &str, digest: u8) -> Envelope {
    let request = RequestToken { method: "Method", id: id.into(), digest: vec![1, digest] };
    Envelope { request: Some(request), ..envelope(command) }
}

/// The same for another namespace.
pub fn in_namespace(namespace: &str, command: Command) -> Envelope {
    Envelope { namespace: namespace.into(), ..envelope(command) }
}

/// The only receipt of an outcome.
pub fn receipt(outcome: &Outcome) -> TaskReceipt {
    match &outcome.reply {
        Reply::Tasks(receipts) if receipts.len() == 1 => receipts[0],
        other => panic!("not one receipt: {other:?}"),
    }
}

/// The name of a fact, as `event.proto` has it, in small letters.
pub fn kind_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Created => "created",
        EventKind::Ready => "ready",
        EventKind::Assigned { .. } => "assigned",
        EventKind::Started { pause: None, .. } => "started",
        EventKind::Started { pause: Some(PauseTurn::Began), .. } => "paused",
        EventKind::Started { pause: Some(PauseTurn::Ended), .. } => "resumed",
        EventKind::Checkpointed { step: Some(_), .. } => "step_recorded",
        EventKind::Checkpointed { child: Some(_), .. } => "child_created",
        EventKind::Checkpointed { .. } => "checkpointed",
        EventKind::HandedBack { .. } => "handed_back",
        EventKind::AttemptFailed { .. } => "attempt_failed",
        EventKind::AttemptTimedOut { .. } => "attempt_timed_out",
        EventKind::AttemptLost { .. } => "attempt_lost",
        EventKind::RetryScheduled { .. } => "retry_scheduled",
        EventKind::Held { .. } => "held",
        EventKind::Released => "released",
        EventKind::Updated { fallback: None, .. } => "updated",
        EventKind::Updated { fallback: Some(_), .. } => "fell_back",
        EventKind::DependencyMet { .. } => "dependency_met",
        EventKind::CancelRequested { .. } => "cancel_requested",
        EventKind::Completed { .. } => "completed",
        EventKind::Failed { .. } => "failed",
        EventKind::Cancelled { .. } => "cancelled",
        EventKind::Skipped { .. } => "skipped",
        EventKind::RunOpened => "run_opened",
    }
}

/// A name as agents have it.
pub fn name(text: &str) -> Arc<str> {
    text.into()
}
