//! The parts of the measurement, one after the other, each in a world of its own.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Amounts, MeasureArgs, Part, SetupArgs};
use super::error::Error;
use super::figures::Figures;
use super::graphs::Shape;
use super::report::{self, Report};
use super::submit::Way;
use super::world::{Target, World};
use super::{attached, batch, dependents, graphs, growth, latency, machine, submit, workflows};
use crate::output::{self, Output};

/// Measures what was asked for, and writes the report.
pub async fn run(args: &MeasureArgs, setup: &SetupArgs, target: &Target, output: &Output) -> Result<(), Error> {
    let amounts = args.amounts();
    let mut report = Report::default();
    report.say("machine", machine::describe(setup)?);
    report.say("version", machine::version());
    report.say("settings", machine::settings(&amounts, setup, target));
    for part in args.parts() {
        // One loop gives both figures.
        if part == Part::Dispatch && report.figures(part.key()).is_some() {
            continue;
        }
        let bar = spinner(part.key());
        let mut world = World::start(target, setup).await?;
        world.add_agents(setup).await?;
        let outcome = take(part, args, &amounts, setup, &mut world, &bar, &mut report).await;
        let outcome = outcome.map_err(|error| error.with_log(world.server_log()));
        world.end().await;
        bar.finish_and_clear();
        outcome?;
    }
    report::write(&report, output)
}

async fn take(
    part: Part,
    args: &MeasureArgs,
    amounts: &Amounts,
    setup: &SetupArgs,
    world: &mut World,
    bar: &ProgressBar,
    report: &mut Report,
) -> Result<(), Error> {
    let figures = match part {
        Part::Idle if args.parts().contains(&Part::Dispatch) => {
            let idle = latency::measure(world, amounts).await?;
            report.add(part.key(), idle.whole);
            report.add(Part::Dispatch.key(), idle.dispatch);
            return Ok(());
        }
        Part::Dispatch => latency::measure(world, amounts).await?.dispatch,
        Part::Attached => attached::measure(world, amounts).await?,
        Part::Dependents => dependents::measure(world, setup, amounts, report).await?,
        Part::Chain => graphs::measure(world, part, Shape::Chain, &amounts.graph_sizes(), report).await?,
        Part::Star => graphs::measure(world, part, Shape::Star, &amounts.graph_sizes(), report).await?,
        Part::Dag => graphs::measure(world, part, Shape::Dag, &amounts.graph_sizes(), report).await?,
        Part::ChainOf40 => workflows::chain(world, setup, amounts, args.worker.as_deref()).await?,
        Part::FanOut400 => workflows::fan_out(world, setup, amounts).await?,
        Part::Growth => growth::measure(world, amounts, bar, report).await?,
        Part::Unary64 | Part::Unary512 | Part::Stream64 | Part::Stream512 | Part::Batch | Part::Idle => {
            throughput(part, world, amounts).await?
        }
    };
    report.add(part.key(), figures);
    Ok(())
}

/// A part that needs nothing but a world.
pub async fn throughput(part: Part, world: &World, amounts: &Amounts) -> Result<Figures, Error> {
    match part {
        Part::Unary512 => submit::measure(world, Way::Call, 512, amounts).await,
        Part::Stream64 => submit::measure(world, Way::Stream, 64, amounts).await,
        Part::Stream512 => submit::measure(world, Way::Stream, 512, amounts).await,
        Part::Batch => batch::measure(world, amounts).await,
        Part::Idle => Ok(latency::measure(world, amounts).await?.whole),
        _ => submit::measure(world, Way::Call, 64, amounts).await,
    }
}

/// Shows on a terminal that something goes on; elsewhere it is said once.
pub fn spinner(message: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(200));
    say(&spinner, message);
    spinner
}

/// Says how far it is, to a person or into a log.
pub fn say(spinner: &ProgressBar, message: &str) {
    spinner.set_message(message.to_owned());
    if spinner.is_hidden() {
        output::note(message);
    }
}
