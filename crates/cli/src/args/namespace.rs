//! `callboard namespace …`

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Limit;
use crate::values::{self, LimitChange};

/// What can be done with namespaces.
#[derive(Debug, Subcommand)]
pub enum NamespaceCommand {
    /// Create a namespace.
    Create(CreateArgs),
    /// List namespaces by name.
    #[command(visible_alias = "ls")]
    List(Limit),
    /// Show a namespace with its settings.
    Show(NameArgs),
    /// Change settings of a namespace; those not given stay as they are.
    Update(UpdateArgs),
}

/// A namespace to be created.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// 1 to 63 small letters, digits and `-`, a letter first.
    pub name: String,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Which namespace.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// Its name; without one, the namespace of --namespace.
    pub name: Option<String>,
}

/// What to change of a namespace.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["max_lanes", "max_live_tasks", "max_attempts", "backoff", "max_backoff", "start_to_close", "limits"]))]
pub struct UpdateArgs {
    /// Its name.
    pub name: String,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// What applies to every task of a namespace.
#[derive(Args, Debug, Default)]
pub struct SettingArgs {
    /// How many distinct combinations of task type, assignee and requirements may exist.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub max_lanes: Option<i32>,
    /// How many tasks may be live at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub max_live_tasks: Option<i64>,
    /// Attempts of tasks that don't say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub max_attempts: Option<i32>,
    /// The delay before the second attempt, of tasks that don't say.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub backoff: Option<Duration>,
    /// The longest delay between attempts, of tasks that don't say.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub max_backoff: Option<Duration>,
    /// How long an attempt may take, of tasks that don't say.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub start_to_close: Option<Duration>,
    /// What tasks with a limit key may do, all agents together: `KEY=max:10,rate:60/1m`; of max (how many at once) and rate (how
    /// many attempts in a time; 1s if unsaid) give one or both. A key that ends with `*` is the limit of each key that begins so. `KEY=none` takes a
    /// limit away. Can be given again; limits of other keys stay.
    #[arg(long = "limit", value_name = "KEY=LIMIT", value_parser = values::limit)]
    pub limits: Vec<LimitChange>,
}
