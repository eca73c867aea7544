//! The faults, a file each.

mod clock_jump;
mod disk_full;
mod flipped_bytes;
mod io_error;
mod kill_agents;
mod kill_server;
mod late_commit;
mod link_loss;
mod partition;
mod pause;
mod postgres;
mod power_cut;
mod reconnect;
mod rolling_restart;
mod simulation;
mod slow_fsync;
mod stalled;

use crate::fault::Fault;
pub use power_cut::PowerCut;

/// Every fault, in the order of the table.
pub const ALL: &[&dyn Fault] = &[
    &kill_server::KillServer,
    &kill_agents::KillAgents,
    &postgres::KillPostgres,
    &postgres::RestartPostgres,
    &postgres::PromoteStandby,
    &pause::Pause,
    &rolling_restart::RollingRestart,
    &reconnect::Reconnect,
    &stalled::Stalled,
    &simulation::Simulation,
    &power_cut::PowerCut { lying_disk: false },
    &partition::Partition,
    &link_loss::LinkLoss,
    &clock_jump::ClockJump,
    &disk_full::DiskFull,
    &io_error::IoError,
    &slow_fsync::SlowFsync,
    &flipped_bytes::FlippedBytes,
    &late_commit::LateCommit,
];

/// The fault of a name.
///
/// # Errors
///
/// Says which there are.
pub fn find(name: &str) -> Result<&'static dyn Fault, String> {
    let known = || ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().copied().find(|fault| fault.name() == name);
    found.ok_or_else(|| format!("there is no fault {name:?}; there are {}", known()))
}
