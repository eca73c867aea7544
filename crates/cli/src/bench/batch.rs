//! Requests of 64 tasks, some of them in flight. A request is done when the results of all its tasks are known.

use std::collections::{HashMap, HashSet};

use callboard::v1::{Event, TaskState};
use callboard::{Client, EventStream, NewTask, Receipt};
use futures::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::agent::TASK;
use super::args::{Amounts, BatchResults};
use super::error::Error;
use super::events;
use super::figures::{Figures, Latencies};
use super::submit::{INPUT, Window, check};
use super::verify::{Expected, Verifier};
use super::world::{self, Usages, World};

/// Tasks in a request.
const TASKS: usize = 64;

/// What was seen of the batches.
struct Seen {
    latencies: Latencies,
    /// Results that came within the measured time.
    results: u64,
    ids: Vec<Uuid>,
}

/// Measures it, and verifies every task.
pub async fn measure(world: &World, amounts: &Amounts) -> Result<Figures, Error> {
    let mark = events::mark(&world.client).await?;
    let window = Window::new(amounts);
    let batches = async {
        match amounts.batch_results {
            BatchResults::Watch => watching(&world.client, window, amounts.batch_requests).await,
            BatchResults::Wait => waiting(&world.client, window, amounts.batch_requests).await,
        }
    };
    let (seen, (before, after)) = tokio::join!(batches, usages(world, window));
    let seen = seen?;
    let mut verifier = Verifier::default();
    seen.ids.into_iter().for_each(|id| verifier.expect(id, Expected::AT_ONCE));
    let took = window.to - window.from;
    let figures = Figures::of(&seen.latencies, took).with_rate(seen.results, took).with_usages(&before, &after);
    Ok(figures.with_verified(events::verify(&world.client, &mark, verifier).await?))
}

async fn usages(world: &World, window: Window) -> (Usages, Usages) {
    sleep_until(window.from).await;
    let before = world.usages();
    sleep_until(window.to).await;
    (before, world.usages())
}

/// So many tasks of the measurement.
fn tasks(count: usize) -> Result<Vec<NewTask>, Error> {
    let task = NewTask::new(TASK).input(INPUT)?;
    Ok(vec![task; count])
}

/// Each request is followed by a `WaitTask` for each of its tasks.
async fn waiting(client: &Client, window: Window, requests: u32) -> Result<Seen, Error> {
    let mut submitters = JoinSet::new();
    for _ in 0..requests {
        submitters.spawn(wait_for_each(client.clone(), window));
    }
    let mut all = Seen { latencies: Latencies::new(), results: 0, ids: Vec::new() };
    while let Some(seen) = submitters.join_next().await {
        let seen = seen.map_err(|_| Error::Interrupted)??;
        all.latencies.add(&seen.latencies);
        all.results += seen.results;
        all.ids.extend(seen.ids);
    }
    Ok(all)
}

async fn wait_for_each(client: Client, window: Window) -> Result<Seen, Error> {
    let mut seen = Seen { latencies: Latencies::new(), results: 0, ids: Vec::new() };
    loop {
        let sent = Instant::now();
        if sent >= window.to {
            return Ok(seen);
        }
        let receipts = client.create_all(tasks(TASKS)?).await?;
        let ended = receipts.iter().map(|receipt| async {
            let task = client.wait(&receipt.task_id, None).await?;
            check(&task)?;
            Ok::<_, Error>(Instant::now())
        });
        let known = try_join_all(ended).await?;
        seen.results += known.iter().filter(|at| window.contains(**at)).count() as u64;
        record(&mut seen, &receipts, sent, window)?;
    }
}

fn record(seen: &mut Seen, receipts: &[Receipt], sent: Instant, window: Window) -> Result<(), Error> {
    let known = Instant::now();
    if window.contains(known) {
        seen.latencies.record(known - sent);
    }
    for receipt in receipts {
        seen.ids.push(world::parse(&receipt.task_id)?);
    }
    Ok(())
}

/// All results come from one watch over the namespace.
async fn watching(client: &Client, window: Window, requests: u32) -> Result<Seen, Error> {
    let mark = events::mark(client).await?;
    let mut watching = Watching {
        client: client.clone(),
        events: events::since(client, &mark),
        window,
        requests: JoinSet::new(),
        open: HashMap::new(),
        whose: HashMap::new(),
        early: HashSet::new(),
        seen: Seen { latencies: Latencies::new(), results: 0, ids: Vec::new() },
        last: 0,
    };
    for _ in 0..requests {
        watching.submit()?;
    }
    while !watching.open.is_empty() {
        watching.advance().await?;
    }
    Ok(watching.seen)
}

type Answer = (u64, callboard::Result<Vec<Receipt>>);

struct Watching {
    client: Client,
    events: EventStream,
    window: Window,
    requests: JoinSet<Answer>,
    /// Requests that are not done: when they were sent, and how many results are missing.
    open: HashMap<u64, (Instant, usize)>,
    /// The request of each task whose result is missing.
    whose: HashMap<Uuid, u64>,
    /// Tasks that ended before the answer to their request came.
    early: HashSet<Uuid>,
    seen: Seen,
    last: u64,
}

impl Watching {
    fn submit(&mut self) -> Result<(), Error> {
        let sent = Instant::now();
        if sent >= self.window.to {
            return Ok(());
        }
        self.last += 1;
        let (request, client, tasks) = (self.last, self.client.clone(), tasks(TASKS)?);
        self.open.insert(request, (sent, TASKS));
        self.requests.spawn(async move { (request, client.create_all(tasks).await) });
        Ok(())
    }

    async fn advance(&mut self) -> Result<(), Error> {
        tokio::select! {
            Some(answer) = self.requests.join_next() => {
                let (request, receipts) = answer.map_err(|_| Error::Interrupted)?;
                self.answered(request, &receipts?)
            }
            event = events::next(&mut self.events) => self.happened(&event?),
        }
    }

    fn answered(&mut self, request: u64, receipts: &[Receipt]) -> Result<(), Error> {
        for receipt in receipts {
            let id = world::parse(&receipt.task_id)?;
            self.seen.ids.push(id);
            if self.early.remove(&id) {
                self.ended(request)?;
            } else {
                self.whose.insert(id, request);
            }
        }
        Ok(())
    }

    fn happened(&mut self, event: &Event) -> Result<(), Error> {
        match event.state() {
            TaskState::Completed => {}
            TaskState::Failed | TaskState::Cancelled | TaskState::Skipped => {
                let fault = format!("ended {:?} instead of completing", event.state());
                return Err(Error::Outcome { task: event.task_id.clone(), fault });
            }
            _ => return Ok(()),
        }
        let id = world::parse(&event.task_id)?;
        match self.whose.remove(&id) {
            Some(request) => self.ended(request)?,
            None => {
                self.early.insert(id);
            }
        }
        Ok(())
    }

    fn ended(&mut self, request: u64) -> Result<(), Error> {
        let now = Instant::now();
        self.seen.results += u64::from(self.window.contains(now));
        let Some((sent, missing)) = self.open.get_mut(&request) else { return Ok(()) };
        *missing -= 1;
        if *missing > 0 {
            return Ok(());
        }
        if self.window.contains(now) {
            self.seen.latencies.record(now - *sent);
        }
        self.open.remove(&request);
        self.submit()
    }
}
