//! The faults, a file each.

mod kill_server;

use crate::fault::Fault;

/// Every fault, in the order of the table.
pub const ALL: &[&dyn Fault] = &[&kill_server::KillServer];

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
