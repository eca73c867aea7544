//! What the engine can be told.

use crate::archive::Archive;
use callboard_core::Settings;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the engine; those that rules read are in `rules`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What rules read.
    pub rules: Settings,
    /// This replica's name in session rows.
    pub replica: String,
    /// Where agents find this replica: those of one that drains are told of the others.
    pub advertise: Option<String>,
    /// How long sessions have to come back after a start.
    pub restart_grace: Duration,
    /// How long a broken stream's attempts wait for the agent.
    pub reattach_grace: Duration,
    /// How many commands may wait. More are refused (unary) or not read (streams).
    pub queue: usize,
    /// How many commands one transaction carries at most.
    pub batch: usize,
    /// How many agents may be attached by a stream at once. More are refused.
    pub attached: usize,
    /// How many pushes may wait for one stream. One that has more is ended: it doesn't read.
    pub pushes: usize,
    /// How many tasks are kept in memory, beyond those that are leased.
    pub cached_tasks: usize,
    /// The same in bytes.
    pub cached_bytes: usize,
    /// How many calls may wait for a task's end, and how many for a claim.
    pub waiters: usize,
    /// The longest time between two sweeps.
    pub sweep: Duration,
    /// How often a stream's attempt may write its progress.
    pub progress: Duration,
    /// How long finished tasks, and agents that are gone, are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Who keeps finished tasks before they are forgotten; `None`: nobody.
    pub archive: Option<Arc<dyn Archive>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Settings::default(),
            replica: "single".into(),
            advertise: None,
            restart_grace: Duration::from_secs(30),
            reattach_grace: Duration::from_secs(3),
            queue: 16_384,
            batch: 512,
            attached: 10_000,
            pushes: 256,
            cached_tasks: 100_000,
            cached_bytes: 256 << 20,
            waiters: 100_000,
            sweep: Duration::from_millis(250),
            progress: Duration::from_secs(1),
            retention: Some(Duration::from_secs(7 * 24 * 3_600)),
            archive: None,
        }
    }
}
