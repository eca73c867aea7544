//! Frames of an agent's stream.

use super::{cut, output, payload, step, task, task_id, time, workflow};
use callboard_core::command::{Fence, Report, StopReason};
use callboard_core::limits::MAX_REASON;
use callboard_core::model::{LeaseToken, Progress, TaskId};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::{Assignment, DependencyOutcome, Receipt, ReceiptStatus, Stop};
use callboard_proto::v1::attach_response::Frame;
use callboard_proto::v1::report::Kind;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use prost::Message;
use std::fmt::Display;
use std::sync::Arc;

/// Reads which attempt is meant.
pub(crate) fn fence(at: impl Display + Copy, attempt: Option<v1::Attempt>, faults: &mut Faults) -> Fence {
    let Some(message) = attempt else {
        faults.add(at, "is missing; give task_id, attempt and lease_token as they were assigned");
        return Fence { task: TaskId(Default::default()), attempt: 0, token: LeaseToken(0) };
    };
    let task = task_id(format_args!("{at}.task_id"), &message.task_id, faults);
    let attempt = u32::try_from(message.attempt).ok().filter(|n| *n > 0).unwrap_or_else(|| {
        faults.add(format!("{at}.attempt"), format!("is {}; give the attempt's number, from 1", message.attempt));
        0
    });
    let token = LeaseToken::from_hex(&message.lease_token).unwrap_or_else(|| {
        faults.add(format!("{at}.lease_token"), "is no lease token; give the 32 hexadecimal digits that were assigned");
        LeaseToken(0)
    });
    Fence { task, attempt, token }
}

/// Writes which attempt is meant.
pub(crate) fn to_attempt(fence: Fence) -> v1::Attempt {
    v1::Attempt {
        task_id: fence.task.to_string(),
        attempt: task::number(fence.attempt),
        lease_token: fence.token.to_hex(),
    }
}

/// Reads a report; `None` for a kind that this server does not know.
pub(crate) fn report(message: v1::Report) -> Result<Option<(Fence, Report)>, Rejection> {
    let mut faults = Faults::default();
    let fence = fence("report.attempt", message.attempt, &mut faults);
    let Some(kind) = message.kind else { return faults.finish().map(|()| None) };
    let report = match kind {
        Kind::Accepted(_) => Report::Accepted,
        Kind::Rejected(rejected) => Report::Rejected { reason: cut(rejected.reason, MAX_REASON) },
        Kind::Progress(said) => Report::Progress(progress("report.progress", said, &mut faults)),
        Kind::Checkpoint(checkpoint) => {
            Report::Checkpoint(payload::checkpoint("report.checkpoint.data", checkpoint.data, &mut faults))
        }
        Kind::Step(record) => Report::Step(step::new_step("report.step", record, &mut faults)),
        Kind::Output(given) => Report::Output(output::batch("report.output", given, &mut faults)),
        Kind::Pause(_) => Report::Pause,
        Kind::Resume(_) => Report::Resume,
        Kind::Completed(completion) => {
            let result = payload::payload("report.completed.result", completion.result, &mut faults);
            Report::Completed { digest: payload::digest(&result), result }
        }
        Kind::Failed(failed) => {
            let failure = payload::failure("report.failed.failure", failed.failure, &mut faults);
            Report::Failed { digest: payload::failure_digest(&failure), failure: Arc::new(failure) }
        }
    };
    faults.finish().map(|()| Some((fence, report)))
}

/// Reads progress. Long texts are cut: progress must never fail a task.
pub(crate) fn progress(at: impl Display + Copy, message: v1::Progress, faults: &mut Faults) -> Progress {
    let fraction = message.fraction.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&fraction) {
        faults.add(format!("{at}.fraction"), format!("is {fraction}; must be 0 to 1"));
    }
    Progress { fraction, phase: cut(message.phase, 128), message: cut(message.message, 1 << 10) }
}

/// Writes an assignment.
pub(crate) fn to_assignment(assignment: &Assignment) -> v1::Assignment {
    let row = &assignment.task;
    let lease = row.state.lease();
    v1::Assignment {
        attempt: Some(to_attempt(assignment.fence)),
        namespace: assignment.namespace.to_string(),
        spec: Some(task::to_spec(&row.spec, Some(&assignment.input))),
        run: task::number(row.run),
        attempts_used: task::number(row.attempts_used),
        checkpoint: assignment.checkpoint.as_deref().map(payload::to_payload),
        dependencies: assignment.dependencies.iter().map(to_dependency).collect(),
        dependencies_truncated: assignment.dependencies_truncated,
        deadline: lease.map(|lease| time::to_timestamp(row.attempt_ends_by(lease))),
        lease_expires_at: lease.and_then(|lease| lease.claim).map(|claim| time::to_timestamp(claim.until)),
        steps: assignment.steps.iter().map(step::to_step).collect(),
        step_count: task::number(assignment.step_count),
        workflow: row.spec.workflow.as_deref().map(workflow::to_link),
    }
}

/// Writes how a dependency ended.
pub(crate) fn to_dependency(outcome: &DependencyOutcome) -> v1::DependencyResult {
    v1::DependencyResult {
        task_id: outcome.task.to_string(),
        r#type: outcome.task_type.to_string(),
        key: outcome.key.clone().unwrap_or_default(),
        state: task::to_state(outcome.state).into(),
        result: outcome.result.as_deref().map(payload::to_payload),
        failure: outcome.failure.as_deref().map(payload::to_failure),
        name: outcome.name.as_deref().unwrap_or_default().to_owned(),
    }
}

/// Assignments in frames that are not larger than both sides take. One that alone is larger goes without the steps of its run, and
/// if need be the results of its dependencies, which are then fetched.
pub(crate) fn assignment_frames(assignments: &[Assignment]) -> Vec<v1::AttachResponse> {
    let mut frames = Vec::new();
    let mut batch = Vec::new();
    let mut size = 0;
    for assignment in assignments {
        let mut message = to_assignment(assignment);
        if message.encoded_len() > MAX_FRAME_BYTES - 64 {
            message.steps.clear();
        }
        if message.encoded_len() > MAX_FRAME_BYTES - 64 {
            message.dependencies.clear();
            message.dependencies_truncated = true;
        }
        let length = message.encoded_len() + 8;
        if size + length > MAX_FRAME_BYTES && !batch.is_empty() {
            frames.push(frame(Frame::Assignments(v1::AssignmentBatch { assignments: std::mem::take(&mut batch) })));
            size = 0;
        }
        size += length;
        batch.push(message);
    }
    if !batch.is_empty() {
        frames.push(frame(Frame::Assignments(v1::AssignmentBatch { assignments: batch })));
    }
    frames
}

/// Writes receipts.
pub(crate) fn receipts(receipts: &[Receipt]) -> v1::AttachResponse {
    let receipts = receipts.iter().map(to_receipt).collect();
    frame(Frame::Receipts(v1::ReceiptBatch { receipts }))
}

fn to_receipt(receipt: &Receipt) -> v1::Receipt {
    let mut message =
        v1::Receipt { report_id: receipt.report_id, attempt: Some(to_attempt(receipt.fence)), ..Default::default() };
    match &receipt.status {
        ReceiptStatus::Committed(state) => {
            message.set_status(v1::ReceiptStatus::Committed);
            message.set_state(task::to_state(*state));
        }
        ReceiptStatus::Refused(reason, text) => {
            message.set_status(v1::ReceiptStatus::Refused);
            message.set_reason(crate::status::reason(*reason).1);
            message.message = text.clone();
        }
        ReceiptStatus::Retry(text) => {
            message.set_status(v1::ReceiptStatus::Retry);
            message.message = text.clone();
        }
    }
    message
}

/// A receipt for a report that could not be read.
pub(crate) fn refused(report_id: i64, attempt: Option<v1::Attempt>, rejection: Rejection) -> v1::AttachResponse {
    let mut receipt = v1::Receipt { report_id, attempt, message: rejection.message, ..Default::default() };
    receipt.set_status(v1::ReceiptStatus::Refused);
    receipt.set_reason(crate::status::reason(rejection.reason).1);
    frame(Frame::Receipts(v1::ReceiptBatch { receipts: vec![receipt] }))
}

/// Writes attempts to stop.
pub(crate) fn stops(stops: &[Stop]) -> v1::AttachResponse {
    let cancellations = stops.iter().map(|stop| {
        let mut message =
            v1::Cancellation { attempt: Some(to_attempt(stop.fence)), message: stop.message.clone(), reason: 0 };
        message.set_reason(match stop.reason {
            StopReason::Requested => v1::CancellationReason::Requested,
            StopReason::LeaseLost => v1::CancellationReason::LeaseLost,
            StopReason::TimedOut => v1::CancellationReason::TimedOut,
        });
        message
    });
    frame(Frame::Cancellations(v1::CancellationBatch { cancellations: cancellations.collect() }))
}

/// A frame.
pub(crate) fn frame(frame: Frame) -> v1::AttachResponse {
    v1::AttachResponse { frame: Some(frame) }
}
