//! `callboard workflow …`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::Limit;
use crate::values::{self, Moment};

/// What can be done with workflows. Every ID is an id, or the short id of a table (six or more last hexadecimal digits).
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Create a workflow from a file and print its id.
    Run(RunArgs),
    /// Add the tasks of a file to a workflow that runs.
    Add(AddArgs),
    /// List workflows, newest first.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one workflow, its progress, its tasks, and when it is expected to end.
    Show(ShowArgs),
    /// Follow a workflow until it has ended.
    Watch(WatchArgs),
    /// Cancel workflows: all of their tasks that have not ended.
    Cancel(CancelArgs),
    /// Retry workflows from their failed tasks; what completed is kept.
    Retry(RetryArgs),
    /// Hold workflows: what no agent has is not given out.
    Hold(HoldArgs),
    /// Release workflows, and all of their tasks that are held.
    Release(ReleaseArgs),
    /// Draw when each task's attempts were given out, ran and ended.
    Timeline(TimelineArgs),
    /// Draw a workflow's tasks and what they wait for.
    Graph(GraphArgs),
    /// Print the JSON Schema of workflow files.
    Schema,
}

/// A file, and what to make of it.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// Gives one of the file's parameters its value: JSON, or a text as it stands. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    pub set: Vec<(String, String)>,
}

/// A workflow to be created.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The workflow in YAML or JSON, see docs/workflows.md; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Its parameters.
    #[command(flatten)]
    pub parameters: FileArgs,
    /// Makes a repetition of this command safe for 24 hours.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Wait for the end.
    #[arg(long, short = 'w')]
    pub wait: bool,
    /// Wait at most this long.
    #[arg(long = "for", requires = "wait", value_name = "DURATION", value_parser = values::duration)]
    pub wait_for: Option<Duration>,
}

/// Tasks to be added.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The workflow's id or short id.
    pub id: String,
    /// Tasks in the format of workflow files; `-` for standard input. They may wait for tasks that the workflow has. Its name, if it
    /// has one, must be the workflow's.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Its parameters.
    #[command(flatten)]
    pub parameters: FileArgs,
    /// Makes a repetition of this command safe for 24 hours.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// Filters of `workflow list`, combined by AND.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// In this state. May be repeated.
    #[arg(long, short = 's', value_name = "STATE")]
    pub state: Vec<StateName>,
    /// Of this name.
    #[arg(long)]
    pub name: Option<String>,
    /// Created at or after this RFC 3339 time, or this long ago.
    #[arg(long, value_name = "TIME|DURATION", value_parser = values::moment)]
    pub since: Option<Moment>,
    /// Created before this RFC 3339 time, or longer than this ago.
    #[arg(long, value_name = "TIME|DURATION", value_parser = values::moment)]
    pub until: Option<Moment>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// Which workflow to show.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The workflow's id or short id.
    pub id: String,
}

/// What to follow.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The workflow's id or short id.
    pub id: String,
    /// Follow it at most this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub wait_for: Option<Duration>,
}

/// Some workflows, and why.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Some workflows.
#[derive(Args, Debug)]
pub struct RetryArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
}

/// Some workflows, and why.
#[derive(Args, Debug)]
pub struct HoldArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Some workflows.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
}

/// Whose attempts to draw, and how.
#[derive(Args, Debug)]
pub struct TimelineArgs {
    /// The workflow's id or short id.
    pub id: String,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: TimelineFormat,
    /// How many letters a line may have; otherwise as many as the terminal shows.
    #[arg(long, value_name = "LETTERS", value_parser = clap::value_parser!(u16).range(60..=1000))]
    pub width: Option<u16>,
    /// All tasks, however many there are.
    #[arg(long)]
    pub all: bool,
}

/// How a timeline is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimelineFormat {
    /// Bars of letters over a common axis.
    Text,
    /// For programs.
    Json,
}

/// What to draw, and how.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct GraphArgs {
    /// The workflow's id or short id: it is drawn with the states of its tasks.
    #[arg(group = "what")]
    pub id: Option<String>,
    /// A file, which is checked and drawn without a server; `-` for standard input.
    #[arg(long, short = 'f', value_name = "FILE", group = "what")]
    pub file: Option<PathBuf>,
    /// The file's parameters.
    #[command(flatten)]
    pub parameters: FileArgs,
    /// What to write.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: GraphFormat,
    /// Marks the critical path: the tasks that its end waits for.
    #[arg(long, conflicts_with = "file")]
    pub critical: bool,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Drawn with letters, for terminals.
    Text,
    /// For Markdown that draws Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// Where a workflow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Some of its tasks have not ended.
    Running,
    /// All ended, and none failed but those that may.
    Completed,
    /// All ended, and one failed, or was cancelled by itself.
    Failed,
    /// All ended behind its cancellation.
    Cancelled,
}
