//! Where and how it is measured: figures mean nothing without it.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};
use tokio::time::Instant;

use super::args::{Amounts, SetupArgs};
use super::error::Error;
use super::figures::{Figures, Latencies};
use super::world::{self, Target};
use crate::output;

/// How often a write is made durable to see how long that takes.
const SYNCS: usize = 200;
/// How much is written each time: a page.
const PAGE: [u8; 4096] = [0x5a; 4096];

/// The versions, and how this program was built.
pub fn version() -> Value {
    json!({"callboard": env!("CARGO_PKG_VERSION"), "profile": if cfg!(debug_assertions) { "debug" } else { "release" }})
}

/// What was asked for.
pub fn settings(amounts: &Amounts, setup: &SetupArgs, target: &Target) -> Value {
    json!({
        "server": target.name(),
        "serve_args": setup.serve_arg,
        "agents": setup.agents,
        "slots": setup.slots,
        "warm_up_s": amounts.warm_up.as_secs_f64(),
        "window_s": amounts.window.as_secs_f64(),
        "latency_tasks": amounts.latency_tasks,
        "attached_agents": amounts.attached_agents,
        "finished_tasks": amounts.finished_tasks,
        "dependents": amounts.dependents,
        "batch_requests": amounts.batch_requests,
        "batch_results": format!("{:?}", amounts.batch_results).to_lowercase(),
    })
}

/// The machine, and the disk that the database will be on.
pub fn describe(setup: &SetupArgs) -> Result<Value, Error> {
    let folder = world::folder(setup.data.as_deref())?;
    let kinds =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds);
    let filesystem = filesystem(folder.path());
    if filesystem.as_deref().is_some_and(|name| name == "tmpfs" || name == "ramfs") {
        output::note(
            "warning: the database is in memory (tmpfs): nothing is durable there. Choose a disk with --data.",
        );
    }
    let syncs = fdatasync(folder.path()).map_err(Error::io("cannot write to the folder of the database"))?;
    Ok(json!({
        "cpu": system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()),
        "cores": system.cpus().len(),
        "memory_bytes": system.total_memory(),
        "system": System::long_os_version(),
        "kernel": System::kernel_version(),
        "filesystem": filesystem,
        "fdatasync_4k_p50_ms": syncs.p50_ms,
        "fdatasync_4k_p99_ms": syncs.p99_ms,
    }))
}

/// The kind of file system that a folder is on: that of the longest mount point above it.
fn filesystem(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let disks = Disks::new_with_refreshed_list();
    let above = disks.list().iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let nearest = above.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(nearest.file_system().to_string_lossy().into_owned())
}

/// How long it takes to make an appended page durable: what every commit waits for.
fn fdatasync(folder: &Path) -> std::io::Result<Figures> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut latencies = Latencies::new();
    let began = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&PAGE)?;
        let from = Instant::now();
        file.sync_data()?;
        latencies.record(from.elapsed());
    }
    Ok(Figures::of(&latencies, began.elapsed()))
}
