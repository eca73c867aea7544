//! This replica among those that share the store. ARCHITECTURE.md says how it is to work ("Leases, epochs and fencing among
//! replicas"), and `tests/model` checks it.
//!
//! A replica that could not renew its registration for [`QUIET`] pushes nothing: the time is in [`crate::sessions::Sessions`], where
//! pushes look at it, so that it holds also when this task is late. One whose registration did not rise for [`DEAD`] is declared
//! dead by those that could commit throughout, and its sessions are adopted.

use crate::error::Result;
use crate::queue::Item;
use crate::sessions::Named;
use crate::shared::Shared;
use callboard_core::command::Command;
use callboard_core::model::{Span, Timestamp};
use callboard_core::planted::Bug;
use callboard_store::Error as StoreError;
use callboard_store::cluster::{Cluster, Registration};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a registration is renewed.
const EVERY: Duration = Duration::from_secs(1);
/// How long the store may take for it. (Its connection is given up then: it may be one that nobody answers on.)
const PATIENCE: Duration = Duration::from_secs(2);
/// So long behind its last renewal a replica pushes nothing.
pub(crate) const QUIET: Span = Span::seconds(5);
/// So long after the last rise that was seen a registration is dead.
const DEAD: Span = Span::seconds(8);
/// An answer about the time that took longer says nothing.
const PROMPT: Span = Span::millis(200);
/// How often it is asked for at the start until it answers sooner.
const ASKED: usize = 3;
/// How many agents are read at a time.
const PAGE: usize = 1_000;

/// Keeps this replica registered, and looks after those that are not any more.
pub(crate) struct Member {
    shared: Arc<Shared>,
    /// What its names begin with; each registration has another number behind it.
    base: String,
    registrations: u32,
    /// When the last renewal that succeeded was sent.
    renewed: Span,
    /// Others are told where it is.
    advertised: bool,
    /// The counters of the others, and when they were first seen as they are; only of the time since this replica was cut off
    /// last.
    watched: HashMap<String, (i64, Span)>,
}

impl Member {
    /// Registers this process under a name that nobody had.
    pub async fn register(shared: Arc<Shared>, base: String) -> Result<Self> {
        let now = shared.clock.elapsed();
        let mut member =
            Self { shared, base, registrations: 0, renewed: now, advertised: false, watched: HashMap::new() };
        member.register_anew().await?;
        member.take_time().await?;
        Ok(member)
    }

    async fn register_anew(&mut self) -> Result<()> {
        self.registrations += 1;
        let name = format!("{}.{}", self.base, self.registrations);
        let sent = self.shared.clock.elapsed();
        let shared = self.shared.clone();
        let Some(cluster) = shared.store.cluster() else { return Ok(()) };
        cluster.register(&name).await?;
        self.shared.set_registration(name.into());
        (self.renewed, self.advertised) = (sent, false);
        self.watched.clear();
        self.push_until_quiet(sent);
        let registrations = within(cluster.registrations()).await?;
        self.heed_versions(&registrations);
        self.note_addresses(&registrations, sent);
        self.advertise(cluster).await
    }

    /// Says where this replica is, until it drains: then nobody is to be sent here.
    async fn advertise(&mut self, cluster: &dyn Cluster) -> Result<()> {
        let address = self.shared.config.advertise.as_deref().filter(|_| !self.shared.is_draining());
        if self.advertised != address.is_some() {
            within(cluster.advertise(&self.shared.registration(), address)).await?;
            self.advertised = address.is_some();
        }
        Ok(())
    }

    /// Until it is stopped. Then the registration is given up: nobody has to wait until it is dead.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.draining_begins.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.once().await {
                tracing::warn!(%error, "this replica can't reach the store");
            }
        }
        let shared = self.shared.clone();
        if let Some(cluster) = shared.store.cluster()
            && let Err(error) = within(cluster.resign(&shared.registration())).await
        {
            tracing::warn!(%error, "the registration could not be given up; the others wait until it is dead");
        }
    }

    async fn once(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let Some(cluster) = shared.store.cluster() else { return Ok(()) };
        let sent = shared.clock.elapsed();
        let renewed = within(cluster.renew(&shared.registration())).await;
        let now = shared.clock.elapsed();
        match renewed {
            Ok(true) => {
                self.renewed(sent, now);
                self.advertise(cluster).await?;
                self.follow_time().await?;
            }
            Ok(false) => {
                tracing::warn!("the other replicas declared this one dead; its agents are to attach again");
                shared.sessions.cut_all();
                self.register_anew().await?;
            }
            // Another migrated the database to what this version does not know.
            Err(error @ StoreError::Unusable(_)) => {
                shared.fail(&error);
                return Err(error.into());
            }
            Err(error) => {
                if now.0 - self.renewed.0 > QUIET.0 {
                    // They leave for another replica; those that don't find one come back to this.
                    shared.sessions.break_all(now, Span::from_std(shared.config.restart_grace));
                }
                return Err(error.into());
            }
        }
        self.look_after_others(cluster, now).await
    }

    fn renewed(&mut self, sent: Span, now: Span) {
        // Also when a single renewal took that long: nothing was pushed meanwhile, and nobody could be taken at their silence.
        if sent.0 - self.renewed.0 > QUIET.0 || self.shared.sessions.is_quiet(now) {
            tracing::info!("this replica reaches the store again");
            self.watched.clear();
            self.shared.sessions.forgive(now);
            self.shared.extend_grace(Span::from_std(self.shared.config.restart_grace));
        }
        self.renewed = sent;
        self.push_until_quiet(sent);
    }

    /// Takes the store's time of day for its own. A first answer may take long: it is asked again, but starts in any case.
    async fn take_time(&self) -> Result<()> {
        for _ in 0..ASKED {
            let Some((time, took)) = self.time_of_store().await? else { break };
            self.shared.clock.set(time);
            if took <= PROMPT {
                break;
            }
        }
        Ok(())
    }

    /// All replicas go by the store's time of day.
    async fn follow_time(&self) -> Result<()> {
        match self.time_of_store().await? {
            Some((time, took)) if took <= PROMPT => self.shared.clock.follow(time),
            Some(_) => {}
            None => self.shared.clock.follow_machine(),
        }
        Ok(())
    }

    /// What time it is there, and how long it took to learn it.
    async fn time_of_store(&self) -> Result<Option<(Timestamp, Span)>> {
        let Some(cluster) = self.shared.store.cluster() else { return Ok(None) };
        let asked = self.shared.clock.elapsed();
        let time = within(cluster.now()).await?;
        let took = Span(self.shared.clock.elapsed().0 - asked.0);
        Ok(time.map(|time| (time + Span(took.0 / 2), took)))
    }

    /// From its last renewal on, this replica pushes for so long.
    fn push_until_quiet(&self, sent: Span) {
        if !self.shared.config.rules.planted.has(Bug::PushWhileCutOff) {
            self.shared.sessions.quiet_at(Span(sent.0 + QUIET.0));
        }
    }

    /// While a replica of an older version lives, nothing is written that it would not understand. One that comes later is refused by
    /// the store, from the first row on that it must not see.
    fn heed_versions(&self, registrations: &[Registration]) {
        self.shared.set_all_current(registrations.iter().all(|known| known.dead || known.current));
    }

    /// Agents are sent to those that were heard of lately; not to where this one is, as which a row of a time before may say another is.
    fn note_addresses(&self, registrations: &[Registration], now: Span) {
        let own = self.shared.registration();
        let lately = |name: &String| self.watched.get(name).is_none_or(|(_, at)| now.0 - at.0 < QUIET.0);
        let others = registrations.iter().filter(|other| !other.dead && *other.name != *own && lately(&other.name));
        let here = self.shared.config.advertise.as_deref();
        let there: BTreeSet<&str> = others.filter_map(|other| other.address.as_deref()).collect();
        self.shared.set_elsewhere(there.into_iter().filter(|there| Some(*there) != here).map(Into::into).collect());
    }

    /// Declares dead who is, and adopts their sessions.
    async fn look_after_others(&mut self, cluster: &dyn Cluster, now: Span) -> Result<()> {
        let own = self.shared.registration();
        let registrations = within(cluster.registrations()).await?;
        self.heed_versions(&registrations);
        self.note_addresses(&registrations, now);
        self.watched.retain(|name, _| registrations.iter().any(|known| known.name == *name));
        for Registration { name, beat, dead, .. } in registrations.into_iter().filter(|other| *other.name != *own) {
            let seen = self.watched.entry(name.clone()).or_insert((beat, now));
            if seen.0 != beat {
                *seen = (beat, now);
            }
            let silent = now.0 - seen.1.0 >= DEAD.0;
            let adopts_anyone = self.shared.config.rules.planted.has(Bug::AdoptLiveSession);
            if dead || adopts_anyone || (silent && within(cluster.declare_dead(&name, beat)).await?) {
                self.adopt(cluster, &name).await?;
            }
        }
        Ok(())
    }

    /// Awaits the agents of a dead replica from now on. When there are none any more, it is forgotten.
    async fn adopt(&mut self, cluster: &dyn Cluster, dead: &str) -> Result<()> {
        // A session in a namespace that is not known here yet is none that may be forgotten.
        self.shared.names.refresh(&*self.shared.store).await?;
        let (mut after, mut adopted, mut left) = (None, 0, 0);
        loop {
            let agents = self.shared.store.live_sessions(after, PAGE).await?;
            for agent in agents.iter().filter(|agent| agent.is_at(dead)) {
                let Some(namespace) = self.shared.names.name(agent.namespace) else {
                    left += 1;
                    continue;
                };
                let named = Named { namespace: namespace.clone(), agent: agent.id, epoch: agent.epoch };
                let grace = Span::from_std(self.shared.config.restart_grace);
                self.shared.sessions.await_unless_here(named, self.shared.clock.elapsed(), grace);
                let command = Command::AdoptSession { agent: agent.id, epoch: agent.epoch, from: dead.into() };
                self.shared.queue.send(Item::system(namespace, command)).await?;
                adopted += 1;
            }
            match agents.last() {
                Some(last) if agents.len() == PAGE => after = Some(last.id),
                _ => break,
            }
        }
        if adopted + left > 0 {
            tracing::info!(replica = dead, sessions = adopted, "a replica is dead; its agents have time to come back");
        } else {
            within(cluster.forget(dead)).await?;
        }
        Ok(())
    }
}

/// What the store says in time.
async fn within<T>(asked: impl Future<Output = callboard_store::Result<T>>) -> callboard_store::Result<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Unavailable(format!("it did not answer within {} s", PATIENCE.as_secs()))),
    }
}
