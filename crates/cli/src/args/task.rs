//! `callboard task …`

use std::time::Duration;

use callboard::v1::{Dependency, RequirementsFallback};
use clap::{Args, Subcommand, ValueEnum};

use super::Limit;
use crate::dependency;
use crate::fallback;
use crate::input::InputKind;
use crate::values::{self, Moment};

/// What can be done with tasks. Every ID is an id, or the short id of a table (six or more last hexadecimal digits).
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Create a task and print its id.
    Create(Box<CreateArgs>),
    /// List tasks, newest first.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one task with its input, result and failure.
    Show(ShowArgs),
    /// Follow the events of a task until it has ended, or of the namespace.
    Watch(WatchArgs),
    /// Wait until tasks have ended.
    Wait(WaitArgs),
    /// Cancel tasks.
    Cancel(ReasonArgs),
    /// Open the next run of tasks that ended failed, cancelled or skipped.
    Retry(IdsArgs),
    /// Keep tasks from being assigned.
    Hold(ReasonArgs),
    /// End a hold.
    Release(IdsArgs),
    /// Change the priority, assignee, deadline or tags of a live task.
    Update(UpdateArgs),
    /// Make a waiting task wait for more; of one that is ready, hold it first.
    Depend(DependArgs),
    /// Show what happened to a task.
    History(HistoryArgs),
    /// Show which agents could have a task now, which could not, and why; and who was given it.
    Explain(ExplainArgs),
    /// Show what a task's handler recorded of its work: its durable steps.
    Steps(StepsArgs),
    /// Write what a task's handler gives while it works: its output.
    Output(OutputArgs),
    /// List the children that a task's handler created.
    Children(ChildrenArgs),
}

/// A task to be created.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What the task is about, for people.
    #[arg(value_name = "DESCRIPTION")]
    pub description: String,
    /// The kind of work, which agents say they handle.
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub task_type: String,
    /// What the task is given.
    #[command(flatten)]
    pub input: InputArgs,
    /// Your own id for the task, unique among the live tasks of the namespace.
    #[arg(long)]
    pub key: Option<String>,
    /// What to do when a live task has this key.
    #[arg(long, requires = "key", value_name = "POLICY", default_value = "use-existing")]
    pub on_conflict: OnConflict,
    /// How urgent it is.
    #[arg(long, short = 'p', value_name = "PRIORITY", default_value = "normal")]
    pub priority: PriorityName,
    /// Whose turn it is: tasks of different keys take turns, whatever their priorities.
    #[arg(long, value_name = "KEY")]
    pub fairness_key: Option<String>,
    /// A key whose limits the task is under. May be repeated.
    #[arg(long, value_name = "KEY")]
    pub limit_key: Vec<String>,
    /// A task that must end first, and how: `ID,condition=failed`, say; see --help. May be repeated.
    #[arg(long, value_name = "ID[,…]", value_parser = dependency::parse, long_help = dependency::HELP)]
    pub depends_on: Vec<Dependency>,
    /// Keep it waiting until `task release`.
    #[arg(long)]
    pub hold: bool,
    /// To find it by. May be repeated.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// What you want to keep with it. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub metadata: Vec<(String, String)>,
    /// Carried to every attempt: trace context. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub header: Vec<(String, String)>,
    /// Makes a repetition of this command safe for 24 hours.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Wait for the end, and write the result to standard output.
    #[arg(long, short = 'w')]
    pub wait: bool,
    /// Wait at most this long.
    #[arg(long = "for", requires = "wait", value_name = "DURATION", value_parser = values::duration)]
    pub wait_for: Option<Duration>,
    // Those with a heading of their own come last: what follows would be under it, too.
    /// Which agents.
    #[command(flatten)]
    pub requirements: RequirementArgs,
    /// Retries and limits.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What a task is given.
#[derive(Args, Debug)]
pub struct InputArgs {
    /// The input: JSON, `@file`, or `-` for standard input.
    #[arg(long, short = 'i', value_name = "JSON|@FILE|-")]
    pub input: Option<String>,
    /// The input is plain text.
    #[arg(long, requires = "input", conflicts_with = "binary")]
    pub text: bool,
    /// The input is bytes.
    #[arg(long, requires = "input")]
    pub binary: bool,
}

impl InputArgs {
    /// How the input is to be understood.
    pub fn kind(&self) -> InputKind {
        match (self.text, self.binary) {
            (true, _) => InputKind::Text,
            (_, true) => InputKind::Binary,
            _ => InputKind::Json,
        }
    }
}

/// Which agents may have a task, and which should.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which agents")]
pub struct RequirementArgs {
    /// A skill that the agent must have. May be repeated.
    #[arg(long)]
    pub skill: Vec<String>,
    /// A tool that the agent must have. May be repeated.
    #[arg(long)]
    pub tool: Vec<String>,
    /// The role that the agent must have.
    #[arg(long)]
    pub role: Option<String>,
    /// The only agent that may have it.
    #[arg(long, value_name = "AGENT")]
    pub assignee: Option<String>,
    /// The agent that should have it.
    #[arg(long, value_name = "AGENT")]
    pub prefer: Option<String>,
    /// A label that the agent should have. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub affinity: Vec<(String, String)>,
    /// What is asked for instead when nobody took it: `after=30s,role=lead`, say; see --help. May be repeated.
    #[arg(long, value_name = "after=DURATION[,…]", value_parser = fallback::parse, long_help = fallback::HELP)]
    pub fallback: Vec<RequirementsFallback>,
    /// A label that the agent should not have. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub anti_affinity: Vec<(String, String)>,
    /// What it takes of its agent's resources while it runs: `gpu=2`. May be repeated.
    #[arg(long, value_name = "NAME=AMOUNT", value_parser = values::amount)]
    pub resource: Vec<(String, f64)>,
    /// A dependency, by the name that `--depends-on` gives it: the agent that had it should have this, too. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub near: Vec<String>,
    /// A dependency whose agent should not have this. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub apart: Vec<String>,
}

/// Retries and limits.
#[derive(Args, Debug)]
#[command(next_help_heading = "Retries and limits")]
pub struct LimitArgs {
    /// Attempts in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub max_attempts: Option<i32>,
    /// The delay before the second attempt; it doubles from attempt to attempt.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub backoff: Option<Duration>,
    /// The longest delay between attempts.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub max_backoff: Option<Duration>,
    /// A failure type that is not retried. May be repeated.
    #[arg(long, value_name = "TYPE")]
    pub non_retryable: Vec<String>,
    /// How long an attempt may take.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub start_to_close: Option<Duration>,
    /// How long it may be ready before an agent begins.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub schedule_to_start: Option<Duration>,
    /// How long it may take over all attempts.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub schedule_to_close: Option<Duration>,
    /// The longest silence of the handler itself.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub heartbeat: Option<Duration>,
    /// When it fails if it has not ended: an RFC 3339 time, or a duration from now.
    #[arg(long, value_name = "TIME|DURATION", value_parser = values::moment)]
    pub deadline: Option<Moment>,
    /// Not before this time: an RFC 3339 time, or a duration from now.
    #[arg(long, value_name = "TIME|DURATION", value_parser = values::moment)]
    pub start_at: Option<Moment>,
}

/// Filters of `task list`, combined by AND.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// In this state. May be repeated.
    #[arg(long, short = 's', value_name = "STATE")]
    pub state: Vec<StateName>,
    /// Of this type.
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub task_type: Option<String>,
    /// With this agent now, or last.
    #[arg(long)]
    pub agent: Option<String>,
    /// With this key.
    #[arg(long)]
    pub key: Option<String>,
    /// With this tag. May be repeated.
    #[arg(long)]
    pub tag: Vec<String>,
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

/// Which task to show.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The task's id or short id.
    pub id: String,
    /// Write the content of its result, and nothing else, to standard output.
    #[arg(long)]
    pub result: bool,
}

/// Which task to explain.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The task's id or short id.
    pub id: String,
}

/// What to follow.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The task's id or short id; without one, the whole namespace from now on.
    pub id: Option<String>,
    /// Go on behind this cursor, as given by `--output json`.
    #[arg(long)]
    pub cursor: Option<String>,
}

/// What to wait for.
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Wait at most this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub wait_for: Option<Duration>,
}

/// Some tasks.
#[derive(Args, Debug)]
pub struct IdsArgs {
    /// Ids or short ids.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
}

/// Some tasks, and why.
#[derive(Args, Debug)]
pub struct ReasonArgs {
    /// Which tasks.
    #[command(flatten)]
    pub tasks: IdsArgs,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What a task is to wait for, too.
#[derive(Args, Debug)]
pub struct DependArgs {
    /// The task's id or short id.
    pub id: String,
    /// A task that must end first, and how: `ID,condition=failed`, say; see --help. May be repeated.
    #[arg(long, required = true, value_name = "ID[,…]", value_parser = dependency::parse, long_help = dependency::HELP)]
    pub depends_on: Vec<Dependency>,
    /// Makes a repetition of this command safe for 24 hours.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// What to change of a task.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    /// The task's id or short id.
    pub id: String,
    /// The new priority.
    #[arg(long, short = 'p', value_name = "PRIORITY", group = "change")]
    pub priority: Option<PriorityName>,
    /// The only agent that may have it; '' for any.
    #[arg(long, value_name = "AGENT", group = "change")]
    pub assignee: Option<String>,
    /// The new deadline: an RFC 3339 time, a duration from now, or `none`.
    #[arg(long, value_name = "TIME|DURATION|none", group = "change", value_parser = deadline_change)]
    pub deadline: Option<DeadlineChange>,
    /// The new tags, in place of all old ones; `--tag ''` leaves none. May be repeated.
    #[arg(long, group = "change")]
    pub tag: Option<Vec<String>>,
}

/// A deadline set or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineChange {
    /// No deadline.
    None,
    /// This one.
    To(Moment),
}

fn deadline_change(text: &str) -> Result<DeadlineChange, String> {
    match text {
        "none" => Ok(DeadlineChange::None),
        _ => values::moment(text).map(DeadlineChange::To).map_err(|error| format!("{error}, or `none`")),
    }
}

/// Whose history.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The task's id or short id.
    pub id: String,
}

/// Whose steps.
#[derive(Args, Debug)]
pub struct StepsArgs {
    /// The task's id or short id.
    pub id: String,
    /// Of this run, from 1; without it of the latest.
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(i32).range(1..))]
    pub run: Option<i32>,
}

/// Whose output.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// The task's id or short id.
    pub id: String,
    /// Of this run, from 1; without it of the latest.
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(i32).range(1..))]
    pub run: Option<i32>,
    /// Leave out what ends at or before this byte of the run's output.
    #[arg(long, value_name = "BYTE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: i64,
    /// Go on with what comes, until the run has ended.
    #[arg(long, short = 'f')]
    pub follow: bool,
}

/// Whose children.
#[derive(Args, Debug)]
pub struct ChildrenArgs {
    /// The parent's id or short id.
    pub id: String,
    /// Of this run, from 1; without it of the latest.
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(i32).range(1..))]
    pub run: Option<i32>,
}

/// What to do when a live task has the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Give the live task; create nothing.
    UseExisting,
    /// Refuse.
    Fail,
    /// Cancel the live task and create this one.
    Replace,
}

/// How urgent a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PriorityName {
    /// One minute behind normal.
    Low,
    /// The default.
    Normal,
    /// One minute ahead of normal.
    High,
    /// Ten minutes ahead of normal.
    Urgent,
    /// One hour ahead of normal.
    Critical,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Not yet eligible.
    Waiting,
    /// Eligible, and no agent has it.
    Ready,
    /// Leased, not yet accepted.
    Assigned,
    /// Accepted by its agent.
    Running,
    /// Waits with its handler suspended.
    Paused,
    /// Ended with a result.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended because someone cancelled it.
    Cancelled,
    /// Ended because a dependency did not complete.
    Skipped,
}
