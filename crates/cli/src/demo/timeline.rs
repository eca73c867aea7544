//! Who did what, and when: drawn from the histories of the tasks, as the server keeps them.

use std::collections::BTreeMap;
use std::fmt::Write;

use callboard::v1::{Event, EventType};

/// Columns of the drawing.
const WIDTH: usize = 48;

/// A task, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its id.
    pub id: String,
    /// Its type.
    pub task_type: String,
    /// What it is about.
    pub description: String,
    /// What happened to it.
    pub history: Vec<Event>,
}

/// One attempt of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The agent.
    pub agent: String,
    /// The attempt's number.
    pub attempt: i32,
    /// When it began and ended, in microseconds.
    pub from: i64,
    /// When it ended.
    pub to: i64,
    /// How it ended.
    pub end: EventType,
}

/// The attempts of a task, in their order. One that has not ended is left out.
pub fn spans(history: &[Event]) -> Vec<Span> {
    let mut begun: BTreeMap<i32, (String, i64)> = BTreeMap::new();
    let mut spans = Vec::new();
    for event in history {
        match event.r#type() {
            EventType::Assigned | EventType::Started => {
                begun.insert(event.attempt, (event.agent.clone(), micros(event)));
            }
            EventType::Completed
            | EventType::Failed
            | EventType::Cancelled
            | EventType::AttemptFailed
            | EventType::AttemptLost
            | EventType::AttemptTimedOut
            | EventType::HandedBack => {
                if let Some((agent, from)) = begun.remove(&event.attempt) {
                    spans.push(Span { agent, attempt: event.attempt, from, to: micros(event), end: event.r#type() });
                }
            }
            _ => {}
        }
    }
    spans
}

fn micros(event: &Event) -> i64 {
    event.at.as_ref().map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
}

/// A row for each agent, in the order in which they began. `killed` is marked.
pub fn draw(tasks: &[Told], killed: Option<&str>) -> String {
    let spans: Vec<Span> = tasks.iter().flat_map(|task| spans(&task.history)).collect();
    let (Some(start), Some(end)) = (spans.iter().map(|span| span.from).min(), spans.iter().map(|span| span.to).max())
    else {
        return String::new();
    };
    let mut agents: BTreeMap<(i64, &str), Vec<&Span>> = BTreeMap::new();
    for span in &spans {
        let first =
            spans.iter().filter(|other| other.agent == span.agent).map(|other| other.from).min().unwrap_or(start);
        agents.entry((first, &span.agent)).or_default().push(span);
    }
    let name_width = agents.keys().map(|(_, agent)| agent.chars().count()).max().unwrap_or(0).max(5);
    let total = seconds(end - start);
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(text, "{:name_width$}  {:<6}{:>width$}  tasks   busy", "agent", "0 s", total, width = WIDTH - 6);
    for ((_, agent), own) in &agents {
        let busy = seconds(own.iter().map(|span| span.to - span.from).sum());
        let done = own.iter().filter(|span| span.end == EventType::Completed).count();
        let note = if killed == Some(*agent) { "  killed" } else { "" };
        let _ = writeln!(text, "{agent:name_width$}  {}  {done:>5}  {busy:>7}{note}", row(own, start, end));
    }
    text
}

/// `█` where the agent had a task, `✗` where it lost one.
fn row(spans: &[&Span], start: i64, end: i64) -> String {
    let scale = |at: i64| {
        let share = (at - start) as f64 / (end - start).max(1) as f64;
        ((share * WIDTH as f64) as usize).min(WIDTH - 1)
    };
    let mut cells = vec!['·'; WIDTH];
    for span in spans {
        cells[scale(span.from)..=scale(span.to).max(scale(span.from))].fill('█');
    }
    for span in spans.iter().filter(|span| span.end != EventType::Completed) {
        cells[scale(span.to)] = '✗';
    }
    cells.into_iter().collect()
}

/// Microseconds, for people.
pub fn seconds(micros: i64) -> String {
    format!("{:.1} s", micros as f64 / 1_000_000.0)
}

/// How a task that an agent lost was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// The attempt that was lost.
    pub lost: Span,
    /// The attempt that completed the task.
    pub completed: Span,
}

/// Finds in a task's history that `victim` lost it and another agent completed it; or says what is there instead.
pub fn takeover(history: &[Event], victim: &str) -> Result<Takeover, String> {
    let spans = spans(history);
    let lost = spans.iter().find(|span| span.agent == victim && span.end == EventType::AttemptLost);
    let completed = spans.iter().find(|span| span.end == EventType::Completed);
    match (lost, completed) {
        (Some(lost), Some(completed)) if completed.agent != victim && completed.attempt > lost.attempt => {
            Ok(Takeover { lost: lost.clone(), completed: completed.clone() })
        }
        _ => Err(told(history)),
    }
}

fn told(history: &[Event]) -> String {
    let events = history.iter().map(|event| {
        let name = event.r#type().as_str_name().trim_start_matches("EVENT_TYPE_").to_ascii_lowercase();
        if event.agent.is_empty() { name } else { format!("{name} ({}, attempt {})", event.agent, event.attempt) }
    });
    events.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventType, attempt: i32, agent: &str, millis: i64) -> Event {
        let at = prost_types::Timestamp { seconds: millis / 1_000, nanos: (millis % 1_000) as i32 * 1_000_000 };
        Event { r#type: kind.into(), attempt, agent: agent.into(), at: Some(at), ..Event::default() }
    }

    fn told_task(history: Vec<Event>) -> Told {
        Told { id: "1".into(), task_type: "t".into(), description: String::new(), history }
    }

    fn taken_over() -> Vec<Event> {
        vec![
            event(EventType::Created, 0, "", 0),
            event(EventType::Ready, 0, "", 0),
            event(EventType::Assigned, 1, "rust-1", 100),
            event(EventType::Started, 1, "rust-1", 101),
            event(EventType::AttemptLost, 1, "rust-1", 4_000),
            event(EventType::Ready, 0, "", 4_000),
            event(EventType::Assigned, 2, "rust-2", 4_100),
            event(EventType::Started, 2, "rust-2", 4_101),
            event(EventType::Completed, 2, "rust-2", 5_000),
        ]
    }

    #[test]
    fn a_takeover_is_seen() {
        let takeover = takeover(&taken_over(), "rust-1").unwrap();
        assert_eq!((takeover.lost.attempt, takeover.completed.attempt), (1, 2));
        assert_eq!(takeover.completed.agent, "rust-2");
        assert_eq!((takeover.lost.from, takeover.lost.to), (101_000, 4_000_000));
    }

    #[test]
    fn what_is_no_takeover_is_told() {
        let undisturbed = vec![event(EventType::Started, 1, "rust-1", 1), event(EventType::Completed, 1, "rust-1", 2)];
        assert_eq!(
            takeover(&undisturbed, "rust-1").unwrap_err(),
            "started (rust-1, attempt 1), completed (rust-1, attempt 1)"
        );
        assert!(takeover(&taken_over()[..6], "rust-1").is_err());
        assert!(takeover(&taken_over(), "rust-2").is_err());
        let mut same_agent = taken_over();
        same_agent[6..].iter_mut().for_each(|event| event.agent = "rust-1".into());
        assert!(takeover(&same_agent, "rust-1").is_err());
    }

    #[test]
    fn agents_are_rows() {
        let text = draw(&[told_task(taken_over())], Some("rust-1"));
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 3);
        assert!(rows[0].starts_with("agent") && rows[0].contains("4.9 s"), "{text}");
        assert!(rows[1].starts_with("rust-1  ██") && rows[1].contains('✗') && rows[1].ends_with("killed"), "{text}");
        assert!(rows[2].starts_with("rust-2  ··") && rows[2].contains("█  ") && rows[2].contains("0.9 s"), "{text}");
        assert_eq!(rows[1].chars().filter(|c| "█·✗".contains(*c)).count(), WIDTH);
    }

    #[test]
    fn nothing_done_draws_nothing() {
        assert_eq!(draw(&[], None), "");
        assert_eq!(draw(&[told_task(vec![event(EventType::Created, 0, "", 5)])], None), "");
    }
}
