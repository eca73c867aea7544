//! `callboard task …`

mod create;
mod explain;
mod follow;
mod look;
mod output;
mod past;
mod steer;

pub use steer::sum_up;

use callboard::v1::{Priority, TaskState};

use super::Session;
use crate::args::task::{PriorityName, StateName, TaskCommand};
use crate::error::Error;
use crate::values::{self, Moment};

/// Does it.
pub async fn run(session: &Session, command: TaskCommand) -> Result<(), Error> {
    match command {
        TaskCommand::Create(args) => create::run(session, *args).await,
        TaskCommand::List(args) => look::list(session, args).await,
        TaskCommand::Show(args) => look::show(session, &args).await,
        TaskCommand::History(args) => look::history(session, &args.id).await,
        TaskCommand::Explain(args) => explain::run(session, &args.id).await,
        TaskCommand::Steps(args) => look::steps(session, &args).await,
        TaskCommand::Output(args) => output::run(session, &args).await,
        TaskCommand::Children(args) => look::children(session, &args).await,
        TaskCommand::Watch(args) => follow::watch(session, args).await,
        TaskCommand::Wait(args) => follow::wait(session, &args).await,
        TaskCommand::Cancel(args) => steer::cancel(session, &args).await,
        TaskCommand::Retry(args) => steer::retry(session, &args.ids).await,
        TaskCommand::Hold(args) => steer::hold(session, &args).await,
        TaskCommand::Release(args) => steer::release(session, &args.ids).await,
        TaskCommand::Update(args) => steer::update(session, args).await,
        TaskCommand::Depend(args) => steer::depend(session, args).await,
    }
}

/// A time given as an option, for the protocol.
fn future(option: &str, moment: Moment) -> Result<prost_types::Timestamp, Error> {
    on_the_calendar(option, moment.resolve(values::now()))
}

/// A time given as an option that means "this long ago".
pub fn past(option: &str, moment: Moment) -> Result<prost_types::Timestamp, Error> {
    on_the_calendar(option, moment.resolve_past(values::now()))
}

fn on_the_calendar(option: &str, at: Option<jiff::Timestamp>) -> Result<prost_types::Timestamp, Error> {
    at.map(crate::output::time::to_proto).ok_or_else(|| {
        Error::Usage(format!("{option}: that time is not on the calendar: give one before the year 10000"))
    })
}

impl From<PriorityName> for Priority {
    fn from(name: PriorityName) -> Self {
        match name {
            PriorityName::Low => Self::Low,
            PriorityName::Normal => Self::Normal,
            PriorityName::High => Self::High,
            PriorityName::Urgent => Self::Urgent,
            PriorityName::Critical => Self::Critical,
        }
    }
}

impl From<StateName> for TaskState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Waiting => Self::Waiting,
            StateName::Ready => Self::Ready,
            StateName::Assigned => Self::Assigned,
            StateName::Running => Self::Running,
            StateName::Paused => Self::Paused,
            StateName::Completed => Self::Completed,
            StateName::Failed => Self::Failed,
            StateName::Cancelled => Self::Cancelled,
            StateName::Skipped => Self::Skipped,
        }
    }
}
