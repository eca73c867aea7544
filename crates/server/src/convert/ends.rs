//! Frames of agents that wait for tasks: how those ended, and attempts that go on.

use super::frame::{frame, to_attempt};
use super::{payload, task, task_id, time};
use callboard_core::limits::MAX_AWAITS;
use callboard_core::model::TaskId;
use callboard_core::validate::Faults;
use callboard_engine::{Resumption, TaskEnd};
use callboard_proto::v1::attach_response::Frame;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;

/// Reads which tasks are awaited.
pub(crate) fn awaited(at: &str, ids: &[String], faults: &mut Faults) -> Vec<TaskId> {
    if ids.len() > MAX_AWAITS {
        faults.add(at, format!("has {} entries; at most {MAX_AWAITS} in a frame", ids.len()));
        return Vec::new();
    }
    ids.iter().enumerate().map(|(index, id)| task_id(format_args!("{at}[{index}]"), id, faults)).collect()
}

/// How tasks ended, in frames that are not larger than both sides take.
pub(crate) fn end_frames(ends: &[TaskEnd]) -> Vec<v1::AttachResponse> {
    let (mut frames, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
    for end in ends {
        let message = to_end(end);
        let length = message.encoded_len() + 8;
        if size + length > MAX_FRAME_BYTES && !batch.is_empty() {
            frames.push(frame(Frame::TaskEnds(v1::TaskEndBatch { ends: std::mem::take(&mut batch) })));
            size = 0;
        }
        size += length;
        batch.push(message);
    }
    if !batch.is_empty() {
        frames.push(frame(Frame::TaskEnds(v1::TaskEndBatch { ends: batch })));
    }
    frames
}

fn to_end(end: &TaskEnd) -> v1::TaskEnd {
    let Some(outcome) = &end.outcome else {
        return v1::TaskEnd { task_id: end.task.to_string(), ..v1::TaskEnd::default() };
    };
    v1::TaskEnd {
        task_id: end.task.to_string(),
        state: task::to_state(outcome.state).into(),
        run: task::number(outcome.run),
        result: outcome.result.as_deref().map(payload::to_payload),
        failure: outcome.failure.as_deref().map(payload::to_failure),
        result_omitted: outcome.result_omitted,
    }
}

/// Writes attempts that have a slot again.
pub(crate) fn resumptions(resumptions: &[Resumption]) -> v1::AttachResponse {
    let resumptions = resumptions.iter().map(|resumption| v1::Resumption {
        attempt: Some(to_attempt(resumption.fence)),
        deadline: Some(time::to_timestamp(resumption.deadline)),
    });
    frame(Frame::Resumptions(v1::ResumptionBatch { resumptions: resumptions.collect() }))
}
