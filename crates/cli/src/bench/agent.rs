//! The agents of the measurement: their handlers do nothing but say when they began.

use callboard::{Agent, Client, Context, TaskError};
use std::io::Write;

use super::args::AgentArgs;
use super::clock;
use super::error::Error;

/// The type of the tasks.
pub const TASK: &str = "bench";
/// What an agent says on standard output when it is attached.
pub const ATTACHED: &str = "attached";

/// Attaches, says so, and works until it is told to stop.
///
/// # Errors
///
/// When the agent can't attach, or had to end.
pub async fn run(client: Client, args: AgentArgs) -> Result<(), Error> {
    let agent = Agent::builder("bench").client(&client).name(args.name).slots(args.slots);
    let mut agent = agent.handle(TASK, begin).drain_on_signals(true).spawn()?;
    agent.attached().await?;
    announce(ATTACHED)?;
    Ok(agent.join().await?)
}

/// The result is when the handler began, by the machine's monotonic clock.
async fn begin(_: Context, _: String) -> Result<String, TaskError> {
    Ok(clock::nanoseconds().to_string())
}

fn announce(line: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Error::io("cannot write to standard output"))
}
