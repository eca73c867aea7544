//! What a scenario has the proxy do to what passes.

use super::record::{Item, Record, Way, items_down, items_up};
use crate::value::matches;
use callboard_proto::v1;
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Something done to every item that fits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the item must say: `way`, `kind`, `of`, `task_id`, …
    pub on: Value,
    /// What is done.
    #[serde(rename = "do")]
    pub action: Action,
    /// How often; always, if unsaid.
    pub times: Option<u32>,
    /// Set while it is in force; by this it is taken back.
    #[serde(default)]
    pub name: String,
}

/// What is done to an item.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It does not arrive.
    Withhold,
    /// Its frame arrives twice.
    Duplicate,
    /// Its frame, and all behind it, arrive so many milliseconds later.
    Delay(u64),
    /// A receipt says: try again.
    Retry,
    /// Its times are those of a clock that is so many milliseconds ahead.
    Skew(i64),
    /// A call is refused as unavailable, and does not reach the server.
    Refuse,
    /// A call is carried out, and its answer lost: it is refused as unavailable. An outcome says so in place of what it said.
    LoseAnswer,
    /// A call is refused as exhausted, with a word to try again in so many milliseconds. An outcome says so in place of what it said.
    TryLater(u64),
    /// A call is answered as by a server that has no such method.
    Unimplemented,
    /// A welcome doesn't list this feature: the server is one of the time before it.
    Hide(String),
}

/// The rules of a scenario, shared by its proxies.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Mutex<Vec<Rule>>,
}

/// What becomes of a frame.
#[derive(Debug)]
pub struct Passed<F> {
    /// As it is to go on; `None` when nothing is left of it.
    pub frame: Option<F>,
    /// Whether it is otherwise than it came.
    pub changed: bool,
    /// How often it is said.
    pub times: u32,
    /// How much later.
    pub delay: Duration,
}

impl Rules {
    /// From now on.
    pub fn add(&self, rule: Rule) {
        self.lock().push(rule);
    }

    /// No longer; all of them when no name is given.
    pub fn remove(&self, name: &str) {
        self.lock().retain(|rule| !name.is_empty() && rule.name != name);
    }

    /// What is to be done to an item, in the order of the rules. Each counts as done.
    pub fn actions(&self, way: Way, stream: u32, item: &Item) -> Vec<Action> {
        let mut said = item.1.clone();
        said["way"] = if way == Way::Up { "up" } else { "down" }.into();
        said["kind"] = item.0.into();
        said["stream"] = stream.into();
        let mut found = Vec::new();
        for rule in self.lock().iter_mut() {
            if rule.times == Some(0) || matches(&said, &rule.on).is_err() {
                continue;
            }
            rule.times = rule.times.map(|times| times - 1);
            found.push(rule.action.clone());
        }
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of an agent's frame.
    pub fn pass_up(&self, stream: u32, mut frame: v1::AttachRequest, record: &Record) -> Passed<v1::AttachRequest> {
        use v1::attach_request::Frame;
        let mut fate = Fate::default();
        let items = items_up(&frame);
        let keep: Vec<bool> = items.iter().map(|item| fate.see(&self.actions(Way::Up, stream, item))).collect();
        match &mut frame.frame {
            Some(Frame::Reports(batch)) => {
                batch.reports.iter().for_each(|report| record.note_report(report));
                retain(&mut batch.reports, &keep);
            }
            Some(Frame::Acknowledgements(batch)) => retain(&mut batch.message_ids, &keep),
            Some(Frame::Awaits(batch)) => retain(&mut batch.task_ids, &keep),
            _ => {}
        }
        for (item, kept) in items.into_iter().zip(&keep) {
            record.add(Way::Up, stream, if *kept { item } else { withheld(item) });
        }
        fate.of(frame, &keep)
    }

    /// What becomes of a frame of the server.
    pub fn pass_down(&self, stream: u32, mut frame: v1::AttachResponse, record: &Record) -> Passed<v1::AttachResponse> {
        use v1::attach_response::Frame;
        let mut fate = Fate::default();
        let mut keep = Vec::new();
        let mut retried = Vec::new();
        for item in items_down(&frame, record) {
            let actions = self.actions(Way::Down, stream, &item);
            retried.push(actions.contains(&Action::Retry));
            keep.push(fate.see(&actions));
            if keep.last() == Some(&false) {
                record.add(Way::Down, stream, withheld(item));
            }
        }
        match &mut frame.frame {
            Some(Frame::Receipts(batch)) => {
                for (receipt, _) in batch.receipts.iter_mut().zip(&retried).filter(|(_, retried)| **retried) {
                    receipt.set_status(v1::ReceiptStatus::Retry);
                    fate.changed = true;
                }
                retain(&mut batch.receipts, &keep);
            }
            Some(Frame::Assignments(batch)) => {
                let skew = fate.skew;
                for time in batch.assignments.iter_mut().flat_map(times) {
                    *time = time.map(|time| later(time, skew));
                }
                retain(&mut batch.assignments, &keep);
            }
            Some(Frame::Cancellations(batch)) => retain(&mut batch.cancellations, &keep),
            Some(Frame::TaskEnds(batch)) => retain(&mut batch.ends, &keep),
            Some(Frame::Resumptions(batch)) => retain(&mut batch.resumptions, &keep),
            Some(Frame::Welcome(welcome)) => welcome.features.retain(|feature| !fate.hidden.contains(feature)),
            _ => {}
        }
        let left = fate.of(frame, &keep);
        if let Some(frame) = &left.frame {
            items_down(frame, record).into_iter().for_each(|item| record.add(Way::Down, stream, item));
        }
        left
    }
}

/// What did not arrive, so that a scenario can wait for it.
pub fn withheld((kind, mut said): Item) -> Item {
    said["what"] = kind.into();
    ("withheld", said)
}

fn times(assignment: &mut v1::Assignment) -> [&mut Option<Timestamp>; 2] {
    [&mut assignment.deadline, &mut assignment.lease_expires_at]
}

fn later(time: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp { seconds: time.seconds + milliseconds / 1000, ..time }
}

/// Leaves what is kept.
pub fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut kept = keep.iter().copied();
    items.retain(|_| kept.next().unwrap_or(true));
}

/// What the rules say of a frame as a whole.
#[derive(Debug)]
pub struct Fate {
    /// Whether the frame is otherwise than it came.
    pub changed: bool,
    times: u32,
    delay: Duration,
    skew: i64,
    hidden: Vec<String>,
}

impl Default for Fate {
    fn default() -> Self {
        Self { changed: false, times: 1, delay: Duration::ZERO, skew: 0, hidden: Vec::new() }
    }
}

impl Fate {
    /// Takes in what is done to one item. Whether the item goes on.
    pub fn see(&mut self, actions: &[Action]) -> bool {
        let mut goes_on = true;
        for action in actions {
            match action {
                Action::Withhold => goes_on = false,
                Action::Duplicate => self.times = 2,
                Action::Delay(milliseconds) => self.delay = self.delay.max(Duration::from_millis(*milliseconds)),
                Action::Skew(milliseconds) => {
                    self.skew = *milliseconds;
                    self.changed = true;
                }
                Action::Hide(feature) => {
                    self.hidden.push(feature.clone());
                    self.changed = true;
                }
                Action::Retry | Action::Refuse | Action::LoseAnswer | Action::TryLater(_) | Action::Unimplemented => {}
            }
        }
        self.changed |= !goes_on;
        goes_on
    }

    /// What becomes of the frame, of whose items these are kept.
    pub fn of<F>(self, frame: F, keep: &[bool]) -> Passed<F> {
        let frame = (keep.is_empty() || keep.contains(&true)).then_some(frame);
        Passed { frame, changed: self.changed, times: self.times, delay: self.delay }
    }
}
