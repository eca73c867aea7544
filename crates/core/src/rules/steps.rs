//! What agents record of their work: durable steps.
//!
//! A step is told from others by its key, and whether it is recorded already is asked of the rows: not of a number that the agent
//! counts. A handler may run steps beside each other, of which one may be refused and the next not, and a report may come again
//! after the stream broke: an agent that numbered its steps would have to number anew what is on its way. Keys stay. What it
//! costs is a read: the first step of a run looks at what the run has recorded, and from then on the working set of a store that
//! nobody else writes to knows it all.

use super::{Ruled, Step};
use crate::limits::{MAX_STEP_BYTES, MAX_STEPS};
use crate::model::{EventKind, NewStep, StepKey, Task, TaskStep};
use crate::rejection::{Reason, Rejection};
use crate::rules::transition::Move;

impl Step<'_, '_> {
    /// Records steps of a running attempt whose lease was checked. One that is recorded with the same result changes nothing.
    pub(super) fn record_steps(&mut self, task: &mut Task, steps: &[NewStep]) -> Ruled<()> {
        let run = (task.namespace, task.id, task.run);
        self.ws.want_steps(run, steps.iter().map(|step| &step.key))?;
        for step in steps {
            match self.ws.step_digest(run, &step.key)? {
                Some(recorded) if recorded == step.digest => {}
                Some(_) => return Err(exists(task, &step.key).into()),
                None => self.record(task, step)?,
            }
        }
        Ok(())
    }

    /// Whether the task's run has just this result of a step.
    pub(super) fn is_recorded(&self, task: &Task, step: &NewStep) -> Ruled<bool> {
        let recorded = self.ws.step_digest((task.namespace, task.id, task.run), &step.key)?;
        Ok(recorded == Some(step.digest))
    }

    fn record(&mut self, task: &mut Task, step: &NewStep) -> Ruled<()> {
        let totals = self.ws.step_totals((task.namespace, task.id, task.run));
        let size = step.result.len() as u64;
        if totals.count >= MAX_STEPS {
            let remedy = "put several results into one step, or divide the work into more tasks";
            return Err(Rejection::limit("steps of a run", MAX_STEPS, remedy).into());
        }
        if totals.bytes.saturating_add(size) > MAX_STEP_BYTES {
            let limit = format!("{MAX_STEP_BYTES} bytes");
            let remedy = "keep large results elsewhere, and let the step give where they are";
            return Err(Rejection::limit("results of a run's steps", limit, remedy).into());
        }
        self.step_state(task, Move::Hear(self.cx.now))?;
        self.tell(task, EventKind::Checkpointed { step: Some(step.key.clone()), child: None });
        self.write(task);
        self.ws.add_step(TaskStep {
            namespace: task.namespace,
            task: task.id,
            run: task.run,
            ordinal: totals.count + 1,
            key: step.key.clone(),
            attempt: task.attempt,
            recorded_at: self.cx.now,
            result: step.result.clone(),
            digest: step.digest,
            bytes_so_far: totals.bytes + size,
        });
        Ok(())
    }
}

/// The first result counts: it is what another attempt may have been given.
fn exists(task: &Task, StepKey { name, occurrence }: &StepKey) -> Rejection {
    let message = format!(
        "step: run {} of task {} has another result of step {name:?} (occurrence {occurrence}) recorded, which stays; \
         call the step otherwise",
        task.run, task.id
    );
    Rejection::new(Reason::StepExists, message)
}
