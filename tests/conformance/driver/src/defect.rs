//! Defects that are planted in the SDK: see "Planted defects" in DRIVER.md.

use callboard::AgentBuilder;
use callboard::planted::{self, Defect as InSdk};

/// A planted defect that agents are built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// By an option that users may set wrongly: this driver has one thread.
    HeartbeatOnHandlersThread,
    /// By a hook in the SDK, which has it by now.
    InSdk,
}

impl Defect {
    /// Plants the one that `CALLBOARD_DEFECT` names.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn plant() -> Result<Option<Self>, String> {
        let Ok(name) = std::env::var("CALLBOARD_DEFECT") else { return Ok(None) };
        let in_sdk = match name.as_str() {
            "heartbeat-on-handlers-thread" => return Ok(Some(Self::HeartbeatOnHandlersThread)),
            "receipt-ignored" => InSdk::ReceiptIgnored,
            "report-forgotten" => InSdk::ReportForgotten,
            "cancellation-ignored" => InSdk::CancellationIgnored,
            "assignment-run-twice" => InSdk::AssignmentRunTwice,
            "no-reattach" => InSdk::NoReattach,
            "child-key-per-attempt" => InSdk::ChildKeyPerAttempt,
            "slot-held-while-waiting" => InSdk::SlotHeldWhileWaiting,
            "runs-not-asked-again" => InSdk::RunsNotAskedAgain,
            "silent-while-draining" => InSdk::SilentWhileDraining,
            _ => return Err(format!("CALLBOARD_DEFECT: there is no defect `{name}`")),
        };
        planted::plant(in_sdk);
        Ok(Some(Self::InSdk))
    }

    /// Builds an agent with it.
    pub fn build(self, builder: AgentBuilder) -> AgentBuilder {
        match self {
            Self::HeartbeatOnHandlersThread => builder.own_thread(false),
            Self::InSdk => builder,
        }
    }
}
