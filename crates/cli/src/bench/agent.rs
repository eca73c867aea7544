//! The agents of the measurement: their handlers do nothing but say when they began.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use callboard::{Agent, AgentHandle, Client, Context, TaskError};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::args::AgentArgs;
use super::clock;
use super::error::Error;
use crate::open_files;

/// The type of the tasks.
pub const TASK: &str = "bench";
/// The type of tasks whose first attempt fails.
pub const FLAKY: &str = "bench.flaky";
/// The type of tasks that take as many milliseconds as their input says.
pub const SLEEP: &str = "bench.sleep";
/// The type of tasks that compute a Fibonacci number, the slow way.
pub const FIBONACCI: &str = "bench.fibonacci";
/// What an agent says on standard output when it is attached.
pub const ATTACHED: &str = "attached";
/// Open files of an agent of the SDK: its connection, and what its thread's runtime needs.
pub const FILES_PER_AGENT: u64 = 4;
/// So many agents attach at once.
const ATTACHING: usize = 32;
/// So late may a sleep of the system end: for the rest of it its thread turns.
const LATE: Duration = Duration::from_micros(200);

/// Attaches, says so, and works until it is told to stop.
///
/// # Errors
///
/// When an agent can't attach, or had to end.
pub async fn run(client: Client, args: AgentArgs) -> Result<(), Error> {
    if args.crowd > 1 {
        return crowd(&client, &args).await;
    }
    let mut agent = builder(&client, &args, args.name.clone()).drain_on_signals(true).spawn()?;
    agent.attached().await?;
    announce()?;
    Ok(agent.join().await?)
}

/// Many agents in one process, each with a connection and a thread of its own. A signal ends them without farewell.
async fn crowd(client: &Client, args: &AgentArgs) -> Result<(), Error> {
    open_files::raise();
    let agents: Vec<AgentHandle> = stream::iter(1..=args.crowd)
        .map(|number| async move {
            let mut agent = builder(client, args, format!("{}-{number}", args.name)).spawn()?;
            agent.attached().await?;
            Ok::<_, Error>(agent)
        })
        .buffer_unordered(ATTACHING)
        .try_collect()
        .await?;
    announce()?;
    futures::future::try_join_all(agents.into_iter().map(AgentHandle::join)).await?;
    Ok(())
}

fn builder(client: &Client, args: &AgentArgs, name: String) -> callboard::AgentBuilder {
    let agent = Agent::builder("bench").client(client).name(name).slots(args.slots);
    args.handles.iter().fold(agent, |agent, task_type| match task_type.as_str() {
        FLAKY => agent.handle(FLAKY, second_time),
        SLEEP => agent.handle(SLEEP, sleep),
        FIBONACCI => agent.handle(FIBONACCI, fibonacci),
        other => agent.handle(other, begin),
    })
}

/// The result is when the handler began, by the machine's monotonic clock.
async fn begin(_: Context, _: String) -> Result<String, TaskError> {
    Ok(clock::nanoseconds().to_string())
}

/// The same, in the second attempt.
async fn second_time(context: Context, input: String) -> Result<String, TaskError> {
    if context.attempt() == 1 {
        return Err(TaskError::new("the first attempt fails, as was asked for"));
    }
    begin(context, input).await
}

/// To the microsecond, as work would take that is slept for here: tokio's timer comes up to two milliseconds late, and a sleep of the
/// system's a tenth of one.
async fn sleep(_: Context, milliseconds: u64) -> Result<(), TaskError> {
    let work = Duration::from_millis(milliseconds);
    let ends = Instant::now() + work;
    let work = move || {
        std::thread::sleep(work.saturating_sub(LATE));
        while Instant::now() < ends {
            std::hint::spin_loop();
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| TaskError::new(error.to_string()))
}

async fn fibonacci(_: Context, of: u32) -> Result<u64, TaskError> {
    Ok(black_box(fib(of)))
}

fn fib(of: u32) -> u64 {
    if of < 2 { of.into() } else { fib(of - 1) + fib(of - 2) }
}

fn announce() -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ATTACHED}").and_then(|()| out.flush()).map_err(Error::io("cannot write to standard output"))
}
