//! Durable steps.

use super::{payload, task, time};
use callboard_core::limits::MAX_HEARTBEAT_STEPS;
use callboard_core::model::{NewStep, StepKey, TaskStep};
use callboard_core::validate::Faults;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;
use std::fmt::Display;

/// Reads a step whose result is to be recorded.
pub(crate) fn new_step(at: impl Display + Copy, record: v1::StepRecord, faults: &mut Faults) -> NewStep {
    faults.step_name(format_args!("{at}.name"), &record.name);
    let occurrence = u32::try_from(record.occurrence).unwrap_or_else(|_| {
        let fault = format!("is {}; count the steps of this name from 0", record.occurrence);
        faults.add(format!("{at}.occurrence"), fault);
        0
    });
    let result = payload::payload(format_args!("{at}.result"), record.result, faults);
    let key = StepKey { name: record.name.into(), occurrence };
    NewStep { key, digest: payload::digest(&result), result }
}

/// Reads those of a heartbeat.
pub(crate) fn new_steps(records: Vec<v1::StepRecord>, faults: &mut Faults) -> Vec<NewStep> {
    let bytes: usize = records.iter().map(Message::encoded_len).sum();
    if bytes > MAX_FRAME_BYTES {
        let fault = format!("have {bytes} bytes; at most {MAX_FRAME_BYTES} (3 MiB) together: send fewer at once");
        faults.too_large("steps", fault);
    }
    if records.len() > MAX_HEARTBEAT_STEPS {
        faults.add("steps", format!("has {} entries; at most {MAX_HEARTBEAT_STEPS}", records.len()));
        return Vec::new();
    }
    let read = |(index, record)| new_step(format_args!("steps[{index}]"), record, faults);
    records.into_iter().enumerate().map(read).collect()
}

/// Writes a step that is recorded.
pub(crate) fn to_step(step: &TaskStep) -> v1::Step {
    v1::Step {
        name: step.key.name.to_string(),
        occurrence: task::number(step.key.occurrence),
        ordinal: task::number(step.ordinal),
        result: Some(payload::to_payload(&step.result)),
        attempt: task::number(step.attempt),
        recorded_at: Some(time::to_timestamp(step.recorded_at)),
    }
}
