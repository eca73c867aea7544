//! `callboard workflow watch`, and `run --wait`

use std::collections::HashMap;
use std::time::Duration;

use callboard::Client;
use callboard::v1::{Failure, Task, WaitWorkflowRequest, Workflow, WorkflowForecast};
use tokio::time::Instant;

use super::tell::{self, Teller};
use super::{Session, fetch_failures, forecast_of, judge, look, tasks_of};
use crate::args::workflow::WatchArgs;
use crate::error::Error;
use crate::ids;
use crate::output::time::duration_to_proto;

/// How often is looked for what tasks do meanwhile, of a workflow that is a page. (Its end is told at once.) Events are watched of
/// a task or of a namespace, and don't name workflows: whoever followed one by them would be sent all that its namespace does.
const LOOK: Duration = Duration::from_secs(1);

/// How often is asked when it will end: that reads all of its tasks once more.
const FORESEE: Duration = Duration::from_secs(5);

/// Tells what becomes of a workflow's tasks until it has ended.
pub async fn watch(session: &Session, args: &WatchArgs) -> Result<(), Error> {
    let id = ids::resolve_workflow(&session.client, &args.id).await?;
    let (workflow, tasks) = until_ended(session, &id, args.wait_for, Teller::new(session.output)).await?;
    judge(&workflow, &tasks)
}

/// Follows a workflow that was just created: for people as `watch` does, for programs as one document at its end.
pub async fn to_its_end(session: &Session, id: &str, wait_for: Option<Duration>) -> Result<(), Error> {
    let output = session.output;
    if !output.is_json() {
        output.line(id)?;
    }
    let teller = if output.is_json() { Teller::Nobody } else { Teller::new(output) };
    let (workflow, tasks) = until_ended(session, id, wait_for, teller).await?;
    if output.is_json() {
        look::write(&output, &workflow, &tasks, None)?;
    }
    judge(&workflow, &tasks)
}

/// Follows a workflow; `WorkflowStillRunning` when the time is over.
async fn until_ended(
    session: &Session,
    id: &str,
    wait_for: Option<Duration>,
    mut teller: Teller,
) -> Result<(Workflow, Vec<Task>), Error> {
    let until = wait_for.map(|wait| Instant::now() + wait);
    // A server that isn't there, or a workflow, is said at once; later the server may well be away for a while.
    session.client.get_workflow(id).await?;
    let client = session.patient()?;
    let (mut seen, mut outlook) = (Seen::default(), Outlook::default());
    let mut pause = Duration::ZERO;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let (workflow, ended) = wait(&client, id, left.map_or(pause, |left| left.min(pause))).await?;
        let mut tasks = tasks_of(&client, id).await?;
        for task in seen.changed(&client, &mut tasks).await? {
            teller.task(task)?;
        }
        if teller.shows_outlook() && !ended {
            outlook.renew(&client, &workflow).await?;
        }
        teller.workflow(&workflow, &tasks, outlook.forecast.as_ref())?;
        if ended {
            teller.end(&workflow)?;
            return Ok((workflow, tasks));
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Error::WorkflowStillRunning(Box::new(workflow)));
        }
        // Looking at ten thousand tasks is ten calls: one a second in any case.
        pause = LOOK * u32::try_from(tasks.len().div_ceil(1_000)).unwrap_or(1).max(1);
    }
}

/// What was expected when that was last asked.
#[derive(Default)]
struct Outlook {
    asked: Option<Instant>,
    forecast: Option<WorkflowForecast>,
}

impl Outlook {
    /// Asks again, if it was some time ago.
    async fn renew(&mut self, client: &Client, workflow: &Workflow) -> Result<(), Error> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= FORESEE) {
            self.forecast = forecast_of(client, workflow).await?;
            self.asked = Some(Instant::now());
        }
        Ok(())
    }
}

/// What is known of tasks already.
#[derive(Default)]
struct Seen {
    versions: HashMap<String, i64>,
    failures: HashMap<String, Failure>,
}

impl Seen {
    /// Those that are new or have changed, in the order of time; all that failed get their failures.
    async fn changed<'a>(&mut self, client: &Client, tasks: &'a mut [Task]) -> Result<Vec<&'a Task>, Error> {
        let is_new = |task: &Task| self.versions.get(&task.id) != Some(&task.version);
        fetch_failures(client, tasks.iter_mut().filter(|task| is_new(task))).await?;
        let mut changed = Vec::new();
        for task in tasks {
            let is_new = self.versions.insert(task.id.clone(), task.version) != Some(task.version);
            match (is_new, &task.failure) {
                (true, Some(failure)) => drop(self.failures.insert(task.id.clone(), failure.clone())),
                (true, None) => drop(self.failures.remove(&task.id)),
                (false, _) => task.failure = self.failures.get(&task.id).cloned(),
            }
            if is_new {
                changed.push(&*task);
            }
        }
        changed.sort_by_key(|task| tell::last_change(task).map(|at| (at.seconds, at.nanos)));
        Ok(changed)
    }
}

async fn wait(client: &Client, id: &str, wait: Duration) -> Result<(Workflow, bool), Error> {
    let request = WaitWorkflowRequest {
        workflow_id: id.to_owned(),
        wait: Some(duration_to_proto(wait)),
        ..WaitWorkflowRequest::default()
    };
    let answer = client.call(request).await?;
    match answer.workflow {
        Some(workflow) => Ok((workflow, answer.ended)),
        None => Err(Error::Usage("the server's answer has no workflow: is it of a version that fits?".to_owned())),
    }
}
