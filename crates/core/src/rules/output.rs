//! What attempts give to those who watch: output.
//!
//! It is told from what was given before by how many bytes its attempt had given: one number, which is in the row of the run's
//! last chunk. So a repetition costs no comparison of contents, and a stream of tokens costs its rows alone: the task's own row
//! stays as it is, and there is no event.

use super::{Ruled, Step};
use crate::limits::{MAX_OUTPUT_BYTES, MAX_OUTPUT_CHUNKS};
use crate::model::{OutputBatch, OutputChunk, OutputTotals, Payload, Task};
use crate::rejection::Rejection;
use crate::rules::transition::Move;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Adds output of a running attempt whose lease was checked. What it gave before is not added again.
    pub(super) fn add_output(&mut self, task: &mut Task, batch: &OutputBatch) -> Ruled<()> {
        let run = (task.namespace, task.id, task.run);
        let totals = self.ws.output_totals(run)?;
        let given = totals.of_attempt(task.attempt);
        let new = behind(batch, given)?;
        if new.is_empty() {
            return Ok(());
        }
        check_room(&totals, new)?;
        self.hear_output(task)?;
        let (mut offset, mut attempt_bytes) = (totals.bytes, given);
        for (ordinal, data) in (totals.chunks + 1..).zip(new) {
            let size = data.len() as u64;
            attempt_bytes += size;
            self.ws.add_output(OutputChunk {
                namespace: task.namespace,
                task: task.id,
                run: task.run,
                offset,
                ordinal,
                attempt: task.attempt,
                attempt_bytes,
                given_at: self.cx.now,
                data: data.clone(),
            });
            offset += size;
        }
        Ok(())
    }

    /// Whether an attempt gave all of this before. Only the latest attempt that gave output is known.
    pub(super) fn is_given(&self, task: &Task, attempt: u32, batch: &OutputBatch) -> Ruled<bool> {
        let totals = self.ws.output_totals((task.namespace, task.id, task.run))?;
        Ok(batch.end() <= totals.of_attempt(attempt))
    }

    /// The handler was heard. Only a task that counts its silence has its row written for that.
    fn hear_output(&mut self, task: &mut Task) -> Ruled<()> {
        if task.spec.timeouts.heartbeat.is_some() {
            self.step_state(task, Move::Hear(self.cx.now))?;
            self.write(task);
        }
        Ok(())
    }
}

/// The chunks behind what the attempt has given.
fn behind(batch: &OutputBatch, given: u64) -> Result<&[Arc<Payload>], Rejection> {
    let refuse = |fault: String| Err(Rejection::field("output.offset", fault));
    let offset = batch.offset;
    if offset > given {
        return refuse(format!(
            "is {offset}, and the attempt gave {given} bytes so far; give what comes behind byte {given} first"
        ));
    }
    let mut at = offset;
    for (index, chunk) in batch.chunks.iter().enumerate() {
        if at == given {
            return Ok(&batch.chunks[index..]);
        }
        at = at.saturating_add(chunk.len() as u64);
        if at > given {
            return refuse(format!(
                "is {offset}: chunk {index} goes on behind byte {given}, where the output that the attempt gave before ends; \
                 repeat chunks as they were, or begin at byte {given}"
            ));
        }
    }
    Ok(&[])
}

fn check_room(totals: &OutputTotals, new: &[Arc<Payload>]) -> Result<(), Rejection> {
    let remedy = "keep large output elsewhere, and give where it is";
    let chunks = u32::try_from(new.len()).unwrap_or(u32::MAX);
    if totals.chunks.saturating_add(chunks) > MAX_OUTPUT_CHUNKS {
        let limit = format!("{MAX_OUTPUT_CHUNKS} chunks");
        return Err(Rejection::limit("output of a run", limit, remedy));
    }
    let bytes: u64 = new.iter().map(|chunk| chunk.len() as u64).sum();
    if totals.bytes.saturating_add(bytes) > MAX_OUTPUT_BYTES {
        let limit = format!("{MAX_OUTPUT_BYTES} bytes");
        return Err(Rejection::limit("output of a run", limit, remedy));
    }
    Ok(())
}
