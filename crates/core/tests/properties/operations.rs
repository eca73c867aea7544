//! What a crowd of clients and agents may do, right or wrong, and how it is healed.

use crate::support::make::*;
use crate::support::{World, envelope, with_request};
use crate::workflows;
use callboard_core::command::{DirectReport, Fence, Report, Reporter, TaskUpdate};
use callboard_core::model::{
    Agent, AgentId, ChildKey, Condition, Failure, Fallback, KeyConflict, LeaseToken, NewChild, NewDependency, NewTask,
    OnFailure, OnParentEnd, Payload, Priority, Progress, ResultCondition, Span, StateName, Task, TaskId, TaskState,
    Terms, Test,
};
use callboard_core::{Command, Envelope, Reply};
use proptest::prelude::*;
use std::sync::Arc;

const STREAMS: [&str; 3] = ["north", "south", "east"];
const CLAIMERS: [&str; 2] = ["script", "cron"];
const TYPES: [&str; 3] = ["a", "b", "c"];

/// One thing that somebody does. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Create(Wish),
    CreateOnce { id: u8, digest: u8 },
    Child { parent: usize, name: u8, detached: bool, lie: u8, wish: Wish },
    Attach { who: usize, slots: u32, keeps: bool, instance: bool, known_epoch: bool },
    Break { who: usize },
    End { who: usize, stale: bool },
    Drain { who: usize },
    SetSlots { who: usize, slots: u32 },
    Cordon { who: usize, cordoned: bool },
    Remove { who: usize },
    Forget { who: usize, seconds: i64 },
    Claim { who: usize, max: usize, seconds: i64 },
    Report { task: usize, what: u8, lie: u8 },
    RepeatReport,
    Heartbeat { task: usize },
    Direct { task: usize, completes: bool },
    Cancel { task: usize },
    Retry { task: usize },
    Hold { task: usize },
    Release { task: usize },
    Update { task: usize, priority: u8, assignee: bool },
    Depend { task: usize, dependencies: Vec<usize>, condition: u8 },
    Sleep { seconds: i64 },
    Away { seconds: i64 },
    Send { from: Option<usize>, to: usize },
    Take { whose: usize, count: usize, expired: bool },
    Wake { task: usize },
    WakeDue,
    Dispatch,
    Flow(workflows::Op),
}

/// A task that somebody wishes for.
#[derive(Clone, Debug)]
pub struct Wish {
    task_type: usize,
    key: Option<u8>,
    policy: u8,
    hold: bool,
    start_in: Option<i64>,
    dependencies: Vec<usize>,
    fails: bool,
    condition: u8,
    max_attempts: u32,
    priority: u8,
    prefers: Option<usize>,
    limits: u8,
}

/// Sequences of at most so many.
pub fn operations(most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(operation(), 1..most)
}

fn operation() -> impl Strategy<Value = Op> {
    let task = 0..12usize;
    let (who, claimer) = (0..STREAMS.len(), 0..CLAIMERS.len());
    prop_oneof![
        8 => wish().prop_map(Op::Create),
        1 => (0..2u8, 0..2u8).prop_map(|(id, digest)| Op::CreateOnce { id, digest }),
        6 => (task.clone(), 0..3u8, any::<bool>(), 0..12u8, wish())
            .prop_map(|(parent, name, detached, lie, wish)| Op::Child { parent, name, detached, lie, wish }),
        5 => (who.clone(), 0..4u32, any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(who, slots, keeps, instance, known_epoch)| Op::Attach { who, slots, keeps, instance, known_epoch }),
        1 => who.clone().prop_map(|who| Op::Break { who }),
        1 => (who.clone(), prop::bool::weighted(0.2)).prop_map(|(who, stale)| Op::End { who, stale }),
        1 => who.clone().prop_map(|who| Op::Drain { who }),
        1 => (who.clone(), 0..4u32).prop_map(|(who, slots)| Op::SetSlots { who, slots }),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, cordoned)| Op::Cordon { who, cordoned }),
        1 => who.clone().prop_map(|who| Op::Remove { who }),
        1 => (who, 0..60i64).prop_map(|(who, seconds)| Op::Forget { who, seconds }),
        3 => (claimer, 0..4usize, 1..90i64).prop_map(|(who, max, seconds)| Op::Claim { who, max, seconds }),
        18 => (task.clone(), 0..13u8, 0..12u8).prop_map(|(task, what, lie)| Op::Report { task, what, lie }),
        2 => Just(Op::RepeatReport),
        1 => task.clone().prop_map(|task| Op::Heartbeat { task }),
        2 => (task.clone(), any::<bool>()).prop_map(|(task, completes)| Op::Direct { task, completes }),
        2 => task.clone().prop_map(|task| Op::Cancel { task }),
        4 => task.clone().prop_map(|task| Op::Retry { task }),
        1 => task.clone().prop_map(|task| Op::Hold { task }),
        2 => task.clone().prop_map(|task| Op::Release { task }),
        1 => (task.clone(), 0..5u8, any::<bool>())
            .prop_map(|(task, priority, assignee)| Op::Update { task, priority, assignee }),
        6 => (task.clone(), prop::collection::vec(0..12usize, 1..3), 0..12u8)
            .prop_map(|(task, dependencies, condition)| Op::Depend { task, dependencies, condition }),
        3 => (0..40i64).prop_map(|seconds| Op::Sleep { seconds }),
        1 => (0..90i64).prop_map(|seconds| Op::Away { seconds }),
        2 => (prop::option::of(0..STREAMS.len()), 0..STREAMS.len()).prop_map(|(from, to)| Op::Send { from, to }),
        1 => (0..STREAMS.len(), 0..4usize, any::<bool>())
            .prop_map(|(whose, count, expired)| Op::Take { whose, count, expired }),
        1 => task.prop_map(|task| Op::Wake { task }),
        4 => Just(Op::WakeDue),
        10 => Just(Op::Dispatch),
        9 => workflows::operation().prop_map(Op::Flow),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let first = (0..TYPES.len(), prop::option::weighted(0.2, 0..2u8), 0..3u8, prop::bool::weighted(0.1));
    let second = (
        prop::option::weighted(0.1, 0..60i64),
        prop::collection::vec(0..12usize, 0..4),
        (any::<bool>(), 0..12u8),
        1..4u32,
    );
    let third = (0..5u8, prop::option::weighted(0.2, 0..STREAMS.len()), 0..17u8);
    (first, second, third).prop_map(|(first, second, third)| Wish {
        task_type: first.0,
        key: first.1,
        policy: first.2,
        hold: first.3,
        start_in: second.0,
        dependencies: second.1,
        fails: second.2.0,
        condition: second.2.1,
        max_attempts: second.3,
        priority: third.0,
        prefers: third.1,
        limits: third.2,
    })
}

/// The crowd, with what it remembers.
#[derive(Default)]
pub struct Crowd {
    last_report: Option<(Fence, Reporter, Report)>,
}

impl Crowd {
    /// Does one thing.
    pub fn perform(&mut self, w: &mut World, op: &Op) {
        match op {
            Op::Sleep { seconds } => w.sleep(Span::seconds(*seconds)),
            Op::Away { seconds } => {
                w.sleep(Span::seconds(*seconds));
                w.grace_until = w.now + Span::seconds(30);
            }
            Op::WakeDue => w.wake_due(),
            Op::Dispatch => {
                let lanes = w.tables.ready_lanes();
                w.run(Command::Dispatch { lanes }).expect("a dispatch is never refused");
            }
            Op::RepeatReport => self.repeat(w),
            op => {
                if let Some(envelope) = self.envelope(w, op) {
                    self.run(w, envelope);
                }
            }
        }
    }

    fn run(&mut self, w: &mut World, envelope: Envelope) {
        let before = w.tables.clone();
        let report = match &envelope.command {
            Command::Report { fence, reporter, report } => Some((*fence, *reporter, report.clone())),
            _ => None,
        };
        match w.run_as(envelope) {
            Ok(_) => self.last_report = report.or(self.last_report.take()),
            Err(_) => assert!(w.tables == before, "refused, and yet something changed"),
        }
    }

    /// A report that was taken: again, it changes nothing, and is taken again as long as its attempt is the latest.
    fn repeat(&mut self, w: &mut World) {
        let Some((fence, reporter, report)) = self.last_report.clone() else { return };
        let closes = report.closes().is_some();
        let before = w.tables.clone();
        let result = w.run(Command::Report { fence, reporter, report });
        let task = &before.tasks[&fence.task];
        if closes && task.closed.as_ref().is_some_and(|closed| closed.attempt == fence.attempt) {
            assert!(matches!(result.map(|outcome| outcome.reply), Ok(Reply::Reported(_) | Reply::Tasks(_))));
            assert!(w.tables == before, "a repetition changes nothing");
        }
    }

    fn envelope(&self, w: &World, op: &Op) -> Option<Envelope> {
        let plain = |command| Some(envelope(command));
        match op {
            Op::Create(wish) => plain(Command::CreateTasks { tasks: vec![new_task(w, wish)] }),
            Op::CreateOnce { id, digest } => {
                let command = Command::CreateTasks { tasks: vec![task("a")] };
                Some(with_request(command, &id.to_string(), *digest))
            }
            Op::Child { parent, name, detached, lie, wish } => {
                plain(child(w, *parent, (*name, *detached), *lie, wish)?)
            }
            Op::Report { task, what, lie } => plain(report(w, *task, *what, *lie)?),
            Op::Heartbeat { task } => {
                let fence = lease(w, *task)?.0;
                plain(Command::Heartbeat {
                    fence,
                    lease: None,
                    progress: None,
                    checkpoint: None,
                    steps: vec![step("beat", 0, "heart")],
                    output: Some(output(0, &["heart", "beat"])),
                })
            }
            Op::Direct { task, completes } => {
                let report = if *completes {
                    DirectReport::Completed(Arc::new(Payload::text("result")))
                } else {
                    DirectReport::Failed(Arc::new(failure("Broken")))
                };
                plain(Command::DirectReport { task: nth(w, *task)?, agent: "passer-by".into(), report })
            }
            Op::Cancel { task } => plain(Command::CancelTask { task: nth(w, *task)?, reason: String::new() }),
            Op::Retry { task } => plain(Command::RetryTask { task: ended_badly(w, *task)? }),
            Op::Hold { task } => plain(Command::HoldTask { task: nth(w, *task)?, reason: String::new() }),
            Op::Release { task } => plain(Command::ReleaseTask { task: nth(w, *task)? }),
            Op::Wake { task } => plain(Command::Wake { task: nth(w, *task)? }),
            Op::Update { task, priority: level, assignee } => {
                // `healer` comes in the end, so that nobody waits for ever.
                let assignee = assignee.then(|| Some("healer".to_owned()));
                let update = TaskUpdate { priority: Some(priority(*level)), assignee, ..TaskUpdate::default() };
                plain(Command::UpdateTask { task: nth(w, *task)?, update })
            }
            Op::Depend { task, dependencies, condition: how } => {
                let terms = Terms { condition: condition(*how), ..Terms::default() };
                let dependency = |source| NewDependency { source, terms: terms.clone() };
                let sources = dependencies.iter().filter_map(|n| nth(w, *n));
                let dependencies = sources.map(dependency).collect();
                plain(Command::AddDependencies { task: waiting(w, *task)?, dependencies })
            }
            Op::Flow(op) => plain(workflows::command(w, op)?),
            op => plain(agents_command(w, op)?),
        }
    }

    /// Gives it an able agent and time: then every task that is not held ends.
    pub fn heal(&mut self, w: &mut World) {
        let streams: Vec<Agent> = w.tables.agents.values().cloned().collect();
        for agent in streams {
            let (id, epoch) = (agent.id, agent.epoch);
            w.run(Command::EndSession { agent: id, epoch, reason: "it is gone" }).expect("never refused");
        }
        w.attach_with("healer", with_gpus(1_000.0, profile(1_000)));
        for _ in 0..40 {
            workflows::heal(w);
            w.settle();
            let healer = w.agent("healer").id;
            let leased: Vec<TaskId> = w.tables.leased_to(healer).map(|task| task.id).collect();
            for id in leased {
                // The end of a parent takes its children with it.
                if w.has(id).is_some() {
                    w.report(id, completed("healed")).expect("the holder's report is taken");
                }
            }
            w.pass(Span::seconds(8));
        }
        workflows::check_healed(w);
        let left = w.tables.live().filter(|task| !is_held(task) && !waits_for_held(w, task.id));
        let left: Vec<_> = left.map(|task| (w.history(task.id), &task.state)).collect();
        assert!(left.is_empty(), "only what is held, or waits for that, may be left: {left:?}");
    }
}

/// Whether a task waits, through others perhaps, for one that is held.
fn waits_for_held(w: &World, id: TaskId) -> bool {
    let sources = w.tables.edges.values().filter(|edge| edge.target == id && !edge.resolved).map(|edge| edge.source);
    sources.into_iter().any(|source| is_held(w.task(source)) || waits_for_held(w, source))
}

fn is_held(task: &Task) -> bool {
    matches!(&task.state, TaskState::Waiting(waiting) if waiting.held)
}

fn agents_command(w: &World, op: &Op) -> Option<Command> {
    let session = |who: usize| w.tables.agent(STREAMS[who]).map(|agent| (agent.id, agent.epoch));
    Some(match op {
        Op::Attach { who, slots, keeps, instance, known_epoch } => {
            let name = STREAMS[*who];
            let known = w.tables.agent(name);
            let held = known.filter(|_| *keeps).map(|agent| {
                let half = w.tables.leased_to(agent.id).filter(|task| !task.id.0.as_u128().is_multiple_of(3));
                half.map(|task| w.fence(task.id)).collect()
            });
            let previous_epoch = known.filter(|_| *known_epoch).map_or(0, |agent| agent.epoch - 1);
            // The first of them takes everything, the others their own.
            let profile = if *who == 0 { profile(*slots) } else { profile_for(&TYPES[..*who], *slots) };
            let instance = if *instance { "one" } else { "two" };
            let profile = with_gpus(f64::from(*slots) / 2.0, profile);
            Hello { name, profile, held: held.unwrap_or_default(), previous_epoch, instance }.command()
        }
        Op::Break { who } => {
            let (agent, epoch) = session(*who)?;
            Command::BreakSession { agent, epoch }
        }
        Op::End { who, stale } => {
            let (agent, epoch) = session(*who)?;
            Command::EndSession { agent, epoch: epoch - i64::from(*stale), reason: "it was silent" }
        }
        Op::Drain { who } => {
            let (agent, epoch) = session(*who)?;
            Command::DrainSession { agent, epoch }
        }
        Op::SetSlots { who, slots } => {
            let (agent, epoch) = session(*who)?;
            Command::SetSlots { agent, epoch, slots: *slots }
        }
        Op::Send { from, to } => {
            Command::SendMessage { from: from.and_then(session), message: message(STREAMS[*to], "hello") }
        }
        Op::Take { whose, count, expired } => {
            let (agent, epoch) = session(*whose)?;
            let messages = w.tables.mail(agent).into_iter().take(*count).map(|message| message.id).collect();
            match expired {
                true => Command::ExpireMessages { agent, messages },
                false => Command::AcknowledgeMessages { agent, epoch: Some(epoch), messages },
            }
        }
        Op::Cordon { who, cordoned } => Command::Cordon { name: STREAMS[*who].into(), cordoned: *cordoned },
        Op::Forget { who, seconds } => {
            Command::ForgetAgent { name: STREAMS[*who].into(), before: w.now - Span::seconds(*seconds) }
        }
        Op::Remove { who } => Command::RemoveAgent { name: STREAMS[*who].into() },
        Op::Claim { who, max, seconds } => Command::Claim {
            name: CLAIMERS[*who].into(),
            profile: Arc::new(with_gpus(2.0, profile(2))),
            max: *max,
            lease: Span::seconds(*seconds),
        },
        _ => return None,
    })
}

/// Mostly that of those who say nothing.
fn condition(n: u8) -> Condition {
    let result = |test| Condition::Result(Arc::new(ResultCondition { pointer: String::new(), test }));
    match n {
        0 => Condition::Failed,
        1 => Condition::NotCompleted,
        2 => Condition::Ended,
        3 => result(Test::Exists),
        4 => result(Test::NotExists),
        _ => Condition::Completed,
    }
}

fn new_task(w: &World, wish: &Wish) -> NewTask {
    task_with(TYPES[wish.task_type], |new| {
        new.spec.key = wish.key.map(|key| key.to_string());
        new.on_key_conflict = [KeyConflict::UseExisting, KeyConflict::Fail, KeyConflict::Replace][wish.policy as usize];
        new.hold = wish.hold;
        new.start_at = wish.start_in.map(|seconds| w.now + Span::seconds(seconds));
        let on_failure = if wish.fails { OnFailure::Fail } else { OnFailure::Skip };
        let mut sources: Vec<TaskId> = wish.dependencies.iter().filter_map(|n| nth(w, *n)).collect();
        sources.sort_unstable();
        sources.dedup();
        let terms = Terms { condition: condition(wish.condition), on_failure, name: None };
        let dependency = |source| NewDependency { source, terms: terms.clone() };
        new.dependencies = sources.into_iter().map(dependency).collect();
        new.spec.retry_policy.max_attempts = wish.max_attempts;
        new.spec.priority = priority(wish.priority);
        new.spec.requirements.preferred_agent = wish.prefers.map(|who| STREAMS[who].to_owned());
        let timeouts = &mut new.spec.timeouts;
        match wish.limits {
            0 => timeouts.start_to_close = Span::seconds(5),
            1 => timeouts.schedule_to_start = Some(Span::seconds(15)),
            2 => timeouts.schedule_to_close = Some(Span::seconds(60)),
            3 => timeouts.heartbeat = Some(Span::seconds(12)),
            4 => new.spec.deadline = Some(w.now + Span::seconds(45)),
            // Nobody has these roles; the last fallback asks for none.
            5 => {
                new.spec.requirements.role = Some("expert".into());
                new.spec.requirements.fallbacks = vec![
                    Fallback { role: Some("lead".into()), ..fallback(6) },
                    Fallback { assignee: Some("north".into()), ..fallback(12) },
                    fallback(20),
                ];
            }
            6 => {
                let healer = Some("healer".to_owned());
                new.spec.requirements.fallbacks = vec![Fallback { assignee: healer, ..fallback(3) }, fallback(9)];
            }
            7..=9 => new.spec.requirements.resources = some_gpu([500, 1_000, 2_000][usize::from(wish.limits - 7)]),
            // Those that share a turn, and those that have none.
            16 => new.spec.fairness_key = Some(["x", "y"][usize::from(wish.priority % 2)].into()),
            10 | 11 => be_near_or_apart(new, wish.limits == 10),
            12 | 13 => new.spec.limit_keys = ["model".to_owned()].into(),
            14 => new.spec.limit_keys = ["model".to_owned(), "tenant/a".to_owned()].into(),
            15 => new.spec.limit_keys = ["free".to_owned()].into(),
            _ => {}
        }
    })
}

/// To the first of its dependencies, if it has one.
fn be_near_or_apart(new: &mut NewTask, near: bool) {
    if let Some(first) = new.dependencies.first_mut() {
        first.terms.name = Some("first".into());
        let wished = &mut new.spec.requirements;
        let names = if near { &mut wished.near } else { &mut wished.apart };
        names.insert("first".into());
    }
}

fn child(w: &World, parent: usize, (name, detached): (u8, bool), lie: u8, wish: &Wish) -> Option<Command> {
    let fence = lie_of(lease(w, parent)?.0, lie);
    let key = ChildKey { name: "child".into(), occurrence: u32::from(name) };
    let on_parent_end = if detached { OnParentEnd::Detach } else { OnParentEnd::Cancel };
    let child = Box::new(NewChild { key, task: new_task(w, wish), on_parent_end });
    Some(Command::CreateChild { fence, child })
}

fn fallback(seconds: i64) -> Fallback {
    Fallback { after: Span::seconds(seconds), ..Fallback::default() }
}

/// What somebody says who has not the lease.
fn lie_of(fence: Fence, lie: u8) -> Fence {
    match lie {
        0 => Fence { attempt: fence.attempt - 1, ..fence },
        1 => Fence { attempt: fence.attempt + 1, ..fence },
        2 => Fence { token: LeaseToken(fence.token.0 ^ 1), ..fence },
        _ => fence,
    }
}

fn priority(level: u8) -> Priority {
    [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent, Priority::Critical][level as usize]
}

/// A task, the newest first.
fn nth(w: &World, n: usize) -> Option<TaskId> {
    w.tables.tasks.keys().rev().nth(n).copied()
}

fn ended_badly(w: &World, n: usize) -> Option<TaskId> {
    let ended = w.tables.tasks.values().filter(|task| !task.is_live() && task.state.name() != StateName::Completed);
    let ended: Vec<TaskId> = ended.map(|task| task.id).collect();
    ended.get(n % ended.len().max(1)).copied()
}

/// A task that waits, the newest first; if there is none, any.
fn waiting(w: &World, n: usize) -> Option<TaskId> {
    let waiting = w.tables.tasks.values().rev().filter(|task| task.state.name() == StateName::Waiting);
    let waiting: Vec<TaskId> = waiting.map(|task| task.id).collect();
    waiting.get(n % waiting.len().max(1)).copied().or_else(|| nth(w, n))
}

/// The lease of one of the tasks that are leased.
fn lease(w: &World, n: usize) -> Option<(Fence, Reporter)> {
    let leased: Vec<TaskId> =
        w.tables.tasks.values().filter(|task| task.state.lease().is_some()).map(|task| task.id).collect();
    let id = *leased.get(n % leased.len().max(1))?;
    let claimed = w.task(id).state.lease().is_some_and(|lease| lease.claim.is_some());
    Some((w.fence(id), if claimed { Reporter::Token } else { w.holder(id) }))
}

fn report(w: &World, n: usize, what: u8, lie: u8) -> Option<Command> {
    let (fence, reporter) = lease(w, n)?;
    let report = match what {
        0 | 1 => Report::Accepted,
        2 => rejected(),
        3 => Report::Progress(Progress { fraction: 0.5, ..Progress::default() }),
        4 => Report::Checkpoint(checkpoint("here")),
        5 => Report::Step(step("step", n as u32 % 3, if n.is_multiple_of(5) { "other" } else { "result" })),
        6 => completed("done"),
        7 => Report::Output(output(n as u64 % 3 * 5, &["token", "s"])),
        8..=10 => Report::Pause,
        11 => Report::Resume,
        _ => failed_with(Failure { retryable: !n.is_multiple_of(3), ..failure("Broken") }),
    };
    let session = match reporter {
        Reporter::Session { agent, epoch } => Some((agent, epoch)),
        Reporter::Token => None,
    };
    let (fence, reporter) = match (lie, session) {
        (0..=2, _) => (lie_of(fence, lie), reporter),
        (3, Some((agent, epoch))) => (fence, Reporter::Session { agent, epoch: epoch - 1 }),
        (4, Some((_, epoch))) => (fence, Reporter::Session { agent: AgentId(uuid::Uuid::from_u128(3)), epoch }),
        _ => (fence, reporter),
    };
    Some(Command::Report { fence, reporter, report })
}
