//! What must hold in every state, and what must be seen in some, so that the former says something.

use crate::model::Protocol;
use crate::rows::{Fence, TaskState};
use crate::state::{Held, State, Wrong};
use crate::store::Seen;
use stateright::Property;

/// At most one live lease per task.
pub const EXCLUSIVE: &str = "no two agents have valid leases of one task";
/// Attempt numbers are no secret, tokens are.
pub const PROVES: &str = "a lease token proves one attempt alone";
/// Of an older attempt, an older session, another agent.
pub const STALE: &str = "no stale report has an effect";
/// At most one terminal effect per run.
pub const ONCE: &str = "a task ends once";
/// A receipt is a promise.
pub const KEPT: &str = "a result with a receipt is kept";
/// Cancelling is durable intent.
pub const CANCELLED: &str = "what is cancelled ends cancelled";
/// Dead is who can push nothing any more.
pub const ALIVE: &str = "no live replica is taken for dead";
/// Who was taken for dead says nothing.
pub const PUSHED: &str = "nothing is pushed for sessions that another replica has";
/// Nor does it end what another one awaits.
pub const OTHERS: &str = "no session is ended by a replica that does not have it";

/// What must hold always.
pub const ALWAYS: [&str; 9] = [EXCLUSIVE, PROVES, STALE, ONCE, KEPT, CANCELLED, ALIVE, PUSHED, OTHERS];

/// What must be seen.
pub const SOMETIMES: [&str; 5] = [
    "a task is completed",
    "a task is cancelled while it ran",
    "a task is given up",
    "an attempt goes on in another session",
    "a session is adopted",
];

/// All of them.
pub fn all() -> Vec<Property<Protocol>> {
    let [completed, stopped, failed, goes_on, adopted] = SOMETIMES;
    vec![
        Property::always(EXCLUSIVE, |_, state: &State| no_two_hold_one_lease(state)),
        Property::always(PROVES, tokens_prove_one_attempt),
        Property::always(STALE, |_, state: &State| state.wrong != Some(Wrong::StaleReport)),
        Property::always(ONCE, |_, state: &State| state.wrong != Some(Wrong::EndedTwice)),
        Property::always(KEPT, |_, state: &State| state.wrong != Some(Wrong::ReceiptWithoutResult)),
        Property::always(CANCELLED, |_, state: &State| state.wrong != Some(Wrong::CancelledAndNotCancelled)),
        Property::always(ALIVE, |_, state: &State| state.wrong != Some(Wrong::LiveReplicaDeclaredDead)),
        Property::always(PUSHED, |_, state: &State| state.wrong != Some(Wrong::PushedForAdopted)),
        Property::always(OTHERS, |_, state: &State| state.wrong != Some(Wrong::EndedForOthers)),
        Property::sometimes(completed, |_, state: &State| has(state, TaskState::Completed)),
        Property::sometimes(stopped, |_, state: &State| {
            state.store.tasks.iter().any(|task| matches!(task.state, TaskState::Stopping(_)))
        }),
        Property::sometimes(failed, |_, state: &State| has(state, TaskState::Failed)),
        Property::sometimes(goes_on, |protocol: &Protocol, _| protocol.rules.seen.has(Seen::KEPT)),
        Property::sometimes(adopted, |protocol: &Protocol, _| protocol.rules.seen.has(Seen::ADOPTED)),
    ]
}

fn has(state: &State, wanted: TaskState) -> bool {
    state.store.tasks.iter().any(|task| task.state == wanted)
}

/// Of all attempts that agents believe to have, at most one of a task is what the store says, and it is its holder's.
fn no_two_hold_one_lease(state: &State) -> bool {
    (0u8..).zip(&state.store.tasks).all(|(number, task)| {
        let Some(lease) = task.state.lease() else { return true };
        let valid = Fence { task: number, attempt: task.attempt, token: lease.token };
        let has = |held: &Held| held.fence == valid;
        let mut holders = (0u8..).zip(&state.programs).filter(|(_, program)| program.held.iter().any(has));
        holders.all(|(agent, _)| agent == lease.agent)
    })
}

/// Who has the token of an attempt that is over, and learns the number of the current one (it is no secret: every reader of the
/// task sees it), can report nothing with it.
fn tokens_prove_one_attempt(protocol: &Protocol, state: &State) -> bool {
    let held = state.programs.iter().flat_map(|program| &program.held);
    held.filter_map(|held| {
        let task = state.store.tasks[usize::from(held.fence.task)];
        let stale = task.state.lease().is_some() && held.fence.attempt != task.attempt;
        stale.then_some(Fence { attempt: task.attempt, ..held.fence })
    })
    .all(|guess| !protocol.rules.would_take(&state.store, guess))
}
