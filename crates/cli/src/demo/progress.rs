//! How far the review is, as its events tell: bars on a terminal, lines elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use callboard::v1::{Event, EventType, Task, TaskState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::agents::{PLAN, REPORT};

/// What is known of the tasks. Events of tasks that nobody has named yet are kept until then.
#[derive(Debug, Default)]
pub struct Board {
    states: HashMap<String, State>,
    types: HashMap<String, String>,
}

#[derive(Debug, Clone)]
struct State {
    task: TaskState,
    agent: String,
}

/// Tasks of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub total: u64,
    /// Those that have ended.
    pub ended: u64,
    /// The agents that have one now, by name.
    pub agents: Vec<String>,
}

impl Board {
    /// Says the type of a task.
    pub fn name(&mut self, id: &str, task_type: &str) {
        self.types.insert(id.to_owned(), task_type.to_owned());
    }

    /// Takes an event.
    pub fn apply(&mut self, event: &Event) {
        let state = State { task: event.state(), agent: event.agent.clone() };
        let known = self.states.entry(event.task_id.clone()).or_insert_with(|| state.clone());
        known.task = state.task;
        if matches!(event.r#type(), EventType::Assigned | EventType::Started) {
            known.agent = state.agent;
        }
    }

    /// Takes a task as it is now, unless an event told of it already.
    pub fn catch_up(&mut self, task: &Task) {
        let state = State { task: task.state(), agent: task.agent.clone() };
        self.states.entry(task.id.clone()).or_insert(state);
    }

    /// The task that an agent is running, if it is.
    pub fn running(&self, agent: &str) -> Option<&str> {
        let own = |state: &State| state.agent == agent && state.task == TaskState::Running;
        self.states.iter().find(|(_, state)| own(state)).map(|(id, _)| id.as_str())
    }

    /// The tasks by type, in the order of the work.
    pub fn tallies(&self) -> Vec<(&str, Tally)> {
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for (id, task_type) in &self.types {
            let tally = tallies.entry(task_type).or_default();
            tally.total += 1;
            let Some(state) = self.states.get(id) else { continue };
            match state.task {
                TaskState::Completed | TaskState::Failed | TaskState::Cancelled | TaskState::Skipped => {
                    tally.ended += 1
                }
                TaskState::Assigned | TaskState::Running => tally.agents.push(state.agent.clone()),
                _ => {}
            }
        }
        tallies.values_mut().for_each(|tally| {
            tally.agents.sort();
            tally.agents.dedup();
        });
        let mut tallies: Vec<_> = tallies.into_iter().collect();
        tallies.sort_by_key(|(task_type, _)| match *task_type {
            PLAN => 0,
            REPORT => 2,
            _ => 1,
        });
        tallies
    }
}

/// Shows the board to a person.
pub enum Display {
    /// On a terminal.
    Bars {
        /// All bars.
        all: MultiProgress,
        /// One for each task type.
        bars: BTreeMap<String, ProgressBar>,
    },
    /// Anywhere else: a line when a tenth more of a type has ended.
    Lines {
        /// Tenths that were told, by type.
        told: BTreeMap<String, u64>,
    },
}

impl Display {
    /// Bars if standard error is a terminal.
    pub fn new() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Self::Lines { told: BTreeMap::new() }
        }
    }

    /// Shows how far the tasks are.
    pub fn show(&mut self, board: &Board) {
        for (task_type, tally) in board.tallies() {
            match self {
                Self::Bars { all, bars } => {
                    let bar = bars.entry(task_type.to_owned()).or_insert_with(|| new_bar(all, task_type));
                    bar.set_length(tally.total);
                    bar.set_position(tally.ended);
                    bar.set_message(tally.agents.join(", "));
                    if tally.ended == tally.total {
                        bar.finish();
                    }
                }
                Self::Lines { told } => {
                    let tenth = tally.ended * 10 / tally.total.max(1);
                    if told.insert(task_type.to_owned(), tenth).is_none_or(|before| before < tenth) {
                        say(&format!(
                            "{task_type:<14} {:>3} of {:<3} {}",
                            tally.ended,
                            tally.total,
                            tally.agents.join(", ")
                        ));
                    }
                }
            }
        }
    }

    /// A line between the bars.
    pub fn note(&self, line: &str) {
        match self {
            Self::Bars { all, .. } => all.suspend(|| say(line)),
            Self::Lines { .. } => say(line),
        }
    }
}

/// However the review ends, the bars go: what is told next begins on a line of its own.
impl Drop for Display {
    fn drop(&mut self) {
        if let Self::Bars { all, bars } = self {
            bars.values().for_each(ProgressBar::finish);
            let _ = all.clear();
        }
    }
}

fn say(line: &str) {
    // Nobody may be reading any more; the review goes on.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn new_bar(all: &MultiProgress, task_type: &str) -> ProgressBar {
    let bar = all.add(ProgressBar::new(0));
    if let Ok(style) = ProgressStyle::with_template("{prefix:14} {bar:32} {pos:>4}/{len:<4} {wide_msg}") {
        bar.set_style(style.progress_chars("█▌·"));
    }
    bar.set_prefix(task_type.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, kind: EventType, state: TaskState, agent: &str) -> Event {
        Event { task_id: id.into(), r#type: kind.into(), state: state.into(), agent: agent.into(), ..Event::default() }
    }

    #[test]
    fn events_before_the_names_count() {
        let mut board = Board::default();
        board.apply(&event("1", EventType::Started, TaskState::Running, "rust-1"));
        board.apply(&event("2", EventType::Completed, TaskState::Completed, "rust-2"));
        assert!(board.tallies().is_empty());
        for id in ["1", "2", "3"] {
            board.name(id, "review.rust");
        }
        let tally = Tally { total: 3, ended: 1, agents: vec!["rust-1".into()] };
        assert_eq!(board.tallies(), [("review.rust", tally)]);
    }

    #[test]
    fn a_running_task_is_its_agents_until_it_is_lost() {
        let mut board = Board::default();
        board.apply(&event("1", EventType::Assigned, TaskState::Assigned, "rust-1"));
        assert_eq!(board.running("rust-1"), None);
        board.apply(&event("1", EventType::Started, TaskState::Running, "rust-1"));
        assert_eq!(board.running("rust-1"), Some("1"));
        board.apply(&event("1", EventType::AttemptLost, TaskState::Ready, "rust-1"));
        assert_eq!(board.running("rust-1"), None);
        board.apply(&event("1", EventType::Started, TaskState::Running, "rust-2"));
        assert_eq!(board.running("rust-2"), Some("1"));
    }
}
