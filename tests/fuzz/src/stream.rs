//! Any bytes as what an agent does.

use crate::world::{World, blameless, method, run};
use bytes::Bytes;
use callboard_core::model::{EventKind, NamespaceId, TaskId};
use callboard_proto::v1;
use callboard_store::EventScope;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use v1::attach_request::Frame as Said;
use v1::attach_response::Frame;
use v1::report::Kind;

/// How many steps an input has, at most.
const STEPS: usize = 48;
/// The bytes of the payload that is given as output.
const OUTPUT: i64 = 6;

/// Bytes as steps of an agent, two each: what it does, and to what. In the end every task has one outcome for each run and its
/// events without a gap, and the server still does what it is for. Gives what happened to tasks, by the names of their states.
pub fn stream(data: &[u8]) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    run(async |world| {
        let mut agent = Agent::new(&world);
        for _ in 0..3 {
            agent.create("t").await;
        }
        agent.attach(0xff, true).await;
        let mut rest = data;
        for _ in 0..STEPS {
            let Some((step, behind)) = rest.split_at_checked(2) else { break };
            rest = agent.step(step[0], step[1], behind).await;
            agent.listen().await;
        }
        drop(agent);
        reached = history(&world).await;
        still_works(&world).await;
    });
    reached
}

struct Agent<'a> {
    world: &'a World,
    /// What it says goes here, and what it hears comes from here.
    open: Option<(mpsc::UnboundedSender<Bytes>, Streaming<Bytes>)>,
    /// Every attempt that it ever had.
    attempts: Vec<v1::Attempt>,
    /// The tasks whose ends it wants to be told on its stream, each as often as it said so.
    awaited: Vec<String>,
    /// It said something of which nobody knows what it is.
    said_anything: bool,
    mail: Vec<String>,
    report: i64,
    epoch: i64,
}

impl<'a> Agent<'a> {
    fn new(world: &'a World) -> Self {
        let (attempts, mail) = (Vec::new(), Vec::new());
        Self { world, open: None, attempts, awaited: Vec::new(), said_anything: false, mail, report: 0, epoch: 0 }
    }

    /// Does one thing; gives back what of the input it did not use.
    async fn step<'d>(&mut self, what: u8, which: u8, rest: &'d [u8]) -> &'d [u8] {
        match what % 16 {
            0 => {
                let (frame, rest) = rest.split_at(usize::from(which).min(rest.len()));
                self.said_anything = true;
                self.send(Bytes::copy_from_slice(frame));
                return rest;
            }
            1..=4 => {
                if let Some(attempt) = self.attempt(which) {
                    self.report(attempt, which / 8, 1);
                }
            }
            5 => {
                if let Some(attempt) = self.attempt(which) {
                    self.report(spoil(attempt, which), which / 8, 1);
                }
            }
            6 => {
                if let Some(attempt) = self.attempt(which) {
                    self.report(attempt, which / 8, 3);
                }
            }
            7 => self.say(Said::Slots(v1::SlotsChange { slots: i32::from(which % 8) })),
            8 if which >= 0xe0 => self.say(Said::Drain(v1::DrainRequest {})),
            8 if which >= 0x80 => self.await_ends(which),
            8 => self.say(Said::Heartbeat(v1::Heartbeat {})),
            9 => self.post(which),
            10 => {
                let message_ids = self.mail.iter().take(usize::from(which)).cloned().collect();
                self.say(Said::Acknowledgements(v1::MessageAcknowledgementBatch { message_ids }));
            }
            11 => self.attach(which, true).await,
            12 => {
                self.open = None;
                self.attach(which, which.is_multiple_of(2)).await;
            }
            13 => tokio::time::sleep(Duration::from_millis(u64::from(which) * 100)).await,
            14 if which >= 0x80 => self.create_child(which).await,
            14 => self.create("t").await,
            _ => self.steer(which).await,
        }
        rest
    }

    fn attempt(&self, which: u8) -> Option<v1::Attempt> {
        let known = self.attempts.len();
        // The latest are the most interesting.
        (known > 0).then(|| self.attempts[known - 1 - usize::from(which % 8) % known].clone())
    }

    /// Attaches, in the same process or in another, with some of the attempts that it ever had.
    async fn attach(&mut self, held: u8, same_process: bool) {
        let held = self.attempts.iter().rev().enumerate().filter(|(n, _)| held & (1 << (n % 8)) != 0);
        let hello = v1::Hello {
            profile: Some(profile("ann", &["t"])),
            held: held.map(|(_, attempt)| attempt.clone()).take(8).collect(),
            features: ["cancellation", "drain", "messages", "message_receipts", "children"].map(String::from).into(),
            previous_epoch: if same_process { self.epoch } else { 0 },
            instance_id: if same_process { "one" } else { "another" }.into(),
            ..v1::Hello::default()
        };
        self.awaited.clear();
        let (sender, receiver) = mpsc::unbounded_channel();
        let first = v1::AttachRequest { frame: Some(Said::Hello(hello)) };
        let _ = sender.send(first.encode_to_vec().into());
        match self.world.stream(method("Attach"), UnboundedReceiverStream::new(receiver)).await {
            Ok(answers) => self.open = Some((sender, answers)),
            Err(status) => blameless(&status),
        }
        self.listen().await;
    }

    /// Hears what there is.
    async fn listen(&mut self) {
        while let Some((_, answers)) = &mut self.open {
            match tokio::time::timeout(Duration::from_millis(1), answers.message()).await {
                Err(_) => return,
                Ok(Ok(Some(answer))) => {
                    let answer = v1::AttachResponse::decode(answer).expect("a frame of ours can be read");
                    self.hear(answer.frame.expect("a frame of ours says something"));
                }
                Ok(Ok(None)) => self.open = None,
                Ok(Err(status)) => {
                    blameless(&status);
                    self.open = None;
                }
            }
        }
    }

    fn hear(&mut self, frame: Frame) {
        match frame {
            Frame::Welcome(welcome) => {
                assert!(welcome.session_epoch > self.epoch, "epochs rise");
                self.epoch = welcome.session_epoch;
            }
            Frame::Assignments(batch) => {
                for attempt in batch.assignments.into_iter().filter_map(|assignment| assignment.attempt) {
                    assert!(!self.attempts.contains(&attempt), "an attempt is pushed once");
                    self.attempts.push(attempt);
                }
            }
            Frame::Resumptions(batch) => {
                let known = |resumption: &v1::Resumption| {
                    resumption.attempt.as_ref().is_some_and(|attempt| self.attempts.contains(attempt))
                };
                assert!(batch.resumptions.iter().all(known), "only what was assigned goes on");
            }
            Frame::TaskEnds(batch) => {
                for end in batch.ends {
                    let known = self.awaited.iter().position(|id| *id == end.task_id);
                    assert!(known.is_some() || self.said_anything, "an end is told to who awaits it, and once");
                    known.into_iter().for_each(|place| drop(self.awaited.swap_remove(place)));
                }
            }
            Frame::Messages(batch) => self.mail.extend(batch.messages.into_iter().map(|message| message.id)),
            _ => {}
        }
    }

    fn report(&mut self, attempt: v1::Attempt, kind: u8, times: usize) {
        let payload =
            Some(v1::Payload { content: Some(v1::payload::Content::Text("\0 here".into())), ..v1::Payload::default() });
        let kind = match kind {
            18..=20 => Kind::Pause(v1::Pause {}),
            21..=23 => Kind::Resume(v1::Resume {}),
            // What was given before, what comes next, or with a gap.
            24..=26 => Kind::Output(v1::OutputBatch {
                offset: i64::from(kind - 24) * OUTPUT,
                chunks: payload.into_iter().collect(),
            }),
            _ => self.plain(kind, payload),
        };
        self.report += 1;
        let report = v1::Report { report_id: self.report, attempt: Some(attempt), kind: Some(kind) };
        self.say(Said::Reports(v1::ReportBatch { reports: vec![report; times] }));
    }

    /// What agents report that know no children.
    fn plain(&self, kind: u8, payload: Option<v1::Payload>) -> Kind {
        match kind % 9 {
            0 | 1 => Kind::Accepted(v1::Accepted {}),
            2 => Kind::Rejected(v1::Rejected { reason: "drain".into() }),
            3 => Kind::Progress(v1::Progress { fraction: Some(0.5), ..v1::Progress::default() }),
            4 => Kind::Checkpoint(v1::Checkpoint { data: payload }),
            5 | 6 => Kind::Completed(v1::Completion { result: payload }),
            // Another result each time: some are refused.
            8 => Kind::Step(v1::StepRecord { name: format!("{}", self.report % 3), occurrence: 0, result: payload }),
            _ => Kind::Failed(v1::FailureReport {
                failure: Some(v1::Failure { r#type: "Flaky".into(), message: "a\0b".into(), ..v1::Failure::default() }),
            }),
        }
    }

    /// Wants to hear of tasks that it had, and of one that there isn't.
    fn await_ends(&mut self, which: u8) {
        let known = self.attempts.iter().map(|attempt| attempt.task_id.clone()).take(usize::from(which % 8));
        let task_ids: Vec<String> = known.chain(["00000000-0000-0000-0000-000000000000".into()]).collect();
        if self.open.is_some() {
            self.awaited.extend(task_ids.iter().cloned());
        }
        self.say(Said::Awaits(v1::TaskAwaitBatch { task_ids }));
    }

    /// Creates a child of an attempt, current or not.
    async fn create_child(&mut self, which: u8) {
        let request = v1::CreateChildRequest {
            parent: self.attempt(which),
            name: "child".into(),
            occurrence: i32::from(which / 8 % 4),
            task: Some(v1::TaskSpec { r#type: "t".into(), ..v1::TaskSpec::default() }),
            ..v1::CreateChildRequest::default()
        };
        let answer = self.world.call(method("CreateChild"), request.encode_to_vec().into()).await;
        answer.map(drop).unwrap_or_else(|status| blameless(&status));
    }

    fn post(&mut self, which: u8) {
        let to = if which.is_multiple_of(4) { "bob" } else { "ann" };
        let message = v1::NewMessage {
            to: Some(v1::Address { to: Some(v1::address::To::Agent(to.into())) }),
            ..v1::NewMessage::default()
        };
        let send = v1::MessageSend { request_id: format!("{}", which % 16), message: Some(message) };
        self.say(Said::Messages(v1::MessageSendBatch { messages: vec![send] }));
    }

    /// Somebody cancels or retries a task.
    async fn steer(&mut self, which: u8) {
        let Some(v1::Attempt { task_id, .. }) = self.attempt(which) else { return };
        let answer = match which.is_multiple_of(3) {
            true => {
                let request = v1::RetryTaskRequest { task_id, ..v1::RetryTaskRequest::default() };
                self.world.call(method("RetryTask"), request.encode_to_vec().into()).await
            }
            false => {
                let request = v1::CancelTaskRequest { task_id, ..v1::CancelTaskRequest::default() };
                self.world.call(method("CancelTask"), request.encode_to_vec().into()).await
            }
        };
        answer.map(drop).unwrap_or_else(|status| blameless(&status));
    }

    async fn create(&mut self, task_type: &str) {
        let spec = v1::TaskSpec { r#type: task_type.into(), ..v1::TaskSpec::default() };
        let request = v1::CreateTaskRequest { task: Some(spec), ..v1::CreateTaskRequest::default() };
        self.world.call(method("CreateTask"), request.encode_to_vec().into()).await.expect("a task is created");
    }

    fn say(&mut self, frame: Said) {
        self.send(v1::AttachRequest { frame: Some(frame) }.encode_to_vec().into());
    }

    fn send(&mut self, frame: Bytes) {
        if let Some((sender, _)) = &self.open {
            // Nobody listens to a stream that has ended.
            let _ = sender.send(frame);
        }
    }
}

/// Another attempt, another token, another task.
fn spoil(attempt: v1::Attempt, how: u8) -> v1::Attempt {
    match how % 4 {
        0 => v1::Attempt { attempt: attempt.attempt + 1, ..attempt },
        1 => v1::Attempt { attempt: attempt.attempt.wrapping_sub(1), ..attempt },
        2 => v1::Attempt { lease_token: "0".repeat(32), ..attempt },
        _ => v1::Attempt { task_id: "00000000-0000-0000-0000-000000000000".into(), ..attempt },
    }
}

fn profile(name: &str, types: &[&str]) -> v1::AgentProfile {
    v1::AgentProfile {
        name: name.into(),
        agent_type: "worker".into(),
        slots: 2,
        handles: types.iter().map(|t| v1::TaskHandler { r#type: (*t).into(), ..v1::TaskHandler::default() }).collect(),
        ..v1::AgentProfile::default()
    }
}

/// Events have no gaps, and each run one outcome at most.
async fn history(world: &World) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let page = world.engine.store().events(EventScope::Namespace(NamespaceId(1)), None, 10_000).await;
    let mut last: BTreeMap<TaskId, (i64, u32, bool)> = BTreeMap::new();
    for event in page.expect("events can be read").events {
        let (sequence, run, ended) = last.entry(event.task).or_insert((0, 1, false));
        assert_eq!(event.sequence, *sequence + 1, "events have no gaps");
        *sequence = event.sequence;
        if event.run != *run {
            assert_eq!(event.run, *run + 1, "runs come one after the other");
            (*run, *ended) = (event.run, false);
        }
        let ends = matches!(
            event.kind,
            EventKind::Completed { .. }
                | EventKind::Failed { .. }
                | EventKind::Cancelled { .. }
                | EventKind::Skipped { .. }
        );
        assert!(!(ends && *ended), "a run has one outcome");
        *ended |= ends;
        reached.insert(event.state.as_str());
        if event.attempt > 1 {
            reached.insert("another attempt");
        }
    }
    reached
}

/// Another agent is given a task, and ends it.
async fn still_works(world: &World) {
    let mut other = Agent::new(world);
    other.create("last").await;
    let request = v1::ClaimTasksRequest {
        profile: Some(profile("carol", &["last"])),
        max_tasks: 1,
        ..v1::ClaimTasksRequest::default()
    };
    let claimed = world.call(method("ClaimTasks"), request.encode_to_vec().into()).await.expect("a task is claimed");
    let claimed = v1::ClaimTasksResponse::decode(claimed[0].clone()).expect("the claim can be read");
    let attempt = claimed.assignments.into_iter().next().expect("there is a task").attempt;
    let request = v1::CompleteTaskRequest { attempt, ..v1::CompleteTaskRequest::default() };
    world.call(method("CompleteTask"), request.encode_to_vec().into()).await.expect("it is completed");
}
