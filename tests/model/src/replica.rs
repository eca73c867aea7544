//! What a replica does: the specification of several of them on one store.
//!
//! - Each replica is **registered** in a row of the store, which it renews every second: a counter that rises. It decides as that
//!   registration, and sessions name the registration that has their stream. What it commits about a session that names another
//!   one does nothing: the rules see to that (`Context::replica`), so a replica that was away can do no harm with what it still
//!   meant to do.
//! - A replica that could not renew for **5 s by its own monotonic clock is quiet**: it pushes nothing, no heartbeats either, and
//!   takes nothing new. So its agents leave it, and attach to another one with what they hold.
//! - A replica **watches** the rows of the others: the counter, by its own monotonic clock; nobody's wall clock counts. One that did
//!   not rise for 8 s, while the watcher itself could commit throughout, is declared dead; what was seen before the watcher was
//!   cut off itself doesn't count. Declaring compares the counter that was seen, and renewing compares that nobody declared it
//!   dead: of the two, one succeeds.
//! - A replica whose renewal finds it **declared dead** closes every stream, forgets every session, and registers anew under another
//!   name. A process that starts registers anew, too.
//! - Sessions that name a dead registration are **adopted**, each in a commit that compares the registration they name: by any
//!   replica that is well, in bounded batches. The adopter awaits the agent for the restart's grace; then it ends the session.
//! - A replica looks at the rows of the agents whose streams it has (at a notification, and once a second without one). A stream
//!   whose session is over, or newer elsewhere, is **closed with a word to attach again**, unless another program has the name.
//! - Nothing is said before its commit, neither to an agent nor to a caller.

use crate::rows::{AgentNo, AgentRow, By, Registration, Session, TaskNo, TaskState};
use crate::state::{Down, Far, Near, Push, ReplicaNo, Said, State, Up, Verdict, Wrong};
use crate::store::{self, Committed, Rules, Seen, Timer, agent_id, assigned, task_id};
use callboard_core::command::{Attached, Reporter};
use callboard_core::planted::Bug;
use callboard_core::{Command, Effect, Outcome, Reply};

impl AgentRow {
    /// The live session, if it is this one.
    pub fn session_of(&self, epoch: u8) -> Option<Session> {
        self.session.filter(|_| self.epoch == epoch)
    }
}

impl State {
    /// A replica reads the next frame of a stream.
    pub(crate) fn read(&mut self, rules: &Rules, place: usize, dies: bool) {
        let frame = self.streams[place].up.remove(0);
        match (frame, self.streams[place].far) {
            (Up::Hello { instance, previous, held }, Far::New) => {
                let command = rules.attach(self.streams[place].agent, instance, previous, &held);
                self.read_hello(rules, place, command, dies);
            }
            (Up::Report(fence, said), Far::Open(epoch)) => self.read_report(rules, place, epoch, (fence, said), dies),
            // A frame behind the end of its stream is not read; one before the hello can't be.
            (Up::Hello { .. } | Up::Report(..), _) => {}
        }
        if dies {
            self.budget.faults -= 1;
            self.die(self.streams[place].replica);
        }
    }

    fn read_hello(&mut self, rules: &Rules, place: usize, command: Command, dies: bool) {
        let (agent, replica) = (self.streams[place].agent, self.streams[place].replica);
        let outcome = self.commit(rules, replica, Timer::None, command);
        if dies {
            return;
        }
        let Some(Outcome { reply: Reply::Attached(Attached { epoch, held: kept, .. }), .. }) = outcome else {
            return self.end(place, Down::Refused);
        };
        let epoch = u8::try_from(epoch).unwrap_or(u8::MAX);
        // Of the agent's streams here, this is the one; the others are over.
        for other in 0..self.streams.len() {
            let stream = &self.streams[other];
            if other != place && (stream.agent, stream.replica) == (agent, replica) && stream.far != Far::New {
                self.close(other);
            }
        }
        self.replicas[usize::from(replica)].awaits.retain(|(awaited, _)| *awaited != agent);
        if !kept.is_empty() {
            rules.seen.note(Seen::KEPT);
        }
        let kept = kept.into_iter().map(crate::rows::Fence::read).collect();
        self.streams[place].far = Far::Open(epoch);
        self.say(place, Down::Welcome(epoch, kept));
    }

    fn read_report(
        &mut self,
        rules: &Rules,
        place: usize,
        epoch: u8,
        (fence, said): (crate::rows::Fence, Said),
        dies: bool,
    ) {
        let (agent, replica) = (self.streams[place].agent, self.streams[place].replica);
        let row = self.store.tasks[usize::from(fence.task)];
        let lease = row.state.lease();
        let is_current = lease.is_some_and(|lease| lease.agent == agent && lease.token == fence.token)
            && row.attempt == fence.attempt
            && self.store.agents[usize::from(agent)].epoch == epoch;
        let reporter = Reporter::Session { agent: agent_id(agent), epoch: epoch.into() };
        let command = Command::Report { fence: fence.real(), reporter, report: store::said(fence, said) };
        if dies && rules.has(Bug::AnswerBeforeCommit) {
            // It is answered, and never committed.
            let answer =
                rules.commit(&self.store, self.replicas[usize::from(replica)].registration, Timer::None, command);
            let verdict = if answer.result.is_ok() { Verdict::Committed } else { Verdict::Refused };
            return self.say(place, Down::Receipt(fence, said, verdict));
        }
        let outcome = self.commit(rules, replica, Timer::None, command);
        if row != self.store.tasks[usize::from(fence.task)] && !is_current {
            self.wrong(Wrong::StaleReport);
        }
        let verdict = if outcome.is_some() { Verdict::Committed } else { Verdict::Refused };
        // That a handler's beginning is committed changes nothing for its agent: such a receipt is not modelled.
        if !dies && (said, verdict) != (Said::Accepted, Verdict::Committed) {
            self.say(place, Down::Receipt(fence, said, verdict));
        }
    }

    /// A replica gives ready tasks to an agent of its own.
    pub(crate) fn dispatch(&mut self, rules: &Rules, replica: ReplicaNo, agent: AgentNo) {
        let registration = self.replicas[usize::from(replica)].registration;
        let committed = rules.dispatch(&self.store, registration, agent);
        let Some(outcome) = self.committed(committed) else { return };
        let pushes = assigned(&outcome).map(|(agent, epoch, fence)| Push { agent, epoch, fence });
        self.replicas[usize::from(replica)].pushes.extend(pushes);
    }

    /// A replica pushes an assignment to the session that it is for; if that has no stream here any more, it pushes nothing.
    pub(crate) fn push(&mut self, replica: ReplicaNo) {
        let Push { agent, epoch, fence } = self.replicas[usize::from(replica)].pushes.remove(0);
        let is_its = |s: &crate::state::Stream| (s.agent, s.replica, s.far) == (agent, replica, Far::Open(epoch));
        let Some(place) = self.streams.iter().position(is_its) else { return };
        if self.store.dead.contains(&self.replicas[usize::from(replica)].registration) {
            self.wrong(Wrong::PushedForAdopted);
        }
        self.say(place, Down::Assign(fence));
    }

    /// One of a task's times has come.
    pub(crate) fn wake(&mut self, rules: &Rules, replica: ReplicaNo, task: TaskNo, timer: Timer) {
        if self.is_early(task, timer) {
            self.budget.faults -= 1;
        }
        self.commit(rules, replica, timer, Command::Wake { task: task_id(task) });
    }

    /// A task is cancelled.
    pub(crate) fn cancel(&mut self, rules: &Rules, replica: ReplicaNo, task: TaskNo) {
        self.budget.cancels -= 1;
        let command = Command::CancelTask { task: task_id(task), reason: "not wanted".into() };
        self.commit(rules, replica, Timer::None, command);
    }

    /// A stream broke: the session's attempts wait for their agent to come back.
    pub(crate) fn notice_break(&mut self, rules: &Rules, place: usize) {
        let (agent, replica) = (self.streams[place].agent, self.streams[place].replica);
        if let Far::Open(epoch) = self.streams[place].far {
            let command = Command::BreakSession { agent: agent_id(agent), epoch: epoch.into() };
            self.commit(rules, replica, Timer::None, command);
            self.replicas[usize::from(replica)].awaits.push((agent, epoch));
        }
        self.streams[place].far = Far::Gone;
    }

    /// An agent that was awaited did not come back.
    pub(crate) fn grace_over(&mut self, rules: &Rules, replica: ReplicaNo, agent: AgentNo) {
        let here = &mut self.replicas[usize::from(replica)];
        let Some(place) = here.awaits.iter().position(|(awaited, _)| *awaited == agent) else { return };
        let (_, epoch) = here.awaits.remove(place);
        let registration = here.registration;
        let before = self.store.agents[usize::from(agent)];
        let reason = "its agent did not come back in time";
        let command = Command::EndSession { agent: agent_id(agent), epoch: epoch.into(), reason };
        self.commit(rules, replica, Timer::None, command);
        let ended = before != self.store.agents[usize::from(agent)];
        if ended && before.session.is_some_and(|session| session.at != registration) {
            self.wrong(Wrong::EndedForOthers);
        }
    }

    /// A replica's row is renewed; if it was declared dead, the replica lets go of everything and registers anew.
    pub(crate) fn renew(&mut self, replica: ReplicaNo) {
        let here = &mut self.replicas[usize::from(replica)];
        (here.quiet, here.watched) = (false, false);
        if self.store.dead.contains(&here.registration) {
            here.awaits.clear();
            here.pushes.clear();
            self.register(replica);
            for place in 0..self.streams.len() {
                if self.streams[place].replica == replica {
                    self.close(place);
                }
            }
        }
    }

    /// A registration is declared dead.
    pub(crate) fn declare_dead(&mut self, registration: Registration) {
        let is_its = |replica: &crate::state::Replica| replica.registration == registration;
        if self.replicas.iter().any(|replica| is_its(replica) && replica.up && !replica.quiet) {
            self.wrong(Wrong::LiveReplicaDeclaredDead);
        }
        self.store.dead.push(registration);
    }

    /// A session of a dead replica is adopted.
    pub(crate) fn adopt(&mut self, rules: &Rules, replica: ReplicaNo, agent: AgentNo) {
        let row = self.store.agents[usize::from(agent)];
        let Some(session) = row.session else { return };
        let from = store::registration(session.at).into();
        let command = Command::AdoptSession { agent: agent_id(agent), epoch: row.epoch.into(), from };
        self.commit(rules, replica, Timer::None, command);
        rules.seen.note(Seen::ADOPTED);
        self.replicas[usize::from(replica)].awaits.push((agent, row.epoch));
    }

    /// A replica starts again.
    pub(crate) fn restart(&mut self, replica: ReplicaNo) {
        self.replicas[usize::from(replica)].up = true;
        self.register(replica);
    }

    /// Ends a stream from the replica's side, with a word to the agent.
    pub(crate) fn close(&mut self, place: usize) {
        self.end(place, Down::Close);
    }

    fn end(&mut self, place: usize, word: Down) {
        if self.streams[place].far != Far::Gone {
            self.say(place, word);
            self.streams[place].far = Far::Gone;
        }
    }

    /// What a replica says to an agent. On a lost stream, or behind its end, nobody hears it.
    fn say(&mut self, place: usize, frame: Down) {
        let stream = &mut self.streams[place];
        if !stream.lost && stream.near != Near::Closed && stream.far != Far::Gone {
            stream.down.push(frame);
        }
    }

    fn register(&mut self, replica: ReplicaNo) {
        let named = self.store.agents.iter().filter_map(|row| Some(row.session?.at));
        let known = named.chain(self.replicas.iter().map(|r| r.registration)).chain(self.store.dead.iter().copied());
        let next = known.max().map_or(0, |highest| highest + 1);
        self.replicas[usize::from(replica)].registration = next;
    }

    /// Decides and commits a command of a replica; gives what follows, or nothing if it was refused.
    fn commit(&mut self, rules: &Rules, replica: ReplicaNo, timer: Timer, command: Command) -> Option<Outcome> {
        let registration = self.replicas[usize::from(replica)].registration;
        let committed = rules.commit(&self.store, registration, timer, command);
        self.committed(committed)
    }

    fn committed(&mut self, Committed { store, result }: Committed) -> Option<Outcome> {
        let before = std::mem::replace(&mut self.store, store);
        for (before, after) in before.tasks.iter().zip(self.store.tasks.clone()) {
            if before.state.is_final() && *before != after {
                self.wrong(Wrong::EndedTwice);
            }
            let stopping = matches!(before.state, TaskState::Stopping(_));
            if stopping && !matches!(after.state, TaskState::Stopping(_) | TaskState::Cancelled) {
                self.wrong(Wrong::CancelledAndNotCancelled);
            }
        }
        let outcome = result.ok()?;
        let ends = outcome.effects.iter().filter(|effect| matches!(effect, Effect::Ended { .. })).count();
        let ended =
            before.tasks.iter().zip(&self.store.tasks).filter(|(b, a)| !b.state.is_final() && a.state.is_final());
        if ends != ended.count() {
            self.wrong(Wrong::EndedTwice);
        }
        Some(outcome)
    }

    pub(crate) fn wrong(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    /// Whether a result that somebody has a receipt for is what the store has.
    pub fn keeps(&self, task: TaskNo, attempt: u8) -> bool {
        let row = self.store.tasks[usize::from(task)];
        let is_it = row.closed.is_some_and(|closed| (closed.attempt, closed.by) == (attempt, By::Completion));
        is_it && row.state.is_final()
    }
}
