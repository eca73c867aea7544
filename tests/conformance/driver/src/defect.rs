//! Defects that are planted in the SDK: see "Planted defects" in DRIVER.md.

use callboard::AgentBuilder;

/// A planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// By an option that users may set wrongly: this driver has one thread.
    HeartbeatOnHandlersThread,
}

impl Defect {
    /// The one that `CALLBOARD_DEFECT` names.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn read() -> Result<Option<Self>, String> {
        match std::env::var("CALLBOARD_DEFECT") {
            Err(_) => Ok(None),
            Ok(name) if name == "heartbeat-on-handlers-thread" => Ok(Some(Self::HeartbeatOnHandlersThread)),
            Ok(name) => Err(format!("CALLBOARD_DEFECT: there is no defect `{name}`")),
        }
    }

    /// Has an agent with it.
    pub fn plant(self, builder: AgentBuilder) -> AgentBuilder {
        match self {
            Self::HeartbeatOnHandlersThread => builder.own_thread(false),
        }
    }
}
