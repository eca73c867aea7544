//! The faults, a file each.

mod kill_agents;
mod kill_server;
mod pause;
mod postgres;
mod reconnect;
mod simulation;
mod stalled;

use crate::fault::Fault;

/// Every fault, in the order of the table.
pub const ALL: &[&dyn Fault] = &[
    &kill_server::KillServer,
    &kill_agents::KillAgents,
    &postgres::KillPostgres,
    &postgres::RestartPostgres,
    &postgres::PromoteStandby,
    &pause::Pause,
    &reconnect::Reconnect,
    &stalled::Stalled,
    &simulation::Simulation,
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
