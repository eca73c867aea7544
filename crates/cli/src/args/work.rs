//! `callboard work …`

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::values;

/// What `work` does, in full; shown by `callboard work --help`.
const CONTRACT: &str = "\
The program of a task:
  standard input   the content of the task's input
  standard output  the result, at most 1 MiB
  standard error   passed on, line by line; its last 4 KiB are part of a failure's message
  descriptor 3     a JSON object per line, other lines are logged and ignored:
                   {\"progress\": 0.5, \"phase\": \"executing\", \"message\": \"half way\"}
                   {\"checkpoint\": ANYTHING}
  exit status      0 completes the task, 65 fails it for good, anything else is retried
  when cancelled   SIGTERM to its process group, and SIGKILL after --kill-after

What it leaves running in its process group is killed when it ends.

Its environment:
  CALLBOARD_ADDRESS, CALLBOARD_NAMESPACE, CALLBOARD_TASK_ID, CALLBOARD_TASK_TYPE,
  CALLBOARD_RUN, CALLBOARD_ATTEMPT
  CALLBOARD_DEADLINE           when the attempt times out, RFC 3339
  CALLBOARD_INPUT_TYPE         the media type of the input
  CALLBOARD_CHECKPOINT_FILE    a file with the last attempt's checkpoint, if there is one
  CALLBOARD_DEPENDENCIES_FILE  a file with a JSON array, if there are any: task_id, type, key,
                               name, state, content_type, value (bytes as base64) and failure of
                               each
  CALLBOARD_METADATA_<KEY>     the task's metadata; the key in capitals, _ for what is no letter or
                               digit
  TRACEPARENT, TRACESTATE      from the task's headers

Example:
  callboard work --type shout -- tr a-z A-Z";

/// An agent that runs a program per task.
#[derive(Args, Debug)]
#[command(after_long_help = CONTRACT, after_help = "See --help for what the program gets and gives.")]
pub struct WorkArgs {
    /// A task type it handles; `*` takes any. May be repeated.
    #[arg(long = "type", short = 't', required = true, value_name = "TYPE")]
    pub task_types: Vec<String>,
    /// The agent's name, unique in its namespace. Made up unless given.
    #[arg(long, env = "CALLBOARD_AGENT_NAME")]
    pub name: Option<String>,
    /// What kind of agent it is.
    #[arg(long, value_name = "TYPE", default_value = "work")]
    pub agent_type: String,
    /// Its role in the team.
    #[arg(long)]
    pub role: Option<String>,
    /// A skill it has. May be repeated.
    #[arg(long)]
    pub skill: Vec<String>,
    /// A tool it has. May be repeated.
    #[arg(long)]
    pub tool: Vec<String>,
    /// A label it has. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub label: Vec<(String, String)>,
    /// How many programs may run at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: u16,
    /// What the program's output is. `auto`: JSON if it parses as JSON and begins with { or [, else text if it is
    /// UTF-8, else bytes.
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub output_type: OutputType,
    /// How long after SIGTERM a cancelled program is killed. It is given up after 10 s in any case.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    pub kill_after: Duration,
    /// How long running programs may go on after SIGTERM or SIGINT before they are cancelled and handed back.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub drain_timeout: Duration,
    /// Where it answers probes: `/healthz` while it lives, `/readyz` while it takes tasks. Port 0 is any free one. Nowhere, unless given here
    /// or by `CALLBOARD_HEALTH`.
    #[arg(long, value_name = "HOST:PORT")]
    pub health: Option<String>,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// How the program's output becomes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputType {
    /// By looking at it.
    Auto,
    /// JSON; a failure if it isn't.
    Json,
    /// UTF-8 text; a failure if it isn't.
    Text,
    /// Bytes.
    Binary,
}
