//! Tasks that depend on each other, in large graphs: what a task costs, and whether it costs more the more there are.
//!
//! A graph is created as workflows of a thousand tasks each; what reaches from one into the next are dependencies on tasks outside
//! of it. Agents are at work from the beginning. A graph is done when the end of its last task was seen.

use std::num::NonZeroUsize;
use std::time::Duration;

use callboard::v1::EventType;
use callboard::{EventStream, NewTask, NewWorkflow, NewWorkflowTask, Receipt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::Instant;

use super::agent::TASK;
use super::args::Part;
use super::error::Error;
use super::events;
use super::figures::{Figures, Latencies, round};
use super::fill;
use super::report::Report;
use super::submit::INPUT;
use super::verify::Verifier;
use super::world::World;

/// Tasks of a workflow: no more may stand behind each other in one.
const PIECE: usize = 1_000;
/// The most that a task of a random graph depends on.
const SOURCES: usize = 3;
/// It depends on some of so many before it.
const NEAR: usize = 100;
/// Makes the same random graph in every run.
const SEED: u64 = 40;

/// What depends on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each on the one before it.
    Chain,
    /// All on the first.
    Star,
    /// Each on up to three of the hundred before it, by chance: a directed graph without a cycle.
    Dag,
}

impl Shape {
    /// What the task at this place depends on: places before it.
    fn sources(self, place: usize, random: &mut StdRng) -> Vec<usize> {
        let Some(before) = NonZeroUsize::new(place) else { return Vec::new() };
        match self {
            Self::Chain => vec![place - 1],
            Self::Star => vec![0],
            Self::Dag => {
                let near = before.get().min(NEAR);
                let count = random.random_range(0..=SOURCES);
                let mut sources: Vec<usize> = (0..count).map(|_| place - random.random_range(1..=near)).collect();
                sources.sort_unstable();
                sources.dedup();
                sources
            }
        }
    }
}

/// Measures a shape in each of these sizes, and gives the figures of the largest.
pub async fn measure(
    world: &World,
    part: Part,
    shape: Shape,
    sizes: &[usize],
    report: &mut Report,
) -> Result<Figures, Error> {
    // Connections are open then, and code is warm.
    run(world, shape, sizes.iter().copied().min().unwrap_or(PIECE)).await?;
    let mut costs = Vec::with_capacity(sizes.len());
    let mut largest = Figures::default();
    for size in sizes {
        let figures = run(world, shape, *size).await?;
        costs.push(figures.seconds / *size as f64);
        report.add(&format!("{}.{size}", part.key()), figures.clone());
        largest = figures;
    }
    let ratio = costs.last().zip(costs.first()).map(|(last, first)| round(last / first));
    Ok(Figures { verified_tasks: 0, ..largest }.with_value("cost_ratio", json!(ratio)))
}

/// Has a graph of this size created and done.
async fn run(world: &World, shape: Shape, size: usize) -> Result<Figures, Error> {
    let mark = events::mark(&world.client).await?;
    let mut seen = Seen { events: events::since(&world.client, &mark), verifier: Verifier::default() };
    let before = world.usages();
    let began = Instant::now();
    let (created, ()) = tokio::try_join!(create(world, shape, size), seen.completed(size))?;
    let (receipts, creating) = created;
    let took = began.elapsed();
    let after = world.usages();
    fill::expect_all(&mut seen.verifier, &receipts)?;
    let verified = seen.verifier.finish().map_err(Error::Violations)?;
    Ok(Figures::of(&Latencies::new(), took)
        .with_rate(size as u64, took)
        .with_usages(&before, &after)
        .with_verified(verified)
        .with_value("us_per_task", json!(round(took.as_secs_f64() * 1e6 / size as f64)))
        .with_value("creating_s", json!(round(creating.as_secs_f64()))))
}

/// Creates it, and says how long that took.
async fn create(world: &World, shape: Shape, size: usize) -> Result<(Vec<Receipt>, Duration), Error> {
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut all: Vec<Receipt> = Vec::with_capacity(size);
    while all.len() < size {
        let end = size.min(all.len() + PIECE);
        let tasks: Vec<NewWorkflowTask> =
            (all.len()..end).map(|place| task(place, shape, &all, &mut random)).collect::<Result<_, _>>()?;
        let mut created = world.client.create_workflow(NewWorkflow::new("bench").tasks(tasks)).await?;
        for place in all.len()..end {
            all.extend(created.receipts.remove(&name(place)));
        }
    }
    Ok((all, began.elapsed()))
}

/// A task: what it depends on in its own workflow by name, and what was created before by id.
fn task(place: usize, shape: Shape, created: &[Receipt], random: &mut StdRng) -> Result<NewWorkflowTask, Error> {
    let (outside, within): (Vec<usize>, Vec<usize>) =
        shape.sources(place, random).into_iter().partition(|source| *source < created.len());
    let task = NewTask::new(TASK).input(INPUT)?;
    let task = outside.into_iter().fold(task, |task, source| task.depends_on(&created[source].task_id));
    let task = NewWorkflowTask::new(name(place), task);
    Ok(within.into_iter().fold(task, |task, source| task.depends_on(name(source))))
}

fn name(place: usize) -> String {
    format!("t{place}")
}

/// What was seen of a graph.
struct Seen {
    events: EventStream,
    verifier: Verifier,
}

impl Seen {
    /// Returns when so many tasks have completed.
    async fn completed(&mut self, mut missing: usize) -> Result<(), Error> {
        while missing > 0 {
            let event = events::next(&mut self.events).await?;
            self.verifier.take(&event);
            missing -= usize::from(event.r#type() == EventType::Completed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(shape: Shape, size: usize) -> Vec<Vec<usize>> {
        let mut random = StdRng::seed_from_u64(SEED);
        (0..size).map(|place| shape.sources(place, &mut random)).collect()
    }

    #[test]
    fn a_shape_is_what_it_says() {
        assert_eq!(graph(Shape::Chain, 4), [vec![], vec![0], vec![1], vec![2]]);
        assert_eq!(graph(Shape::Star, 4), [vec![], vec![0], vec![0], vec![0]]);
        let dag = graph(Shape::Dag, 5_000);
        assert!(dag.iter().enumerate().all(|(place, sources)| sources.iter().all(|source| *source < place)));
        assert!(dag.iter().enumerate().all(|(place, sources)| sources.iter().all(|source| place - source <= NEAR)));
        assert!((0..=SOURCES).all(|count| dag.iter().any(|sources| sources.len() == count)));
        assert_eq!(dag, graph(Shape::Dag, 5_000));
    }
}
