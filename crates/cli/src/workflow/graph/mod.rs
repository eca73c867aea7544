//! Drawings of workflows: of a file, or of one on a server, then with the states of its tasks.
//!
//! `dot` and `mermaid` are texts that others lay out, of any size. Those that are laid out here (`layout`, by a library) are bounded.

mod dot;
mod layout;
mod mermaid;
mod svg;
mod text;

use std::collections::HashMap;

use callboard::v1::{Dependency, DependencyCondition, ResultCondition, Task, TaskState, WorkflowSpec};

use crate::args::workflow::GraphFormat;
use crate::dependency::written_result;
use crate::error::Error;
use crate::ids;
use crate::output::text::one_line;
use crate::output::{names, table};

/// The longest name in a drawing.
const MAX_NAME: usize = 40;

/// The longest condition.
const MAX_LABEL: usize = 24;

/// Tasks, and what they wait for.
#[derive(Debug)]
pub struct Graph {
    /// What the workflow is called.
    pub name: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The places of those of the critical path, if they are marked.
    path: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    /// Its task's; empty for a file.
    id: String,
    name: String,
    /// Nothing of a file.
    state: Option<TaskState>,
    /// The state with what there is to say about it; empty for a file.
    says: String,
}

/// From what is waited for to who waits, or from a parent to its child.
#[derive(Debug)]
struct Edge {
    from: usize,
    to: usize,
    /// What is asked of the first; empty when it must complete.
    label: String,
    style: EdgeStyle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EdgeStyle {
    Plain,
    /// With a condition.
    Dashed,
    /// To a child.
    Dotted,
}

impl Graph {
    /// Of a file.
    pub fn of_spec(spec: &WorkflowSpec) -> Self {
        let places: HashMap<&str, usize> =
            spec.tasks.iter().enumerate().map(|(place, task)| (task.name.as_str(), place)).collect();
        let nodes = spec.tasks.iter().map(|task| Node {
            id: String::new(),
            name: shown(&task.name),
            state: None,
            says: String::new(),
        });
        let edges = spec.tasks.iter().enumerate().flat_map(|(to, task)| {
            task.depends_on.iter().filter_map({
                let places = &places;
                move |other| {
                    let from = *places.get(other.task.as_str())?;
                    Some(Edge::of(from, to, other.condition(), other.result.as_ref()))
                }
            })
        });
        let (nodes, edges) = (nodes.collect(), edges.collect());
        Self { name: shown(&spec.name), nodes, edges, path: Vec::new() }
    }

    /// Of one on a server, with the states of its tasks.
    pub fn of_tasks(name: &str, tasks: &[Task]) -> Self {
        let places: HashMap<&str, usize> =
            tasks.iter().enumerate().map(|(place, task)| (task.id.as_str(), place)).collect();
        let mut edges = Vec::new();
        for (to, task) in tasks.iter().enumerate() {
            let dependencies = task.spec.as_ref().map(|spec| spec.dependencies.as_slice()).unwrap_or_default();
            let source = |dependency: &Dependency| {
                let from = *places.get(dependency.task_id.as_str())?;
                Some(Edge::of(from, to, dependency.condition(), dependency.result.as_ref()))
            };
            edges.extend(dependencies.iter().filter_map(source));
            let parent = task.parent.as_ref().and_then(|link| places.get(link.task_id.as_str()));
            edges.extend(parent.map(|&from| Edge { from, to, label: String::new(), style: EdgeStyle::Dotted }));
        }
        let node = |task: &Task| Node {
            id: task.id.clone(),
            name: name_of(task),
            state: Some(task.state()),
            says: table::state_of(task),
        };
        Self { name: shown(name), nodes: tasks.iter().map(node).collect(), edges, path: Vec::new() }
    }

    /// Marks a path: these tasks, and what leads from each to the next.
    pub fn mark<'a>(&mut self, path: impl Iterator<Item = &'a str>) {
        let places: HashMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(place, node)| (node.id.as_str(), place)).collect();
        self.path = path.filter_map(|id| places.get(id).copied()).collect();
    }

    /// What stands in the box of a task, where marked ones can't be drawn otherwise.
    fn label(&self, place: usize) -> String {
        let label = self.nodes.get(place).map(Node::label).unwrap_or_default();
        if self.is_marked(place) { format!("* {label}") } else { label }
    }

    fn is_marked(&self, place: usize) -> bool {
        self.path.contains(&place)
    }

    /// Whether an edge leads from one of the marked path to the next.
    fn is_on_path(&self, edge: &Edge) -> bool {
        self.path.windows(2).any(|pair| pair == [edge.from, edge.to])
    }

    /// Writes it, with a line's end. `width` is that of the terminal.
    pub fn write(&self, format: GraphFormat, width: usize) -> Result<String, Error> {
        match format {
            GraphFormat::Dot => Ok(dot::write(self)),
            GraphFormat::Mermaid => Ok(mermaid::write(self)),
            GraphFormat::Text => text::write(self, width),
            GraphFormat::Svg => svg::write(self),
        }
    }
}

impl Edge {
    fn of(from: usize, to: usize, condition: DependencyCondition, result: Option<&ResultCondition>) -> Self {
        let label = match (condition, result) {
            (DependencyCondition::Completed | DependencyCondition::Unspecified, None) => String::new(),
            (_, Some(result)) => one_line(&written_result(result), MAX_LABEL),
            (condition, None) => names::dependency_condition(condition.into()).replace('_', " "),
        };
        let style = if label.is_empty() { EdgeStyle::Plain } else { EdgeStyle::Dashed };
        Self { from, to, label, style }
    }
}

impl Node {
    /// What stands in its box.
    fn label(&self) -> String {
        if self.says.is_empty() { self.name.clone() } else { format!("{}: {}", self.name, self.says) }
    }
}

fn shown(name: &str) -> String {
    one_line(name, MAX_NAME)
}

/// What a task is called; a child, which has no name in the workflow, by what its parent calls it.
pub fn name_of(task: &Task) -> String {
    match (task.workflow.as_ref().map(|link| link.name.as_str()), &task.parent) {
        (Some(name), _) if !name.is_empty() => shown(name),
        (_, Some(parent)) => shown(&table::step_name(&parent.name, parent.occurrence)),
        _ => ids::short(&task.id).to_owned(),
    }
}

/// What a state is filled and drawn with, in every format that has colours.
fn colours(state: Option<TaskState>) -> (&'static str, &'static str) {
    match state {
        Some(TaskState::Completed) => ("#d7f0d7", "#2e7d32"),
        Some(TaskState::Failed) => ("#f9d6d5", "#c62828"),
        Some(TaskState::Assigned | TaskState::Running) => ("#d6e9f8", "#1565c0"),
        Some(TaskState::Waiting | TaskState::Paused) => ("#fff4cc", "#b28704"),
        Some(TaskState::Cancelled | TaskState::Skipped) => ("#e4e4e4", "#757575"),
        Some(TaskState::Ready | TaskState::Unspecified) | None => ("#ffffff", "#424242"),
    }
}

#[cfg(test)]
mod tests;
