//! States that differ by names alone are one.
//!
//! Agents are alike, so they are put in the order of what is known of them. Epochs count only by their order, instances only by
//! being the same or not, registrations only by who has them: all are numbered anew. Lists whose order says nothing are sorted.

use crate::rows::{AgentNo, Registration, TaskRow};
use crate::state::{Down, Far, Near, State, Up};

impl State {
    /// The one among all states that are alike.
    pub fn canonical(mut self) -> Self {
        self.drop_what_is_over();
        // Replicas are alike, too; there are two.
        let mut other = self.clone();
        other.replicas.reverse();
        let last = self.replica_count() - 1;
        other.streams.iter_mut().for_each(|stream| stream.replica = last - stream.replica);
        self.numbered().min(other.numbered())
    }

    fn numbered(mut self) -> Self {
        self.number_registrations();
        for agent in 0..self.agent_count() {
            self.number_epochs(agent);
            self.number_instances(agent);
        }
        self.sort_agents();
        self.streams.sort_unstable();
        for replica in &mut self.replicas {
            replica.awaits.sort_unstable();
            replica.pushes.sort_unstable();
        }
        self
    }

    /// What can do nothing any more.
    fn drop_what_is_over(&mut self) {
        // Nobody waits for anything of a session that has no attempts and can be given none: whether it has ended makes no
        // difference.
        for (agent, row) in (0u8..).zip(&mut self.store.agents) {
            let has_attempt = |task: &TaskRow| task.state.lease().is_some_and(|lease| lease.agent == agent);
            let alive = |at: u8| self.replicas.iter().any(|replica| replica.up && replica.registration == at);
            if !self.store.tasks.iter().any(has_attempt) {
                row.session = row.session.filter(|session| !session.broken && alive(session.at));
            }
        }
        let agents = &self.store.agents;
        self.streams.retain(|stream| match stream.far {
            _ if stream.near != Near::Closed => true,
            Far::Open(epoch) => !stream.up.is_empty() || agents[usize::from(stream.agent)].session_of(epoch).is_some(),
            Far::New => true,
            Far::Gone => false,
        });
        for stream in &mut self.streams {
            if stream.far == Far::Gone {
                stream.up.clear();
            }
        }
        for replica in &mut self.replicas {
            replica.awaits.retain(|(agent, epoch)| agents[usize::from(*agent)].session_of(*epoch).is_some());
            replica.awaits.dedup();
        }
    }

    /// The replicas' own come first, in their order; then those that sessions name.
    fn number_registrations(&mut self) {
        let mut known: Vec<Registration> = self.replicas.iter().map(|replica| replica.registration).collect();
        for row in &self.store.agents {
            known.extend(row.session.map(|session| session.at).filter(|at| !known.contains(at)));
        }
        let number = |old: Registration| known.iter().position(|k| *k == old).and_then(|n| u8::try_from(n).ok());
        let new = |old: Registration| number(old).unwrap_or(old);
        self.store.dead = self.store.dead.iter().filter_map(|old| number(*old)).collect();
        self.store.dead.sort_unstable();
        self.store.dead.dedup();
        for replica in &mut self.replicas {
            replica.registration = new(replica.registration);
        }
        for session in self.store.agents.iter_mut().filter_map(|row| row.session.as_mut()) {
            session.at = new(session.at);
        }
    }

    fn number_epochs(&mut self, agent: AgentNo) {
        // 0 is the one before the first, and stays.
        let mut known = vec![0];
        self.each_epoch(agent, |epoch| known.push(*epoch));
        known.sort_unstable();
        known.dedup();
        self.each_epoch(agent, |epoch| {
            *epoch = known.iter().position(|k| k == epoch).and_then(|n| u8::try_from(n).ok()).unwrap_or(*epoch);
        });
    }

    fn each_epoch(&mut self, agent: AgentNo, mut each: impl FnMut(&mut u8)) {
        each(&mut self.store.agents[usize::from(agent)].epoch);
        each(&mut self.programs[usize::from(agent)].epoch);
        for task in &mut self.store.tasks {
            use crate::rows::TaskState::{Assigned, Running, Stopping};
            if let Assigned(lease) | Running(lease) | Stopping(lease) = &mut task.state
                && lease.agent == agent
            {
                each(&mut lease.epoch);
            }
        }
        for replica in &mut self.replicas {
            replica.awaits.iter_mut().filter(|(a, _)| *a == agent).for_each(|(_, epoch)| each(epoch));
            replica.pushes.iter_mut().filter(|push| push.agent == agent).for_each(|push| each(&mut push.epoch));
        }
        for stream in self.streams.iter_mut().filter(|stream| stream.agent == agent) {
            if let Far::Open(epoch) = &mut stream.far {
                each(epoch);
            }
            for frame in &mut stream.up {
                if let Up::Hello { previous, .. } = frame {
                    each(previous);
                }
            }
            for frame in &mut stream.down {
                if let Down::Welcome(epoch, _) = frame {
                    each(epoch);
                }
            }
        }
    }

    fn number_instances(&mut self, agent: AgentNo) {
        let mut known = Vec::new();
        self.each_instance(agent, |instance| {
            if !known.contains(instance) {
                known.push(*instance);
            }
        });
        self.each_instance(agent, |instance| {
            *instance =
                known.iter().position(|k| k == instance).and_then(|n| u8::try_from(n).ok()).unwrap_or(*instance);
        });
    }

    fn each_instance(&mut self, agent: AgentNo, mut each: impl FnMut(&mut u8)) {
        each(&mut self.programs[usize::from(agent)].instance);
        if let Some(session) = &mut self.store.agents[usize::from(agent)].session {
            each(&mut session.instance);
        }
        for stream in self.streams.iter_mut().filter(|stream| stream.agent == agent) {
            for frame in &mut stream.up {
                if let Up::Hello { instance, .. } = frame {
                    each(instance);
                }
            }
        }
    }

    /// Puts agents in the order of all that is known of them: those that stand beside each other are the same, or differ.
    fn sort_agents(&mut self) {
        let mut order: Vec<AgentNo> = (0..self.agent_count()).collect();
        order.sort_by_cached_key(|agent| self.known_of(*agent));
        if order.is_sorted() {
            return;
        }
        let mut new = vec![0; order.len()];
        for (place, old) in (0..).zip(&order) {
            new[usize::from(*old)] = place;
        }
        self.store.agents = order.iter().map(|old| self.store.agents[usize::from(*old)]).collect();
        self.programs = order.iter().map(|old| self.programs[usize::from(*old)].clone()).collect();
        self.each_agent(|agent| *agent = new[usize::from(*agent)]);
    }

    /// All that names an agent beside its row and its program.
    fn each_agent(&mut self, mut each: impl FnMut(&mut AgentNo)) {
        for task in &mut self.store.tasks {
            use crate::rows::TaskState::{Assigned, Running, Stopping};
            if let Assigned(lease) | Running(lease) | Stopping(lease) = &mut task.state {
                each(&mut lease.agent);
            }
            task.avoid.iter_mut().for_each(&mut each);
        }
        for replica in &mut self.replicas {
            replica.awaits.iter_mut().for_each(|(agent, _)| each(agent));
            replica.pushes.iter_mut().for_each(|push| each(&mut push.agent));
        }
        self.streams.iter_mut().for_each(|stream| each(&mut stream.agent));
    }

    fn known_of(&self, agent: AgentNo) -> impl Ord + use<> {
        let mut streams: Vec<_> = self.streams.iter().filter(|stream| stream.agent == agent).cloned().collect();
        streams.iter_mut().for_each(|stream| stream.agent = 0);
        streams.sort_unstable();
        let tasks: Vec<_> = self
            .store
            .tasks
            .iter()
            .map(|task| (task.state.lease().is_some_and(|lease| lease.agent == agent), task.avoid == Some(agent)))
            .collect();
        let replicas: Vec<_> = self
            .replicas
            .iter()
            .map(|replica| {
                let mut pushes: Vec<_> =
                    replica.pushes.iter().filter(|push| push.agent == agent).map(|p| (p.epoch, p.fence)).collect();
                pushes.sort_unstable();
                let mut awaits: Vec<_> =
                    replica.awaits.iter().filter(|(a, _)| *a == agent).map(|(_, epoch)| *epoch).collect();
                awaits.sort_unstable();
                (pushes, awaits)
            })
            .collect();
        (self.store.agents[usize::from(agent)], self.programs[usize::from(agent)].clone(), streams, tasks, replicas)
    }
}
