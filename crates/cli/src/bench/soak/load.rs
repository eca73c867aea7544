//! What a submitter of the soak does, over and over: mostly single tasks; also batches, tasks whose first attempt fails,
//! dependent tasks, cancellations, reads.

use std::time::Duration;

use callboard::v1::{ListTasksRequest, RetryPolicy, Task};
use callboard::{Client, NewTask};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::super::agent::{FLAKY, TASK};
use super::super::args::SoakArgs;
use super::super::error::Error;
use super::super::submit::{INPUT, check};
use super::super::verify::Expected;
use super::super::world;
use super::Known;
use super::sample::Samples;

/// Rounds after which the mixture repeats.
const MIXTURE: u64 = 32;
/// Tasks in a batch.
const BATCH: usize = 16;
/// The delay before a second attempt: short, so that few tasks are under way.
const BACKOFF: Duration = Duration::from_millis(10);

/// One submitter.
pub struct Load {
    client: Client,
    /// Submitters are in different places of the mixture.
    round: u64,
    pace: Interval,
    samples: Samples,
    knows: mpsc::Sender<Known>,
}

impl Load {
    /// One of those that were asked for.
    pub fn new(client: Client, number: u32, args: &SoakArgs, samples: Samples, knows: mpsc::Sender<Known>) -> Self {
        let period = f64::from(args.in_flight) / f64::from(args.rate.max(1));
        let mut pace = interval(Duration::from_secs_f64(period.max(1e-6)));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { client, round: u64::from(number) * 7, pace, samples, knows }
    }

    /// Submits until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        while !stop.is_cancelled() {
            let submitted = self.submit().await?;
            self.round += 1;
            // The rate is one of tasks, whatever they come in.
            for _ in 0..submitted {
                tokio::select! {
                    _ = self.pace.tick() => {}
                    () = stop.cancelled() => break,
                }
            }
        }
        Ok(())
    }

    /// What is due in the mixture; gives the number of tasks.
    async fn submit(&mut self) -> Result<usize, Error> {
        match self.round % MIXTURE {
            3 => self.batch().await,
            7 | 19 => self.flaky().await,
            11 | 27 => self.dependent().await,
            15 => self.cancelled().await,
            23 => self.look().await,
            _ => self.plain().await,
        }
    }

    async fn plain(&self) -> Result<usize, Error> {
        let sent = Instant::now();
        let task = self.client.run_until_ended(NewTask::new(TASK).input(INPUT)?, None).await?;
        self.samples.record(sent.elapsed());
        self.completed(&task, 0).await?;
        Ok(1)
    }

    async fn batch(&self) -> Result<usize, Error> {
        let task = NewTask::new(TASK).input(INPUT)?;
        for receipt in self.client.create_all(vec![task; BATCH]).await? {
            let task = self.client.wait(&receipt.task_id, None).await?;
            self.completed(&task, 0).await?;
        }
        Ok(BATCH)
    }

    async fn flaky(&self) -> Result<usize, Error> {
        let backoff = Some(prost_types::Duration { seconds: 0, nanos: BACKOFF.as_nanos() as i32 });
        let policy = RetryPolicy { max_attempts: 2, initial_backoff: backoff, ..RetryPolicy::default() };
        let task = NewTask::new(FLAKY).input(INPUT)?.retry_policy(policy);
        let task = self.client.run_until_ended(task, None).await?;
        self.completed(&task, 1).await?;
        Ok(1)
    }

    async fn dependent(&self) -> Result<usize, Error> {
        let first = self.client.create(NewTask::new(TASK).input(INPUT)?).await?;
        let second = NewTask::new(TASK).input(INPUT)?.depends_on(&first.task_id);
        let second = self.client.run_until_ended(second, None).await?;
        self.completed(&second, 0).await?;
        self.completed(&self.client.wait(&first.task_id, None).await?, 0).await?;
        Ok(2)
    }

    async fn cancelled(&self) -> Result<usize, Error> {
        let task = self.client.create(NewTask::new(TASK).input(INPUT)?.hold()).await?;
        self.client.cancel(&task.task_id, "the soak cancels some").await?;
        self.knows(&task.task_id, Expected::Cancelled).await?;
        Ok(1)
    }

    /// What people do: the newest tasks, and the history of one.
    async fn look(&self) -> Result<usize, Error> {
        let page = self.client.list_page(ListTasksRequest { page_size: 20, ..Default::default() }).await?;
        if let Some(task) = page.tasks.first() {
            self.client.history(&task.id).await?;
        }
        Ok(1)
    }

    async fn completed(&self, task: &Task, failures: u8) -> Result<(), Error> {
        check(task)?;
        self.knows(&task.id, Expected::Completed { failures }).await
    }

    async fn knows(&self, task: &str, expected: Expected) -> Result<(), Error> {
        self.samples.count();
        // Gone only when the verifier has failed, which it then says.
        let _ = self.knows.send((world::parse(task)?, expected)).await;
        Ok(())
    }
}
