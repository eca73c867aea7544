//! What a load asked, what it was answered, and what its handlers did: the facts that a checker holds the server to.

use callboard::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Everything that happened, as seen from outside the server.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Asked tasks.
    pub creations: Vec<Creation>,
    /// Workflows that were acknowledged.
    pub workflows: Vec<String>,
    /// The first task of each that was acknowledged, by the workflow's id.
    pub first_tasks: BTreeMap<String, String>,
    /// Asked cancellations.
    pub cancels: Vec<Steering>,
    /// Asked runs.
    pub retries: Vec<Steering>,
    /// Attempts that handlers ran.
    pub runs: Vec<HandlerRun>,
    /// The slots of agents that are held to them.
    pub slots: BTreeMap<String, i32>,
    /// What of which resource agents said they have; of those that are held to it.
    pub resources: BTreeMap<String, BTreeMap<String, f64>>,
    /// The limits by key, which stand since before the first task was asked for.
    pub limits: Vec<v1::Limit>,
    /// Children that handlers were given.
    pub children: Vec<Child>,
    /// Reports whose receipts were seen.
    pub reports: Vec<Reported>,
    /// Messages that were written.
    pub letters: Vec<Letter>,
    /// Messages that were delivered, in the order in which they came to each reader.
    pub deliveries: Vec<Delivery>,
    /// Messages whose acknowledgement has its receipt, by id.
    pub acknowledged: BTreeSet<String>,
    /// What those saw who watch.
    pub watches: Vec<Watching>,
    /// Answers that no fault explains.
    pub surprises: Vec<String>,
    /// Calls that got no answer, as faults have it; their outcome is not known.
    pub unanswered: Vec<Unanswered>,
}

/// A call that got no answer.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// Which.
    pub call: String,
    /// It was tried again, at every server, until its time was over.
    pub retried: bool,
    /// The error's reason, if the server said one.
    pub reason: String,
    /// What its caller is told.
    pub error: String,
}

impl Unanswered {
    /// Whether a server that ends in an orderly way explains it: it says that it drains and did nothing, or is not there to be
    /// sent it. Not of a call that was tried at the other servers as well, nor of one that was broken off.
    pub fn is_explained_by_a_drain(&self) -> bool {
        let not_sent = NOT_SENT.iter().any(|words| self.error.contains(words));
        !self.retried && (self.reason == DRAINING || not_sent)
    }
}

/// What a watch of the whole namespace saw, over all its streams.
#[derive(Clone, Debug, Default)]
pub struct Watching {
    /// How many creations had been asked for when it began: it must see all tasks of the others. None: it has not begun.
    pub from: Option<usize>,
    /// Every event, by its task and its number there, in the order in which they came.
    pub seen: Vec<(String, i64)>,
}

/// A message that was written, however often it was sent. A sender sends its letters one after the other.
#[derive(Clone, Debug)]
pub struct Letter {
    /// By whom.
    pub sender: String,
    /// Its number among the sender's.
    pub number: u32,
    /// To whom.
    pub to: String,
    /// Every receipt that came.
    pub answers: Vec<v1::MessageReceipt>,
}

/// A message that was delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To whom.
    pub reader: String,
    /// Over which of its streams.
    pub stream: u32,
    /// The message's id.
    pub message_id: String,
    /// Its place in the mailbox.
    pub sequence: i64,
    /// What it says: unique for each letter.
    pub text: String,
    /// Its acknowledgement had its receipt already.
    pub acknowledged: bool,
}

impl Letter {
    /// One that is to be sent.
    pub fn new(sender: &str, number: u32, to: &str) -> Self {
        Self { sender: sender.to_owned(), number, to: to.to_owned(), answers: Vec::new() }
    }

    /// What it says, which is its request id, too.
    pub fn text(&self) -> String {
        format!("{}/{}", self.sender, self.number)
    }
}

/// One request for tasks, however often it was sent.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Unique; every task of it carries this in its metadata.
    pub marker: String,
    /// What was asked, in order.
    pub specs: Vec<v1::TaskSpec>,
    /// It could be repeated safely.
    pub with_request_id: bool,
    /// Every answer that came, with a receipt for each task.
    pub answers: Vec<Vec<v1::TaskReceipt>>,
    /// What it was refused with, if it was.
    pub refused: Option<String>,
}

/// What a call is told that a server no longer takes.
const DRAINING: &str = "DRAINING";
/// What a call is told that could not be sent: there was no connection; or there was one, and its end came before the call's turn.
/// (hyper says so only of a request that it still has whole: the other end never saw any of it.)
const NOT_SENT: [&str; 2] = ["tcp connect error", "operation was canceled: connection closed"];

/// The metadata entry that names the creation.
pub const MARKER: &str = "creation";

/// One request to cancel or retry, however often it was sent.
#[derive(Clone, Debug)]
pub struct Steering {
    /// Of which task.
    pub task_id: String,
    /// Every answer that came.
    pub answers: Vec<v1::TaskReceipt>,
}

/// One run of a handler.
#[derive(Clone, Debug, PartialEq)]
pub struct HandlerRun {
    /// Of which task.
    pub task_id: String,
    /// Of which attempt.
    pub attempt: i32,
    /// In which agent.
    pub agent: String,
    /// From when, since the recorder began.
    pub began: Duration,
    /// Until when; none while it runs, or when its process died.
    pub ended: Option<Duration>,
    /// What it gave.
    pub gave: Option<Said>,
    /// Its output, as far as it gave any.
    pub output: String,
    /// The dependencies that it was shown: id, state, result.
    pub dependencies: Vec<(String, v1::TaskState, Option<String>)>,
}

/// A child that a handler was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Of which task.
    pub parent: String,
    /// Of which of its runs.
    pub run: i32,
    /// Its place among those of the run.
    pub occurrence: u32,
    /// Which task it is.
    pub task_id: String,
}

/// What a handler gives, or a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A result.
    Completed(String),
    /// A failure, by its type.
    Failed(String),
}

/// A report, however often it was sent.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The lease that it names.
    pub attempt: v1::Attempt,
    /// What it says.
    pub said: Said,
    /// It is not the holder's true outcome: it must never be taken.
    pub bogus: bool,
    /// Every receipt that came.
    pub receipts: Vec<Verdict>,
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable.
    Committed,
    /// It changed nothing.
    Refused,
}

/// Collects a history from many workers.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    history: Mutex<History>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { began: Instant::now(), history: Mutex::default() }
    }
}

/// A handler that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Running<'a> {
    recorder: &'a Recorder,
    index: usize,
}

impl Recorder {
    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks at the history, or adds to it.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tasks are about to be asked for.
    pub fn creation(&self, marker: &str, specs: &[v1::TaskSpec], with_request_id: bool) -> usize {
        let mut history = self.history();
        history.creations.push(Creation {
            marker: marker.to_owned(),
            specs: specs.to_vec(),
            with_request_id,
            answers: Vec::new(),
            refused: None,
        });
        history.creations.len() - 1
    }

    /// A letter is about to be sent.
    pub fn letter(&self, letter: Letter) -> usize {
        let mut history = self.history();
        history.letters.push(letter);
        history.letters.len() - 1
    }

    /// A report is about to be sent.
    pub fn report(&self, attempt: v1::Attempt, said: Said, bogus: bool) -> usize {
        let mut history = self.history();
        history.reports.push(Reported { attempt, said, bogus, receipts: Vec::new() });
        history.reports.len() - 1
    }

    /// A receipt came.
    pub fn receipt(&self, report: usize, verdict: Verdict) {
        self.history().reports[report].receipts.push(verdict);
    }

    /// Something happened that no fault explains.
    pub fn surprise(&self, what: String) {
        self.history().surprises.push(what);
    }

    /// An agent is about to say what it has.
    pub fn declares(&self, agent: &str, resources: &BTreeMap<String, f64>) {
        self.history().resources.insert(agent.to_owned(), resources.clone());
    }

    /// A handler begins.
    pub fn run(&self, task_id: &str, attempt: i32, agent: &str) -> Running<'_> {
        let began = self.now();
        let mut history = self.history();
        history.runs.push(HandlerRun {
            task_id: task_id.to_owned(),
            attempt,
            agent: agent.to_owned(),
            began,
            ended: None,
            gave: None,
            output: String::new(),
            dependencies: Vec::new(),
        });
        Running { recorder: self, index: history.runs.len() - 1 }
    }
}

impl Running<'_> {
    /// What the handler gives.
    pub fn gives(&self, said: Said) {
        self.recorder.history().runs[self.index].gave = Some(said);
    }

    /// The handler is about to give output.
    pub fn outputs(&self, text: &str) {
        self.recorder.history().runs[self.index].output.push_str(text);
    }

    /// The handler was given a child.
    pub fn has_child(&self, child: Child) {
        self.recorder.history().children.push(child);
    }

    /// What the handler was shown of its dependencies.
    pub fn saw(&self, dependencies: Vec<(String, v1::TaskState, Option<String>)>) {
        self.recorder.history().runs[self.index].dependencies = dependencies;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let now = self.recorder.now();
        self.recorder.history().runs[self.index].ended = Some(now);
    }
}

impl History {
    /// The ids of every task that was acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = &str> {
        self.creations.iter().flat_map(|creation| &creation.answers).flatten().map(|receipt| receipt.task_id.as_str())
    }

    /// Letters that were acknowledged to their writers and not yet by their readers.
    pub fn under_way(&self) -> usize {
        let receipts = self.letters.iter().filter_map(|letter| letter.answers.first());
        receipts.filter(|receipt| !self.acknowledged.contains(&receipt.message_id)).count()
    }

    /// How many operations were acknowledged: answers and receipts that came, handlers that ended, messages that were delivered.
    pub fn operations(&self) -> u64 {
        let answers = self.creations.iter().map(|creation| creation.answers.len());
        let steered = self.cancels.iter().chain(&self.retries).map(|steering| steering.answers.len());
        let receipts = self.reports.iter().map(|report| report.receipts.len());
        let sent = self.letters.iter().map(|letter| letter.answers.len());
        let counted: usize = answers.chain(steered).chain(receipts).chain(sent).sum();
        let ended = self.runs.iter().filter(|run| run.ended.is_some()).count();
        (counted + ended + self.deliveries.len() + self.acknowledged.len()) as u64
    }

    /// How much there was of everything.
    pub fn summary(&self) -> String {
        let acknowledged = self.creations.iter().filter(|creation| !creation.answers.is_empty()).count();
        let bogus = self.reports.iter().filter(|report| report.bogus).count();
        let receipts: usize = self.reports.iter().map(|report| report.receipts.len()).sum();
        format!(
            "{} requests for tasks ({acknowledged} acknowledged), {} cancellations, {} retries, {} handler runs, {} reports \
             seen ({bogus} bogus) with {receipts} receipts, {} letters with {} deliveries",
            self.creations.len(),
            self.cancels.len(),
            self.retries.len(),
            self.runs.len(),
            self.reports.len(),
            self.letters.len(),
            self.deliveries.len(),
        )
    }
}
