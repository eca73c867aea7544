//! A row of a table: a call with a bad request, and the refusal that it must get.

use crate::stage::Stage;
use bytes::Bytes;
use callboard::v1::ErrorReason;
use callboard_tests::descriptors;
use callboard_tests::refusals::{short_name, well_formed};
use prost_reflect::MessageDescriptor;
use prost_reflect::prost::Message;
use std::fmt;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The code and the reason of a refusal.
pub type Refusal = (Code, ErrorReason);

pub const INVALID: Refusal = (Code::InvalidArgument, ErrorReason::InvalidField);
pub const TOO_LARGE: Refusal = (Code::InvalidArgument, ErrorReason::PayloadTooLarge);
pub const CURSOR: Refusal = (Code::InvalidArgument, ErrorReason::InvalidCursor);
pub const REUSED: Refusal = (Code::InvalidArgument, ErrorReason::RequestIdReused);
pub const NO_NAMESPACE: Refusal = (Code::NotFound, ErrorReason::NamespaceNotFound);
pub const NO_TASK: Refusal = (Code::NotFound, ErrorReason::TaskNotFound);
pub const NO_WORKFLOW: Refusal = (Code::NotFound, ErrorReason::WorkflowNotFound);
pub const WORKFLOW_STATE: Refusal = (Code::FailedPrecondition, ErrorReason::WorkflowState);
pub const NO_AGENT: Refusal = (Code::NotFound, ErrorReason::AgentNotFound);
pub const TASK_STATE: Refusal = (Code::FailedPrecondition, ErrorReason::TaskState);
pub const AGENT_STATE: Refusal = (Code::FailedPrecondition, ErrorReason::AgentState);
pub const STALE: Refusal = (Code::FailedPrecondition, ErrorReason::StaleAttempt);
pub const WRONG_TOKEN: Refusal = (Code::FailedPrecondition, ErrorReason::WrongLeaseToken);
pub const KEY_EXISTS: Refusal = (Code::AlreadyExists, ErrorReason::KeyExists);
pub const STEP_EXISTS: Refusal = (Code::AlreadyExists, ErrorReason::StepExists);
pub const CHILD_EXISTS: Refusal = (Code::AlreadyExists, ErrorReason::ChildExists);
pub const LIMIT: Refusal = (Code::ResourceExhausted, ErrorReason::LimitReached);

/// A row.
#[derive(Debug)]
pub struct Case {
    /// The method.
    pub rpc: &'static str,
    /// The request, in text format; see [`expand`].
    pub request: &'static str,
    /// How it is refused.
    pub refusal: Refusal,
    /// What the message must name. For faults of fields the first is the field at fault.
    pub names: &'static [&'static str],
}

/// A row.
pub const fn case(rpc: &'static str, request: &'static str, refusal: Refusal, names: &'static [&'static str]) -> Case {
    Case { rpc, request, refusal, names }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ {} }}", self.rpc, self.request)
    }
}

impl Case {
    /// Calls, and looks at the answer.
    pub async fn run(&self, stage: &Stage) -> Result<(), String> {
        let method = descriptors::method(self.rpc);
        let request = encode(method.input(), &stage.fill(self.request));
        match stage.client.call(&method, request).await {
            Ok(_) => Err("was accepted".into()),
            Err(status) => {
                // To be read by people, with --nocapture: a message is for them.
                println!("{}: {}", self.rpc, status.message());
                check(&status, self.refusal, &stage.fill_all(self.names))
            }
        }
    }
}

/// Whether a status is the refusal that is expected, in the form that every refusal has.
pub fn check(status: &Status, (code, reason): Refusal, names: &[String]) -> Result<(), String> {
    well_formed(status)?;
    if status.message().contains("  ") {
        return Err(format!("the message has a gap: {:?}", status.message()));
    }
    let details = status.get_error_details();
    let said = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let expected = short_name(reason);
    if (status.code(), said.as_str()) != (code, expected) {
        return Err(format!("expected {code:?} {expected}, got {:?} {said}: {}", status.code(), status.message()));
    }
    if let Some(name) = names.iter().find(|name| !status.message().contains(name.as_str())) {
        return Err(format!("the message does not name {name:?}: {}", status.message()));
    }
    if let Some(field) = names.first().filter(|_| [INVALID, TOO_LARGE, CURSOR].contains(&(code, reason))) {
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        if !violations.iter().any(|violation| violation.field == *field) {
            return Err(format!("{field:?} is no violated field of {violations:?}"));
        }
    }
    Ok(())
}

/// A message in text format as bytes. `ÿ` becomes two bytes that are no UTF-8.
pub fn encode(descriptor: MessageDescriptor, text: &str) -> Bytes {
    let mut bytes = descriptors::from_text(descriptor, text).encode_to_vec();
    let marks: Vec<usize> =
        bytes.windows(2).enumerate().filter(|(_, two)| *two == [0xc3, 0xbf]).map(|(at, _)| at).collect();
    for at in marks {
        bytes[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
    }
    bytes.into()
}

/// Writes out what would be too long for a table: `$(x*3)` is `xxx`; `$[3 tags: 't#']` is `tags: 't0' tags: 't1' tags: 't2'`.
pub fn expand(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(").into_iter().chain(rest.find("$[")).min() {
        out.push_str(&rest[..at]);
        let close = if rest[at..].starts_with("$(") { ')' } else { ']' };
        let end = at + rest[at..].find(close).expect("the end of a repetition");
        let body = &rest[at + 2..end];
        if close == ')' {
            let (unit, times) = body.rsplit_once('*').expect("$(text*times)");
            out.push_str(&unit.repeat(times.parse().expect("how many times")));
        } else {
            let (times, unit) = body.split_once(' ').expect("$[times text]");
            let times: usize = times.parse().expect("how many times");
            (0..times).for_each(|n| out.extend([expand(&unit.replace('#', &n.to_string())).as_str(), " "]));
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}
