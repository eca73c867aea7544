//! What processes use: processor time and memory.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What processes have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all processors, since their start.
    pub processor: Duration,
    /// Resident now.
    pub resident_bytes: u64,
}

/// What these processes use together; nothing when one of them can't be seen.
pub fn of(pids: &[u32]) -> Option<Usage> {
    let pids: Vec<Pid> = pids.iter().map(|&pid| Pid::from_u32(pid)).collect();
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
    let mut sum = Usage::default();
    for pid in pids {
        let process = system.process(pid)?;
        sum.processor += Duration::from_millis(process.accumulated_cpu_time());
        sum.resident_bytes += process.memory();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_seen_and_a_missing_process_is_not() {
        assert!(of(&[std::process::id()]).unwrap().resident_bytes > 100_000);
        assert_eq!(of(&[std::process::id(), u32::MAX >> 1]), None);
    }
}
