//! Fallbacks: a ready task that nobody takes asks for less, step by step.

use super::{Ruled, Step};
use crate::command::Effect;
use crate::decide::Stop;
use crate::model::{EventKind, LaneKey, NewTask, Span, Task, Timestamp};
use crate::rejection::{Reason, Rejection};

/// How long a task whose fallback finds no room for its lane stays where it is before that is tried again: each try is a write.
const TRY_AGAIN: Span = Span::seconds(30);

impl Step<'_, '_> {
    /// Refuses fallbacks that another replica would drop.
    pub(super) fn check_fallbacks(&self, tasks: &[NewTask]) -> Ruled<()> {
        if self.cx.all_current || tasks.iter().all(|new| new.spec.requirements.fallbacks.is_empty()) {
            return Ok(());
        }
        let message = "tasks.requirements.fallbacks: a server of an older version shares the store and would not fall \
                       back to them; finish the upgrade, then repeat";
        Err(Rejection::new(Reason::UpgradeUnfinished, message).into())
    }

    /// Moves a ready task to the lane of the last fallback whose time has come. Its place in the order stays that of the time at
    /// which it became ready.
    pub(super) fn fall_back_if_due(&mut self, task: &mut Task, ready_since: Timestamp) -> Ruled<()> {
        let Some(number) = task.fallback_due(ready_since, self.cx.now) else { return Ok(()) };
        let lane = match self.lane_of(LaneKey::in_force(&task.spec, number)) {
            Ok(lane) => lane,
            // The namespace has as many lanes as it may have. The task is as good where it is as it was before.
            Err(Stop::Reject(_)) => {
                self.put_off_fallback(task);
                return Ok(());
            }
            Err(stop) => return Err(stop),
        };
        task.lane = lane;
        task.fallback = number;
        if let Some(fallback) = task.fallback_in_force() {
            let reason = format!("nobody took it within {}: now {}", in_words(fallback.after), fallback.asked());
            self.tell(task, EventKind::Updated { fields: reason, fallback: Some(number) });
        }
        self.effects.push(Effect::LaneReady { namespace: task.namespace, lane });
        // Its lane is written with its spec.
        self.ws.spec_changed(task.id);
        self.write(task);
        Ok(())
    }

    /// Has the next fallback's time come again in a while. Those behind it come later, too.
    fn put_off_fallback(&mut self, task: &mut Task) {
        if let Some(next) = task.spec.requirements.fallback(task.fallback.saturating_add(1)) {
            task.fallbacks_anew = Some(self.cx.now + TRY_AGAIN - next.after);
            self.write(task);
        }
    }
}

/// A length of time, for people: 1.5 s.
fn in_words(span: Span) -> String {
    format!("{} s", span.0 as f64 / 1e6)
}
