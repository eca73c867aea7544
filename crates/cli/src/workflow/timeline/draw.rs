//! Bars over a common axis.

use callboard::v1::EventType;
use comfy_table::{Cell, Color, Table};
use prost_types::Duration;

use super::attempts::{Attempt, micros};
use crate::output::table::Style;
use crate::output::text::one_line;
use crate::output::time;

/// The longest names.
const MAX_TASK: usize = 24;
const MAX_AGENT: usize = 16;

/// What the columns beside the bars take, with what is between them: numbers, times, ends.
const BESIDE: usize = 44;

/// The least letters that a bar has.
const LEAST: usize = 16;

/// A task with its attempts.
pub struct Row {
    /// What it is called.
    pub name: String,
    /// What there is to say where it has no attempt.
    pub state: String,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
}

/// The time that is drawn.
#[derive(Clone, Copy)]
struct Axis {
    from: i64,
    to: i64,
    letters: usize,
}

/// Draws them up to now, in lines of so many letters, if that is enough for anything.
pub fn draw(rows: &[Row], now: i64, width: usize, style: Style) -> Table {
    let axis = Axis::of(rows, now, width);
    let marks = axis.marks();
    let mut table = style.list(&["TASK", "TRY", "AGENT", &marks, "TOOK", "END"]);
    for row in rows {
        if row.attempts.is_empty() {
            let cells = [one_line(&row.name, MAX_TASK), String::new(), "-".to_owned()];
            let rest = [" ".repeat(axis.letters), "-".to_owned(), row.state.clone()];
            table.add_row(cells.into_iter().chain(rest));
        }
        for (place, attempt) in row.attempts.iter().enumerate() {
            // What is tried again has its name once.
            let name = if place == 0 { one_line(&row.name, MAX_TASK) } else { String::new() };
            let took = attempt.from().map_or(0, |from| axis.end_of(attempt, now).saturating_sub(from));
            table.add_row([
                Cell::new(name),
                Cell::new(attempt.number),
                Cell::new(one_line(&attempt.agent, MAX_AGENT)),
                style.coloured(axis.bar(attempt, now), colour(attempt)),
                Cell::new(lasting(took)),
                Cell::new(attempt.became()),
            ]);
        }
    }
    style.finish(&mut table);
    table
}

impl Axis {
    fn of(rows: &[Row], now: i64, width: usize) -> Self {
        let all = || rows.iter().flat_map(|row| &row.attempts);
        let from = all().filter_map(Attempt::from).min().unwrap_or(now);
        let to = all().map(|attempt| end(attempt).unwrap_or(now)).max().unwrap_or(now).max(from);
        let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(4, MAX_TASK);
        let agents = all().map(|attempt| attempt.agent.chars().count()).max().unwrap_or(0).clamp(5, MAX_AGENT);
        let letters = width.saturating_sub(names + agents + BESIDE).max(LEAST);
        Self { from, to, letters }
    }

    /// When an attempt ended; one that has not goes on until now.
    fn end_of(&self, attempt: &Attempt, now: i64) -> i64 {
        end(attempt).unwrap_or(now.max(self.from))
    }

    /// Which letter shows a time.
    fn letter(&self, at: i64) -> usize {
        let share = at.saturating_sub(self.from) as f64 / self.to.saturating_sub(self.from).max(1) as f64;
        // `as` saturates.
        ((share * self.letters as f64) as usize).min(self.letters - 1)
    }

    /// `░` while it was given out, `█` while it ran; `✗` where it ended otherwise than completed, `▶` where it goes on.
    fn bar(&self, attempt: &Attempt, now: i64) -> String {
        let Some(from) = attempt.from() else { return String::new() };
        let (first, last) = (self.letter(from), self.letter(self.end_of(attempt, now)));
        let last = last.max(first);
        let started = attempt.started_at.as_ref().map_or(last + 1, |at| self.letter(micros(at)));
        let letter = |place: usize| match place {
            _ if place < first || place > last => ' ',
            _ if place == last && attempt.end.is_none() => '▶',
            _ if place == last && !completed(attempt) => '✗',
            _ if place < started => '░',
            _ => '█',
        };
        (0..self.letters).map(letter).collect()
    }

    /// `0s      6s      12s`: as many as there is room for.
    fn marks(&self) -> String {
        let count = (self.letters / 12).clamp(1, 8);
        let mut line = String::new();
        for n in 0..=count {
            let mark = lasting(self.to.saturating_sub(self.from) / count as i64 * n as i64);
            let place = (self.letters * n / count).saturating_sub(if n == count { mark.chars().count() } else { 0 });
            // One that has no room is left out.
            let written = line.chars().count();
            if written == 0 || written < place {
                line.push_str(&" ".repeat(place - written));
                line.push_str(&mark);
            }
        }
        line
    }
}

fn end(attempt: &Attempt) -> Option<i64> {
    attempt.end.as_ref().and_then(|end| end.at.as_ref()).map(micros)
}

fn completed(attempt: &Attempt) -> bool {
    attempt.end.as_ref().is_some_and(|end| end.by == EventType::Completed)
}

fn colour(attempt: &Attempt) -> Option<Color> {
    match &attempt.end {
        None => Some(Color::Cyan),
        Some(_) if completed(attempt) => Some(Color::Green),
        Some(end) if end.by == EventType::Cancelled || end.by == EventType::HandedBack => Some(Color::DarkGrey),
        Some(_) => Some(Color::Red),
    }
}

/// Microseconds, for people.
fn lasting(micros: i64) -> String {
    let micros = micros.max(0);
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    time::brief(&Duration { seconds: micros / 1_000_000, nanos })
}

#[cfg(test)]
mod tests {
    use super::super::attempts::End;
    use super::*;
    use prost_types::Timestamp;

    const PLAIN: Style = Style { terminal: false, colour: false };

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn attempt(number: i32, assigned: i64, started: Option<i64>, end: Option<(i64, EventType)>) -> Attempt {
        Attempt {
            number,
            agent: "ann".into(),
            assigned_at: at(assigned),
            started_at: started.and_then(at),
            end: end.map(|(seconds, by)| End { at: at(seconds), by }),
        }
    }

    fn row(name: &str, attempts: Vec<Attempt>) -> Row {
        Row { name: name.into(), state: "waiting (dependencies)".into(), attempts }
    }

    fn drawn(rows: &[Row], now: i64) -> Vec<String> {
        let text = draw(rows, now * 1_000_000, 4 + 5 + BESIDE + 20, PLAIN).trim_fmt();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn bars_stand_over_a_common_axis() {
        let rows = [
            row(
                "a",
                vec![
                    attempt(1, 100, Some(102), Some((110, EventType::AttemptLost))),
                    attempt(2, 110, Some(110), Some((120, EventType::Completed))),
                ],
            ),
            row("b", vec![attempt(1, 114, None, None)]),
            row("c", vec![]),
        ];
        let expected = [
            "TASK  TRY  AGENT  0s               20s  TOOK  END",
            "a     1    ann    ░░████████✗           10s   lost",
            "      2    ann              ██████████  10s   completed",
            "b     1    ann                  ░░░░░▶  6s    assigned",
            "c          -                            -     waiting (dependencies)",
        ];
        assert_eq!(drawn(&rows, 120), expected);
    }

    #[test]
    fn nothing_and_next_to_nothing_can_be_drawn() {
        assert_eq!(drawn(&[], 5).len(), 1);
        assert_eq!(drawn(&[row("a", vec![])], 5).len(), 2);
        let at_once = row("a", vec![attempt(1, 5, Some(5), Some((5, EventType::Completed)))]);
        assert!(drawn(&[at_once], 5)[1].contains("█"));
        // Clocks of servers and clients differ, and what a server says is not trusted to make sense.
        let odd = row("a", vec![attempt(1, 50, Some(7), None), attempt(2, i64::MAX, Some(i64::MIN), None)]);
        assert_eq!(drawn(&[odd], 5).len(), 3);
        let text = draw(&[row(&"x".repeat(99), vec![attempt(1, 1, None, None)])], 2_000_000, 10, PLAIN).trim_fmt();
        assert!(text.contains(&format!("{}…", "x".repeat(MAX_TASK - 1))), "{text}");
    }
}
