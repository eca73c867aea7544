//! The session as scripts: what the server and the handlers do, and what the agent does then, written as short lines.

mod attaching;
mod cancelling;
mod children;
mod draining;
mod liveness;
mod messages;
mod named;
mod ordering;
mod output;
mod readiness;
mod refusing;
mod reporting;
mod some_children;
mod steps;

use std::collections::HashMap;
use std::time::Duration;

use callboard_proto::v1;
use tonic::Code;
use v1::attach_response::Frame as Inbound;
use v1::report::Kind;

use super::*;
use crate::error::CallError;
use crate::error::reason_name;

const LEASE: Duration = Duration::from_secs(9);

/// What a server of today takes.
const EVERYTHING: [&str; 8] = ["progress", "checkpoint", "drain", "slots", "messages", "steps", "children", "output"];

/// An agent with its clock, and the names of its handlers.
struct Script {
    session: Session,
    now: Moment,
    handlers: HashMap<HandlerId, String>,
    /// Of the reports that were sent, the attempt of each.
    sent: HashMap<i64, v1::Attempt>,
    /// What handlers wait for.
    tickets: HashMap<Ticket, &'static str>,
}

impl Script {
    fn new() -> Self {
        Self::with_slots(10)
    }

    fn with_slots(slots: i32) -> Self {
        let handles = vec![v1::TaskHandler { r#type: "work".into(), ..Default::default() }];
        let config = Config {
            namespace: "n".into(),
            profile: v1::AgentProfile { name: "a".into(), slots, handles, ..Default::default() },
            instance_id: "i".into(),
            addresses: 2,
            drain_timeout: Duration::from_secs(30),
            takes_messages: true,
            seed: 7,
        };
        Self {
            session: Session::new(config),
            now: Moment::ZERO,
            handlers: HashMap::new(),
            sent: HashMap::new(),
            tickets: HashMap::new(),
        }
    }

    /// An agent that is attached, with nothing waiting to be done or sent.
    fn attached() -> Self {
        let mut script = Self::new();
        script.actions();
        script.frames();
        script.welcome(1, &[]);
        script.actions();
        script
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// What the agent does now.
    fn actions(&mut self) -> Vec<String> {
        self.session.advance(self.now);
        let mut lines = Vec::new();
        while let Some(action) = self.session.poll_action() {
            lines.push(self.describe_action(action));
        }
        lines
    }

    /// What the agent sends now.
    fn frames(&mut self) -> Vec<String> {
        self.session.advance(self.now);
        let mut lines = Vec::new();
        while let Some(frame) = self.session.poll_frame(self.now) {
            lines.push(self.describe_frame(frame.frame.expect("a frame has a kind")));
        }
        lines
    }

    fn receive(&mut self, frame: Inbound) {
        self.session.on_frame(self.now, v1::AttachResponse { frame: Some(frame) });
    }

    fn welcome(&mut self, epoch: i64, held: &[&str]) {
        self.welcome_with(epoch, held, &EVERYTHING);
    }

    fn welcome_with(&mut self, epoch: i64, held: &[&str], features: &[&str]) {
        self.receive(Inbound::Welcome(v1::Welcome {
            agent_id: "id".into(),
            session_epoch: epoch,
            lease: Some(crate::time::proto_duration(LEASE)),
            held: held.iter().map(|name| attempt(name)).collect(),
            features: features.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }));
    }

    fn assign(&mut self, names: &[&str]) {
        self.assign_of_type("work", names);
    }

    fn assign_of_type(&mut self, task_type: &str, names: &[&str]) {
        let assignments = names.iter().map(|name| v1::Assignment {
            attempt: Some(attempt(name)),
            spec: Some(v1::TaskSpec { r#type: task_type.into(), ..Default::default() }),
            ..Default::default()
        });
        self.receive(Inbound::Assignments(v1::AssignmentBatch { assignments: assignments.collect() }));
    }

    /// Assigns one, and has its acceptance sent and committed.
    fn running(&mut self, name: &str) {
        self.assign(&[name]);
        self.actions();
        self.frames();
        self.commit_all();
    }

    fn receipt(&mut self, report_id: i64, status: v1::ReceiptStatus) {
        self.receipt_because(report_id, status, v1::ErrorReason::StaleAttempt);
    }

    fn receipt_because(&mut self, report_id: i64, status: v1::ReceiptStatus, reason: v1::ErrorReason) {
        let receipt = v1::Receipt {
            report_id,
            attempt: self.sent.get(&report_id).cloned(),
            status: status.into(),
            reason: reason.into(),
            message: "refused".into(),
            ..Default::default()
        };
        self.receive(Inbound::Receipts(v1::ReceiptBatch { receipts: vec![receipt] }));
    }

    fn commit(&mut self, report_id: i64) {
        self.receipt(report_id, v1::ReceiptStatus::Committed);
    }

    fn commit_all(&mut self) {
        let mut ids: Vec<i64> = self.sent.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.commit(id));
    }

    fn cancellation(&mut self, name: &str, reason: v1::CancellationReason) {
        let cancellation =
            v1::Cancellation { attempt: Some(attempt(name)), reason: reason.into(), ..Default::default() };
        self.receive(Inbound::Cancellations(v1::CancellationBatch { cancellations: vec![cancellation] }));
    }

    fn complete(&mut self, name: &str) {
        let handler = self.handler(name);
        self.session.on_finished(self.now, handler, Outcome::Completed(v1::Payload::default()));
    }

    fn fail(&mut self, name: &str, failure_type: &str) {
        let handler = self.handler(name);
        let failure = v1::Failure { r#type: failure_type.into(), ..Default::default() };
        self.session.on_finished(self.now, handler, Outcome::failed(failure));
    }

    fn progress(&mut self, name: &str, fraction: f64) {
        let handler = self.handler(name);
        self.session.on_progress(self.now, handler, v1::Progress { fraction: Some(fraction), ..Default::default() });
    }

    fn checkpoint(&mut self, name: &str, ticket: Ticket) {
        let handler = self.handler(name);
        self.tickets.insert(ticket, "checkpoint");
        self.session.on_checkpoint(self.now, handler, v1::Payload::default(), ticket);
    }

    fn step(&mut self, name: &str, step: &str, ticket: Ticket) {
        let handler = self.handler(name);
        self.tickets.insert(ticket, "step");
        self.session.on_step(self.now, handler, v1::StepRecord { name: step.into(), ..Default::default() }, ticket);
    }

    /// The handler waits for a child.
    fn wait(&mut self, name: &str, child: &str, wait: WaitId) {
        self.wait_for(name, 1, &[child], wait);
    }

    /// The handler waits until so many of these children have completed.
    fn wait_for(&mut self, name: &str, count: usize, children: &[&str], wait: WaitId) {
        let handler = self.handler(name);
        let children = children.iter().map(ToString::to_string).collect();
        self.session.on_wait(handler, Quorum::new(children, count), wait);
    }

    fn give_up(&mut self, wait: WaitId) {
        self.session.on_wait_given_up(self.now, wait);
    }

    fn end(&mut self, child: &str, state: v1::TaskState) {
        let end = v1::TaskEnd { task_id: child.into(), state: state.into(), ..Default::default() };
        self.receive(Inbound::TaskEnds(v1::TaskEndBatch { ends: vec![end] }));
    }

    fn resumption(&mut self, name: &str, deadline: Option<i64>) {
        let deadline = deadline.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
        let resumptions = vec![v1::Resumption { attempt: Some(attempt(name)), deadline }];
        self.receive(Inbound::Resumptions(v1::ResumptionBatch { resumptions }));
    }

    /// The report is durable, and the task has this state by it.
    fn commit_as(&mut self, report_id: i64, state: v1::TaskState) {
        let receipt = v1::Receipt {
            report_id,
            attempt: self.sent.get(&report_id).cloned(),
            status: v1::ReceiptStatus::Committed.into(),
            state: state.into(),
            ..Default::default()
        };
        self.receive(Inbound::Receipts(v1::ReceiptBatch { receipts: vec![receipt] }));
    }

    fn output(&mut self, name: &str, text: &str, ticket: Ticket) {
        let handler = self.handler(name);
        self.tickets.insert(ticket, "output");
        self.session.on_output(self.now, handler, Piece::Text(text.into()), ticket);
    }

    /// The stream breaks.
    fn breaks(&mut self) {
        self.breaks_with(Code::Unavailable, v1::ErrorReason::Unspecified);
    }

    /// The server ends the stream in an orderly way.
    fn is_let_go(&mut self) {
        self.session.on_disconnected(self.now, None);
    }

    fn breaks_with(&mut self, code: Code, reason: v1::ErrorReason) {
        let refused = CallError::local(code, reason, "broken");
        self.session.on_disconnected(self.now, Some(refused));
    }

    /// Breaks, waits as long as it has to, and opens the stream again: what the hello says.
    fn comes_back(&mut self) -> Vec<String> {
        self.breaks();
        self.reopens()
    }

    fn reopens(&mut self) -> Vec<String> {
        self.now = self.now.max(self.session.next_wake().expect("it tries again"));
        let actions = self.actions();
        assert!(actions.last().is_some_and(|line| line.starts_with("connect")), "{actions:?}");
        self.frames()
    }

    fn handler(&self, name: &str) -> HandlerId {
        let found = self.handlers.iter().find(|(_, known)| *known == name);
        *found.unwrap_or_else(|| panic!("no handler of {name} was started")).0
    }

    fn describe_action(&mut self, action: Action) -> String {
        let name_of = |handler: &HandlerId| self.handlers.get(handler).cloned().unwrap_or_default();
        match action {
            Action::Connect(Target::Address(index)) => format!("connect {index}"),
            Action::Connect(Target::Endpoint(endpoint)) => format!("connect {endpoint}"),
            Action::Disconnect => "disconnect".into(),
            Action::Attached { epoch, .. } => format!("attached {epoch}"),
            Action::Start { handler, assignment, .. } => {
                let name = name(assignment.attempt.as_ref().expect("an assignment has an attempt"));
                self.handlers.insert(handler, name.clone());
                format!("start {name}")
            }
            Action::Cancel { handler, reason } => {
                let reason = reason.as_str_name().trim_start_matches("CANCELLATION_REASON_");
                format!("cancel {} {reason}", name_of(&handler))
            }
            Action::Abort(handler) => format!("abort {}", name_of(&handler)),
            Action::ReportDone { ticket, result } => {
                let what = self.tickets.get(&ticket).copied().unwrap_or_default();
                format!("{what} {ticket} {}", result.map_or_else(|error| error.reason().to_owned(), |()| "ok".into()))
            }
            Action::WaitDone { wait, result } => {
                let what = match result {
                    Ok(Awaited::Ended(ends)) => {
                        let state =
                            |end: &v1::TaskEnd| end.state().as_str_name().trim_start_matches("TASK_STATE_").to_owned();
                        match ends.as_slice() {
                            [one] => state(one),
                            ends => {
                                let told = ends.iter().map(|end| format!("{} {}", end.task_id, state(end)));
                                told.collect::<Vec<_>>().join(", ")
                            }
                        }
                    }
                    Ok(Awaited::Ask) => "ask".into(),
                    Err(error) => error.reason().to_owned(),
                };
                format!("wait {wait} {what}")
            }
            Action::WaitOver { wait, rest } => format!("over {wait} without {}", rest.join(" ")),
            Action::Deadline { handler, deadline } => format!("deadline {} {}", name_of(&handler), deadline.seconds),
            Action::Handle(message) => format!("handle {}", message.id),
            Action::AbortMessage => "abort message".into(),
            Action::SendDone { ticket, result } => {
                let what = result.map_or_else(|error| error.reason().to_owned(), |receipt| receipt.message_id);
                format!("sent {ticket} {what}")
            }
            Action::Stop(result) => {
                format!("stop {}", result.map_or_else(|error| error.reason().to_owned(), |()| "ok".into()))
            }
        }
    }

    fn describe_frame(&mut self, frame: v1::attach_request::Frame) -> String {
        match frame {
            Frame::Hello(hello) => {
                let held: Vec<String> = hello.held.iter().map(name).collect();
                format!("hello {} [{}]", hello.previous_epoch, held.join(" "))
            }
            Frame::Heartbeat(_) => "heartbeat".into(),
            Frame::Drain(_) => "drain".into(),
            Frame::Slots(_) => "slots".into(),
            Frame::Awaits(batch) => format!("await {}", batch.task_ids.join(" ")),
            Frame::Messages(batch) => {
                let sent: Vec<&str> = batch.messages.iter().map(|send| send.request_id.as_str()).collect();
                format!("send {}", sent.join(" "))
            }
            Frame::Acknowledgements(batch) => format!("acknowledge {}", batch.message_ids.join(" ")),
            Frame::Reports(batch) => {
                let reports: Vec<String> =
                    batch.reports.into_iter().map(|report| self.describe_report(report)).collect();
                reports.join(", ")
            }
        }
    }

    fn describe_report(&mut self, report: v1::Report) -> String {
        let attempt = report.attempt.expect("a report has an attempt");
        self.sent.insert(report.report_id, attempt.clone());
        let kind = match report.kind.expect("a report has a kind") {
            Kind::Accepted(_) => "accepted".to_owned(),
            Kind::Rejected(rejected) => format!("rejected ({})", rejected.reason),
            Kind::Progress(progress) => format!("progress {}", progress.fraction.unwrap_or(-1.0)),
            Kind::Checkpoint(_) => "checkpoint".to_owned(),
            Kind::Step(step) => format!("step {}", step.name),
            Kind::Pause(_) => "pause".to_owned(),
            Kind::Resume(_) => "resume".to_owned(),
            Kind::Output(output) => {
                let chunk = |chunk: &v1::Payload| match crate::from_payload::<String>(chunk) {
                    Ok(text) if text.len() < 20 => text,
                    _ => format!("{} bytes", crate::payload::size(chunk)),
                };
                let chunks: Vec<String> = output.chunks.iter().map(chunk).collect();
                format!("output at {} [{}]", output.offset, chunks.join("|"))
            }
            Kind::Completed(_) => "completed".to_owned(),
            Kind::Failed(failed) => {
                let failure = failed.failure.unwrap_or_default();
                let permanent = if failure.retryable == Some(false) { " for good" } else { "" };
                format!("failed {}{permanent}", failure.r#type)
            }
        };
        let id = if kind.starts_with("progress") { String::new() } else { format!("{}: ", report.report_id) };
        format!("{id}{} {kind}", name(&attempt))
    }
}

/// `t1/2` is the second attempt of the task t1; its lease token is made of both.
fn attempt(name: &str) -> v1::Attempt {
    let (task, number) = name.split_once('/').expect("task/attempt");
    v1::Attempt {
        task_id: task.into(),
        attempt: number.parse().expect("a number"),
        lease_token: format!("token of {name}"),
    }
}

fn name(attempt: &v1::Attempt) -> String {
    let name = format!("{}/{}", attempt.task_id, attempt.attempt);
    assert_eq!(attempt.lease_token, format!("token of {name}"), "every report carries the lease token");
    name
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const NOTHING: [&str; 0] = [];
