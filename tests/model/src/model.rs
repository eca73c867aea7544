//! The model: where it begins, and what each step leads to.

use crate::action::Action;
use crate::properties;
use crate::rows::{AgentRow, Session, TaskRow, TaskState};
use crate::state::{Budget, Far, Near, Program, Replica, State, Store, Stream};
use crate::store::Rules;
use callboard_core::planted::Bug;
use stateright::{Model, Property};

/// How large it is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Replicas.
    pub replicas: u8,
    /// Agents, of one slot each.
    pub agents: u8,
    /// Tasks that are ready.
    pub tasks: u8,
    /// Attempts that a task has.
    pub max_attempts: u8,
    /// Crashes, cuts and broken streams, together.
    pub faults: u8,
    /// Cancellations.
    pub cancels: u8,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How large it is.
    pub size: Size,
    /// What decides.
    pub rules: Rules,
}

impl Protocol {
    /// As it is to be.
    pub fn new(size: Size) -> Self {
        Self::with(size, &[])
    }

    /// With guards taken out.
    pub fn with(size: Size, bugs: &[Bug]) -> Self {
        let rules = Rules::new(size.agents, size.max_attempts, bugs);
        Self { size, rules }
    }

    /// Every agent is attached, to one replica and the next in turn; every task is ready.
    fn start(&self) -> State {
        let Size { replicas, agents, tasks, faults, cancels, .. } = self.size;
        let task = TaskRow {
            state: TaskState::Ready,
            attempt: 0,
            used: 0,
            lost: 0,
            handed_back: 0,
            avoid: None,
            closed: None,
        };
        let agent = |agent: u8| AgentRow {
            epoch: 1,
            session: Some(Session { at: agent % replicas, broken: false, instance: 0 }),
        };
        let stream = |agent: u8| Stream {
            agent,
            replica: agent % replicas,
            near: Near::Attached,
            far: Far::Open(1),
            lost: false,
            up: Vec::new(),
            down: Vec::new(),
        };
        let replica = |registration: u8| Replica {
            up: true,
            cut: false,
            quiet: false,
            watched: false,
            registration,
            awaits: Vec::new(),
            pushes: Vec::new(),
        };
        State {
            store: Store {
                tasks: vec![task; tasks.into()],
                agents: (0..agents).map(agent).collect(),
                dead: Vec::new(),
            },
            replicas: (0..replicas).map(replica).collect(),
            programs: vec![Program { instance: 0, epoch: 1, held: Vec::new() }; agents.into()],
            streams: (0..agents).map(stream).collect(),
            budget: Budget { faults, cancels },
            wrong: None,
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start().canonical()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What is wrong is found; what follows from it is nobody's concern.
        if state.wrong.is_none() {
            state.actions(&self.rules, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(&self.rules, action);
        Some(next.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl State {
    fn take(&mut self, rules: &Rules, action: Action) {
        match action {
            Action::Connect(agent, replica) => self.connect(agent, replica),
            Action::Read(place) => self.read(rules, place, false),
            Action::ReadAndDie(place) => self.read(rules, place, true),
            Action::Hear(place) => self.hear(place),
            Action::Finish(agent, task, by) => self.finish(agent, task, by),
            Action::Dispatch(replica, agent) => self.dispatch(rules, replica, agent),
            Action::Push(replica) => self.push(replica),
            Action::Wake(replica, task, timer) => self.wake(rules, replica, task, timer),
            Action::Cancel(replica, task) => self.cancel(rules, replica, task),
            Action::NoticeBreak(place) => self.notice_break(rules, place),
            Action::NoticeNewer(place) => self.close(place),
            Action::GiveUp(place) => self.give_up(place),
            Action::GraceOver(replica, agent) => self.grace_over(rules, replica, agent),
            Action::FallQuiet(replica) => self.replicas[usize::from(replica)].quiet = true,
            Action::Watch(replica) => self.replicas[usize::from(replica)].watched = true,
            Action::Renew(replica) => self.renew(replica),
            Action::DeclareDead(_, registration) => self.declare_dead(registration),
            Action::Adopt(replica, agent) => self.adopt(rules, replica, agent),
            Action::Restart(replica) => self.restart(replica),
            Action::Heal(replica) => self.replicas[usize::from(replica)].cut = false,
            Action::Break(place) => self.break_stream(place),
            Action::CrashAgent(agent) => self.crash_agent(agent),
            Action::CrashReplica(replica) => self.crash_replica(replica),
            Action::Cut(replica) => self.cut(replica),
        }
    }
}
