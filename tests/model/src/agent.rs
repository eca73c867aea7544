//! What an agent's SDK does: see `sdk/SPEC.md`, "The agent".

use crate::rows::{AgentNo, By, Fence, TaskNo};
use crate::state::{Down, Far, Held, Near, Phase, ReplicaNo, Said, State, Stream, Up, Verdict, Wrong};

impl State {
    /// An agent opens a stream and says hello, with all that it has: handlers that run, and reports that have no receipt.
    pub(crate) fn connect(&mut self, agent: AgentNo, replica: ReplicaNo) {
        let program = &self.programs[usize::from(agent)];
        let hello = Up::Hello {
            instance: program.instance,
            previous: program.epoch,
            held: program.held.iter().map(|held| held.fence).collect(),
        };
        self.streams.push(Stream {
            agent,
            replica,
            near: Near::Opening,
            far: Far::New,
            lost: false,
            up: vec![hello],
            down: Vec::new(),
        });
    }

    /// An agent reads the next frame of a stream.
    pub(crate) fn hear(&mut self, place: usize) {
        let agent = self.streams[place].agent;
        let frame = self.streams[place].down.remove(0);
        match frame {
            Down::Welcome(epoch, kept) => self.hear_welcome(place, agent, epoch, &kept),
            Down::Assign(fence) => self.hear_assignment(place, agent, fence),
            Down::Receipt(fence, said, verdict) => self.hear_receipt(agent, fence, said, verdict),
            Down::Close => self.give_up(place),
            // The process ends, and whoever looks after it starts another.
            Down::Refused => self.start_anew(agent),
        }
    }

    /// Handlers of attempts that are not the agent's any more are cancelled; reports without a receipt are sent again.
    fn hear_welcome(&mut self, place: usize, agent: AgentNo, epoch: u8, kept: &[Fence]) {
        self.streams[place].near = Near::Attached;
        let program = &mut self.programs[usize::from(agent)];
        program.epoch = epoch;
        program.held.retain(|held| kept.contains(&held.fence) || matches!(held.phase, Phase::Reporting(_)));
        for held in program.held.clone() {
            match held.phase {
                // Whether that it began has a receipt is not kept: said again, it changes nothing.
                Phase::Running => self.report(place, held.fence, Said::Accepted),
                Phase::Reporting(by) => self.report(place, held.fence, Said::Ended(by)),
            }
        }
    }

    fn hear_assignment(&mut self, place: usize, agent: AgentNo, fence: Fence) {
        let held = &mut self.programs[usize::from(agent)].held;
        if !held.iter().any(|held| held.fence == fence) {
            held.push(Held { fence, phase: Phase::Running });
            self.report(place, fence, Said::Accepted);
        }
    }

    /// A receipt ends a report. A refused one cancels its handler.
    fn hear_receipt(&mut self, agent: AgentNo, fence: Fence, said: Said, verdict: Verdict) {
        let held = &mut self.programs[usize::from(agent)].held;
        let Some(place) = held.iter().position(|held| held.fence == fence) else { return };
        match (said, verdict, held[place].phase) {
            (Said::Accepted, Verdict::Committed, _) | (Said::Accepted, Verdict::Refused, Phase::Reporting(_)) => {}
            (Said::Accepted, Verdict::Refused, Phase::Running) => {
                held.remove(place);
            }
            (Said::Ended(by), verdict, _) => {
                held.remove(place);
                if (by, verdict) == (By::Completion, Verdict::Committed) {
                    let kept = self.keeps(fence.task, fence.attempt);
                    if !kept {
                        self.wrong(Wrong::ReceiptWithoutResult);
                    }
                }
            }
        }
    }

    /// A handler ends.
    pub(crate) fn finish(&mut self, agent: AgentNo, task: TaskNo, by: By) {
        let place = self.streams.iter().position(|s| s.agent == agent && s.near == Near::Attached);
        let running = |held: &&mut Held| held.fence.task == task && !matches!(held.phase, Phase::Reporting(_));
        let Some(held) = self.programs[usize::from(agent)].held.iter_mut().find(running) else { return };
        held.phase = Phase::Reporting(by);
        let fence = held.fence;
        if by == By::Failure {
            self.budget.faults -= 1;
        }
        if let Some(place) = place {
            self.report(place, fence, Said::Ended(by));
        }
    }

    /// An agent gives a stream up, and keeps what it has.
    pub(crate) fn give_up(&mut self, place: usize) {
        self.streams[place].near = Near::Closed;
        self.streams[place].down.clear();
    }

    fn report(&mut self, place: usize, fence: Fence, said: Said) {
        let stream = &mut self.streams[place];
        if !stream.lost && stream.far != Far::Gone {
            stream.up.push(Up::Report(fence, said));
        }
    }
}
