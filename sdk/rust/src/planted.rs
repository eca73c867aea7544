//! Defects on purpose: what the conformance suite must notice (tests/conformance/DRIVER.md). Each is asked for where the right thing stands.
//!
//! None can be planted unless the feature `planted` is on, which the suite's driver alone turns on, and the build has debug assertions:
//! in every other build [`has`] is the constant `false`.

/// Something that the SDK does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), allow(dead_code))]
#[repr(u8)]
pub enum Defect {
    /// A receipt does not end a report.
    ReceiptIgnored = 1,
    /// A report is forgotten when it was sent.
    ReportForgotten,
    /// Handlers are not told to stop.
    CancellationIgnored,
    /// The same attempt coming twice runs twice.
    AssignmentRunTwice,
    /// The agent ends when its stream broke.
    NoReattach,
    /// The keys of children differ from attempt to attempt.
    ChildKeyPerAttempt,
    /// A handler that waits for children is not paused.
    SlotHeldWhileWaiting,
    /// Runs whose stream broke are not asked again.
    RunsNotAskedAgain,
    /// An agent that drains sends no heartbeats.
    SilentWhileDraining,
}

#[cfg(all(feature = "planted", debug_assertions))]
mod live {
    use super::Defect;
    use std::sync::atomic::{AtomicU8, Ordering};

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// From now on every agent of this process has it.
    pub fn plant(defect: Defect) {
        PLANTED.store(defect as u8, Ordering::SeqCst);
    }

    /// Whether it is planted.
    pub(crate) fn has(defect: Defect) -> bool {
        PLANTED.load(Ordering::Relaxed) == defect as u8
    }
}

#[cfg(not(all(feature = "planted", debug_assertions)))]
mod live {
    use super::Defect;

    /// Does nothing in this build.
    #[cfg(feature = "planted")]
    pub fn plant(_: Defect) {}

    /// Nothing is planted in this build.
    pub(crate) const fn has(_: Defect) -> bool {
        false
    }
}

pub(crate) use live::has;
#[cfg(feature = "planted")]
pub use live::plant;
