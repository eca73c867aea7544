//! Whether the agent takes tasks, in one word, for those who probe it.

use super::Session;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::agent) enum Readiness {
    /// It is not attached, and wants to be.
    #[default]
    Connecting,
    /// It takes tasks.
    Attached,
    /// It takes no more, and ends when it has nothing left.
    Draining,
    /// It ends.
    Stopped,
}

impl Readiness {
    pub(in crate::agent) fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Attached => "attached",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl Session {
    /// An agent that ends takes no tasks, attached or not.
    pub(in crate::agent) fn readiness(&self) -> Readiness {
        if self.stopped || self.ending.is_final() {
            Readiness::Stopped
        } else if self.ending.is_draining() {
            Readiness::Draining
        } else if self.link.is_attached() {
            Readiness::Attached
        } else {
            Readiness::Connecting
        }
    }
}
