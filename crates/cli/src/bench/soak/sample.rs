//! What is sampled, and how it is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callboard::v1::{AgentState, ListAgentsRequest};
use comfy_table::{Cell, CellAlignment};
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::error::Error;
use super::super::figures::{Figures, Latencies, round};
use super::super::verify::Verified;
use super::super::world::World;
use crate::output::Output;

/// What submitters saw since the last sample. Clones share it.
#[derive(Debug, Clone)]
pub struct Samples {
    since: Arc<Mutex<Since>>,
}

#[derive(Debug)]
struct Since {
    latencies: Latencies,
    tasks: u64,
}

/// The state of things at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Since the begin.
    pub at_s: f64,
    /// Ended since the sample before.
    pub tasks: u64,
    /// The same per second.
    pub tasks_per_s: f64,
    /// Of single tasks, from the call to the result.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
    /// The same.
    pub max_ms: Option<f64>,
    /// The server's memory.
    pub server_rss_bytes: Option<u64>,
    /// The server's processor time since its start.
    pub server_cpu_s: Option<f64>,
    /// The memory of this process: that of its verifier, above all.
    pub client_rss_bytes: Option<u64>,
    /// The database's size.
    pub database_bytes: Option<u64>,
    /// The size of its write-ahead log.
    pub wal_bytes: Option<u64>,
    /// Agents that are attached.
    pub sessions: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self { since: Arc::new(Mutex::new(Since { latencies: Latencies::new(), tasks: 0 })) }
    }
}

impl Samples {
    /// A single task has ended after so long.
    pub fn record(&self, latency: Duration) {
        self.since().latencies.record(latency);
    }

    /// Any task has ended.
    pub fn count(&self) {
        self.since().tasks += 1;
    }

    fn since(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a sample.
    pub async fn take(&self, world: &World, at: Duration, length: Duration) -> Result<Sample, Error> {
        let since = std::mem::replace(&mut *self.since(), Since { latencies: Latencies::new(), tasks: 0 });
        let figures = Figures::of(&since.latencies, length);
        let usages = world.usages();
        let sizes = world.file_sizes();
        let states = vec![AgentState::Attached.into()];
        let request = ListAgentsRequest { states, page_size: 1_000, ..Default::default() };
        let sessions = world.client.list_agents(request).try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
        Ok(Sample {
            at_s: round(at.as_secs_f64()),
            tasks: since.tasks,
            tasks_per_s: round(since.tasks as f64 / length.as_secs_f64().max(1e-9)),
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            max_ms: figures.max_ms,
            server_rss_bytes: usages.server.map(|usage| usage.resident_bytes),
            server_cpu_s: usages.server.map(|usage| round(usage.processor.as_secs_f64())),
            client_rss_bytes: usages.client.map(|usage| usage.resident_bytes),
            database_bytes: sizes.map(|(database, _)| database),
            wal_bytes: sizes.map(|(_, wal)| wal),
            sessions,
        })
    }
}

const HEADER: [&str; 9] =
    ["AT S", "TASKS/S", "P50 MS", "P99 MS", "MAX MS", "SERVER MIB", "DATABASE MIB", "WAL MIB", "SESSIONS"];

impl Sample {
    fn cells(&self) -> [String; 9] {
        let number =
            |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let mebibytes = |bytes: Option<u64>| number(bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)), 1);
        [
            number(Some(self.at_s), 0),
            number(Some(self.tasks_per_s), 0),
            number(self.p50_ms, 2),
            number(self.p99_ms, 2),
            number(self.max_ms, 2),
            mebibytes(self.server_rss_bytes),
            mebibytes(self.database_bytes),
            mebibytes(self.wal_bytes),
            self.sessions.to_string(),
        ]
    }

    /// For whoever watches.
    pub fn line(&self) -> String {
        let parts = HEADER.iter().zip(self.cells()).map(|(name, value)| format!("{} {value}", name.to_lowercase()));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Writes all of them to standard output.
pub fn write(output: &Output, samples: &[Sample], verified: Verified, surroundings: Value) -> Result<(), Error> {
    let failed = |error: crate::error::Error| Error::Io {
        doing: "cannot write the report",
        source: std::io::Error::other(error.to_string()),
    };
    if output.is_json() {
        let mut document = surroundings;
        document["samples"] = json!(samples);
        document["verified"] = json!({"tasks": verified.tasks, "faults": verified.faults});
        return output.document(&document).map_err(failed);
    }
    let mut table = output.style.list(&HEADER);
    for sample in samples {
        table.add_row(sample.cells().map(|text| Cell::new(text).set_alignment(CellAlignment::Right)));
    }
    output.style.finish(&mut table);
    output.table(&table).map_err(failed)?;
    let end = format!(
        "\n{} tasks verified; {} attempts were lost, timed out or handed back",
        verified.tasks, verified.faults
    );
    output.line(&end).map_err(failed)
}
