//! Many idle agents, a connection each: what they cost the server, and whether it still answers as fast.

use std::time::Duration;

use callboard::Client;
use callboard::v1::{AgentState, ListAgentsRequest};
use futures::TryStreamExt;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::agent::FILES_PER_AGENT;
use super::args::Amounts;
use super::error::Error;
use super::figures::{Figures, round};
use super::latency;
use super::world::World;
use crate::open_files;

/// Agents in one process: each is a thread, with some open files.
const CROWD: u64 = 1_000;
/// Open files that any process of ours has beside connections.
const OTHER_FILES: u64 = 200;

/// Measures it: a world whose agents have warmed the server up.
pub async fn measure(world: &mut World, amounts: &Amounts) -> Result<Figures, Error> {
    let agents = amounts.attached_agents;
    let per_process = check_open_files(agents, open_files::raise())?;
    latency::measure(world, amounts).await?;
    world.end_agents().await;
    let before = world.usages();
    let began = Instant::now();
    world.add_crowds(agents, per_process).await?;
    let attaching = began.elapsed();
    // Every agent has sent heartbeats, and got some, when this is over.
    let settled = world.usages();
    sleep(amounts.settle).await;
    let after = world.usages();
    check_attached(&world.client, agents).await?;
    let figures = latency::measure(world, amounts).await?.whole;
    check_attached(&world.client, agents).await?;
    let mut figures = figures.with_value("agents", json!(agents));
    figures = figures.with_value("attached_per_s", json!(round(agents as f64 / attaching.as_secs_f64())));
    if let (Some(before), Some(settled), Some(after)) = (before.server, settled.server, after.server) {
        let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
        let busy = after.processor.saturating_sub(settled.processor);
        figures = figures
            .with_value("bytes_per_agent", json!(grown / agents))
            .with_value("server_rss_before_bytes", json!(before.resident_bytes))
            .with_value("server_rss_attached_bytes", json!(after.resident_bytes))
            .with_value("server_cpus_busy_while_idle", json!(share(busy, amounts.settle)));
    }
    Ok(figures)
}

fn share(busy: Duration, of: Duration) -> f64 {
    round(busy.as_secs_f64() / of.as_secs_f64())
}

/// How many agents a process may have. The server, which has all connections, is assumed to have our limit.
fn check_open_files(agents: u64, limit: u64) -> Result<u64, Error> {
    let needed = agents + OTHER_FILES;
    if limit < needed {
        return Err(Error::OpenFiles { agents, needed, limit });
    }
    let fit = (limit - OTHER_FILES.min(limit)) / FILES_PER_AGENT;
    Ok(fit.clamp(1, CROWD))
}

/// Fails when agents have left: their memory would be missing.
async fn check_attached(client: &Client, agents: u64) -> Result<(), Error> {
    let states = vec![AgentState::Attached.into()];
    let request = ListAgentsRequest { states, page_size: 1_000, ..Default::default() };
    let attached = client.list_agents(request).try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
    if attached == agents { Ok(()) } else { Err(Error::Left { attached, agents }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_told_before_anything_starts() {
        let error = check_open_files(10_000, 4_096).unwrap_err().to_string();
        assert!(error.contains("10200") && error.contains("4096") && error.contains("ulimit"), "{error}");
        assert_eq!(check_open_files(10_000, 20_000).unwrap(), CROWD);
        assert_eq!(check_open_files(1_000, 1_200).unwrap(), 250);
    }
}
