//! Fallbacks of requirements.

use super::{some, time};
use callboard_core::model::{Fallback, Span};
use callboard_core::validate::{Faults, Within};
use callboard_proto::v1;
use std::fmt::Display;

/// Reads fallbacks.
pub(super) fn fallbacks(
    at: impl Display + Copy,
    messages: Vec<v1::RequirementsFallback>,
    faults: &mut Faults,
) -> Vec<Fallback> {
    let numbered = messages.into_iter().enumerate();
    numbered.map(|(index, message)| fallback(format_args!("{at}[{index}]"), message, faults)).collect()
}

fn fallback(at: impl Display + Copy, message: v1::RequirementsFallback, faults: &mut Faults) -> Fallback {
    Fallback {
        // Unset is no time at all, which the rules refuse.
        after: time::span(Within(at, "after"), message.after, faults).unwrap_or(Span(0)),
        skills: message.skills.into_iter().collect(),
        tools: message.tools.into_iter().collect(),
        role: some(message.role),
        assignee: some(message.assignee),
    }
}

/// Writes a fallback.
pub(super) fn to_fallback(fallback: &Fallback) -> v1::RequirementsFallback {
    v1::RequirementsFallback {
        after: Some(time::to_duration(fallback.after)),
        skills: fallback.skills.iter().cloned().collect(),
        tools: fallback.tools.iter().cloned().collect(),
        role: fallback.role.clone().unwrap_or_default(),
        assignee: fallback.assignee.clone().unwrap_or_default(),
    }
}
