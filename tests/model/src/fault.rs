//! What goes wrong. Each fault costs one of the budget.

use crate::rows::AgentNo;
use crate::state::{Far, Near, ReplicaNo, State};

impl State {
    /// A stream breaks: what is on its way may still arrive, what is said from now on does not, and each side notices on its own.
    pub(crate) fn break_stream(&mut self, place: usize) {
        self.budget.faults -= 1;
        self.streams[place].lost = true;
    }

    /// An agent's process dies with all that it had, and another one starts.
    pub(crate) fn crash_agent(&mut self, agent: AgentNo) {
        self.budget.faults -= 1;
        self.start_anew(agent);
    }

    /// Another process of an agent, which has nothing.
    pub(crate) fn start_anew(&mut self, agent: AgentNo) {
        let program = &mut self.programs[usize::from(agent)];
        program.instance += 1;
        program.epoch = 0;
        program.held.clear();
        for place in 0..self.streams.len() {
            if self.streams[place].agent == agent && self.streams[place].near != Near::Closed {
                self.give_up(place);
            }
        }
    }

    /// A replica's process dies.
    pub(crate) fn crash_replica(&mut self, replica: ReplicaNo) {
        self.budget.faults -= 1;
        self.die(replica);
    }

    /// A replica's memory and streams are gone. What it had said may still arrive.
    pub(crate) fn die(&mut self, replica: ReplicaNo) {
        let here = &mut self.replicas[usize::from(replica)];
        (here.up, here.cut, here.quiet, here.watched) = (false, false, false, false);
        here.awaits.clear();
        here.pushes.clear();
        for stream in self.streams.iter_mut().filter(|stream| stream.replica == replica) {
            stream.far = Far::Gone;
            stream.lost = true;
            stream.up.clear();
        }
    }

    /// A replica can't reach the store any more. What it watched before doesn't count.
    pub(crate) fn cut(&mut self, replica: ReplicaNo) {
        self.budget.faults -= 1;
        self.replicas[usize::from(replica)].cut = true;
        for (number, other) in self.replicas.iter_mut().enumerate() {
            if number != usize::from(replica) {
                other.watched = false;
            }
        }
    }
}
