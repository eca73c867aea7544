//! Many tasks through the API: created in large requests, done by the agents, verified on the way.

use callboard::{Client, NewTask, Receipt};
use futures::{StreamExt, TryStreamExt, stream};

use super::agent::TASK;
use super::error::Error;
use super::events;
use super::submit::INPUT;
use super::verify::{Expected, Verified, Verifier};
use super::world;

/// Tasks in a request: the most that it may have.
const REQUEST: u64 = 1_000;
/// Requests in flight.
const IN_FLIGHT: usize = 4;
/// Tasks that are created before their ends are awaited: so that no queue grows.
const ROUND: u64 = 20_000;

/// Has so many tasks created and done. `tell` hears how many are finished.
pub async fn run(client: &Client, tasks: u64, tell: impl Fn(u64)) -> Result<Verified, Error> {
    let task = NewTask::new(TASK).input(INPUT)?;
    let mark = events::mark(client).await?;
    let mut events = events::since(client, &mark);
    let mut verifier = Verifier::default();
    let mut made = 0;
    while made < tasks {
        let round = ROUND.min(tasks - made);
        expect_all(&mut verifier, &create(client, &task, round).await?)?;
        while !verifier.is_done() {
            verifier.take(&events::next(&mut events).await?);
        }
        made += round;
        tell(made);
        verifier.so_far().map_err(Error::Violations)?;
    }
    verifier.finish().map_err(Error::Violations)
}

/// Creates so many of a task, in large requests.
pub async fn create(client: &Client, task: &NewTask, count: u64) -> Result<Vec<Receipt>, Error> {
    let requests = (0..count).step_by(REQUEST as usize).map(|from| REQUEST.min(count - from));
    let receipts: Vec<Vec<Receipt>> = stream::iter(requests)
        .map(|size| client.create_all((0..size).map(|_| task.clone())))
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(receipts.into_iter().flatten().collect())
}

/// All of these are to complete at once.
pub fn expect_all(verifier: &mut Verifier, receipts: &[Receipt]) -> Result<(), Error> {
    receipts.iter().try_for_each(|receipt| {
        verifier.expect(world::parse(&receipt.task_id)?, Expected::AT_ONCE);
        Ok(())
    })
}
