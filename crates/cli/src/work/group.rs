//! Signals to a program and everything that it started in its process group.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// Asks a group to end.
pub fn terminate(group: Pid) {
    send(group, Signal::TERM);
}

/// Ends a group.
pub fn kill(group: Pid) {
    send(group, Signal::KILL);
}

fn send(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        // Nobody is left in it: what was wanted.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(group = group.as_raw_nonzero().get(), %error, "cannot signal a process group"),
    }
}
