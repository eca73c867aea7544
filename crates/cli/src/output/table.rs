//! Tables for people.

use callboard::v1::payload::Content;
use callboard::v1::{Agent, AgentState, Child, Event, Message, Namespace, Payload, Step, Task, TaskReceipt, TaskState};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use jiff::Timestamp;

use super::text::one_line;
use super::{names, time};
use crate::ids;

/// The longest description in a list.
pub const MAX_DESCRIPTION: usize = 60;

/// The longest other text of others in a list.
pub const MAX_NAME: usize = 40;

/// How tables look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// A terminal shows them: they are fitted to its width.
    pub terminal: bool,
    /// In colours.
    pub colour: bool,
}

impl Style {
    /// A table with a header, without lines.
    pub fn list(self, header: &[&str]) -> Table {
        let mut table = self.bare();
        table.set_header(header.iter().map(|title| self.bold(title)));
        table
    }

    /// A table of names and values.
    pub fn details<'a>(self, rows: impl IntoIterator<Item = (&'a str, String)>) -> Table {
        let mut table = self.bare();
        for (name, value) in rows {
            table.add_row([self.bold(name), Cell::new(value)]);
        }
        self.finish(&mut table);
        table
    }

    fn bare(self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        table
    }

    /// Columns begin at the edge, two spaces apart.
    pub fn finish(self, table: &mut Table) {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }

    fn bold(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    /// A cell in a colour, where there are colours.
    pub fn coloured(self, text: String, colour: Option<Color>) -> Cell {
        match colour.filter(|_| self.colour) {
            Some(colour) => Cell::new(text).fg(colour),
            None => Cell::new(text),
        }
    }
}

/// A list of tasks.
pub fn tasks(tasks: &[Task], style: Style, now: Timestamp) -> Table {
    let mut table = style.list(&["ID", "TYPE", "STATE", "PRIORITY", "AGENT", "ATTEMPT", "AGE", "DESCRIPTION"]);
    for task in tasks {
        let spec = task.spec.clone().unwrap_or_default();
        table.add_row([
            Cell::new(ids::short(&task.id)),
            Cell::new(one_line(&spec.r#type, MAX_NAME)),
            style.coloured(state_of(task), state_colour(task.state())),
            Cell::new(names::priority(spec.priority)),
            Cell::new(or_dash(one_line(&task.agent, MAX_NAME))),
            Cell::new(task.attempt),
            Cell::new(task.created_at.as_ref().map_or_else(|| "-".to_owned(), |at| time::age(at, now))),
            Cell::new(one_line(&spec.description, MAX_DESCRIPTION)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// The state with what there is to say about it: `running 45% executing`, `waiting (hold)`, `paused (children)`.
pub fn state_of(task: &Task) -> String {
    let mut text = names::task_state(task.state);
    match task.state() {
        TaskState::Waiting if !task.waiting_for.is_empty() => {
            let reasons: Vec<String> = task.waiting_for.iter().map(|&reason| names::wait_reason(reason)).collect();
            text.push_str(&format!(" ({})", reasons.join(", ")));
        }
        TaskState::Running => {
            if task.progress > 0.0 {
                text.push_str(&format!(" {:.0}%", task.progress * 100.0));
            }
            if !task.phase.is_empty() {
                text.push_str(&format!(" {}", one_line(&task.phase, MAX_NAME)));
            }
        }
        TaskState::Paused => text.push_str(&format!(" ({})", names::pause_reason(task.paused_for))),
        _ => {}
    }
    if task.cancel_requested && !has_ended(task.state()) {
        text.push_str(", cancelling");
    }
    text
}

/// Outcomes of commands on tasks.
pub fn receipts(receipts: &[TaskReceipt], style: Style) -> Table {
    let mut table = style.list(&["ID", "STATE", "RUN"]);
    for receipt in receipts {
        table.add_row([
            Cell::new(ids::short(&receipt.task_id)),
            style.coloured(names::task_state(receipt.state), state_colour(receipt.state())),
            Cell::new(receipt.run),
        ]);
    }
    style.finish(&mut table);
    table
}

/// How tasks ended, or how far they came.
pub fn ends(tasks: &[Task], style: Style) -> Table {
    let mut table = style.list(&["ID", "STATE", "AGENT", "ATTEMPT", "TOOK", "FAILURE"]);
    for task in tasks {
        let took = match (&task.created_at, &task.ended_at) {
            (Some(from), Some(to)) => time::between(from, to),
            _ => "-".to_owned(),
        };
        let failure = task.failure.as_ref().filter(|_| task.state() == TaskState::Failed);
        table.add_row([
            Cell::new(ids::short(&task.id)),
            style.coloured(state_of(task), state_colour(task.state())),
            Cell::new(or_dash(one_line(&task.agent, MAX_NAME))),
            Cell::new(task.attempt),
            Cell::new(took),
            Cell::new(failure.map_or_else(String::new, |failure| {
                one_line(&format!("{}: {}", failure.r#type, failure.message), MAX_DESCRIPTION)
            })),
        ]);
    }
    style.finish(&mut table);
    table
}

/// A task's history.
pub fn history(events: &[Event], style: Style) -> Table {
    let mut table = style.list(&["#", "AT", "EVENT", "STATE", "RUN", "ATTEMPT", "AGENT", "BY", "DETAIL"]);
    for event in events {
        table.add_row([
            Cell::new(event.sequence),
            Cell::new(event.at.as_ref().map_or_else(|| "-".to_owned(), time::of_day)),
            Cell::new(names::event_type(event.r#type)),
            style.coloured(names::task_state(event.state), state_colour(event.state())),
            Cell::new(event.run),
            Cell::new(if event.attempt == 0 { "-".to_owned() } else { event.attempt.to_string() }),
            Cell::new(or_dash(one_line(&event.agent, MAX_NAME))),
            Cell::new(one_line(&event.principal, MAX_NAME)),
            Cell::new(event_detail(event)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// What a run recorded.
pub fn steps(steps: &[Step], style: Style) -> Table {
    let mut table = style.list(&["#", "STEP", "ATTEMPT", "AT", "RESULT"]);
    for step in steps {
        table.add_row([
            Cell::new(step.ordinal),
            Cell::new(one_line(&step_name(&step.name, step.occurrence), MAX_NAME)),
            Cell::new(step.attempt),
            Cell::new(step.recorded_at.as_ref().map_or_else(|| "-".to_owned(), time::of_day)),
            Cell::new(beginning(step.result.as_ref())),
        ]);
    }
    style.finish(&mut table);
    table
}

/// The children of a run.
pub fn children(children: &[Child], style: Style) -> Table {
    let mut table = style.list(&["#", "CHILD", "ID", "TYPE", "STATE", "PARENT'S END"]);
    for child in children {
        let task = child.task.as_ref();
        let spec = task.and_then(|task| task.spec.as_ref());
        table.add_row([
            Cell::new(child.ordinal),
            Cell::new(one_line(&step_name(&child.name, child.occurrence), MAX_NAME)),
            Cell::new(ids::short(&child.task_id)),
            Cell::new(spec.map_or_else(|| "-".to_owned(), |spec| one_line(&spec.r#type, MAX_NAME))),
            task.map_or_else(
                || Cell::new("forgotten"),
                |task| style.coloured(names::task_state(task.state), state_colour(task.state())),
            ),
            Cell::new(names::parent_end_action(child.on_parent_end)),
        ]);
    }
    style.finish(&mut table);
    table
}

/// A step's or a child's name, with how many of it came before, if any did.
pub fn step_name(name: &str, occurrence: i32) -> String {
    if occurrence == 0 { name.to_owned() } else { format!("{name} ({occurrence})") }
}

/// One event as a line: for watching, where no table can be laid out ahead.
pub fn event_line(event: &Event) -> String {
    let at = event.at.as_ref().map_or_else(|| "-".to_owned(), time::of_day);
    let (kind, state) = (names::event_type(event.r#type), names::task_state(event.state));
    let mut line = format!("{at}  {}  {kind:<17}  {state:<9}", ids::short(&event.task_id));
    for part in [one_line(&event.agent, MAX_NAME), event_detail(event)] {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(&part);
        }
    }
    line.trim_end().to_owned()
}

fn event_detail(event: &Event) -> String {
    let failure = event.failure.as_ref().map(|failure| format!("{}: {}", failure.r#type, failure.message));
    let reason = Some(event.reason.clone()).filter(|reason| !reason.is_empty());
    let scheduled = event.scheduled_at.as_ref().map(|at| format!("at {}", time::of_day(at)));
    let step = Some(step_name(&event.step, event.step_occurrence)).filter(|_| !event.step.is_empty());
    let child = Some(ids::short(&event.child).to_owned()).filter(|child| !child.is_empty());
    let parts: Vec<String> = [step, child, reason, failure, scheduled].into_iter().flatten().collect();
    one_line(&parts.join("; "), MAX_DESCRIPTION * 2)
}

/// A list of messages.
pub fn messages(messages: &[Message], style: Style, now: Timestamp) -> Table {
    let mut table = style.list(&["#", "ID", "FROM", "SENT", "EXPIRES", "BODY"]);
    for message in messages {
        let expires = message.expires_at.as_ref().map_or_else(|| "-".to_owned(), time::to_the_second);
        table.add_row([
            Cell::new(message.sequence),
            Cell::new(&message.id),
            Cell::new(sender(message)),
            Cell::new(message.sent_at.as_ref().map_or_else(|| "-".to_owned(), |at| time::age(at, now))),
            Cell::new(expires),
            Cell::new(beginning(message.payload.as_ref())),
        ]);
    }
    style.finish(&mut table);
    table
}

/// A message in one line.
pub fn message_line(message: &Message) -> String {
    let at = message.sent_at.as_ref().map_or_else(|| "-".to_owned(), time::of_day);
    format!("{at}  {}  {}  {}", message.id, sender(message), beginning(message.payload.as_ref())).trim_end().to_owned()
}

/// The agent that sent it, or the principal.
fn sender(message: &Message) -> String {
    let sender = if message.agent.is_empty() { &message.principal } else { &message.agent };
    one_line(sender, MAX_NAME)
}

/// The beginning of what a payload holds.
fn beginning(payload: Option<&Payload>) -> String {
    match payload.and_then(|payload| payload.content.as_ref()) {
        Some(Content::Text(text)) => one_line(text, MAX_DESCRIPTION),
        Some(Content::Binary(bytes)) => format!("({} bytes)", bytes.len()),
        None => String::new(),
    }
}

/// A list of agents.
pub fn agents(agents: &[Agent], style: Style, now: Timestamp) -> Table {
    let mut table = style.list(&["NAME", "AGENT TYPE", "STATE", "TASKS", "COMPLETED", "FAILED", "HANDLES", "SINCE"]);
    for agent in agents {
        let profile = agent.profile.clone().unwrap_or_default();
        let handles: Vec<&str> = profile.handles.iter().map(|handler| handler.r#type.as_str()).collect();
        let since = match agent.state() {
            AgentState::Detached => agent.detached_at.as_ref(),
            _ => agent.attached_at.as_ref(),
        };
        table.add_row([
            Cell::new(one_line(&profile.name, MAX_DESCRIPTION)),
            Cell::new(one_line(&profile.agent_type, MAX_NAME)),
            style.coloured(agent_state(agent), agent_colour(agent)),
            Cell::new(format!("{}/{}", agent.leased_tasks, profile.slots)),
            Cell::new(agent.completed_attempts),
            Cell::new(agent.failed_attempts),
            Cell::new(one_line(&handles.join(","), MAX_NAME)),
            Cell::new(since.map_or_else(|| "-".to_owned(), |at| time::age(at, now))),
        ]);
    }
    style.finish(&mut table);
    table
}

/// The state of an agent with its cordon.
pub fn agent_state(agent: &Agent) -> String {
    let state = names::agent_state(agent.state);
    if agent.cordoned { format!("{state}, cordoned") } else { state }
}

/// A list of namespaces.
pub fn namespaces(namespaces: &[Namespace], style: Style, now: Timestamp) -> Table {
    let mut table = style.list(&["NAME", "MAX LIVE TASKS", "MAX LANES", "AGE"]);
    for namespace in namespaces {
        let settings = namespace.settings.clone().unwrap_or_default();
        table.add_row([
            Cell::new(one_line(&namespace.name, MAX_DESCRIPTION)),
            Cell::new(settings.max_live_tasks),
            Cell::new(settings.max_lanes),
            Cell::new(namespace.created_at.as_ref().map_or_else(|| "-".to_owned(), |at| time::age(at, now))),
        ]);
    }
    style.finish(&mut table);
    table
}

/// Whether a task in this state has ended.
pub fn has_ended(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Cancelled | TaskState::Skipped)
}

/// A text, or a dash for none.
pub fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// What a state of a task is shown in.
pub fn state_colour(state: TaskState) -> Option<Color> {
    match state {
        TaskState::Completed => Some(Color::Green),
        TaskState::Failed => Some(Color::Red),
        TaskState::Assigned | TaskState::Running => Some(Color::Cyan),
        TaskState::Waiting | TaskState::Paused => Some(Color::Yellow),
        TaskState::Cancelled | TaskState::Skipped => Some(Color::DarkGrey),
        TaskState::Ready | TaskState::Unspecified => None,
    }
}

fn agent_colour(agent: &Agent) -> Option<Color> {
    match agent.state() {
        _ if agent.cordoned => Some(Color::Yellow),
        AgentState::Attached | AgentState::Claiming => Some(Color::Green),
        AgentState::Reconnecting | AgentState::Draining => Some(Color::Yellow),
        AgentState::Detached => Some(Color::DarkGrey),
        AgentState::Unspecified => None,
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
