//! What a step can be, beside an instruction for a driver: waiting, faults, verdicts.

mod check;
mod fault;
mod history;
mod wait;
mod wire;

use crate::scenario::Step;
use crate::world::World;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Carries out a step.
///
/// # Errors
///
/// What is otherwise than the step says.
pub async fn take(world: &mut World<'_>, step: &Step) -> Result<(), String> {
    match step.verb.as_str() {
        "wait" => wait::take(world, step).await,
        "fault" => fault::take(world, read(&world.fill(&step.args)?)?).await,
        "check" => check::take(world, read(&world.fill(&step.args)?)?).await,
        // That nothing happens can be seen only by letting time pass.
        "let_pass_ms" => {
            tokio::time::sleep(Duration::from_millis(step.args.as_u64().unwrap_or_default())).await;
            Ok(())
        }
        verb if ["agent.", "client.", "watch.", "output.", "gate."].iter().any(|kind| verb.starts_with(kind)) => {
            world.instruct(step).await
        }
        verb => Err(format!("there is no step `{verb}`")),
    }
}

fn read<T: DeserializeOwned>(args: &Value) -> Result<T, String> {
    serde_json::from_value(args.clone()).map_err(|error| format!("{error} in {args}"))
}
