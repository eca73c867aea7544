//! What can happen, and when.

use crate::rows::{AgentNo, By, Fence, Registration, TaskNo, TaskState};
use crate::state::{Down, Far, Near, Phase, ReplicaNo, State, Stream};
use crate::store::Timer;
use callboard_core::planted::Bug;

/// One thing that happens. Streams are named by their place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An agent opens a stream, and says hello.
    Connect(AgentNo, ReplicaNo),
    /// A replica reads a frame, commits what it asks for, and does what follows.
    Read(usize),
    /// A replica reads a frame, commits what it asks for, and dies before it does what follows.
    ReadAndDie(usize),
    /// An agent reads a frame.
    Hear(usize),
    /// A handler ends.
    Finish(AgentNo, TaskNo, By),
    /// A replica gives ready tasks to an agent of its own.
    Dispatch(ReplicaNo, AgentNo),
    /// A replica pushes the first assignment that is to be pushed.
    Push(ReplicaNo),
    /// One of a task's times has come, and a replica's sweep sees it.
    Wake(ReplicaNo, TaskNo, Timer),
    /// A task's cancellation is asked for.
    Cancel(ReplicaNo, TaskNo),
    /// A replica notices that a stream is broken.
    NoticeBreak(usize),
    /// A replica notices that another one has the agent of a stream, or nobody.
    NoticeNewer(usize),
    /// An agent notices that a stream is broken, or that its server is silent.
    GiveUp(usize),
    /// An agent that a replica awaits does not come back in time.
    GraceOver(ReplicaNo, AgentNo),
    /// A replica that could not renew its row for 5 s falls silent.
    FallQuiet(ReplicaNo),
    /// The other replica has seen a row unrenewed for long enough, and could commit throughout.
    Watch(ReplicaNo),
    /// A replica renews its row, or registers anew if it was declared dead.
    Renew(ReplicaNo),
    /// A replica declares a registration dead.
    DeclareDead(ReplicaNo, Registration),
    /// A replica adopts a session of a dead one.
    Adopt(ReplicaNo, AgentNo),
    /// A replica starts again.
    Restart(ReplicaNo),
    /// A replica reaches the store again.
    Heal(ReplicaNo),
    /// A stream breaks.
    Break(usize),
    /// An agent's process dies; another one starts.
    CrashAgent(AgentNo),
    /// A replica's process dies.
    CrashReplica(ReplicaNo),
    /// A replica can't reach the store.
    Cut(ReplicaNo),
}

impl State {
    /// All that can happen now. The order is the same for the same state.
    pub fn actions(&self, rules: &crate::store::Rules, actions: &mut Vec<Action>) {
        for replica in 0..self.replica_count() {
            self.of_replica(replica, rules, actions);
        }
        for agent in 0..self.agent_count() {
            self.of_agent(agent, actions);
        }
        for (place, stream) in self.streams.iter().enumerate() {
            self.of_stream(place, stream, actions);
        }
        if self.budget.faults > 0 && !self.is_done() {
            self.faults(actions);
        }
    }

    /// Whether every task has ended and no agent has anything to say: what goes wrong then concerns no task.
    fn is_done(&self) -> bool {
        let nothing_held = self.programs.iter().all(|program| program.held.is_empty());
        nothing_held && self.store.tasks.iter().all(|task| task.state.is_final())
    }

    /// How many replicas there are.
    pub fn replica_count(&self) -> ReplicaNo {
        u8::try_from(self.replicas.len()).unwrap_or(u8::MAX)
    }

    /// How many agents there are.
    pub fn agent_count(&self) -> AgentNo {
        u8::try_from(self.programs.len()).unwrap_or(u8::MAX)
    }

    /// Whether a replica can commit.
    pub fn can_commit(&self, replica: ReplicaNo) -> bool {
        let replica = &self.replicas[usize::from(replica)];
        replica.up && !replica.cut
    }

    /// Whether a replica can commit, and renewed its row lately: then it takes on what is new.
    pub fn is_well(&self, replica: ReplicaNo) -> bool {
        self.can_commit(replica) && !self.replicas[usize::from(replica)].quiet
    }

    fn of_replica(&self, number: ReplicaNo, rules: &crate::store::Rules, actions: &mut Vec<Action>) {
        let replica = &self.replicas[usize::from(number)];
        if !replica.up {
            actions.push(Action::Restart(number));
            return;
        }
        if replica.cut {
            actions.push(Action::Heal(number));
        }
        if replica.cut && !replica.quiet {
            actions.push(Action::FallQuiet(number));
        }
        let others = (0..self.replica_count()).filter(|other| *other != number);
        if replica.quiet && !replica.watched && others.into_iter().any(|other| self.is_well(other)) {
            actions.push(Action::Watch(number));
        }
        // The guard: nothing is pushed by a replica that another one may have taken for dead.
        if !replica.pushes.is_empty() && (!replica.quiet || rules.has(Bug::PushWhileCutOff)) {
            actions.push(Action::Push(number));
        }
        if !self.can_commit(number) {
            return;
        }
        if replica.quiet {
            actions.push(Action::Renew(number));
        }
        actions.extend(replica.awaits.iter().map(|(agent, _)| Action::GraceOver(number, *agent)));
        if self.is_well(number) {
            self.of_well_replica(number, rules, actions);
        }
    }

    fn of_well_replica(&self, number: ReplicaNo, rules: &crate::store::Rules, actions: &mut Vec<Action>) {
        let registration = self.replicas[usize::from(number)].registration;
        let ready = self.store.tasks.iter().any(|task| task.state == TaskState::Ready);
        for (agent, row) in (0..).zip(&self.store.agents) {
            let Some(session) = row.session else { continue };
            let has_room = !self.store.tasks.iter().any(|task| task.state.lease().is_some_and(|l| l.agent == agent));
            if ready && has_room && session.at == registration && !session.broken {
                actions.push(Action::Dispatch(number, agent));
            }
            if self.store.dead.contains(&session.at) {
                actions.push(Action::Adopt(number, agent));
            } else if self.may_declare(number, session.at, rules) {
                actions.push(Action::DeclareDead(number, session.at));
            }
        }
        for (task, row) in (0..).zip(&self.store.tasks) {
            let timer = match row.state {
                TaskState::Waiting => Some(Timer::Retry),
                TaskState::Assigned(_) => Some(Timer::Accept),
                TaskState::Stopping(_) => Some(Timer::Stop),
                _ => None,
            };
            // Which replica does it makes no difference: one is enough.
            if (0..number).any(|other| self.is_well(other)) {
                continue;
            }
            let timer = timer.filter(|timer| self.budget.faults > 0 || !self.is_early(task, *timer));
            actions.extend(timer.map(|timer| Action::Wake(number, task, timer)));
            if self.budget.cancels > 0 && !row.state.is_final() {
                actions.push(Action::Cancel(number, task));
            }
        }
    }

    /// Whether a timer of a task fires though what it waits for is on its way: then somebody was slow, which is a fault.
    pub fn is_early(&self, task: TaskNo, timer: Timer) -> bool {
        let row = self.store.tasks[usize::from(task)];
        let Some(lease) = row.state.lease() else { return false };
        let fence = Fence { task, attempt: row.attempt, token: lease.token };
        let to_be_pushed = self.replicas.iter().flat_map(|replica| &replica.pushes).any(|push| push.fence == fence);
        let pushed = self.streams.iter().flat_map(|stream| &stream.down).any(|frame| *frame == Down::Assign(fence));
        let held = self.programs.iter().flat_map(|program| &program.held).any(|held| held.fence == fence);
        timer != Timer::Retry && (to_be_pushed || pushed || held)
    }

    /// Whether a replica may declare a registration dead: its process is gone, or its row was watched for long enough.
    fn may_declare(&self, number: ReplicaNo, registration: Registration, rules: &crate::store::Rules) -> bool {
        let holder = self.replicas.iter().position(|replica| replica.registration == registration);
        match holder.map(|holder| (holder, &self.replicas[holder])) {
            None => true,
            Some((holder, _)) if holder == usize::from(number) => false,
            Some((_, other)) if !other.up => true,
            Some((_, other)) => (other.quiet && other.watched) || rules.has(Bug::AdoptLiveSession),
        }
    }

    fn of_agent(&self, agent: AgentNo, actions: &mut Vec<Action>) {
        let mut streams = self.streams.iter().filter(|stream| stream.agent == agent);
        if !streams.clone().any(|stream| stream.near != Near::Closed) && streams.clone().count() < 3 {
            actions.extend((0..self.replica_count()).filter(|r| self.is_well(*r)).map(|r| Action::Connect(agent, r)));
        }
        let attached = streams.any(|stream| stream.near == Near::Attached);
        for held in &self.programs[usize::from(agent)].held {
            // What ends while nobody is attached is told at the next welcome: that it ended then makes no difference.
            if attached && !matches!(held.phase, Phase::Reporting(_)) {
                actions.push(Action::Finish(agent, held.fence.task, By::Completion));
                if self.budget.faults > 0 {
                    actions.push(Action::Finish(agent, held.fence.task, By::Failure));
                }
            }
        }
    }

    fn of_stream(&self, place: usize, stream: &Stream, actions: &mut Vec<Action>) {
        let replica = &self.replicas[usize::from(stream.replica)];
        if !stream.up.is_empty() && self.can_commit(stream.replica) && stream.far != Far::Gone {
            let hello = stream.far == Far::New;
            if !hello || self.is_well(stream.replica) {
                actions.push(Action::Read(place));
                if self.budget.faults > 0 {
                    actions.push(Action::ReadAndDie(place));
                }
            }
        }
        if !stream.down.is_empty() && stream.near != Near::Closed {
            actions.push(Action::Hear(place));
        }
        let broken = stream.lost || stream.near == Near::Closed;
        match stream.far {
            Far::New if replica.up && broken => actions.push(Action::NoticeBreak(place)),
            Far::Open(epoch) if self.can_commit(stream.replica) => {
                if self.store.agents[usize::from(stream.agent)].session_of(epoch).is_none() {
                    actions.push(Action::NoticeNewer(place));
                } else if broken {
                    actions.push(Action::NoticeBreak(place));
                }
            }
            _ => {}
        }
        let silent = stream.lost || !replica.up || replica.quiet || stream.far == Far::Gone && stream.down.is_empty();
        let unwelcome = stream.near == Near::Opening && replica.cut;
        if stream.near != Near::Closed && (silent || unwelcome) {
            actions.push(Action::GiveUp(place));
        }
    }

    fn faults(&self, actions: &mut Vec<Action>) {
        for (place, stream) in self.streams.iter().enumerate() {
            if !stream.lost && stream.near != Near::Closed && stream.far != Far::Gone {
                actions.push(Action::Break(place));
            }
        }
        for agent in 0..self.agent_count() {
            // A process that has nothing and is not attached may die as it likes.
            let attached = self.streams.iter().any(|s| s.agent == agent && s.near != Near::Closed);
            if attached || !self.programs[usize::from(agent)].held.is_empty() {
                actions.push(Action::CrashAgent(agent));
            }
        }
        for replica in 0..self.replica_count() {
            if self.replicas[usize::from(replica)].up {
                actions.push(Action::CrashReplica(replica));
                if !self.replicas[usize::from(replica)].cut {
                    actions.push(Action::Cut(replica));
                }
            }
        }
    }
}
