//! What a task's events do to the slot that it has: an attempt begins, goes, and comes back behind a pause.

use super::Seen;
use super::observed::{at, is_attempt_end, is_end};
use callboard::v1::EventType as E;

/// What becomes of a slot. Of what happens at the same time that comes first which leaves the most room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// The task has it no more.
    Goes,
    /// An attempt begins.
    Begins,
    /// An attempt that was paused goes on.
    GoesOn,
}

impl Turn {
    /// By how much it changes how many have one.
    pub fn step(self) -> i64 {
        if self == Self::Goes { -1 } else { 1 }
    }
}

/// A task's turns: of which agent's slots, when, and which. While it is paused it has nobody's.
pub(super) fn turns(seen: &Seen) -> impl Iterator<Item = (&str, i128, Turn)> {
    let mut holder = None;
    let mut holds = false;
    seen.events.iter().filter_map(move |event| {
        let turn = match event.r#type() {
            E::Assigned => Turn::Begins,
            E::Resumed => Turn::GoesOn,
            E::Paused => Turn::Goes,
            _ if is_attempt_end(event) || is_end(event) => Turn::Goes,
            _ => return None,
        };
        if event.r#type() == E::Assigned {
            holder = Some(event.agent.as_str());
        }
        let takes = turn != Turn::Goes;
        let changes = takes != holds;
        holds = takes;
        changes.then_some(())?;
        Some((holder?, at(event), turn))
    })
}
